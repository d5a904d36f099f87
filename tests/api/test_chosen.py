"""Posts that are asked for one by one: by ids, saved for later, where they are; and posts for one user's eyes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from db.model import limits
from db.model.ids import is_id, new_id
from tests.api.expect import refused
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest
from tests.rig.socket import Socket

pytestmark = drivers("all")


@pytest.fixture(scope="module")
def ann(node: Node) -> Iterator[Rest]:
    """Who writes."""
    rest = new_user(node.url, "ann")
    yield rest
    rest.close()


@pytest.fixture(scope="module")
def bob(node: Node) -> Iterator[Rest]:
    """Who saves what she writes."""
    rest = new_user(node.url, "bob")
    yield rest
    rest.close()


@pytest.fixture(scope="module")
def team(ann: Rest, bob: Rest) -> dict[str, Any]:
    """Theirs."""
    return new_team(ann, bob)


# By ids


def test_posts_are_given_by_their_ids_newest_first_without_what_one_may_not_read(
    ann: Rest, bob: Rest, team: dict[str, Any]
) -> None:
    ours, hers = new_channel(ann, team, bob, kind="P"), new_channel(ann, team, kind="P")
    first, hidden, last = (ann.write(one["id"], "hello") for one in (ours, hers, ours))
    wanted = [hidden["id"], last["id"], first["id"], last["id"], new_id()]
    assert bob.post("/posts/ids", wanted) == [last, first]
    assert [one["id"] for one in ann.post("/posts/ids", wanted)] == [last["id"], hidden["id"], first["id"]]


def test_of_a_deleted_post_it_is_said_that_it_is_gone(ann: Rest, team: dict[str, Any]) -> None:
    post = ann.write(new_channel(ann, team)["id"], "a secret")
    ann.call("DELETE", f"/posts/{post['id']}")
    [found] = ann.post("/posts/ids", [post["id"]])
    assert found["delete_at"] > 0
    assert found["message"] == ""


@pytest.mark.parametrize("ids", [[], ["x"], [1], {}, ["'" * 26]])
def test_ids_are_ids(world: World, ids: object) -> None:
    refused(world.member.call("POST", "/posts/ids", ids, json=ids), 400, "body")


def test_there_are_not_too_many_ids(world: World) -> None:
    ids = [new_id() for _ in range(limits.POST_IDS + 1)]
    refused(world.member.call("POST", "/posts/ids", ids), 400, "api.post.posts_by_ids.invalid_body.request_error")
    assert world.member.post("/posts/ids", ids[1:]) == []


# Saved for later


def _flag(node: Node, who: Rest, *posts: dict[str, Any]) -> None:
    rows = ", ".join(f"('{who.id}', 'flagged_post', '{one['id']}', 'true')" for one in posts)
    node.sql(f"INSERT INTO preferences (user_id, category, name, value) VALUES {rows}")


def test_saved_posts_are_listed_newest_first_in_a_channel_a_team_or_all(
    node: Node, ann: Rest, bob: Rest, team: dict[str, Any]
) -> None:
    channel, elsewhere = new_channel(ann, team, bob), new_channel(ann, new_team(ann, bob), bob)
    direct = ann.post("/channels/direct", [ann.id, bob.id])
    first, other, said, last = (ann.write(one["id"], "hello") for one in (channel, elsewhere, direct, channel))
    gone, hidden = ann.write(channel["id"], "gone"), ann.write(new_channel(ann, team, kind="P")["id"], "hidden")
    _flag(node, bob, first, last, other, said, gone, hidden)
    ann.call("DELETE", f"/posts/{gone['id']}")

    def order(query: str, who: Rest = bob) -> list[str]:
        found = who.get(f"/users/{bob.id}/posts/flagged{query}")
        assert set(found["posts"]) == set(found["order"])
        names = {one["id"]: name for name, one in (("1", first), ("o", other), ("s", said), ("2", last))}
        return [names[one] for one in found["order"]]

    assert order("") == ["2", "s", "o", "1"]
    assert order(f"?channel_id={channel['id']}") == ["2", "1"]
    assert order(f"?team_id={team['id']}") == ["2", "s", "1"], "direct channels are of every team"
    assert order("?page=0&per_page=1") == [], "the newest is not his to read"
    assert order("?page=1&per_page=2") == ["s", "o"]
    refused(ann.call("GET", f"/users/{bob.id}/posts/flagged"), 403, "permissions")
    refused(bob.call("GET", "/users/me/posts/flagged?team_id=x"), 400, "url")


# Where a post is


def test_where_a_post_is_is_said_to_who_may_come_to_read_it(ann: Rest, bob: Rest, team: dict[str, Any]) -> None:
    public, private = new_channel(ann, team), new_channel(ann, team, kind="P")
    post = ann.write(public["id"], "hello")
    assert bob.get(f"/posts/{post['id']}/info") == {
        "channel_id": public["id"],
        "channel_type": "O",
        "channel_display_name": public["display_name"],
        "has_joined_channel": False,
        "team_id": team["id"],
        "team_type": "O",
        "team_display_name": team["display_name"],
        "has_joined_team": True,
    }
    assert ann.get(f"/posts/{post['id']}/info")["has_joined_channel"]
    hidden = ann.write(private["id"], "hello")
    refused(bob.call("GET", f"/posts/{hidden['id']}/info"), 404, "app.post.get.app_error")
    refused(ann.call("GET", f"/posts/{new_id()}/info"), 404, "app.post.get.app_error")
    said = ann.write(ann.post("/channels/direct", [ann.id, bob.id])["id"], "hello")
    found = bob.get(f"/posts/{said['id']}/info")
    assert (found["channel_type"], found["team_id"], found["team_type"], found["has_joined_team"]) == (
        "D",
        "",
        "",
        False,
    )
    cat = new_user(ann.url, "cat")
    refused(cat.call("GET", f"/posts/{said['id']}/info"), 404, "app.post.get.app_error")
    cat.close()


def test_a_post_has_no_files_yet(world: World) -> None:
    assert world.member.get(f"/posts/{world.post['id']}/files/info") == []


# For one user's eyes


def test_an_ephemeral_post_is_seen_by_one_user_and_stored_nowhere(
    world: World, ann: Rest, bob: Rest, team: Any
) -> None:
    channel = new_channel(ann, team, bob)
    anns, bobs = Socket.open(ann), Socket.open(bob)
    body = {"user_id": bob.id, "post": {"channel_id": channel["id"], "message": "psst", "props": {"a": 1}}}
    post = world.system_admin.post("/posts/ephemeral", body)
    assert (post["type"], post["message"], post["user_id"]) == ("system_ephemeral", "psst", world.system_admin.id)
    assert is_id(post["id"])
    event = bobs.expect("ephemeral_message")
    assert json.loads(event["data"]["post"]) == post
    assert (event["broadcast"]["user_id"], event["broadcast"]["channel_id"]) == (bob.id, channel["id"])
    ann.write(channel["id"], "done")
    anns.expect_post("done")
    assert not anns.named("ephemeral_message")
    refused(world.system_admin.call("GET", f"/posts/{post['id']}"), 404)
    anns.close()
    bobs.close()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_id": "x", "post": {"channel_id": "c" * 26}},
        {"user_id": "u" * 26},
        {"user_id": "u" * 26, "post": {"channel_id": "x"}},
        {"user_id": "u" * 26, "post": {"channel_id": "c" * 26, "root_id": "x"}},
        {"user_id": "u" * 26, "post": []},
    ],
)
def test_an_ephemeral_post_says_to_whom_and_where(world: World, body: object) -> None:
    refused(world.system_admin.call("POST", "/posts/ephemeral", body, json=body), 400, "body")
