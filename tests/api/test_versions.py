"""What a post said before it was edited: its author reads it, and goes back to it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.history import version_id, version_in
from db.model.ids import PostId, is_id, new_id
from tests.api.expect import refused
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest
from tests.rig.socket import Socket

pytestmark = drivers("all")
NONE = "app.post.restore_post_version.not_an_history_item.app_error"


@pytest.fixture(scope="module")
def ann(node: Node) -> Iterator[Rest]:
    """Who writes."""
    rest = new_user(node.url, "ann")
    yield rest
    rest.close()


@pytest.fixture(scope="module")
def bob(node: Node) -> Iterator[Rest]:
    """Who reads."""
    rest = new_user(node.url, "bob")
    yield rest
    rest.close()


@pytest.fixture
def channel(ann: Rest, bob: Rest) -> dict[str, Any]:
    """A channel of ann and bob."""
    return new_channel(ann, new_team(ann, bob), bob)


def _say(who: Rest, post: dict[str, Any], message: str) -> dict[str, Any]:
    response = who.call("PUT", f"/posts/{post['id']}/patch", {"message": message})
    assert response.status_code == 200, response.text
    return dict(response.json())


@pytest.mark.parametrize("seq", [0, 1, 31, 32, 2**62, 2**63 - 1])
def test_an_id_of_a_version_says_which(seq: int) -> None:
    post_id = PostId(new_id())
    made = version_id(post_id, seq)
    assert is_id(made)
    assert version_in(post_id, made) == seq
    assert version_in(PostId("x" + post_id[1:] if post_id[0] != "x" else "y" + post_id[1:]), made) is None


def test_versions_are_deleted_posts_of_their_own_newest_first(ann: Rest, channel: dict[str, Any]) -> None:
    post = ann.write(channel["id"], "one")
    second = _say(ann, post, "two")
    third = _say(ann, post, "three")
    found = ann.get(f"/posts/{post['id']}/edit_history")
    assert [one["message"] for one in found] == ["two", "one"]
    assert [one["edit_at"] for one in found] == [second["edit_at"], 0]
    assert [one["delete_at"] for one in found] == [third["update_at"], second["update_at"]]
    assert {one["original_id"] for one in found} == {post["id"]}
    assert len({post["id"], *(one["id"] for one in found)}) == 3
    assert all(is_id(one["id"]) and one["create_at"] == post["create_at"] for one in found)


def test_a_version_comes_back_as_another_edit_which_everybody_hears(
    ann: Rest, bob: Rest, channel: dict[str, Any]
) -> None:
    post = ann.write(channel["id"], "one", props={"a": 1})
    _say(ann, post, "two")
    [version] = ann.get(f"/posts/{post['id']}/edit_history")
    bobs = Socket.open(bob)
    restored = ann.post(f"/posts/{post['id']}/restore/{version['id']}", None)
    assert (restored["id"], restored["message"], restored["props"]) == (post["id"], "one", {"a": 1})
    assert json.loads(bobs.expect("post_edited")["data"]["post"]) == restored == bob.get(f"/posts/{post['id']}")
    assert [one["message"] for one in ann.get(f"/posts/{post['id']}/edit_history")] == ["two", "one"]
    bobs.close()


def test_versions_are_the_authors_alone(ann: Rest, bob: Rest, admin: Rest, channel: dict[str, Any]) -> None:
    post = ann.write(channel["id"], "one")
    refused(ann.call("GET", f"/posts/{post['id']}/edit_history"), 404, "app.post.get.app_error")
    _say(ann, post, "two")
    [version] = ann.get(f"/posts/{post['id']}/edit_history")
    for who in (bob, admin):
        refused(who.call("GET", f"/posts/{post['id']}/edit_history"), 403, "permissions")
        refused(who.call("POST", f"/posts/{post['id']}/restore/{version['id']}"), 403, "permissions")
    other = ann.write(channel["id"], "another")
    for wanted in (version["id"], new_id(), other["id"], version_id(PostId(other["id"]), 1)):
        refused(ann.call("POST", f"/posts/{other['id']}/restore/{wanted}"), 400, NONE)
    refused(ann.call("POST", f"/posts/{other['id']}/restore/x"), 400, "url")
    ann.call("DELETE", f"/posts/{post['id']}")
    refused(ann.call("GET", f"/posts/{post['id']}/edit_history"), 404, "app.post.get.app_error")
    refused(ann.call("POST", f"/posts/{post['id']}/restore/{version['id']}"), 404, "app.post.get.app_error")
