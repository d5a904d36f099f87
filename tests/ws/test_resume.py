"""Clients that come back with their connection id: the six cases of Mattermost's reliable WebSockets, on one node."""

import time

import pytest

from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import PASSWORD, Rest
from tests.rig.socket import Socket
from tests.rig.wait import until
from ws.stream import DEAD_QUEUE, MAX_QUEUED_EVENTS


def _id(socket: Socket) -> str:
    return str(socket.expect("hello")["data"]["connection_id"])


def test_what_came_meanwhile_follows_and_no_hello(node: Node, ann: Rest, bob: Rest) -> None:
    channel = new_channel(bob, new_team(bob, ann), ann)
    before = Socket.open(ann)
    bob.write(channel["id"], "before")
    before.expect_post("before")
    until(lambda: before.next_seq >= 2)
    before.break_off()
    before.expect_closed()
    for number in range(20):
        bob.write(channel["id"], f"away {number}")
    after = Socket.resume(ann, _id(before), before.next_seq)
    after.expect_post("away 19")
    assert [post["message"] for post in after.posts()] == [f"away {number}" for number in range(20)]
    assert not after.named("hello")
    assert after.faults == []
    bob.write(channel["id"], "live")
    after.expect_post("live")
    assert after.ask("ping")["status"] == "OK"
    after.close()


def test_what_was_written_but_not_read_comes_again(node: Node, ann: Rest, bob: Rest) -> None:
    channel = new_channel(bob, new_team(bob, ann), ann)
    before = Socket.open(ann)
    for number in range(10):
        bob.write(channel["id"], f"post {number}")
    before.expect_post("post 9")
    at = next(frame["seq"] for frame in before.events if "post 4" in str(frame["data"]))
    before.break_off()
    after = Socket.resume(ann, _id(before), at)
    after.expect_post("post 9")
    assert [post["message"] for post in after.posts()] == [f"post {number}" for number in range(4, 10)]
    assert after.faults == []
    after.close()


def test_a_number_that_is_kept_no_more_makes_a_new_connection(node: Node, ann: Rest, bob: Rest) -> None:
    channel = new_channel(bob, new_team(bob, ann), ann)
    before = Socket.open(ann)
    for number in range(DEAD_QUEUE + 2):
        bob.write(channel["id"], f"post {number}")
    before.expect_post(f"post {DEAD_QUEUE + 1}")
    before.break_off()
    before.expect_closed()
    after = Socket.resume(ann, _id(before), 1, first=0)
    assert _id(after) != _id(before)
    again = Socket.resume(ann, _id(before), before.next_seq, first=0)
    assert _id(again) != _id(before), "it was forgotten"
    after.close()
    again.close()


@pytest.mark.parametrize("ahead", [1, 1000, 10**17])
def test_a_number_from_the_future_makes_a_new_connection(node: Node, ann: Rest, ahead: int) -> None:
    before = Socket.open(ann)
    before.expect("status_change", status="online")  # nothing else is on its way
    before.break_off()
    after = Socket.resume(ann, _id(before), before.next_seq + ahead, first=0)
    assert after.expect("hello")["seq"] == 0
    assert _id(after) != _id(before)
    after.close()


def test_nobody_comes_back_as_somebody_else(node: Node, ann: Rest, bob: Rest) -> None:
    before = Socket.open(ann)
    before.break_off()
    stolen = Socket.resume(bob, _id(before), before.next_seq, first=0)
    assert stolen.expect("hello")["broadcast"]["user_id"] == bob.id
    assert _id(stolen) != _id(before)
    own = Socket.resume(ann, _id(before), before.next_seq)
    assert own.ask("ping")["status"] == "OK"
    assert not own.named("hello")
    stolen.close()
    own.close()


