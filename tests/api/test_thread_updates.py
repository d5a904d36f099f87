"""What changed in a thread since a time, for clients that have the rest of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest

pytestmark = drivers("all")


@pytest.fixture(scope="module")
def ann(node: Node) -> Iterator[Rest]:
    """Who writes."""
    rest = new_user(node.url, "ann")
    yield rest
    rest.close()


def _order(who: Rest, post: dict[str, Any], query: str) -> tuple[list[str], bool]:
    found = who.get(f"/posts/{post['id']}/thread?{query}")
    assert set(found["order"]) == set(found["posts"])
    return found["order"], found["has_next"]


def test_what_changed_in_a_thread_comes_in_the_order_of_the_changes(ann: Rest) -> None:
    channel = new_channel(ann, new_team(ann))["id"]
    root = ann.write(channel, "root")
    first, second, third = (ann.write(channel, f"{n}", root_id=root["id"]) for n in range(3))
    since = third["create_at"]
    updates = f"updatesOnly=true&fromUpdateAt={since}"
    assert _order(ann, root, updates) == ([], False)
    ann.call("PUT", f"/posts/{second['id']}/patch", {"message": "changed"})
    ann.call("DELETE", f"/posts/{first['id']}")  # which changes the root, too
    last = ann.write(channel, "last", root_id=root["id"])
    found, more = _order(ann, root, updates)
    assert (found[0], found[-2:], set(found), more) == (
        second["id"], found[-2:], {second["id"], first["id"], root["id"], last["id"]}, False,
    )  # fmt: skip
    gone = ann.get(f"/posts/{root['id']}/thread?{updates}")["posts"][first["id"]]
    assert gone["delete_at"] > 0
    assert gone["message"] == ""
    assert _order(ann, root, f"{updates}&perPage=1") == ([second["id"]], True)
    assert _order(ann, last, updates)[0] == found, "of the thread, whichever post names it"
    with_root = ann.get(f"/posts/{root['id']}/thread?fromUpdateAt={since}&direction=down")
    assert with_root["order"][0] == root["id"]
    assert set(with_root["order"]) == {root["id"], second["id"], last["id"]}
