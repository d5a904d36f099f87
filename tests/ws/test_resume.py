"""Clients that come back with their connection id: the six cases of Mattermost's reliable WebSockets, on one node."""

import time

import pytest

from tests.rig.node import Node
from tests.rig.people import new_channel, new_team
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
