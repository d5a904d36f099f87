"""Reactions: giving them, taking them back, reading them; what of it is seen and heard."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from db.model.ids import new_id
from tests.api.expect import is_time_ms, refused
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest
from tests.rig.socket import Socket

pytestmark = drivers("all")

Post = dict[str, Any]


@pytest.fixture(scope="module")
def ann(node: Node) -> Iterator[Rest]:
    """One for all tests here, each of which makes a channel of its own."""
    rest = new_user(node.url, "ann")
    yield rest
    rest.close()


@pytest.fixture(scope="module")
def bob(node: Node) -> Iterator[Rest]:
    """Another."""
    rest = new_user(node.url, "bob")
    yield rest
    rest.close()


@pytest.fixture(scope="module")
def team(ann: Rest, bob: Rest) -> dict[str, Any]:
    """A team of ann and bob."""
    return new_team(ann, bob)


@pytest.fixture
def channel(ann: Rest, bob: Rest, team: dict[str, Any]) -> dict[str, Any]:
    """A channel of ann and bob."""
    return new_channel(ann, team, bob)


@pytest.fixture
def post(ann: Rest, channel: dict[str, Any]) -> Post:
    """A post of ann's."""
    return ann.write(channel["id"], "post")


def _ask(who: Rest, post: Post, emoji_name: str = "+1", **fields: Any) -> requests.Response:
    return who.call(
        "POST", "/reactions", {"user_id": who.id, "post_id": post["id"], "emoji_name": emoji_name, **fields}
    )


def _react(who: Rest, post: Post, emoji_name: str = "+1") -> dict[str, Any]:
    response = _ask(who, post, emoji_name)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def _take_back(who: Rest, post: Post, emoji_name: str = "+1", of: str = "me") -> requests.Response:
    return who.call("DELETE", f"/users/{of}/posts/{post['id']}/reactions/{emoji_name}")


def test_a_reaction_is_given_whole(ann: Rest, bob: Rest, post: Post) -> None:
    given = _react(bob, post, "smile")
    at = given["create_at"]
    assert is_time_ms(at)
    assert given == {
        "user_id": bob.id, "post_id": post["id"], "emoji_name": "smile", "create_at": at, "update_at": at,
        "delete_at": 0, "remote_id": None,
    }  # fmt: skip
    assert ann.get(f"/posts/{post['id']}/reactions") == [given]


def test_reactions_come_with_their_post(ann: Rest, bob: Rest, channel: dict[str, Any], post: Post) -> None:
    assert "has_reactions" not in post
    assert post["metadata"] == {}
    given = [_react(bob, post), _react(ann, post), _react(ann, post, "smile")]
    found = [
        bob.get(f"/posts/{post['id']}"),
        bob.get(f"/channels/{channel['id']}/posts")["posts"][post["id"]],
        bob.get(f"/channels/{channel['id']}/posts?since={post['update_at']}")["posts"][post["id"]],
        bob.get(f"/channels/{channel['id']}/posts?before={ann.write(channel['id'], 'x')['id']}")["posts"][post["id"]],
        ann.call("PUT", f"/posts/{post['id']}/patch", {}).json(),
    ]
    for one in found:
        assert one["has_reactions"] is True
        assert one["metadata"] == {"reactions": given}
        assert one["update_at"] == given[-1]["create_at"]
        assert one["edit_at"] == 0


def test_the_last_reaction_that_is_taken_back_leaves_none(
    node: Node, ann: Rest, bob: Rest, channel: dict[str, Any], post: Post
) -> None:
    _react(ann, post)
    _react(bob, post)
    assert _take_back(ann, post).json() == {"status": "OK"}
    assert [one["user_id"] for one in ann.get(f"/posts/{post['id']}")["metadata"]["reactions"]] == [bob.id]
    _take_back(bob, post)
    found = ann.get(f"/channels/{channel['id']}/posts")["posts"][post["id"]]
    assert found["metadata"] == {}
    assert "has_reactions" not in found
    assert ann.get(f"/posts/{post['id']}/reactions") == []
    (row,) = node.sql("SELECT has_reactions FROM posts WHERE id = %s", post["id"])
    assert not row[0], "or every list would ask for them"


def test_reactions_are_heard_once_each_however_often_they_are_asked_for(
    node: Node, ann: Rest, bob: Rest, channel: dict[str, Any], post: Post
) -> None:
    socket = Socket.open(ann)
    first = _react(bob, post)
    for _ in range(3):
        assert _react(bob, post) == first
    for _ in range(3):
        assert _take_back(bob, post).status_code == 200
    again = _react(bob, post)
    ann.write(channel["id"], "done")
    socket.expect_post("done")
    heard = [event for event in socket.events if event["event"].startswith("reaction_")]
    assert [event["event"] for event in heard] == ["reaction_added", "reaction_removed", "reaction_added"]
    reactions = [json.loads(event["data"]["reaction"]) for event in heard]
    assert [reactions[0], reactions[2]] == [first, again]
    assert (reactions[1]["user_id"], reactions[1]["post_id"], reactions[1]["emoji_name"]) == (bob.id, post["id"], "+1")
    assert {event["broadcast"]["channel_id"] for event in heard} == {channel["id"]}
    kinds = node.sql(
        "SELECT kind FROM channel_events WHERE channel_id = %s AND ref = %s ORDER BY seq", channel["id"], post["id"]
    )
    assert [row[0] for row in kinds] == ["reaction_added", "reaction_removed", "reaction_added"]
    socket.close()


