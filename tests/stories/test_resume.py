"""Clients whose balancer sends them to another node when they come back with their connection id."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from tests.plugins.resources import uses
from tests.rig.cluster import Cluster
from tests.rig.lateness import within
from tests.rig.load import Load
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import Rest
from tests.rig.scale import scale
from tests.rig.socket import Socket
from tests.rig.wait import until


@pytest.fixture(scope="module")
@uses("node", "namespaces")
def cluster() -> Iterator[Cluster]:
    """Three nodes over a master."""
    with PgCluster(0) as servers, Cluster(servers, ws_workers=2) as cluster:
        yield cluster


def _pair(cluster: Cluster) -> tuple[Rest, Rest, str]:
    ann, bob = new_user(cluster.nodes[0].url, "ann"), new_user(cluster.nodes[0].url, "bob")
    return ann, bob, str(new_channel(ann, new_team(ann, bob), bob)["id"])


def _id(socket: Socket) -> str:
    return str(socket.expect("hello")["data"]["connection_id"])


def _messages(*sockets: Socket) -> list[str]:
    return [post["message"] for socket in sockets for post in socket.posts() if not post["type"]]


def test_on_another_node_a_client_goes_on_where_it_stopped(cluster: Cluster) -> None:
    ann, bob, channel = _pair(cluster)
    sockets = [Socket.open(ann)]
    connection_id = _id(sockets[0])
    numbers = iter(range(1000))
    for place in (1, 2, 1, 0, 2):
        bob.write(channel, f"{next(numbers)}")
        sockets[-1].expect_post(_messages(*sockets)[-1] if len(sockets) > 1 else "0")
        bob.write(channel, f"{next(numbers)}")
        sockets[-1].break_off()
        sockets[-1].expect_closed()
        for _ in range(5):
            last = bob.write(channel, f"{next(numbers)}")["message"]
        sockets.append(Socket.resume(cluster.client(ann, place), connection_id, sockets[-1].next_seq))
        sockets[-1].expect_post(last)
        last = bob.write(channel, f"{next(numbers)}")["message"]
        sockets[-1].expect_post(last)
    assert _messages(*sockets) == [f"{number}" for number in range(next(numbers))]
    assert [len(socket.named("hello")) for socket in sockets] == [1, 0, 0, 0, 0, 0]
    assert [socket.faults for socket in sockets] == [[]] * 6
    assert sockets[-1].ask("ping")["status"] == "OK"
    sockets[-1].close()


def test_a_client_that_hops_from_node_to_node_misses_and_doubles_nothing(cluster: Cluster) -> None:
    ann, bob, channel = _pair(cluster)
    sockets = [Socket.open(ann)]
    connection_id = _id(sockets[0])
    writers = [(cluster.client(who, place), channel) for place, who in enumerate((bob, bob, ann))]
    with Load(writers, pause_s=0.01) as load:
        for hop in range(scale(12, 200)):
            seen = len(sockets[-1].posts())
            until(lambda seen=seen: len(sockets[-1].posts()) > seen + 5)  # type: ignore[misc]
            if hop % 3:  # else the old socket only seems to live
                sockets[-1].break_off()
                sockets[-1].expect_closed()
            at = sockets[-1].next_seq
            sockets.append(Socket.resume(cluster.client(ann, (hop + 1) % 3), connection_id, at))
            sockets[-1].expect("posted")
    acknowledged = {one.pending_id for one in load.acknowledged}
    until(lambda: acknowledged <= set(_messages(*sockets)), 10, "every post")
    for before, after in pairwise(sockets):
        before.expect_closed()
        del before.events[after._first - before._first :]  # what still came there was asked for again
    heard = [post for socket in sockets for post in socket.posts() if not post["type"]]
    assert len(heard) == len({post["id"] for post in heard}), "a post came twice"
    times = [post["create_at"] for post in heard]
    assert all(before <= after for before, after in pairwise(times)), "out of order"
    assert sum(len(socket.named("hello")) for socket in sockets) == 1
    assert load.failures == []
    sockets[-1].close()


@pytest.mark.parametrize("how", ["header", "challenge"])
def test_while_all_nodes_are_restarted_a_client_goes_on_as_one_connection(cluster: Cluster, how: str) -> None:
    """It comes back at once to another node, or later to the same one, which then is another process."""
    resume = Socket.resume if how == "header" else Socket.resume_by_challenge
    ann, bob, channel = _pair(cluster)
    sockets = [Socket.open(cluster.client(ann, 0))]
    connection_id = _id(sockets[0])
    writers = [(cluster.client(who, place), channel) for place, who in enumerate((bob, bob, ann))]
    with Load(writers, pause_s=0.02) as load:
        for place in range(3):
            load.expect_more(10)
            with ThreadPoolExecutor() as pool:
                restarting = pool.submit(cluster.restart, place)
                assert sockets[-1].expect_closed() == 1012
                if place == 1:
                    restarting.result()
                    until(lambda: cluster.nodes[1].ping() == 200, 20)  # before that, no balancer sends anybody there
                at = place if place == 1 else (place + 1) % 3
                sockets.append(resume(cluster.client(ann, at), connection_id, sockets[-1].next_seq))
                sockets[-1].expect("posted")
                restarting.result()
                until(lambda place=place: cluster.nodes[place].ping() == 200, 20)  # type: ignore[misc]
            if place == 1:  # it is there still
                sockets[-1].break_off()
                sockets[-1].expect_closed()
                sockets.append(resume(cluster.client(ann, 2), connection_id, sockets[-1].next_seq))
    acknowledged = {one.pending_id for one in load.acknowledged}
    found = [(len(one.events), one.named("hello"), one.faults[:2]) for one in sockets]
    assert sum(len(hellos) for _, hellos, _ in found) == 1, found
    assert not any(faults for _, _, faults in found), found
    until(lambda: acknowledged <= set(_messages(*sockets)), 10, "every post")
    heard = [post for socket in sockets for post in socket.posts() if not post["type"]]
    assert len(heard) == len({post["id"] for post in heard}), "a post came twice"
    assert all(before["create_at"] <= after["create_at"] for before, after in pairwise(heard)), "out of order"
    assert [socket.faults for socket in sockets] == [[]] * len(sockets)
    assert sum(len(socket.named("hello")) for socket in sockets) == 1
    assert load.failures == []
    sockets[-1].close()


def test_a_worker_that_is_replaced_alone_gives_its_connections_to_others(cluster: Cluster) -> None:
    ann, bob, channel = _pair(cluster)
    before = [Socket.open(ann) for _ in range(4)]
    bob.write(channel, "before")
    for socket in before:
        socket.expect_post("before")
    before[0].break_off()
    pids = {name: cluster.nodes[0].pid(name) for name in ("ws0", "ws1")}
    for name, pid in pids.items():
        os.kill(pid, signal.SIGTERM)
        cluster.nodes[0].wait_replaced(name, pid)
    assert {socket.expect_closed() for socket in before[1:]} == {1012}
    bob.write(channel, "meanwhile")
    for place, socket in enumerate(before):
        after = Socket.resume(cluster.client(ann, place % 3), _id(socket), socket.next_seq)
        after.expect_post("meanwhile")
        assert _messages(socket, after) == ["before", "meanwhile"]
        assert not after.named("hello")
        after.close()


def test_a_node_is_restarted_in_five_seconds_where_its_grace_allows(cluster: Cluster) -> None:
    """With sockets, and idle connections of HTTP, that its clients keep open."""
    ann, _, _ = _pair(cluster)
    here, node = cluster.client(ann, 2), cluster.nodes[2]
    cluster.configure(node, {"ClusterSettings": {"DrainGraceS": 1}})
    assert node.ask("reload")["ok"]
    sockets = [Socket.open(here) for _ in range(20)]
    here.get("/users/me")
    began = time.monotonic()
    node.stop(timeout_s=30)
    node.launch()
    until(lambda: node.ping() == 200, 20)
    assert within(5.0, since=began)
    assert {socket.expect_closed() for socket in sockets} == {1012}
    cluster.configure(node, {})
    node.wait_ready()
    assert node.ask("reload")["ok"]


def test_where_the_owner_is_dead_a_client_begins_anew_at_once(cluster: Cluster) -> None:
    ann, _, _ = _pair(cluster)
    socket = Socket.open(ann)
    for name in ("ws0", "ws1"):
        os.kill(cluster.nodes[0].pid(name), signal.SIGKILL)
    socket.expect_closed()
    began = time.monotonic()
    after = Socket.resume(cluster.client(ann, 1), _id(socket), socket.next_seq, first=0)
    assert after.expect("hello", 2.0)["seq"] == 0
    assert within(2.0, since=began)
    assert _id(after) != _id(socket)
    after.close()
    cluster.nodes[0].wait_up()


def test_a_frozen_owner_is_not_waited_for(cluster: Cluster) -> None:
    ann, _, _ = _pair(cluster)
    socket = Socket.open(ann)
    with cluster.frozen([cluster.nodes[0].pid("ws0"), cluster.nodes[0].pid("ws1")]):
        after = Socket.resume(cluster.client(ann, 1), _id(socket), socket.next_seq, first=0)
        assert after.expect("hello", 2.0)["seq"] == 0
        after.close()


def test_nobody_gets_a_connection_of_somebody_else(cluster: Cluster) -> None:
    ann, bob, channel = _pair(cluster)
    before = Socket.open(ann)
    before.break_off()
    before.expect_closed()
    stolen = Socket.resume(cluster.client(bob, 1), _id(before), before.next_seq, first=0)
    assert _id(stolen) != _id(before)
    bob.write(channel, "meanwhile")
    own = Socket.resume(cluster.client(ann, 2), _id(before), before.next_seq)
    own.expect_post("meanwhile")
    assert not own.named("hello")
    for socket in (stolen, own):
        socket.close()


def test_a_channel_joined_on_the_way_is_heard_from_its_joining(cluster: Cluster) -> None:
    ann, bob, channel = _pair(cluster)
    socket = Socket.open(ann)
    socket.break_off()
    socket.expect_closed()
    team = bob.get(f"/channels/{channel}")["team_id"]
    other = new_channel(bob, {"id": team}, ann)
    for number in range(3):
        bob.write(other["id"], f"{number}")
    after = Socket.resume(cluster.client(ann, 1), _id(socket), socket.next_seq)
    after.expect_post("2")
    bob.write(other["id"], "3")
    after.expect_post("3")
    assert _messages(after) == ["0", "1", "2", "3"]
    assert len(after.named("user_added", user_id=ann.id)) == 1
    after.close()


def test_who_says_how_far_it_is_in_its_channels_is_brought_up_to_date(cluster: Cluster) -> None:
    ann, bob, channel = _pair(cluster)
    quiet = new_channel(ann, {"id": ann.get(f"/channels/{channel}")["team_id"]})["id"]
    first = _challenge(cluster.client(ann, 0), {"db_gen": "", "channels": {}})
    generation = first.expect("hello")["data"]["db_gen"]
    bob.write(channel, "seen")
    first.expect_post("seen")
    at = first.expect("posted")["channel_seq"]
    first.close()
    for number in range(700):
        bob.write(channel, f"{number}")
    positions = {channel: at, quiet: 10**6, "x" * 26: 0}
    after = _challenge(cluster.client(ann, 1), {"db_gen": generation, "channels": positions})
    assert after.expect("hello")["data"]["refetch"] == sorted([quiet, "x" * 26])
    bob.write(channel, "live")
    after.expect_post("live")
    assert _messages(after) == [*(f"{number}" for number in range(700)), "live"]
    assert [event["channel_seq"] for event in after.named("posted")] == list(range(at + 1, at + 702))
    after.close()
    other = _challenge(cluster.client(ann, 2), {"db_gen": "of another master", "channels": {channel: at}})
    assert other.expect("hello")["data"]["refetch"] == [channel]
    assert other.ask("ping")["status"] == "OK"
    assert other.posts() == []
    other.close()


def test_what_is_fetched_after_a_hello_lacks_nothing_that_the_socket_will_not_bring(cluster: Cluster) -> None:
    """Also where the bus has not told this node of it, and its copies of pages count still."""
    ann, bob, channel = _pair(cluster)
    here = cluster.client(ann, 1)
    Socket.open(here).close()  # its worker hears of the channel already, and keeps on doing so for a while
    assert here.get(f"/channels/{channel}/posts")["order"]
    with cluster.frozen([cluster.nodes[1].pid("relay")]):
        writing = threading.Thread(target=bob.write, args=(channel, "untold"))
        writing.start()
        until(lambda: cluster.sql(f"SELECT 1 FROM posts WHERE channel_id = '{channel}' AND message = 'untold'"))
        socket = Socket.open(here)
        fetched = [post["message"] for post in here.get(f"/channels/{channel}/posts")["posts"].values()]
    writing.join()
    time.sleep(0.5)
    assert fetched.count("untold") + _messages(socket).count("untold") == 1
    socket.close()


def _challenge(who: Rest, positions: object) -> Socket:
    socket = Socket.open_bare(who.url)
    assert socket.ask("authentication_challenge", {"token": who.token, "positions": positions})["status"] == "OK"
    return socket
