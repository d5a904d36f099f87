"""Three real nodes over one database: one service, whatever breaks between them."""

import time
from collections.abc import Iterator

import pytest

from tests.rig.cluster import Cluster
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import Rest
from tests.rig.scale import scale
from tests.rig.socket import Socket
from tests.rig.wait import until
from ws.close import Close


@pytest.fixture(scope="module")
def servers() -> Iterator[PgCluster]:
    """A master and two replicas."""
    with PgCluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def shared(servers: PgCluster) -> Iterator[Cluster]:
    """Three nodes for stories that leave them as they were."""
    with Cluster(servers) as cluster:
        yield cluster


@pytest.fixture
def cluster(servers: PgCluster) -> Iterator[Cluster]:
    """Three nodes of the story's own."""
    with Cluster(servers) as cluster:
        yield cluster


def test_a_login_on_one_node_is_valid_on_every_other_at_once(shared: Cluster) -> None:
    for number in range(scale(30, 300)):
        ann = new_user(shared.nodes[number % 3].url)
        for place in range(3):
            assert shared.client(ann, place).get("/users/me")["id"] == ann.id


def test_what_was_written_on_one_node_is_read_on_every_other_at_once(shared: Cluster, servers: PgCluster) -> None:
    ann = new_user(shared.nodes[0].url)
    team = new_team(ann)
    channel = new_channel(ann, team)
    here = [shared.client(ann, place) for place in range(3)]
    for replica in servers.replicas:
        replica.delay_replay(2)
    stale = []
    try:
        for number in range(scale(150, 1700)):
            writer, reader = here[number % 3], here[(number + 1 + number // 3 % 2) % 3]
            post = writer.write(channel["id"], f"post {number}")
            if reader.get(f"/posts/{post['id']}")["message"] != f"post {number}":
                stale.append(("object", number))
            if reader.get(f"/channels/{channel['id']}/posts?per_page=1")["order"] != [post["id"]]:
                stale.append(("list", number))
            if reader.get(f"/channels/{channel['id']}")["total_msg_count"] != number + 1:
                stale.append(("count", number))
    finally:
        for replica in servers.replicas:
            replica.delay_replay(0)
    assert stale == []


def _is_out(rest: Rest) -> bool:
    return rest.call("GET", "/users/me").status_code == 401


def test_a_session_that_ends_on_one_node_has_ended_on_every_other(shared: Cluster) -> None:
    for number in range(scale(20, 330)):
        ann = new_user(shared.nodes[number % 3].url)
        others = [shared.client(ann, place) for place in range(3) if place != number % 3]
        socket = Socket.open(others[0])
        for one in others:
            one.get("/users/me")
        ann.post("/users/logout", {})
        assert all(_is_out(one) for one in others)
        assert socket.expect_closed(2.0) == Close.SESSION_ENDED


def test_the_status_is_the_same_from_every_node(shared: Cluster) -> None:
    seen = [shared.members(place) for place in range(3)]
    for key in ("id", "version", "schema_version", "config_hash", "ipaddress", "hostname", "state", "is_alive"):
        assert len({tuple(members[place][key] for place in range(3)) for members in seen}) == 1, key
    assert {one["state"] for one in seen[0].values()} == {"green"}
    assert all(len(one["links"]) == 2 for one in seen[0].values())


def test_a_purge_of_the_cluster_has_a_result_of_each_node(shared: Cluster) -> None:
    answer = shared.admin.post("/caches/invalidate?cluster=true", {})
    ids = {one["id"] for one in shared.members().values()}
    assert answer == {"status": "OK", "nodes": {node_id: {"result": "ok"} for node_id in ids}}


def test_a_killed_node_is_red_until_it_is_back(cluster: Cluster) -> None:
    began = time.monotonic()
    cluster.kill(2)
    until(lambda: not cluster.members(0)[2]["is_alive"], 5)
    assert time.monotonic() - began <= 3.5 + 1.0  # the status itself is asked for by HTTP
    for place in (0, 1):
        members = cluster.members(place)
        assert (members[2]["state"], members[2]["reasons"]) == ("red", ["down"])
        assert [members[one]["state"] for one in (0, 1)] == ["green", "green"]
    ann = new_user(cluster.nodes[0].url)
    assert cluster.client(ann, 1).get("/users/me")["id"] == ann.id
    cluster.nodes[2].start()
    cluster.until_green()


def test_a_session_that_ends_while_the_bus_is_cut_has_ended_everywhere_within_2_s(cluster: Cluster) -> None:
    ann = new_user(cluster.nodes[0].url)
    there = cluster.client(ann, 1)
    there.get("/users/me")
    socket = Socket.open(there)
    cluster.cut(0, 1)
    ann.post("/users/logout", {})
    ended = time.monotonic()
    until(lambda: _is_out(there), 3)
    assert socket.expect_closed(3.0) == Close.SESSION_ENDED
    assert time.monotonic() - ended <= 2.0 + 0.5


@pytest.mark.parametrize("one_way", [False, True])
def test_a_cut_between_two_nodes_makes_nobody_red_and_loses_no_event(cluster: Cluster, one_way: bool) -> None:
    ann, bob = new_user(cluster.nodes[0].url), new_user(cluster.nodes[1].url)
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob)
    socket = Socket.open(bob)
    cluster.cut(0, 1, one_way=one_way)
    wanted: list[str] = []
    until_time = time.monotonic() + scale(4, 30)
    while time.monotonic() < until_time:
        wanted.append(ann.write(channel["id"], f"post {len(wanted)}")["id"])
        assert {one["state"] for one in cluster.members(2).values()} == {"green"}
        time.sleep(0.2)
    cluster.heal()
    until(lambda: len(socket.posts()) >= len(wanted), 15, "all posts")
    assert [post["id"] for post in socket.posts()] == wanted
    cluster.until_green()
