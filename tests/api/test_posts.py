"""Posts: writing, retrying, replying, mentioning, limits, reading one."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from db.model.ids import is_id, new_id
from tests.api.conftest import Add, Configure
from tests.api.expect import NOBODYS_ID, is_time_ms, refused
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest, unique
from tests.rig.socket import Socket

pytestmark = drivers("all")

POST = {
    "id": str,
    "create_at": int,
    "update_at": int,
    "edit_at": int,
    "delete_at": int,
    "is_pinned": bool,
    "user_id": str,
    "channel_id": str,
    "root_id": str,
    "parent_id": str,
    "original_id": str,
    "message": str,
    "type": str,
    "props": dict,
    "hashtags": str,
    "pending_post_id": str,
    "reply_count": int,
    "last_reply_at": int,
    "participants": type(None),
    "metadata": dict,
}


def _types(value: dict[str, Any]) -> dict[str, type]:
    return {name: type(one) for name, one in value.items()}


def _write(who: Rest, channel: dict[str, Any], message: str = "hello", **fields: Any) -> requests.Response:
    return who.call("POST", "/posts", {"channel_id": channel["id"], "message": message, **fields})


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
def bobs(bob: Rest, channel: dict[str, Any]) -> Iterator[Socket]:
    """What bob hears."""
    socket = Socket.open(bob)
    yield socket
    socket.close()


# Writing


def test_a_post_is_given_whole(ann: Rest, channel: dict[str, Any]) -> None:
    response = _write(ann, channel, "hello")
    assert response.status_code == 201
    post = response.json()
    assert _types(post) == POST
    assert is_id(post["id"])
    assert is_time_ms(post["create_at"])
    assert post["update_at"] == post["create_at"]
    assert (post["edit_at"], post["delete_at"], post["last_reply_at"], post["reply_count"]) == (0, 0, 0, 0)
    assert (post["user_id"], post["channel_id"], post["message"]) == (ann.id, channel["id"], "hello")
    assert (post["root_id"], post["parent_id"], post["original_id"], post["type"]) == ("", "", "", "")
    assert (post["props"], post["metadata"], post["is_pinned"]) == ({}, {}, False)


def test_a_post_is_read_as_it_was_answered(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    post = ann.write(channel["id"], "hello", props={"a": [1, 2.5, None]}, pending_post_id=unique("p"))
    assert bob.get(f"/posts/{post['id']}") == post
    assert bob.get(f"/channels/{channel['id']}/posts")["posts"][post["id"]] == post


def test_a_post_is_heard_as_it_was_answered(ann: Rest, channel: dict[str, Any], bobs: Socket) -> None:
    post = ann.write(channel["id"], "hello", props={"a": 1})
    event = bobs.expect("posted")
    assert json.loads(event["data"]["post"]) == post
    assert event["data"]["sender_name"] == f"@{ann.user['username']}"
    assert event["data"]["channel_type"] == "O"
    assert event["broadcast"]["channel_id"] == channel["id"]


@pytest.mark.parametrize(
    "message",
    [
        "",
        " ",
        "\n",
        "ä \U0001f600 \u200b \u202e",
        "<script>alert(1)</script>",
        "'; DROP TABLE posts; --",
        "\\",
        '"',
        "%s {} $1",
    ],
)
def test_a_message_is_kept_to_the_letter(ann: Rest, channel: dict[str, Any], message: str) -> None:
    post = ann.write(channel["id"], message)
    assert post["message"] == ann.get(f"/posts/{post['id']}")["message"] == message


def test_a_message_may_be_left_out(ann: Rest, channel: dict[str, Any]) -> None:
    assert ann.post("/posts", {"channel_id": channel["id"]})["message"] == ""


@pytest.mark.parametrize(
    "field",
    [
        "id",
        "user_id",
        "create_at",
        "update_at",
        "delete_at",
        "edit_at",
        "is_pinned",
        "original_id",
        "reply_count",
        "seq",
    ],
)
def test_what_the_author_may_not_choose_is_ignored(ann: Rest, bob: Rest, channel: dict[str, Any], field: str) -> None:
    chosen: dict[str, Any] = {"id": new_id(), "user_id": bob.id, "is_pinned": True, "original_id": new_id()}
    post = ann.write(channel["id"], "hello", **{field: chosen.get(field, 5)})
    assert post.get(field) != chosen.get(field, 5)


def test_administrators_choose_no_time_either(admin: Rest, ann: Rest, channel: dict[str, Any]) -> None:
    assert is_time_ms(admin.write(channel["id"], "hello", create_at=5)["create_at"])


def test_times_in_a_channel_only_grow(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    def write(who: Rest) -> list[int]:
        return [who.write(channel["id"], str(number))["create_at"] for number in range(20)]

    with ThreadPoolExecutor(2) as pool:
        for times in pool.map(write, (ann, bob)):
            assert times == sorted(set(times))
    listed = ann.get(f"/channels/{channel['id']}/posts?per_page=40")
    times = [listed["posts"][post_id]["create_at"] for post_id in reversed(listed["order"])]
    assert times == sorted(set(times))
    assert len(times) == 40


def test_the_author_is_active_unless_the_client_says_otherwise(node: Node, ann: Rest, channel: dict[str, Any]) -> None:
    socket = Socket.open(ann)
    for query, expected in (("?set_online=false", False), ("", True), ("?set_online=true", True)):
        message = unique("message")
        ann.post(f"/posts{query}", {"channel_id": channel["id"], "message": message})
        socket.expect_post(message)
        assert socket.named("posted")[-1]["data"]["set_online"] is expected
    socket.close()


def test_hashtags_are_found(ann: Rest, channel: dict[str, Any]) -> None:
    post = ann.write(channel["id"], "#one two #three-3 #one #4 a#b ##c #ümläut")
    assert post["hashtags"] == "#one #three-3 #ümläut"


def test_one_may_not_write_where_one_is_not(world: World) -> None:
    for role in ("stranger", "teammate"):
        for channel in (world.public, world.private):
            refused(_write(world.who(role), channel), 403, "permissions")


def test_administrators_write_anywhere(world: World) -> None:
    assert _write(world.system_admin, world.private).status_code == 201


def test_who_left_the_channel_writes_no_more(node: Node, ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    bob.write(channel["id"], "before")
    node.sql("DELETE FROM channel_members WHERE channel_id = %s AND user_id = %s", channel["id"], bob.id)
    refused(_write(bob, channel), 403, "permissions")


def test_an_unknown_channel_is_as_one_of_others(world: World) -> None:
    refused(_write(world.member, {"id": new_id()}), 403, "permissions")


@pytest.mark.parametrize("channel_id", ["", "x", "a" * 27])
def test_a_channel_is_named_by_id(world: World, channel_id: str) -> None:
    refused(_write(world.member, {"id": channel_id}), 400, "body")


def test_an_archived_channel_takes_no_posts(node: Node, ann: Rest, channel: dict[str, Any]) -> None:
    node.sql("UPDATE channels SET delete_at = 1 WHERE id = %s", channel["id"])
    refused(_write(ann, channel), 400, "api.post.create_post.can_not_post_to_deleted.error")


def test_both_write_in_a_direct_channel_across_teams(ann: Rest, bob: Rest) -> None:
    channel = ann.post("/channels/direct", [ann.id, bob.id])
    assert ann.write(channel["id"], "hello")["channel_id"] == bob.write(channel["id"], "hi")["channel_id"]


# Limits


def test_a_message_may_be_16383_characters(ann: Rest, channel: dict[str, Any]) -> None:
    for character in ("a", "ä", "\U0001f600"):
        assert len(ann.write(channel["id"], character * 16_383)["message"]) == 16_383
        refused(_write(ann, channel, character * 16_384), 400, "model.post.is_valid.msg.app_error")


def test_props_may_be_8000_bytes(ann: Rest, channel: dict[str, Any]) -> None:
    assert _write(ann, channel, props={"key": "a" * 7900}).status_code == 201
    refused(_write(ann, channel, props={"key": "a" * 8000}), 400, "model.post.is_valid.props.app_error")
    refused(_write(ann, channel, props={"a" * 8000: 1}), 400, "model.post.is_valid.props.app_error")
    refused(_write(ann, channel, props={str(n): 1 for n in range(2000)}), 400, "model.post.is_valid.props.app_error")


def test_hashtags_may_be_1000_characters(ann: Rest, channel: dict[str, Any]) -> None:
    post = ann.write(channel["id"], " ".join(f"#hashtag{number}" for number in range(500)))
    assert 900 < len(post["hashtags"]) <= 1000
    assert post["hashtags"].split()[-1] in post["message"].split()


@pytest.mark.parametrize(
    "kind", ["system_join_channel", "system_generic", "custom_", "x", "custom_" + "a" * 20, "Custom_a"]
)
def test_the_types_of_the_server_are_its_own(ann: Rest, channel: dict[str, Any], kind: str) -> None:
    refused(_write(ann, channel, type=kind), 400, "model.post.is_valid.type.app_error")


@pytest.mark.parametrize("kind", ["", "custom_a", "custom_my.type-1_2"])
def test_clients_may_have_types_of_their_own(ann: Rest, channel: dict[str, Any], kind: str) -> None:
    assert ann.write(channel["id"], "hello", type=kind)["type"] == kind


@pytest.mark.parametrize(
    "value", ["text", 1, 1.5, True, None, [], {}, [{"a": [1]}], {"a": {"b": None}}, 10**15, "\U0001f600"]
)
def test_props_are_kept_as_they_are(ann: Rest, channel: dict[str, Any], value: object) -> None:
    post = ann.write(channel["id"], "hello", props={"key": value})
    assert post["props"] == ann.get(f"/posts/{post['id']}")["props"] == {"key": value}


@pytest.mark.parametrize("number", ["1.10", "1e2", "123456789012345678901234567890", "-0", "0.1000000000000000055"])
def test_numbers_in_props_are_kept_to_the_digit(ann: Rest, channel: dict[str, Any], number: str) -> None:
    body = f'{{"channel_id":"{channel["id"]}","message":"hello","props":{{"key":{number}}}}}'
    response = ann.call("POST", "/posts", data=body.encode())
    assert response.status_code == 201
    assert f'"props":{{"key":{number}}}' in response.text


# Retrying


def test_the_pending_id_is_given_back(ann: Rest, channel: dict[str, Any]) -> None:
    assert ann.write(channel["id"], "hello", pending_post_id="ann:123")["pending_post_id"] == "ann:123"


def test_a_retry_gives_the_same_post(ann: Rest, channel: dict[str, Any]) -> None:
    pending = unique("pending")
    first = _write(ann, channel, pending_post_id=pending)
    again = _write(ann, channel, pending_post_id=pending)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert len([1 for post_id in _order(ann, channel) if post_id == first.json()["id"]]) == 1


def _order(who: Rest, channel: dict[str, Any]) -> list[str]:
    order: list[str] = who.get(f"/channels/{channel['id']}/posts?per_page=200")["order"]
    return order


def test_a_retry_of_another_session_gives_the_same_post(node: Node, ann: Rest, channel: dict[str, Any]) -> None:
    pending = unique("pending")
    other = Rest(node.url).log_in(ann.user["username"])
    assert ann.write(channel["id"], "x", pending_post_id=pending) == other.write(
        channel["id"], "x", pending_post_id=pending
    )
    other.close()


def test_retries_at_once_make_one_post(node: Node, ann: Rest, channel: dict[str, Any]) -> None:
    pending = unique("pending")
    together = threading.Barrier(8)
    sessions = [Rest(node.url).log_in(ann.user["username"]) for _ in range(8)]

    def write(who: Rest) -> requests.Response:
        together.wait()
        return _write(who, channel, pending_post_id=pending)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(write, sessions))
    assert {response.status_code for response in answers} == {201}
    assert len({response.text for response in answers}) == 1
    assert node.sql("SELECT count(*) FROM posts WHERE pending_post_id = %s", pending) == [(1,)]
    for rest in sessions:
        rest.close()


def test_a_retry_is_heard_once(ann: Rest, channel: dict[str, Any], bobs: Socket) -> None:
    pending = unique("pending")
    for _ in range(3):
        ann.write(channel["id"], "hello", pending_post_id=pending)
    ann.write(channel["id"], "done")
    bobs.expect_post("done")
    assert [post["message"] for post in bobs.posts()].count("hello") == 1


def test_a_retry_mentions_once(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    pending = unique("pending")
    for _ in range(3):
        ann.write(channel["id"], f"@{bob.user['username']}", pending_post_id=pending)
    assert _mentions(bob, channel) == 1


def test_a_retry_with_another_message_gives_the_first_post(ann: Rest, channel: dict[str, Any]) -> None:
    pending = unique("pending")
    first = ann.write(channel["id"], "first", pending_post_id=pending)
    assert ann.write(channel["id"], "second", pending_post_id=pending) == first


def test_the_same_pending_id_of_another_author_is_another_post(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    pending = unique("pending")
    anns = ann.write(channel["id"], "hello", pending_post_id=pending)
    assert bob.write(channel["id"], "hello", pending_post_id=pending)["id"] != anns["id"]


def test_a_retry_of_a_post_that_was_deleted_meanwhile_makes_no_new_one(
    node: Node, ann: Rest, channel: dict[str, Any]
) -> None:
    pending = unique("pending")
    post = ann.write(channel["id"], "hello", pending_post_id=pending)
    node.sql("UPDATE posts SET delete_at = 1 WHERE id = %s", post["id"])
    refused(_write(ann, channel, pending_post_id=pending), 404)


def test_a_retry_gives_no_post_of_a_channel_that_may_not_be_read_any_more(
    node: Node, ann: Rest, bob: Rest, channel: dict[str, Any]
) -> None:
    """What stands there now is another's: edited, reacted to. Neither by way of that channel nor of another one."""
    secret, open_one = (new_channel(ann, {"id": channel["team_id"]}, bob, kind=kind) for kind in "PO")
    pending, message = unique("pending"), unique("secret")
    post = bob.write(secret["id"], "mine", pending_post_id=pending)
    node.sql("UPDATE posts SET message = %s WHERE id = %s", message, post["id"])
    assert bob.write(secret["id"], "mine", pending_post_id=pending)["message"] == message
    ann.call("DELETE", f"/channels/{secret['id']}/members/{bob.id}")
    refused(_write(bob, secret, pending_post_id=pending), 403, "permissions")
    answer = _write(bob, open_one, pending_post_id=pending)
    refused(answer, 400, "body")
    assert message not in answer.text
    assert _order(ann, open_one)[0] != post["id"]


