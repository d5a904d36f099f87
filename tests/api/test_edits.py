"""Posts that change: edited, patched, pinned, deleted; what of it is seen and heard, and by whom."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from db.model.ids import new_id
from tests.api.conftest import Add, Configure
from tests.api.editing import Post, good, patch, put
from tests.api.expect import refused
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest, unique
from tests.rig.socket import Socket

pytestmark = drivers("all")


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
    return ann.write(channel["id"], "before", props={"key": 1})


@pytest.fixture
def bobs(bob: Rest, post: Post) -> Iterator[Socket]:
    """What bob hears after ann has posted."""
    socket = Socket.open(bob)
    yield socket
    socket.close()


def _delete(who: Rest, post: Post) -> None:
    assert good(who.call("DELETE", f"/posts/{post['id']}")) == {"status": "OK"}


def _list(who: Rest, channel: dict[str, Any], query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = who.get(f"/channels/{channel['id']}/posts{query}")
    return found


def _head(node: Node, channel: dict[str, Any]) -> tuple[int, int]:
    """(number, recorded changes)."""
    rows = node.sql(
        "SELECT seq, (SELECT count(*) FROM channel_events e WHERE e.channel_id = h.channel_id)"
        " FROM channel_heads h WHERE channel_id = %s",
        channel["id"],
    )
    return int(rows[0][0]), int(rows[0][1])


# Editing


def test_a_patch_changes_what_it_names(ann: Rest, bob: Rest, channel: dict[str, Any], post: Post) -> None:
    edited = patch(ann, post, message="after #tag")
    assert edited["edit_at"] == edited["update_at"] > post["update_at"]
    changed = {
        "message": "after #tag",
        "hashtags": "#tag",
        "edit_at": edited["edit_at"],
        "update_at": edited["edit_at"],
    }
    assert edited == post | changed
    for who in (ann, bob):
        assert who.get(f"/posts/{post['id']}") == edited
        assert _list(who, channel)["posts"][post["id"]] == edited


def test_an_update_makes_empty_what_it_leaves_out(ann: Rest, post: Post) -> None:
    good(ann.call("POST", f"/posts/{post['id']}/pin", {}))
    edited = put(ann, post, message="after")
    assert (edited["message"], edited["props"], edited["is_pinned"]) == ("after", {}, False)
    edited = put(ann, post, props={"a": [1]}, is_pinned=True)
    assert (edited["message"], edited["props"], edited["is_pinned"]) == ("", {"a": [1]}, True)


def test_an_update_names_its_post(ann: Rest, post: Post) -> None:
    for body in ({"message": "x"}, {"id": new_id(), "message": "x"}):
        refused(ann.call("PUT", f"/posts/{post['id']}", body), 400, "body")


@pytest.mark.parametrize("field", ["user_id", "channel_id", "create_at", "type", "root_id", "original_id"])
def test_nothing_else_of_a_post_can_be_changed(ann: Rest, bob: Rest, post: Post, field: str) -> None:
    value: Any = {"user_id": bob.id, "create_at": 5, "file_ids": [new_id()], "type": "custom_x"}.get(field, new_id())
    assert patch(ann, post, message="after", **{field: value}).get(field) == post.get(field)
    assert put(ann, post, message="again", **{field: value}).get(field) == post.get(field)


def test_the_time_of_editing_moves_with_message_and_attachments_only(ann: Rest, post: Post) -> None:
    assert patch(ann, post, props={"key": 2})["edit_at"] == 0
    assert patch(ann, post, is_pinned=True)["edit_at"] == 0
    first = patch(ann, post, props={"attachments": [{"text": "a"}]})["edit_at"]
    assert first > 0
    assert patch(ann, post, props={"attachments": [{"text": "a"}], "other": 1})["edit_at"] == first
    assert patch(ann, post, message="after")["edit_at"] > first


def test_an_edit_is_heard_once_and_as_it_was_answered(
    node: Node, ann: Rest, channel: dict[str, Any], post: Post, bobs: Socket
) -> None:
    seq, changes = _head(node, channel)
    edited = patch(ann, post, message="after")
    event = bobs.expect("post_edited")
    assert json.loads(event["data"]["post"]) == edited
    assert set(event["data"]) == {"post"}
    assert event["broadcast"]["channel_id"] == channel["id"]
    for _ in range(3):
        assert patch(ann, post, message="after") == edited, "a retry changes nothing"
    patch(ann, post, message="at last")
    bobs.expect("post_edited", post=json.dumps(ann.get(f"/posts/{post['id']}"), separators=(",", ":")))
    assert len(bobs.named("post_edited")) == 2
    assert _head(node, channel) == (seq + 2, changes + 2)


def test_what_a_post_said_is_kept(node: Node, ann: Rest, admin: Rest, post: Post) -> None:
    patch(ann, post, message="after")
    patch(ann, post, is_pinned=True)
    patch(admin, post, message="at last")
    _delete(ann, post)
    rows = node.sql("SELECT message, ended_by FROM post_versions WHERE post_id = %s ORDER BY seq", post["id"])
    assert [tuple(row) for row in rows] == [("before", ann.id), ("after", admin.id), ("at last", ann.id)]


def test_edits_come_with_since(ann: Rest, channel: dict[str, Any], post: Post) -> None:
    later = ann.write(channel["id"], "later")
    patch(ann, post, message="after")
    found = _list(ann, channel, f"?since={later['update_at']}")
    assert found["order"] == [post["id"]]
    assert found["posts"][post["id"]]["message"] == "after"


def test_times_of_changes_only_grow(node: Node, ann: Rest, channel: dict[str, Any], post: Post) -> None:
    """Also where the clock stands far behind what it showed before."""
    ahead = post["create_at"] + 10_000_000
    node.sql("UPDATE channel_heads SET last_update_at = %s WHERE channel_id = %s", ahead, channel["id"])
    times = [ahead]
    for number in range(5):
        times.append(patch(ann, post, message=str(number))["update_at"])
        times.append(ann.write(channel["id"], "x")["create_at"])
    assert times == sorted(set(times))


def test_a_message_may_not_become_too_long(ann: Rest, post: Post) -> None:
    for call in (patch, put):
        assert call(ann, post, message="ä" * 16_383)["message"] == "ä" * 16_383
    for path in (f"/posts/{post['id']}/patch", f"/posts/{post['id']}"):
        long = {"id": post["id"], "message": "a" * 16_384}
        refused(ann.call("PUT", path, long), 400, "model.post.is_valid.msg.app_error")
        wide = {"id": post["id"], "props": {"key": "a" * 8000}}
        refused(ann.call("PUT", path, wide), 400, "model.post.is_valid.props.app_error")


def test_others_do_not_edit_ones_post_but_administrators(ann: Rest, bob: Rest, admin: Rest, post: Post) -> None:
    for path in (f"/posts/{post['id']}/patch", f"/posts/{post['id']}"):
        refused(bob.call("PUT", path, {"id": post["id"], "message": "mine"}), 403, "permissions")
    assert patch(admin, post, message="administered")["user_id"] == ann.id


def test_who_left_the_channel_changes_nothing_there(node: Node, ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    post = bob.write(channel["id"], "bob's")
    node.sql("DELETE FROM channel_members WHERE channel_id = %s AND user_id = %s", channel["id"], bob.id)
    refused(bob.call("PUT", f"/posts/{post['id']}/patch", {"message": "x"}), 403, "permissions")
    refused(bob.call("DELETE", f"/posts/{post['id']}"), 403, "permissions")
    refused(bob.call("POST", f"/posts/{post['id']}/pin", {}), 403, "permissions")


def test_messages_of_the_system_are_not_edited_but_deleted(ann: Rest, admin: Rest, channel: dict[str, Any]) -> None:
    found = _list(ann, channel)
    message = next(one for one in found["posts"].values() if one["type"].startswith("system_"))
    error_id = "api.post.update_post.system_message.app_error"
    for who in (admin, ann) if message["user_id"] == ann.id else (admin,):
        refused(who.call("PUT", f"/posts/{message['id']}/patch", {"message": "x"}), 400, error_id)
    refused(ann.call("POST", f"/posts/{message['id']}/pin", {}), 400, error_id)
    _delete(admin, message)


def test_a_post_may_be_edited_for_as_long_as_is_configured(own_admin: Rest, add: Add, configure: Configure) -> None:
    who = add()
    channel = new_channel(who, new_team(who))
    post = who.write(channel["id"], "before")
    configure({"ServiceSettings": {"PostEditTimeLimit": 0}})
    error_id = "api.post.update_post.permissions_time_limit.app_error"
    assert (
        "0 seconds"
        in refused(who.call("PUT", f"/posts/{post['id']}/patch", {"message": "x"}), 400, error_id)["message"]
    )
    assert patch(who, post, is_pinned=True)["is_pinned"] is True
    assert who.get("/config/client?format=old")["PostEditTimeLimit"] == "0"
    configure({"ServiceSettings": {"PostEditTimeLimit": 3600}})
    assert patch(who, post, message="after")["message"] == "after"
    _delete(who, post)


def test_nothing_changes_in_an_archived_channel(node: Node, ann: Rest, channel: dict[str, Any], post: Post) -> None:
    node.sql("UPDATE channels SET delete_at = 1 WHERE id = %s", channel["id"])
    path = f"/posts/{post['id']}"
    for method, where, name in (
        ("PUT", path, "update_post.can_not_update"),
        ("PUT", f"{path}/patch", "patch_post.can_not_update"),
        ("POST", f"{path}/pin", "patch_post.can_not_update"),
        ("DELETE", path, "delete_post.can_not_delete"),
    ):
        body = None if method == "DELETE" else {"id": post["id"]}
        refused(ann.call(method, where, body), 400, f"api.post.{name}_post_in_deleted.error")


# Pinning


def test_pinned_posts_are_listed_oldest_first(ann: Rest, bob: Rest, channel: dict[str, Any], post: Post) -> None:
    path = f"/channels/{channel['id']}/pinned"
    assert bob.get(path) == {"order": [], "posts": {}, "next_post_id": "", "prev_post_id": ""}
    other = bob.write(channel["id"], "other")
    for one in (other, post):
        assert good(bob.call("POST", f"/posts/{one['id']}/pin", {})) == {"status": "OK"}
    found = bob.get(path)
    assert found["order"] == [post["id"], other["id"]]
    assert found["posts"][post["id"]] == ann.get(f"/posts/{post['id']}")
    assert found["posts"][post["id"]]["is_pinned"] is True
    assert ann.get(f"/channels/{channel['id']}/stats")["pinnedpost_count"] == 2
    good(ann.call("POST", f"/posts/{other['id']}/unpin", {}))
    _delete(ann, post)
    assert ann.get(path)["order"] == []
    assert ann.get(f"/channels/{channel['id']}/stats")["pinnedpost_count"] == 0


def test_a_pin_is_heard_as_an_edit_and_once(ann: Rest, bob: Rest, post: Post, bobs: Socket) -> None:
    for verb in ("pin", "pin", "unpin", "unpin", "unpin"):
        good(bob.call("POST", f"/posts/{post['id']}/{verb}", {}))
    patch(ann, post, message="after")
    bobs.expect("post_edited", post=json.dumps(ann.get(f"/posts/{post['id']}"), separators=(",", ":")))
    heard = [json.loads(event["data"]["post"])["is_pinned"] for event in bobs.named("post_edited")]
    assert heard == [True, False, False]


def test_a_public_channels_pins_are_its_members(world: World) -> None:
    refused(world.teammate.call("GET", f"/channels/{world.public['id']}/pinned"), 403, "permissions")


# Deleting


def test_a_deleted_post_is_gone(ann: Rest, bob: Rest, channel: dict[str, Any], post: Post) -> None:
    assert post["id"] in _list(bob, channel)["posts"]
    _delete(ann, post)
    for who in (ann, bob):
        refused(who.call("GET", f"/posts/{post['id']}"), 404, "app.post.get.app_error")
        assert post["id"] not in _list(who, channel)["posts"]
    found = _list(bob, channel, f"?since={post['update_at']}")
    assert found["order"] == [post["id"]]
    assert found["posts"][post["id"]]["delete_at"] == found["posts"][post["id"]]["update_at"] > post["update_at"]


def test_what_a_deleted_post_said_is_told_to_nobody(
    node: Node, ann: Rest, bob: Rest, admin: Rest, channel: dict[str, Any]
) -> None:
    """Neither to those who were there nor to who comes later; the database keeps it."""
    word = unique("hunter")
    root = ann.write(channel["id"], f"my password is #{word}", props={"key": word})
    reply = bob.write(channel["id"], f"{word} is a good one", root_id=root["id"])
    bob.post("/reactions", {"user_id": bob.id, "post_id": root["id"], "emoji_name": "smile"})
    ann.post(f"/posts/{root['id']}/pin", {})
    _delete(ann, root)
    carl = new_user(node.url, "carl")
    ann.post(f"/teams/{channel['team_id']}/members", {"team_id": channel["team_id"], "user_id": carl.id})
    ann.post(f"/channels/{channel['id']}/members", {"user_id": carl.id})
    for who in (ann, bob, carl, admin):
        found = _list(who, channel, f"?since={root['create_at'] - 1}")
        for post in (root, reply):
            seen = found["posts"][post["id"]]
            assert (seen["message"], seen["props"], seen["hashtags"], seen["metadata"]) == ("", {}, "", {})
            assert seen["delete_at"] > 0
        whole: list[Any] = [_list(who, channel, query) for query in ("", "?since=1", "?collapsedThreads=true")]
        whole += [who.call("GET", f"/users/me/channels/{channel['id']}/posts/unread").text]
        assert word not in json.dumps(whole)
        refused(who.call("GET", f"/posts/{root['id']}/reactions"), 404, "app.post.get.app_error")
        assert who.post("/posts/ids/reactions", [root["id"]]) == {root["id"]: []}
    assert node.sql("SELECT count(*) FROM posts WHERE message LIKE %s", f"%{word}%") == [(2,)]


def test_counts_stay_as_they_are_when_a_post_is_deleted(ann: Rest, channel: dict[str, Any], post: Post) -> None:
    before = ann.get(f"/channels/{channel['id']}")
    _delete(ann, post)
    after = ann.get(f"/channels/{channel['id']}")
    assert after["total_msg_count"] == before["total_msg_count"]
    assert after["last_post_at"] == before["last_post_at"]


def test_what_is_deleted_twice_is_404_and_heard_once(
    node: Node, ann: Rest, channel: dict[str, Any], post: Post, bobs: Socket
) -> None:
    seq, changes = _head(node, channel)
    _delete(ann, post)
    for _ in range(2):
        refused(ann.call("DELETE", f"/posts/{post['id']}"), 404, "app.post.get.app_error")
    refused(ann.call("PUT", f"/posts/{post['id']}/patch", {"message": "x"}), 404, "app.post.get.app_error")
    refused(ann.call("POST", f"/posts/{post['id']}/pin", {}), 404, "app.post.get.app_error")
    ann.write(channel["id"], "later")
    bobs.expect_post("later")
    assert len(bobs.named("post_deleted")) == 1
    assert _head(node, channel) == (seq + 2, changes + 1)


def test_administrators_learn_who_deleted_a_post_and_nobody_else(
    ann: Rest, bob: Rest, admin: Rest, channel: dict[str, Any], post: Post
) -> None:
    ann.post(f"/teams/{channel['team_id']}/members", {"team_id": channel["team_id"], "user_id": admin.id})
    ann.post(f"/channels/{channel['id']}/members", {"user_id": admin.id})
    sockets = {name: Socket.open(who) for name, who in {"ann": ann, "bob": bob, "admin": admin}.items()}
    _delete(ann, post)
    ann.write(channel["id"], "later")
    for name, socket in sockets.items():
        socket.expect_post("later")
        (event,) = socket.named("post_deleted")
        assert json.loads(event["data"].pop("post")) == post, "as it was"
        assert event["data"] == ({"delete_by": ann.id} if name == "admin" else {})
        assert event["broadcast"]["channel_id"] == channel["id"]
        socket.close()


def test_who_becomes_an_administrator_gets_the_other_copies(
    node: Node, ann: Rest, admin: Rest, channel: dict[str, Any]
) -> None:
    carl = new_user(node.url, "carl")
    ann.post(f"/teams/{channel['team_id']}/members", {"team_id": channel["team_id"], "user_id": carl.id})
    ann.post(f"/channels/{channel['id']}/members", {"user_id": carl.id})
    socket = Socket.open(carl)
    told = []
    for roles in ("system_user system_admin", "system_user"):
        admin.call("PUT", f"/users/{carl.id}/roles", {"roles": roles})
        node.polled()
        node.polled()
        _delete(ann, ann.write(channel["id"], unique("post")))
        message = unique("later")
        ann.write(channel["id"], message)
        socket.expect_post(message)
        told.append(socket.named("post_deleted")[-1]["data"].get("delete_by"))
    assert told == [ann.id, None]
    socket.close()
    carl.close()


def test_a_root_takes_its_replies_along(ann: Rest, bob: Rest, channel: dict[str, Any], post: Post) -> None:
    replies = [bob.write(channel["id"], str(number), root_id=post["id"]) for number in range(3)]
    socket = Socket.open(bob)
    _delete(ann, post)
    for one in (post, *replies):
        refused(bob.call("GET", f"/posts/{one['id']}"), 404)
    assert not {one["id"] for one in (post, *replies)} & set(_list(bob, channel)["posts"])
    found = _list(bob, channel, f"?since={replies[-1]['update_at']}")
    assert set(found["order"]) == {one["id"] for one in (post, *replies)}
    refused(bob.call("POST", "/posts", {"channel_id": channel["id"], "root_id": post["id"], "message": "late"}), 400)
    bob.write(channel["id"], "later")
    socket.expect_post("later")
    assert len(socket.named("post_deleted")) == 1
    socket.close()


def test_a_deleted_reply_is_counted_no_more(ann: Rest, bob: Rest, channel: dict[str, Any], post: Post) -> None:
    first, second = (bob.write(channel["id"], str(number), root_id=post["id"]) for number in range(2))
    _delete(bob, second)
    root = ann.get(f"/posts/{post['id']}")
    assert (root["reply_count"], root["last_reply_at"]) == (1, first["create_at"])
    assert root["update_at"] > second["update_at"]
    assert _list(ann, channel)["posts"][post["id"]]["reply_count"] == 1
    _delete(bob, first)
    root = ann.get(f"/posts/{post['id']}")
    assert (root["reply_count"], root["last_reply_at"]) == (0, 0)


def test_a_post_that_was_read_from_a_copy_is_read_anew_after_each_change(
    node: Node, ann: Rest, bob: Rest, channel: dict[str, Any], post: Post
) -> None:
    """On whichever worker: sessions of their own spread over them."""
    readers = [Rest(node.url).log_in(bob.user["username"]) for _ in range(6)]
    for number in range(5):
        for reader in readers:
            _list(reader, channel)
        patch(ann, post, message=str(number))
        for reader in readers:
            assert _list(reader, channel)["posts"][post["id"]]["message"] == str(number)
            assert reader.get(f"/posts/{post['id']}")["message"] == str(number)
    _delete(ann, post)
    for reader in readers:
        assert post["id"] not in _list(reader, channel)["posts"]
        reader.close()


def test_a_changed_post_has_another_etag(ann: Rest, bob: Rest, channel: dict[str, Any], post: Post) -> None:
    paths = [f"/posts/{post['id']}", f"/channels/{channel['id']}/posts"]
    tags = {path: bob.call("GET", path).headers["ETag"] for path in paths}
    patch(ann, post, message="after")
    for path, tag in tags.items():
        assert bob.call("GET", path, headers={"If-None-Match": tag}).status_code == 200


# Mentions in what is deleted


def _mentions(who: Rest, channel_id: str) -> tuple[int, int]:
    members = who.get(f"/channels/{channel_id}/members")
    member = next(one for one in members if one["user_id"] == who.id)
    return member["mention_count"], member["mention_count_root"]


def test_a_deleted_post_mentions_nobody(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    name = f"@{bob.user['username']}"
    gone, kept = ann.write(channel["id"], name), ann.write(channel["id"], name)
    assert _mentions(bob, channel["id"]) == (2, 2)
    assert ann.call("DELETE", f"/posts/{gone['id']}").status_code == 200
    assert _mentions(bob, channel["id"]) == (1, 1)
    reply = ann.write(channel["id"], f"{name} @all", root_id=kept["id"])
    ann.write(channel["id"], "@channel", root_id=kept["id"])
    assert _mentions(bob, channel["id"]) == (3, 1)
    assert ann.call("DELETE", f"/posts/{reply['id']}").status_code == 200
    assert _mentions(bob, channel["id"]) == (2, 1)
    assert ann.call("DELETE", f"/posts/{kept['id']}").status_code == 200  # with the reply that is left
    assert _mentions(bob, channel["id"]) == (0, 0)


def test_a_deleted_direct_message_counts_no_more(ann: Rest, bob: Rest) -> None:
    direct = ann.post("/channels/direct", [ann.id, bob.id])
    before = _mentions(bob, direct["id"])[0]
    post = ann.write(direct["id"], "hello")
    assert _mentions(bob, direct["id"])[0] == before + 1
    assert ann.call("DELETE", f"/posts/{post['id']}").status_code == 200
    assert _mentions(bob, direct["id"])[0] == before


def test_a_deletion_leaves_the_mentions_of_other_posts_and_people(
    node: Node, ann: Rest, bob: Rest, team: dict[str, Any]
) -> None:
    dan = new_user(node.url, "dan")
    ann.post(f"/teams/{team['id']}/members", {"team_id": team["id"], "user_id": dan.id})
    first, second = new_channel(ann, team, bob, dan), new_channel(ann, team, bob, dan)
    post = ann.write(first["id"], f"@{bob.user['username']}")
    ann.write(first["id"], f"@{dan.user['username']}")
    ann.write(second["id"], f"@{bob.user['username']}")
    assert ann.call("DELETE", f"/posts/{post['id']}").status_code == 200
    counts = [_mentions(who, one["id"])[0] for who in (bob, dan) for one in (first, second)]
    assert counts == [0, 1, 1, 0]
    dan.close()