def test_a_socket_that_only_seems_to_live_gives_way_to_its_own_session(node: Node, ann: Rest, bob: Rest) -> None:
    channel = new_channel(bob, new_team(bob, ann), ann)
    before = Socket.open(ann)
    bob.write(channel["id"], "one")
    before.expect_post("one")
    after = Socket.resume(ann, _id(before), before.next_seq)
    before.expect_closed()
    bob.write(channel["id"], "two")
    assert after.expect_post("two")
    assert after.faults == []
    other = Rest(ann.url)
    other.user = ann.user
    answer = other.call("POST", "/users/login", {"login_id": ann.user["username"], "password": PASSWORD})
    other.token = answer.headers["Token"]
    fresh = Socket.resume(other, _id(before), 0, first=0)
    assert fresh.expect("hello")["data"]["connection_id"] != _id(before)
    assert after.closed is None
    after.close()
    fresh.close()


def test_a_session_that_ended_takes_the_connection_with_it(node: Node, ann: Rest) -> None:
    before = Socket.open(ann)
    before.break_off()
    before.expect_closed()
    ann.post("/users/logout", {})
    answer = ann.call("POST", "/users/login", {"login_id": ann.user["username"], "password": PASSWORD})
    ann.token = answer.headers["Token"]
    ann.session.headers["Authorization"] = f"Bearer {ann.token}"
    after = Socket.resume(ann, _id(before), before.next_seq, first=0)
    assert _id(after) != _id(before)
    after.close()


def test_more_than_a_queue_holds_makes_a_new_connection(node: Node, ann: Rest, bob: Rest) -> None:
    channel = new_channel(bob, new_team(bob, ann), ann)
    before = Socket.open(ann)
    before.break_off()
    before.expect_closed()
    for number in range(MAX_QUEUED_EVENTS + 10):
        bob.write(channel["id"], f"post {number}")
    time.sleep(0.2)
    after = Socket.resume(ann, _id(before), before.next_seq, first=0)
    assert _id(after) != _id(before)
    after.close()


def test_who_is_away_counts_neither_as_online_nor_as_a_socket(node: Node, ann: Rest, bob: Rest) -> None:
    before = Socket.open(ann)
    until(lambda: bob.get(f"/users/{ann.id}/status")["status"] == "online", 5)
    before.break_off()
    until(lambda: bob.get(f"/users/{ann.id}/status")["status"] == "offline", 10)
    after = Socket.resume(ann, _id(before), before.next_seq)
    until(lambda: bob.get(f"/users/{ann.id}/status")["status"] == "online", 5)
    after.close()


def test_after_the_challenge_a_client_goes_on_as_well(node: Node, ann: Rest, bob: Rest) -> None:
    channel = new_channel(bob, new_team(bob, ann), ann)
    before = Socket.open_bare(ann.url)
    before.ask("authentication_challenge", {"token": ann.token})
    bob.write(channel["id"], "before")
    before.expect_post("before")
    before.break_off()
    before.expect_closed()
    bob.write(channel["id"], "away")
    after = Socket.resume_by_challenge(ann, _id(before), before.next_seq)
    after.expect_post("away")
    until(lambda: after.replies)
    assert after.replies == {1: {"status": "OK", "seq_reply": 1}}
    assert not after.named("hello")
    after.break_off()
    unknown = Socket.resume_by_challenge(ann, "y" * 26, 7, first=0)
    assert unknown.expect("hello")["seq"] == 0
    until(lambda: unknown.replies)
    stolen = Socket.resume_by_challenge(bob, _id(before), after.next_seq, first=0)
    assert stolen.expect("hello")["broadcast"]["user_id"] == bob.id
    assert _id(stolen) != _id(before)
    for one in (unknown, stolen):
        one.close()


