"""Fixtures of the tests of api."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.api import world as worlds
from tests.api.world import World
from tests.rig.node import Node
from tests.rig.people import sign_up
from tests.rig.rest import PASSWORD, Rest, unique

Configure = Callable[[Mapping[str, Mapping[str, Any]]], None]
Add = Callable[..., Rest]


@pytest.fixture(scope="session")
def world(node: Node) -> Iterator[World]:
    """A team, its channels and people in each relation to them; tests change nothing of it but by adding."""
    built = worlds.build(node.url, node.admin_name)
    yield built
    built.close()


@pytest.fixture(scope="session")
def own_node() -> Iterator[Node]:
    """A second node, for tests of what settings do: use `configure`. It is closed: `add` makes users."""
    with Node(workers=1, ws_workers=1, environment={"MM_TEAMSETTINGS_ENABLEOPENSERVER": "false"}) as node:
        node.admin_name = sign_up(node.url, "admin")["username"]
        yield node


@pytest.fixture
def own_admin(own_node: Node) -> Iterator[Rest]:
    """The administrator of `own_node`."""
    rest = Rest(own_node.url).log_in(own_node.admin_name)
    yield rest
    rest.close()


@pytest.fixture
def add(own_admin: Rest) -> Iterator[Add]:
    """Makes users of `own_node` and logs them in."""
    added: list[Rest] = []

    def add_one(**fields: Any) -> Rest:
        name = unique("user")
        user = {"username": name, "email": f"{name}@example.com", "password": PASSWORD, **fields}
        added.append(Rest(own_admin.url).log_in(own_admin.post("/users", user)["username"], user["password"]))
        return added[-1]

    yield add_one
    for rest in added:
        rest.close()


@pytest.fixture
def configure(own_node: Node) -> Iterator[Configure]:
    """Sets the configuration of `own_node` for the time of a test."""

    def reload(config: Mapping[str, Mapping[str, Any]]) -> None:
        own_node.write_config(json.loads(json.dumps(config)))
        answer = own_node.ask("reload")
        assert not answer.get("restart_needed"), answer

    yield reload
    reload({})
