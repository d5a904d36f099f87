"""Marking a channel as unread from a post on: what is counted then, who is told, and what viewing makes of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from db.model.ids import new_id
from tests.api.expect import refused
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
    """Who reads."""
    rest = new_user(node.url, "bob")
    yield rest
    rest.close()


@pytest.fixture(scope="module")
def team(ann: Rest, bob: Rest) -> dict[str, Any]:
    """Theirs."""
    return new_team(ann, bob)


@pytest.fixture
def channel(ann: Rest, bob: Rest, team: dict[str, Any]) -> dict[str, Any]:
    """A channel of ann and bob."""
    return new_channel(ann, team, bob)


def _member(who: Rest, channel: dict[str, Any]) -> dict[str, Any]:
    found = who.get(f"/users/me/teams/{channel['team_id']}/channels/members")
    [member] = [one for one in found if one["channel_id"] == channel["id"]]
    return dict(member)


def _unread(who: Rest, channel: dict[str, Any]) -> tuple[int, int, int, int]:
    """Posts, roots, mentions and mentions in roots that clients show as unread."""
    member, now = _member(who, channel), who.get(f"/channels/{channel['id']}")
    return (
        now["total_msg_count"] - member["msg_count"],
        now["total_msg_count_root"] - member["msg_count_root"],
        member["mention_count"],
        member["mention_count_root"],
    )


def _set_unread(who: Rest, post: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = who.post(f"/users/me/posts/{post['id']}/set_unread", {})
    return answer


def _view(who: Rest, channel: dict[str, Any]) -> None:
    who.post("/channels/members/me/view", {"channel_id": channel["id"]})


def test_from_a_post_on_all_is_unread(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    name = bob.user["username"]
    ann.write(channel["id"], f"before, @{name}")
    root = ann.write(channel["id"], f"@{name}")
    reply = ann.write(channel["id"], f"a reply to @{name}", root_id=root["id"])
    ann.write(channel["id"], "for nobody")
    _view(bob, channel)
    assert _unread(bob, channel) == (0, 0, 0, 0)
    answer = _set_unread(bob, root)
    assert _unread(bob, channel) == (3, 2, 2, 1)
    assert answer == {
        "team_id": channel["team_id"],
        "user_id": bob.id,
        "channel_id": channel["id"],
        "last_viewed_at": root["create_at"] - 1,
        "msg_count": 1,
        "msg_count_root": 1,
        "mention_count": 2,
        "mention_count_root": 1,
        "urgent_mention_count": 0,
    }
    assert _member(bob, channel)["last_viewed_at"] == root["create_at"] - 1
    assert list(bob.get(f"/users/me/channels/{channel['id']}/posts/unread?limit_before=0")["order"])[-1] == root["id"]
    _set_unread(bob, reply)
    assert _unread(bob, channel) == (2, 1, 1, 0), "a later one takes back what was unread before it"
    _view(bob, channel)
    assert _unread(bob, channel) == (0, 0, 0, 0)


def test_a_users_own_posts_are_unread_too_and_writing_views_all(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    post = bob.write(channel["id"], f"@{ann.user['username']}")
    _set_unread(bob, post)
    assert _unread(bob, channel) == (1, 1, 0, 0)
    bob.write(channel["id"], "again")
    assert _unread(bob, channel) == (0, 0, 0, 0)


def test_what_is_deleted_or_makes_nothing_unread_is_not_counted(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    cat = new_user(ann.url, "cat")
    ann.post(f"/teams/{channel['team_id']}/members", {"team_id": channel["team_id"], "user_id": cat.id})
    first = ann.write(channel["id"], "first")
    gone = ann.write(channel["id"], f"@{bob.user['username']}")
    ann.post(f"/channels/{channel['id']}/members", {"user_id": cat.id})  # a system message
    ann.call("DELETE", f"/posts/{gone['id']}")
    _view(bob, channel)
    _set_unread(bob, first)
    assert _unread(bob, channel) == (1, 1, 0, 0)
    cat.close()


def test_a_mention_that_is_deleted_after_it_was_marked_counts_no_more(
    ann: Rest, bob: Rest, channel: dict[str, Any]
) -> None:
    post = ann.write(channel["id"], f"@{bob.user['username']}")
    _view(bob, channel)
    _set_unread(bob, post)
    assert _unread(bob, channel)[2:] == (1, 1)
    ann.call("DELETE", f"/posts/{post['id']}")
    assert _unread(bob, channel)[2:] == (0, 0)


def test_every_post_of_a_direct_channel_is_a_mention_of_the_other(ann: Rest, bob: Rest) -> None:
    direct = ann.post("/channels/direct", [ann.id, bob.id])
    post = ann.write(direct["id"], "hello")
    ann.write(direct["id"], "are you there?")
    bob.post("/channels/members/me/view", {"channel_id": direct["id"]})
    answer = _set_unread(bob, post)
    assert (answer["mention_count"], answer["team_id"]) == (2, "")


def test_the_users_clients_are_told_and_nobody_else(ann: Rest, bob: Rest, channel: dict[str, Any]) -> None:
    post = ann.write(channel["id"], f"@{bob.user['username']}")
    anns, bobs = Socket.open(ann), Socket.open(bob)
    answer = _set_unread(bob, post)
    event = bobs.expect("post_unread")
    where = {name: answer.pop(name) for name in ("team_id", "user_id", "channel_id")}
    assert event["data"] == {"post_id": post["id"], **answer}
    assert {name: event["broadcast"][name] for name in where} == where
    ann.write(channel["id"], "done")
    anns.expect_post("done")
    assert not anns.named("post_unread")
    anns.close()
    bobs.close()


def test_who_is_no_member_has_nothing_to_mark(ann: Rest, bob: Rest, team: dict[str, Any]) -> None:
    alone = new_channel(ann, team)
    post = ann.write(alone["id"], "hello")
    refused(bob.call("POST", f"/users/me/posts/{post['id']}/set_unread", {}), 403, "permissions")
    refused(ann.call("POST", f"/users/{bob.id}/posts/{post['id']}/set_unread", {}), 403, "permissions")
    refused(ann.call("POST", f"/users/me/posts/{new_id()}/set_unread", {}), 403, "permissions")
    ann.call("DELETE", f"/posts/{post['id']}")
    refused(ann.call("POST", f"/users/me/posts/{post['id']}/set_unread", {}), 404, "app.post.get.app_error")
