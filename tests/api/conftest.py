"""Fixtures of the tests of api."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from tests.api import world as worlds
from tests.api.ledger import Ledger
from tests.api.world import World
from tests.plugins.resources import uses
from tests.rig.backends import Backend
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
@uses("node")
def own_node(backend: Backend) -> Iterator[Node]:
    """A second node, for tests of what settings do: use `configure`. It is closed: `add` makes users."""
    with backend.node(workers=1, ws_workers=1, environment={"MM_TEAMSETTINGS_ENABLEOPENSERVER": "false"}) as node:
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


TABLES = (
    "users", "sessions", "preferences", "teams", "team_members", "channels", "channel_members", "channel_events",
    "posts", "sidebar_categories", "post_mentions", "post_versions", "reactions",
)  # fmt: skip


def _processes(node: Node) -> dict[str, int]:
    return {name: child["pid"] for name, child in node.children().items()}


def _state(node: Node) -> tuple[dict[str, int], dict[str, int]]:
    counts = node.sql("SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES))
    return _processes(node), dict(zip(TABLES, counts[0], strict=True))


@pytest.fixture(scope="module")
def unchanged(node: Node, world: World) -> Iterator[Ledger[Any]]:
    """No row is added and no process dies while the module's tests run: every one of them must use `untouched`."""
    ledger = Ledger(lambda: _state(node))
    yield ledger
    ledger.settle()


@pytest.fixture(scope="module")
def no_death(node: Node, world: World) -> Iterator[Ledger[Any]]:
    """No process dies while the module's tests run."""
    ledger = Ledger(lambda: _processes(node))
    yield ledger
    ledger.settle()


@pytest.fixture
def untouched(request: pytest.FixtureRequest, unchanged: Ledger[Any]) -> Iterator[None]:
    """The test leaves no row behind and every process alive."""
    yield
    unchanged.enter(request.node.nodeid, _again(request))


@pytest.fixture
def alive(request: pytest.FixtureRequest, no_death: Ledger[Any]) -> Iterator[None]:
    """The test leaves every process alive."""
    yield
    no_death.enter(request.node.nodeid, _again(request))


def _again(request: pytest.FixtureRequest) -> Callable[[], object]:
    """The test as a function: its arguments must be of a wider scope than its own."""
    item = request.node
    return partial(item.obj, **{name: item.funcargs[name] for name in item._fixtureinfo.argnames})