def test_the_same_reaction_many_times_at_once_is_one(node: Node, ann: Rest, bob: Rest, post: Post) -> None:
    sessions = [Rest(node.url).log_in(bob.user["username"]) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        given = list(pool.map(lambda who: _react(who, post), sessions))
    assert {json.dumps(one) for one in given} == {json.dumps(given[0])}
    assert ann.get(f"/posts/{post['id']}/reactions") == [given[0]]
    for rest in sessions:
        rest.close()


def test_reactions_of_many_at_once_are_all_there(node: Node, ann: Rest, post: Post) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: _react(ann, post, f"emoji{number}"), range(12)))
    found = ann.get(f"/posts/{post['id']}/reactions")
    assert {one["emoji_name"] for one in found} == {f"emoji{number}" for number in range(12)}
    assert len({one["create_at"] for one in found}) == 12


def test_the_reactions_of_many_posts(ann: Rest, bob: Rest, channel: dict[str, Any], post: Post) -> None:
    other = ann.write(channel["id"], "other")
    given = _react(bob, post)
    ids = [post["id"], other["id"], post["id"]]
    assert ann.post("/posts/ids/reactions", ids) == {post["id"]: [given], other["id"]: []}
    assert ann.post("/posts/ids/reactions", []) == {}


def test_one_bad_post_refuses_the_reactions_of_all(world: World, ann: Rest, post: Post) -> None:
    for other in (world.post["id"], new_id()):
        refused(ann.call("POST", "/posts/ids/reactions", [post["id"], other]), 403, "permissions")
    refused(ann.call("POST", "/posts/ids/reactions", [post["id"], "x"]), 400, "body")


def test_nobody_reacts_as_another(ann: Rest, bob: Rest, admin: Rest, post: Post) -> None:
    for who in (bob, admin):
        refused(_ask(who, post, user_id=ann.id), 403, "api.reaction.save_reaction.user_id.app_error")


def test_only_administrators_take_back_the_reactions_of_others(ann: Rest, bob: Rest, admin: Rest, post: Post) -> None:
    _react(bob, post)
    refused(_take_back(ann, post, of=bob.id), 403, "permissions")
    assert _take_back(admin, post, of=bob.id).status_code == 200
    assert ann.get(f"/posts/{post['id']}/reactions") == []


@pytest.mark.parametrize(
    "fields", [{"user_id": "x"}, {"post_id": "x"}, {"emoji_name": ""}, {"emoji_name": "a" * 65}, {"post_id": ""}]
)
def test_an_invalid_reaction_is_refused(ann: Rest, post: Post, fields: dict[str, str]) -> None:
    refused(_ask(ann, post, **fields), 400, "api.reaction.save_reaction.invalid.app_error")


@pytest.mark.parametrize("name", ["a b", "ä", "a/b", ":smile:", "a\n", "\U0001f600"])
def test_the_name_of_an_emoji_is_letters_digits_and_signs(ann: Rest, post: Post, name: str) -> None:
    refused(_ask(ann, post, name), 400, "model.reaction.is_valid.emoji_name.app_error")


@pytest.mark.parametrize("name", ["+1", "-1", "smile", "A_b-c+1", "a" * 64])
def test_emojis_are_clients_own(ann: Rest, post: Post, name: str) -> None:
    assert _react(ann, post, name)["emoji_name"] == name
    assert _take_back(ann, post, name).status_code == 200


def test_one_does_not_react_where_one_is_not(world: World) -> None:
    public = world.member.write(world.public["id"], "post")
    for who in (world.stranger, world.teammate):
        for post in (world.post, public):
            refused(_ask(who, post), 403, "permissions")
            refused(_take_back(who, post), 403, "permissions")
            refused(who.call("GET", f"/posts/{post['id']}/reactions"), 403, "permissions")
    refused(_ask(world.member, {"id": new_id()}), 403, "permissions")
    refused(_ask(world.system_admin, {"id": new_id()}), 404, "app.post.get.app_error")


def test_nobody_reacts_to_a_deleted_post_or_in_an_archived_channel(
    node: Node, ann: Rest, channel: dict[str, Any], post: Post
) -> None:
    _react(ann, post)
    gone = ann.write(channel["id"], "gone")
    ann.call("DELETE", f"/posts/{gone['id']}")
    refused(_ask(ann, gone), 404, "app.post.get.app_error")
    refused(_take_back(ann, gone), 404, "app.post.get.app_error")
    node.sql("UPDATE channels SET delete_at = 1 WHERE id = %s", channel["id"])
    refused(_ask(ann, post, "smile"), 403, "api.reaction.save.archived_channel.app_error")
    refused(_take_back(ann, post), 403, "api.reaction.delete.archived_channel.app_error")