def test_who_may_write_but_not_read_gets_nothing_back_by_a_retry(node: Node, admin: Rest, ann: Rest) -> None:
    """What stands there by then may be another's; and no second post is made of it."""
    carl = new_user(node.url, "carl")
    admin.call("PUT", f"/users/{carl.id}/roles", {"roles": "system_user system_post_all"})
    private = new_channel(ann, new_team(ann), kind="P")
    pending, message = unique("pending"), unique("secret")
    post = carl.write(private["id"], "written blindly", pending_post_id=pending)
    node.sql("UPDATE posts SET message = %s WHERE id = %s", message, post["id"])
    answer = _write(carl, private, pending_post_id=pending)
    refused(answer, 403, "permissions")
    assert node.sql("SELECT count(*) FROM posts WHERE pending_post_id = %s", pending) == [(1,)]
    carl.close()


def test_a_pending_id_of_a_post_in_another_channel_is_refused(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    """Neither the other post, nor a new one: nothing that was sent is dropped in silence."""
    other = new_channel(ann, {"id": channel["team_id"]}, bob)
    pending = unique("pending")
    first = ann.write(channel["id"], "first", pending_post_id=pending)
    refused(_write(ann, other, pending_post_id=pending), 400, "body")
    assert ann.write(channel["id"], "first", pending_post_id=pending) == first
    assert bob.write(other["id"], "bob's", pending_post_id=pending)["channel_id"] == other["id"]


def test_of_one_pending_id_in_many_channels_at_once_one_is_a_post(
    node: Node, ann: Rest, channel: dict[str, Any]
) -> None:
    """Whichever comes first, in whichever worker and batch."""
    channels = [channel, *[new_channel(ann, {"id": channel["team_id"]}) for _ in range(3)]]
    others = [Rest(node.url).log_in(ann.user["username"]) for _ in channels]
    for _ in range(5):
        pending = unique("pending")
        with ThreadPoolExecutor(len(channels)) as pool:
            answers = list(pool.map(lambda pair: _write(*pair, pending_post_id=pending), zip(others, channels)))  # noqa: B023, B905
        assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
        assert node.sql("SELECT count(*) FROM posts WHERE pending_post_id = %s", pending) == [(1,)]
        for answer, wanted in zip(answers, channels, strict=True):
            assert answer.status_code == 400 or answer.json()["channel_id"] == wanted["id"]


@pytest.mark.parametrize("fields", [{}, {"pending_post_id": ""}])
def test_without_a_pending_id_the_same_message_twice_is_two_posts(
    ann: Rest, channel: dict[str, Any], fields: dict[str, str]
) -> None:
    assert ann.write(channel["id"], "hello", **fields)["id"] != ann.write(channel["id"], "hello", **fields)["id"]


def test_a_pending_id_may_be_64_characters(ann: Rest, channel: dict[str, Any]) -> None:
    pending = unique("p").ljust(64, "ä")
    assert ann.write(channel["id"], "hello", pending_post_id=pending)["pending_post_id"] == pending
    refused(_write(ann, channel, pending_post_id=pending + "a"), 400, "body")


# Replies


def test_a_reply_names_its_root(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    root = ann.write(channel["id"], "root")
    reply = bob.write(channel["id"], "reply", root_id=root["id"])
    assert (reply["root_id"], reply["parent_id"]) == (root["id"], root["id"])
    seen = ann.get(f"/posts/{root['id']}")
    assert (seen["reply_count"], seen["last_reply_at"]) == (1, reply["create_at"])
    assert seen["update_at"] == reply["create_at"]


def test_replies_at_once_are_all_counted(node: Node, ann: Rest, channel: dict[str, Any]) -> None:
    root = ann.write(channel["id"], "root")
    sessions = [Rest(node.url).log_in(ann.user["username"]) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda who: who.write(channel["id"], "reply", root_id=root["id"]), sessions))
    assert ann.get(f"/posts/{root['id']}")["reply_count"] == 8
    for rest in sessions:
        rest.close()


def test_the_root_is_a_root(ann: Rest, channel: dict[str, Any]) -> None:
    root = ann.write(channel["id"], "root")
    reply = ann.write(channel["id"], "reply", root_id=root["id"])
    refused(_write(ann, channel, root_id=reply["id"]), 400, "api.post.create_post.root_id.app_error")


@pytest.mark.parametrize("root_id", ["x", NOBODYS_ID, "a" * 27])
def test_the_root_is_a_post(world: World, root_id: str) -> None:
    refused(_write(world.member, world.private, root_id=root_id), 400, "api.post.create_post.root_id.app_error")


def test_the_root_is_not_deleted(node: Node, ann: Rest, channel: dict[str, Any]) -> None:
    root = ann.write(channel["id"], "root")
    node.sql("UPDATE posts SET delete_at = 1 WHERE id = %s", root["id"])
    refused(_write(ann, channel, root_id=root["id"]), 400, "api.post.create_post.root_id.app_error")


def test_the_root_is_in_the_same_channel(world: World) -> None:
    error_id = "api.post.create_post.channel_root_id.app_error"
    refused(_write(world.member, world.public, root_id=world.post["id"]), 400, error_id)


def test_a_refused_reply_changes_nothing(ann: Rest, channel: dict[str, Any]) -> None:
    root = ann.write(channel["id"], "root")
    refused(_write(ann, channel, "a" * 16_384, root_id=root["id"]), 400)
    assert ann.get(f"/posts/{root['id']}") == root


# Mentions


def _member(who: Rest, channel: dict[str, Any]) -> dict[str, Any]:
    found = who.get(f"/users/me/teams/{channel['team_id']}/channels/members")
    [member] = [one for one in found if one["channel_id"] == channel["id"]]
    return dict(member)


def _mentions(who: Rest, channel: dict[str, Any]) -> int:
    return int(_member(who, channel)["mention_count"])


@pytest.mark.parametrize(
    "form",
    ["@{}", "hello @{}!", "@{}: look", "@{}.", "(@{})", "@{} @{}", "**@{}**", "> @{}", "@{}'s", "a\n@{}\nb", "@{},x"],
)
def test_a_mention_counts_once_for_the_mentioned(ann: Rest, bob: Rest, channel: dict[str, Any], form: str) -> None:
    ann.write(channel["id"], form.replace("{}", bob.user["username"]))
    assert _mentions(bob, channel) == 1
    assert _mentions(ann, channel) == 0


def test_a_mention_is_taken_in_any_case(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    ann.write(channel["id"], f"@{bob.user['username'].upper()}")
    assert _mentions(bob, channel) == 1


@pytest.mark.parametrize("form", ["{}", "`@{}`", "```\n@{}\n```", "ann@{}", "@{}x", "@x{}", "http://example.com/@{}"])
def test_what_only_looks_like_a_mention_does_not_count(
    ann: Rest, bob: Rest, channel: dict[str, Any], form: str
) -> None:
    ann.write(channel["id"], form.replace("{}", bob.user["username"]))
    assert _mentions(bob, channel) == 0


@pytest.mark.parametrize("word", ["@all", "@channel", "@ALL", "@channel:"])
def test_everybody_may_be_mentioned(ann: Rest, bob: Rest, channel: dict[str, Any], word: str) -> None:
    ann.write(channel["id"], f"{word} listen")
    assert _mentions(bob, channel) == 1
    assert _mentions(ann, channel) == 0


def test_the_event_says_who_is_mentioned(ann: Rest, bob: Rest, channel: dict[str, Any], bobs: Socket) -> None:
    ann.write(channel["id"], f"@{bob.user['username']}")
    assert json.loads(bobs.expect("posted")["data"]["mentions"]) == [bob.id]
    ann.write(channel["id"], "nobody")
    bobs.expect_post("nobody")
    assert "mentions" not in bobs.named("posted")[-1]["data"]


def test_who_is_not_in_the_channel_is_not_mentioned(node: Node, ann: Rest, channel: dict[str, Any]) -> None:
    other = new_user(node.url)
    socket = Socket.open(ann)
    ann.write(channel["id"], f"@{other.user['username']}")
    assert "mentions" not in socket.expect("posted")["data"]
    socket.close()
    other.close()


def test_a_direct_message_mentions_the_other(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel = ann.post("/channels/direct", [ann.id, bob.id])
    ann.write(channel["id"], "hello")
    member = [
        one for one in bob.get(f"/users/me/teams/{team['id']}/channels/members") if one["channel_id"] == channel["id"]
    ]
    assert [one["mention_count"] for one in member] == [1]


def test_a_mention_in_a_reply_is_none_of_a_root(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    root = ann.write(channel["id"], "root")
    ann.write(channel["id"], f"@{bob.user['username']}", root_id=root["id"])
    member = _member(bob, channel)
    assert (member["mention_count"], member["mention_count_root"]) == (1, 0)


def test_everybody_in_a_large_channel_is_not_mentioned(add: Add, configure: Configure) -> None:
    ann, bob, third = add(), add(), add()
    channel = new_channel(ann, new_team(ann, bob, third), bob, third)
    configure({"TeamSettings": {"MaxNotificationsPerChannel": 2}})
    ann.write(channel["id"], "@all")
    assert _mentions(bob, channel) == 0
    ann.write(channel["id"], f"@{bob.user['username']}")
    assert _mentions(bob, channel) == 1


# Reading one


def test_a_post_is_read_by_who_may_read_its_channel(world: World) -> None:
    path = f"/posts/{world.post['id']}"
    for role in ("member", "team_admin", "system_admin"):
        assert world.who(role).get(path)["user_id"] == world.post["user_id"]
    for role in ("stranger", "teammate"):
        refused(world.who(role).call("GET", path), 403, "permissions")


def test_a_post_of_a_public_channel_is_read_by_the_team(world: World) -> None:
    post = world.member.write(world.public["id"], "hello")
    assert world.teammate.get(f"/posts/{post['id']}") == post
    refused(world.stranger.call("GET", f"/posts/{post['id']}"), 403, "permissions")


def test_an_unknown_or_deleted_post_is_404(node: Node, ann: Rest, channel: dict[str, Any]) -> None:
    refused(ann.call("GET", f"/posts/{new_id()}"), 404, "app.post.get.app_error")
    post = ann.write(channel["id"], "hello")
    node.sql("UPDATE posts SET delete_at = 1 WHERE id = %s", post["id"])
    refused(ann.call("GET", f"/posts/{post['id']}"), 404, "app.post.get.app_error")
