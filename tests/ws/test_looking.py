"""Where the user of a client looks, as it says by `presence`; and posts that it is to acknowledge."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest
from tests.rig.socket import Socket
from ws.looking import Looking

A, B, C, D = (letter * 26 for letter in "abcd")


def test_a_client_looks_at_a_channel_and_at_threads() -> None:
    looking = Looking()
    assert looking.tell({"channel_id": A}) == ""
    assert looking.tell({"team_id": D}) == ""
    assert looking.tell({"thread_channel_id": B}) == ""
    assert looking.tell({"thread_channel_id": C, "is_thread_view": True}) == ""
    assert [one in looking for one in (A, B, C, D)] == [True, True, True, False]
    looking.tell({"channel_id": D})
    looking.tell({"thread_channel_id": "", "is_thread_view": False})
    assert [one in looking for one in (A, B, C, D)] == [False, False, True, True]


@pytest.mark.parametrize("name", ["channel_id", "team_id", "thread_channel_id"])
@pytest.mark.parametrize("value", ["x", 1, [], {}, True, "\0" * 26])
def test_what_is_no_id_is_named(name: str, value: object) -> None:
    assert Looking().tell({name: value}) == name


@pytest.fixture(scope="module")
def ann(node: Node) -> Iterator[Rest]:
    """Who writes."""
    rest = new_user(node.url, "ann")
    yield rest
    rest.close()


@pytest.fixture(scope="module")
def bob(node: Node) -> Iterator[Rest]:
    """Who looks."""
    rest = new_user(node.url, "bob")
    yield rest
    rest.close()


@pytest.fixture(scope="module")
def channels(ann: Rest, bob: Rest) -> list[dict[str, Any]]:
    """Two channels of both."""
    team = new_team(ann, bob)
    return [new_channel(ann, team, bob) for _ in range(2)]


def test_reactions_elsewhere_are_not_told_to_who_says_where_they_look(
    ann: Rest, bob: Rest, channels: list[dict[str, Any]]
) -> None:
    here, elsewhere = channels
    posts = [ann.write(one["id"], "hello") for one in channels]
    looking, silent = Socket.open(bob), Socket.open(bob)
    assert looking.ask("presence", {"channel_id": here["id"]}) == {"status": "OK", "seq_reply": 1}
    for post in posts[::-1]:
        ann.post("/reactions", {"user_id": ann.id, "post_id": post["id"], "emoji_name": "ox"})
    assert silent.expect("reaction_added")["broadcast"]["channel_id"] == elsewhere["id"]
    assert looking.expect("reaction_added")["broadcast"]["channel_id"] == here["id"]
    assert looking.ask("presence", {"thread_channel_id": elsewhere["id"], "is_thread_view": False})["status"] == "OK"
    ann.post("/reactions", {"user_id": ann.id, "post_id": posts[1]["id"], "emoji_name": "eyes"})
    ann.write(elsewhere["id"], "posts come in any case")
    looking.expect_post("posts come in any case")
    assert len(looking.named("reaction_added")) == 2
    assert looking.ask("presence", {"channel_id": "x"})["error"]["status_code"] == 400
    looking.close()
    silent.close()


def test_a_client_acknowledges_posts_that_it_is_asked_to(ann: Rest, bob: Rest, channels: list[dict[str, Any]]) -> None:
    acking, plain, anns = Socket.open(bob, "posted_ack=true"), Socket.open(bob), Socket.open(ann, "posted_ack=true")
    channel = channels[0]["id"]
    for text in (f"@{bob.user['username']} {ann.user['username']}", "for nobody"):
        ann.write(channel, text)
        for socket in (acking, plain, anns):
            socket.expect_post(text)
    asked = {
        name: [event["data"].get("should_ack") for event in socket.named("posted")]
        for name, socket in (("acking", acking), ("plain", plain), ("anns", anns))
    }
    assert asked == {"acking": [True, None], "plain": [None, None], "anns": [None, None]}
    post = json.loads(acking.named("posted")[0]["data"]["post"])
    answer = acking.ask("posted_notify_ack", {"post_id": post["id"], "user_agent": "x", "status": "success"})
    assert answer["status"] == "OK"
    assert acking.ask("posted_notify_ack", {"post_id": 1})["error"]["status_code"] == 400
    for socket in (acking, plain, anns):
        socket.close()
