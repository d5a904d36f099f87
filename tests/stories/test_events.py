"""Live events of three real nodes: every committed post reaches every socket of its channel once and in order."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest

from db.model.ids import new_id
from tests.plugins.resources import uses
from tests.rig.cluster import Cluster
from tests.rig.lateness import within
from tests.rig.load import Load, assert_exactly_once
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.scale import scale
from tests.rig.socket import Socket
from tests.rig.wait import until

LATE_S = 2.5


@pytest.fixture(scope="module")
@uses("node", "namespaces")
def cluster() -> Iterator[Cluster]:
    """Three nodes over a master and a replica."""
    with PgCluster(1) as servers, Cluster(servers, workers=2) as cluster:
        yield cluster


def test_a_post_that_nobody_told_of_is_heard_everywhere_and_in_its_place(cluster: Cluster) -> None:
    """As if its writer had died between commit and publish."""
    ann, bob = new_user(cluster.nodes[0].url), new_user(cluster.nodes[1].url)
    channel = new_channel(ann, new_team(ann, bob), bob)
    sockets = [Socket.open(cluster.client(who, place)) for who in (ann, bob) for place in range(3)]
    ann.write(channel["id"], "before")
    cluster.sql(
        "WITH head AS (UPDATE channel_heads SET seq = seq + 1, last_post_at = last_post_at + 1,"
        " total_msg_count = total_msg_count + 1, changed_xid = pg_current_xact_id()"
        f" WHERE channel_id = '{channel['id']}' RETURNING seq, last_post_at)"
        " INSERT INTO posts (id, channel_id, seq, create_at, update_at, user_id, message)"
        f" SELECT '{new_id()}', '{channel['id']}', seq, last_post_at, last_post_at, '{bob.id}', 'unheard' FROM head"
    )
    committed = time.monotonic()
    for socket in sockets:
        assert socket.expect_post("unheard", LATE_S)["user_id"] == bob.id
    assert within(LATE_S, since=committed)
    assert sockets[0].expect("posted")["data"]["sender_name"] == f"@{ann.user['username']}"
    ann.write(channel["id"], "after")
    for socket in sockets:
        socket.expect_post("after")
        assert [post["message"] for post in socket.posts()][-3:] == ["before", "unheard", "after"]
        socket.close()


def _heard_of(socket: Socket, post_id: str) -> list[tuple[str, object]]:
    """What somebody heard of a post, in order: (event, what tells it from others of its name)."""
    heard: list[tuple[str, object]] = []
    for event in list(socket.events):
        name, data = event["event"], event["data"]
        if name in ("posted", "post_edited", "post_deleted") and (post := json.loads(data["post"]))["id"] == post_id:
            told: object = data.get("delete_by") if name == "post_deleted" else (post["message"], post["is_pinned"])
            heard.append((name, told))
        elif name.startswith("reaction_") and (reaction := json.loads(data["reaction"]))["post_id"] == post_id:
            heard.append((name, reaction["emoji_name"]))
    return heard


def test_a_change_whose_message_is_lost_is_heard_on_another_node_once(cluster: Cluster) -> None:
    """Kind by kind, with no way between the node that makes the change and the one that has the listeners."""
    ann, bob = new_user(cluster.nodes[0].url), new_user(cluster.nodes[1].url)
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob)
    for where, member in (("teams", "team_id"), ("channels", "channel_id")):
        place = team if where == "teams" else channel
        ann.post(f"/{where}/{place['id']}/members", {member: place["id"], "user_id": cluster.admin.id})
    near = Socket.open(ann)
    far, far_admin = (Socket.open(cluster.client(who, 1)) for who in (bob, cluster.admin))
    post = ann.write(channel["id"], "before")
    path = f"/posts/{post['id']}"
    far.expect_post("before")
    kinds: list[tuple[str, str, object, tuple[str, object]]] = [
        ("PUT", f"{path}/patch", {"message": "after"}, ("post_edited", ("after", False))),
        ("POST", f"{path}/pin", {}, ("post_edited", ("after", True))),
        (
            "POST",
            "/reactions",
            {"user_id": ann.id, "post_id": post["id"], "emoji_name": "+1"},
            ("reaction_added", "+1"),
        ),
        ("DELETE", f"/users/me{path}/reactions/+1", None, ("reaction_removed", "+1")),
        ("DELETE", path, None, ("post_deleted", None)),
    ]
    expected: list[tuple[str, object]] = [("posted", ("before", False))]
    cluster.cut(0, 1)
    for method, where, body, event in kinds:
        before = time.monotonic()
        for _ in range(2 if method != "DELETE" else 1):  # again, as after an answer that was lost
            assert ann.call(method, where, body).status_code == 200
        expected.append(event)
        until(partial(_has_come, far, post["id"], expected), LATE_S, f"{event} on the other side")
        assert within(LATE_S, since=before)
    cluster.heal()
    cluster.until_green()
    ann.write(channel["id"], "after all")
    sensitive = [*expected[:-1], ("post_deleted", ann.id)]
    for socket, wanted in ((near, expected), (far, expected), (far_admin, sensitive)):
        socket.expect_post("after all")
        assert _heard_of(socket, post["id"]) == wanted
        socket.close()


def _has_come(socket: Socket, post_id: str, expected: list[tuple[str, object]]) -> bool:
    return _heard_of(socket, post_id) == expected


def test_whatever_is_killed_frozen_or_cut_sockets_that_stay_open_miss_nothing(cluster: Cluster) -> None:
    chance = random.Random(1)
    people = [new_user(cluster.nodes[number % 3].url) for number in range(6)]
    team = new_team(people[0], *people[1:])
    channels = [new_channel(people[0], team, *people[1:]) for _ in range(3)]
    sockets = [Socket.open(cluster.client(who, number % 3)) for number, who in enumerate(people)]
    writers = [
        (cluster.client(who, number % 3), channels[number % 3]["id"])
        for number, who in enumerate(people * 2)
        if number < 8
    ]
    with Load(writers, pause_s=0.05) as load:
        faults = ["relay", "api0", "api1", "cut", "freeze"] * scale(1, 12)
        for fault in faults:
            load.expect_more(scale(30, 150))
            node = cluster.nodes[chance.randrange(3)]
            if fault == "cut":
                cluster.cut(0, 1)
                time.sleep(3.0)
                cluster.heal()
            elif fault == "freeze":
                with cluster.frozen([node.pid("relay")]):
                    time.sleep(2.5)
            else:
                os.kill(node.pid(fault), signal.SIGKILL)
                node.wait_up()
        load.expect_more(50)
    acknowledged = {one.post_id for one in load.acknowledged}
    until(lambda: all(acknowledged <= _heard(socket) for socket in sockets), 10, "every post on every socket")
    orders = set()
    for socket in sockets:
        posts = [post for post in socket.posts() if post["message"].count(":") == 1]
        assert len(posts) == len({post["id"] for post in posts}), "a post came twice"
        for channel in channels:
            order = tuple(post["id"] for post in posts if post["channel_id"] == channel["id"])
            times = [post["create_at"] for post in posts if post["channel_id"] == channel["id"]]
            assert times == sorted(times)
            orders.add((channel["id"], order))
        assert socket.closed is None
    assert len(orders) == len(channels), "sockets heard a channel in different orders"
    assert_exactly_once(lambda query, *_: cluster.sql(query), load)


def _heard(socket: Socket) -> set[str]:
    return {post["id"] for post in socket.posts()}


def test_behind_a_frozen_relay_posts_are_late_by_the_bound_and_who_was_removed_hears_none(cluster: Cluster) -> None:
    """Frozen for nearly as long as the supervisor puts up with it: no message of the bus comes, and none is missed."""
    ann, bob, eve = (new_user(cluster.nodes[0].url) for _ in range(3))
    channel = new_channel(ann, new_team(ann, bob, eve), bob, eve)
    behind, removed = (Socket.open(cluster.client(who, 1)) for who in (bob, eve))
    far, near = cluster.client(ann, 2), cluster.client(ann, 1)
    far.write(channel["id"], "before")
    for socket in (behind, removed):
        socket.expect_post("before")
    silent = {"after"}  # what is written 2 s after the removal, and later; a slow machine has no time for so much
    with cluster.frozen([cluster.nodes[1].pid("relay")]):
        frozen_at = gone_at = time.monotonic()
        for number in range(2):
            made = time.monotonic()
            if number and made >= gone_at + 2.0:
                silent |= {f"{number} of {who.url}" for who in (far, near)}
            for who in (far, near):
                who.write(channel["id"], f"{number} of {who.url}")
            for who in (far, near):
                behind.expect_post(f"{number} of {who.url}", LATE_S)
            print(f"behind a frozen relay: {time.monotonic() - made:.2f} s")
            assert within(LATE_S, since=made)
            if not number:
                answer = far.call("DELETE", f"/channels/{channel['id']}/members/{eve.id}")
                assert answer.status_code == 200
                gone_at = time.monotonic()
                time.sleep(max(0.0, min(2.0, frozen_at + 3.5 - gone_at)))
    far.write(channel["id"], "after")
    behind.expect_post("after")
    wanted = ["before", f"0 of {far.url}", f"0 of {near.url}", f"1 of {far.url}", f"1 of {near.url}", "after"]
    heard = [post["message"] for post in behind.posts() if not post["type"]]
    assert sorted(heard[1:3]) == sorted(wanted[1:3])
    assert sorted(heard[3:5]) == sorted(wanted[3:5])
    assert (len(heard), heard[0], heard[-1]) == (6, "before", "after")
    print(f"not to be heard: {sorted(silent)}")
    assert silent.isdisjoint(post["message"] for post in removed.posts())
    for socket in (behind, removed):
        socket.close()


def test_who_joins_a_channel_hears_what_comes_after_and_only_that(cluster: Cluster) -> None:
    ann, bob = new_user(cluster.nodes[0].url), new_user(cluster.nodes[1].url)
    channel = new_channel(ann, new_team(ann, bob))
    socket = Socket.open(bob)
    for number in range(10):
        ann.write(channel["id"], f"before {number}")
    ann.post(f"/channels/{channel['id']}/members", {"user_id": bob.id})
    for number in range(10):
        ann.write(channel["id"], f"after {number}")
    socket.expect_post("after 9")
    assert [post["message"] for post in socket.posts() if post["type"] == ""] == [f"after {one}" for one in range(10)]
    assert socket.named("user_added", user_id=bob.id)
    socket.close()