@pytest.mark.parametrize("how", ["channel", "team"])
@pytest.mark.parametrize("read", [False, True])
def test_who_was_removed_meanwhile_does_not_get_what_was_kept(
    node: Node, ann: Rest, bob: Rest, how: str, read: bool
) -> None:
    """Neither what was written to the socket and perhaps not read, nor what came while there was none."""
    team = new_team(bob, ann)
    secret, other = new_channel(bob, team, ann, kind="P"), new_channel(bob, new_team(bob, ann), ann)
    before = Socket.open(ann)
    at = before.next_seq
    if read:
        bob.write(secret["id"], "secret")
        before.expect_post("secret")
    before.break_off()
    before.expect_closed()
    bob.write(secret["id"], "secret")
    bob.write(other["id"], "open")
    where = f"/channels/{secret['id']}" if how == "channel" else f"/teams/{team['id']}"
    assert bob.call("DELETE", f"{where}/members/{ann.id}").ok
    bob.write(other["id"], "last")
    after = Socket.resume(ann, _id(before), at)
    after.expect_post("last")
    assert [post["message"] for post in after.posts() if not post["type"]] == ["open", "last"]
    assert after.named("user_removed", channel_id=secret["id"]), "that they were removed is theirs to know"
    assert not after.named("hello")
    after.close()


def test_who_is_no_administrator_any_more_gets_the_copies_for_others(
    node: Node, admin: Rest, ann: Rest, bob: Rest
) -> None:
    channel = new_channel(bob, new_team(bob, ann), ann)
    assert admin.call("PUT", f"/users/{ann.id}/roles", {"roles": "system_user system_admin"}).ok
    before = Socket.open(ann)
    post = bob.write(channel["id"], "oops")
    before.expect_post("oops")
    at = before.next_seq
    assert bob.call("DELETE", f"/posts/{post['id']}").ok
    assert "delete_by" in before.expect("post_deleted")["data"]
    before.break_off()
    before.expect_closed()
    assert admin.call("PUT", f"/users/{ann.id}/roles", {"roles": "system_user"}).ok
    after = Socket.resume(ann, _id(before), at)
    assert "delete_by" not in after.expect("post_deleted")["data"]
    after.close()


def test_who_was_deactivated_does_not_come_back(node: Node, admin: Rest, ann: Rest) -> None:
    before = Socket.open(ann)
    before.break_off()
    before.expect_closed()
    assert admin.call("PUT", f"/users/{ann.id}/active", {"active": False}).ok
    after = Socket.resume_by_challenge(ann, _id(before), before.next_seq)
    assert after.expect_closed() == 1006
    assert not after.events


@pytest.mark.node
def test_a_user_has_so_many_sockets_however_they_come() -> None:
    with Node(workers=1) as node:
        node.write_config({"ServiceSettings": {"MaximumWebSocketsPerUser": 3}})
        assert node.ask("reload")["ok"]
        ann, bob = new_user(node.url, "ann"), new_user(node.url, "bob")
        bobs = Socket.open(bob)
        bobs.break_off()
        ids = []
        for _ in range(3):
            sockets = [Socket.open(ann) for _ in range(3)]
            for one in sockets:
                ids.append((_id(one), one.next_seq))
                one.break_off()
                one.expect_closed()
        sockets = [Socket.resume(ann, *one) for one in ids[-3:]]
        assert all(one.ask("ping")["status"] == "OK" and not one.named("hello") for one in sockets)
        for connection_id, seq in ids[:-3]:
            for come in (Socket.resume, Socket.resume_by_challenge):
                assert come(ann, connection_id, seq, first=0).expect_closed() == 1008
        again = Socket.resume(ann, ids[-1][0], sockets[-1].next_seq)
        assert again.ask("ping")["status"] == "OK", "it comes in place of its own"
        sockets[-1].expect_closed()
        sockets[0].break_off()
        sockets[0].expect_closed()
        forgotten = Socket.resume(ann, *ids[0], first=0)
        assert _id(forgotten) != ids[0][0], "it had to give way to later ones"
        node.write_config({"ServiceSettings": {"MaximumWebSocketsPerUser": 2}})
        assert node.ask("reload")["ok"]
        last = ids[-2]
        sockets[1].break_off()
        sockets[1].expect_closed()
        assert Socket.resume(ann, *last, first=0).expect_closed() == 1008, "two are there already"
        back = Socket.resume(bob, _id(bobs), bobs.next_seq)
        assert back.ask("ping")["status"] == "OK", "another's was pushed out"
        assert not back.named("hello")
