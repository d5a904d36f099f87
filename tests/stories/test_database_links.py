"""A node whose way to the master is cut: its clients hear all the same, or go where there is a master."""

import time
from collections.abc import Iterator

import pytest
import requests

from db.model.ids import new_id
from tests.plugins.resources import uses
from tests.rig.cluster import Cluster
from tests.rig.kept import Kept
from tests.rig.lateness import within
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import Rest
from tests.rig.socket import Socket
from tests.rig.wait import until

LATE_S = 2.5


@pytest.fixture(scope="module")
@uses("postgres")
def servers() -> Iterator[PgCluster]:
    """A master."""
    with PgCluster(0) as servers:
        yield servers


@pytest.fixture(scope="module")
def kept(servers: PgCluster) -> Iterator[Kept[Cluster]]:
    """Three nodes, each with a way of its own to the master."""
    with Kept(lambda: Cluster(servers, linked=True)) as kept:
        yield kept


def _people(cluster: Cluster) -> tuple[Rest, Rest, str]:
    """A user on node 0, one on node 1, and a channel of both."""
    ann, bob = new_user(cluster.nodes[0].url), new_user(cluster.nodes[1].url)
    return ann, bob, str(new_channel(ann, new_team(ann, bob), bob)["id"])


def _unheard(cluster: Cluster, channel_id: str, author: Rest) -> None:
    """A post whose writer dies between commit and publish."""
    cluster.sql(
        "WITH head AS (UPDATE channel_heads SET seq = seq + 1, last_post_at = last_post_at + 1,"
        " total_msg_count = total_msg_count + 1, changed_xid = pg_current_xact_id()"
        f" WHERE channel_id = '{channel_id}' RETURNING seq, last_post_at)"
        " INSERT INTO posts (id, channel_id, seq, create_at, update_at, user_id, message)"
        f" SELECT '{new_id()}', '{channel_id}', seq, last_post_at, last_post_at, '{author.id}', 'unheard' FROM head"
    )


def _said(socket: Socket) -> list[str]:
    return [post["message"] for post in socket.posts()]


@pytest.mark.parametrize("followed", [False, True], ids=["last of its channel", "followed by another"])
def test_what_a_node_without_a_master_misses_a_peer_tells(cluster: Cluster, followed: bool) -> None:
    ann, bob, channel_id = _people(cluster)
    socket = Socket.open(ann)
    bob.write(channel_id, "before")
    socket.expect_post("before")
    cluster.cut_database(0)
    _unheard(cluster, channel_id, bob)
    committed = time.monotonic()
    if followed:
        bob.write(channel_id, "after")
    socket.expect_post("unheard", LATE_S)
    assert within(LATE_S, since=committed)
    until(lambda: cluster.client(ann, 0).call("GET", "/system/ping").status_code == 503, 10, "the node to say so")
    bob.write(channel_id, "later")
    socket.expect_post("later", LATE_S)
    assert _said(socket) == ["before", "unheard", *(["after"] if followed else []), "later"]
    assert socket.closed is None
    socket.close()


def test_whom_no_peer_tells_is_sent_to_one_and_goes_on_there(cluster: Cluster) -> None:
    ann, bob, channel_id = _people(cluster)
    socket = Socket.open(ann)
    bob.write(channel_id, "before")
    socket.expect_post("before")
    with cluster.frozen([cluster.pid(place, "ws0") for place in (1, 2)]):
        cluster.cut_database(0)
        _unheard(cluster, channel_id, bob)
        committed = time.monotonic()
        assert socket.expect_closed(LATE_S + 1) == 1012
        assert within(LATE_S, since=committed)
    hello = socket.expect("hello")
    again = Socket.resume(cluster.client(ann, 1), hello["data"]["connection_id"], socket.next_seq)
    again.expect_post("unheard")
    bob.write(channel_id, "after")
    again.expect_post("after")
    assert (_said(socket), _said(again)) == (["before"], ["unheard", "after"])
    again.close()


def test_while_nobody_has_a_master_sockets_stay(cluster: Cluster) -> None:
    ann, bob, channel_id = _people(cluster)
    socket = Socket.open(ann)
    for place in range(3):
        cluster.cut_database(place)
    _unheard(cluster, channel_id, bob)
    time.sleep(2 * LATE_S)
    assert socket.closed is None
    cluster.heal()
    socket.expect_post("unheard")
    until(cluster.is_green, 30, "all to have a master")
    assert cluster.client(bob, 1).write(channel_id, "after")
    socket.expect_post("after")
    assert _said(socket) == ["unheard", "after"]
    socket.close()


def _reason(client: Rest) -> str:
    answer = client.call("GET", "/system/ping")
    return f"{answer.status_code} {answer.json().get('reason', '')}"


def _is_served(client: Rest) -> bool:
    """Whether a session is good by what is kept; else the answer waits for a master that does not answer."""
    try:
        return client.call("GET", "/users/me", timeout=1).status_code == 200
    except requests.ReadTimeout:
        return False


def test_reads_without_a_master_end_while_a_node_that_left_may_be_where_the_master_is(cluster: Cluster) -> None:
    ann = new_user(cluster.nodes[0].url)
    here = cluster.client(ann, 0)
    cluster.nodes[2].stop()
    until(lambda: set(cluster.members()) == {0, 1}, 10, "node 2 to have left")

    def lose_the_master() -> None:
        assert here.get("/users/me")["id"] == ann.id
        for place in (0, 1):
            cluster.cut_database(place)
            cluster.cut(place, 2)

    lose_the_master()
    until(lambda: _reason(here) == "503 db_master_lost", 10, "the node to leave the rotation")
    assert not _is_served(here)
    assert f"nodes={cluster.node_id(2)}" in cluster.nodes[0].log
    cluster.heal()
    until(lambda: _reason(here) == "200 ", 20, "a master")
    assert cluster.nodes[0].ask("remove", node=cluster.node_id(2))["ok"]
    time.sleep(3)  # both read the registry every 2 s
    lose_the_master()
    until(lambda: _reason(here) == "200 degraded_reads", 10, "reads without a master: nobody is left who could write")
    assert here.get("/users/me")["id"] == ann.id
    cluster.heal()
    cluster.nodes[2].start()
    cluster.until_green()
