"""Nine clients and eight writers on three nodes of which some part dies, freezes or is cut off every few seconds."""

import random
import time
from collections.abc import Iterator

import pytest

from tests.plugins.resources import uses
from tests.rig.cluster import Cluster
from tests.rig.follower import Follower
from tests.rig.lateness import within
from tests.rig.load import Load, assert_exactly_once
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.scale import scale
from tests.rig.wait import until

LATE_S = 2.5
FAULTS = ("blip", "ws0", "api0", "relay", "node", "freeze", "cut")


@pytest.fixture(scope="module")
@uses("node", "namespaces")
def cluster() -> Iterator[Cluster]:
    """Three nodes over a master and a replica."""
    with PgCluster(1) as servers, Cluster(servers, workers=2) as cluster:
        yield cluster


def test_every_client_has_every_post_once_and_in_order_whatever_dies(cluster: Cluster) -> None:
    chance = random.Random(7)
    people = [new_user(cluster.nodes[0].url) for _ in range(9)]
    team = new_team(people[0], *people[1:])
    channels = [str(new_channel(people[0], team, *people[1:])["id"]) for _ in range(3)]
    followers = [
        Follower([cluster.client(who, at) for at in range(3)], place, channels) for place, who in enumerate(people)
    ]
    until(lambda: all(one.live.is_set() for one in followers), 20, "nine sockets")
    writers = [(cluster.client(who, place % 3), channels[place % 3]) for place, who in enumerate(people[:8])]
    wanted, round_ = scale(400, 10_000), 0
    began: list[tuple[float, str]] = []
    try:
        with Load(writers, pause_s=0.02) as load:
            while len(load.acknowledged) < wanted or round_ < len(FAULTS):
                load.expect_more(scale(20, 100), 60)
                fault = FAULTS[round_ % len(FAULTS)]
                began.append((time.time(), fault))
                if fault == "blip":
                    for one in followers[::3]:
                        one.break_off()
                else:
                    _break(cluster, fault, chance.randrange(3))
                round_ += 1
            load.expect_more(50, 60)
        acknowledged = {one.post_id for one in load.acknowledged}
        until(lambda: all(acknowledged <= _known(one) for one in followers), 30, "every post at every client")
        for _ in range(10):  # faults and load may have let no connection go on: where nothing else is broken, they do
            if sum(one.resumed for one in followers) > 0:
                break
            for one in followers:
                one.break_off()
            time.sleep(2)
    finally:
        for one in followers:
            one.close()
    assert [one.faults for one in followers] == [[]] * 9
    assert_exactly_once(lambda query, *_: cluster.sql(query), load)
    for channel_id in channels:
        rows = cluster.sql(f"SELECT id FROM posts WHERE channel_id = '{channel_id}' ORDER BY seq")
        order = [row[0] for row in rows]
        for number, one in enumerate(followers):
            known = [order.index(post_id) for post_id in one.posts[channel_id]]
            assert known == list(range(known[0], len(order))), (number, known)
    delays = sorted(delay for one in followers for delay in one.delays)
    resumed, begun = sum(one.resumed for one in followers), sum(one.begun for one in followers)
    assert resumed
    print(
        f"{len(acknowledged)} posts, {round_} faults, {load.retries} retries; {len(delays)} deliveries on open sockets,"
        f" p50 {delays[len(delays) // 2][0] * 1000:.0f} ms, p99 {delays[len(delays) * 99 // 100][0] * 1000:.0f} ms;"
        f" {resumed} times a connection went on, {begun} times one was new"
    )
    for name in FAULTS:
        under = [delay for delay, made in delays if _fault_at(began, made) == name]
        print(f"{name}: {len(under)} deliveries, the latest after {max(under, default=0.0):.2f} s")
    wall = time.time() - time.monotonic()
    late = [
        (delay, _fault_at(began, made))
        for delay, made in delays
        if delay > LATE_S and not within(LATE_S, since=made - wall, until=made - wall + delay)
    ]
    assert late == []


def _fault_at(began: list[tuple[float, str]], made: float) -> str:
    """The last fault that had begun."""
    return next((name for at, name in reversed(began) if at <= made), "")


def _known(follower: Follower) -> set[str]:
    return {one for ids in follower.posts.values() for one in ids}


def _break(cluster: Cluster, fault: str, place: int) -> None:
    """One fault, and its end."""
    node = cluster.nodes[place]
    if fault == "cut":
        cluster.cut(place, (place + 1) % 3)
        time.sleep(3.0)
        cluster.heal()
    elif fault == "freeze":
        with cluster.frozen([node.pid("relay")]):
            time.sleep(2.0)
    elif fault == "node":
        cluster.kill(place)
        time.sleep(1.0)
        node.start()
    else:
        cluster.kill_child(place, fault)
        node.wait_up()
