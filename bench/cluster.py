"""Three nodes: what the bus costs at rest, what the write barrier adds, what reads cost on three nodes against one."""

import asyncio
import itertools
import statistics
import time

from bench.cpu import Meter
from bench.http import request
from bench.load import run
from tests.rig.cluster import Cluster
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import Rest

REST_S = 10.0
WRITES = 600
PACE_S = 0.005
ROUNDS = 3


def _at_rest(node: Node) -> float:
    """Percent of a core that all of a node's processes use while nobody asks for anything."""
    meter = Meter(node)
    time.sleep(REST_S)
    used = meter.used_s()
    return 100 * (used["api"] + used["ws"] + used["relay"]) / REST_S


def _writes(writer: Rest, channel_id: str) -> list[float]:
    """Latencies in ms of posts written one after the other, at most 200 a second."""
    took = []
    for number in range(WRITES):
        began = time.perf_counter()
        writer.write(channel_id, f"post {number}")
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(max(0.0, PACE_S - took[-1] / 1000))
    return took


def _barrier(cluster: Cluster, writer: Rest, channel_id: str) -> dict[int, list[float]]:
    """Latencies by WriteBarrierMs, the rounds of both in turn."""
    found: dict[int, list[float]] = {0: [], 50: []}
    for _, barrier_ms in itertools.product(range(ROUNDS), found):
        for node in cluster.nodes:
            cluster.configure(node, {"ClusterSettings": {"WriteBarrierMs": barrier_ms}})
            node.ask("reload")
        found[barrier_ms] += _writes(writer, channel_id)
    return found


def _reads(nodes: list[Node], token: str, seconds: float = 4.0) -> tuple[float, float]:
    """(ms of CPU for each users/me, requests a second) with load on all of these nodes at once."""

    async def everywhere() -> list[tuple[int, int]]:
        make = request("GET", "/users/me", token)
        return await asyncio.gather(*(run(node.url, lambda: make, connections=16, seconds=seconds) for node in nodes))

    meters = [Meter(node) for node in nodes]
    counts = asyncio.run(everywhere())
    good = sum(one for one, _ in counts)
    assert not sum(bad for _, bad in counts)
    return sum(meter.used_s()["api"] for meter in meters) / good * 1000, good / seconds


def main() -> None:
    """Print a table."""
    with Node(database="embedded", workers=1, ws_workers=1) as alone:
        rest_alone = _at_rest(alone)
    with PgCluster(1) as servers, Cluster(servers) as cluster:
        ann = new_user(cluster.nodes[0].url)
        channel = new_channel(ann, new_team(ann))
        rest = [_at_rest(node) for node in cluster.nodes]
        took = _barrier(cluster, ann, channel["id"])
        one = statistics.median(_reads(cluster.nodes[:1], ann.token)[0] for _ in range(ROUNDS))
        three = statistics.median(_reads(cluster.nodes, ann.token)[0] for _ in range(ROUNDS))
    quantiles = {key: statistics.quantiles(values, n=100) for key, values in took.items()}
    print("| figure | value |\n|---|---|")
    print(f"| a node at rest, alone and one of three | {rest_alone:.2f} %, {statistics.median(rest):.2f} % of a core |")
    for name, at in (("p50", 49), ("p99", 98)):
        without, with_it = quantiles[0][at], quantiles[50][at]
        print(f"| write at 200/s, {name}: without and with the barrier | {without:.2f} ms, {with_it:.2f} ms |")
    print(f"| CPU for each users/me: one node, three nodes at once | {one:.4f} ms, {three:.4f} ms |")
