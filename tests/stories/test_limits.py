"""Three real nodes with rate limits: one budget, whichever node and worker a client asks."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from tests.plugins.resources import uses
from tests.rig.cluster import Cluster
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import Rest
from tests.rig.scale import scale
from tests.rig.wait import until

# What the nodes admit in the few ms before they hear of each other is owed: a test lasts until a burst is paid back.
PER_SEC, BURST, CLIENTS_OWN_ADDRESS = 40, 100, "X-Who"
LIMITS = {
    "RateLimitSettings": {
        "Enable": True,
        "PerSec": PER_SEC,
        "MaxBurst": BURST,
        "VaryByRemoteAddr": False,
        "VaryByHeader": CLIENTS_OWN_ADDRESS,
    }
}
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
@uses("postgres")
def servers() -> Iterator[PgCluster]:
    """One server is enough."""
    with PgCluster(0) as cluster:
        yield cluster


@pytest.fixture(scope="module")
@uses("node", "namespaces")
def cluster(servers: PgCluster) -> Iterator[Cluster]:
    """Three nodes of two api workers."""
    with Cluster(servers, workers=2, config=LIMITS) as cluster:
        yield cluster


async def _ask(host: str, port: int, who: str, until_s: float, pause_s: float, seen: Counter[int]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    request = f"GET /api/v4/users/me HTTP/1.1\r\nHost: node\r\n{CLIENTS_OWN_ADDRESS}: {who}\r\n\r\n".encode()
    try:
        while time.monotonic() < until_s:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            start = lower.index(b"content-length:") + 15
            await reader.readexactly(int(lower[start : lower.index(b"\r\n", start)]))
            seen[int(head[9:12])] += 1
            await asyncio.sleep(pause_s)
    finally:
        writer.close()


def _spray(urls: Sequence[str], seconds: float, pause_s: float, connections: int = 4) -> Counter[int]:
    """Statuses that one client gets by as many connections to each node."""
    seen: Counter[int] = Counter()
    who = f"client{next(_NUMBERS)}"
    until_s = time.monotonic() + seconds

    async def spray() -> None:
        places = [url.removeprefix("http://").rpartition(":") for url in urls]
        await asyncio.gather(
            *(_ask(host, int(port), who, until_s, pause_s, seen) for host, _, port in places * connections)
        )

    asyncio.run(spray())
    return seen


@pytest.mark.parametrize("pause_s", [0.0, 0.03])
def test_a_client_that_sprays_over_all_nodes_gets_one_budget(cluster: Cluster, pause_s: float) -> None:
    seconds = scale(5, 20)
    seen = _spray([node.url for node in cluster.nodes], seconds, pause_s)
    budget = BURST + 1 + PER_SEC * seconds
    assert set(seen) == {401, 429}
    assert seen.total() >= 2 * budget, "it hardly asked for more than there is"
    assert 0.9 * budget <= seen[401] <= 1.1 * budget, seen


def test_a_cut_off_node_limits_on_its_own(cluster: Cluster) -> None:
    seconds = 3
    budget = BURST + 1 + PER_SEC * seconds
    cluster.isolate(2)
    try:
        seen = _spray([node.url for node in cluster.nodes], seconds, 0.01)
    finally:
        cluster.heal()
    assert 2 * 0.9 * budget <= seen[401] <= 2 * 1.1 * budget, seen
    cluster.until_green()


def test_a_node_that_was_started_anew_and_relays_that_were_take_part_again(cluster: Cluster) -> None:
    cluster.restart(1)
    cluster.nodes[0].wait_replaced("relay", cluster.kill_child(0, "relay"))
    cluster.until_green()
    seconds = 5
    budget = BURST + 1 + PER_SEC * seconds
    seen = _spray([node.url for node in cluster.nodes], seconds, 0.01)
    assert 0.9 * budget <= seen[401] <= 1.1 * budget, seen


def test_limits_that_differ_between_nodes_show(cluster: Cluster) -> None:
    cluster.restart(0, config={"RateLimitSettings": {**LIMITS["RateLimitSettings"], "PerSec": PER_SEC + 1}})
    admin: Rest = cluster.client(cluster.admin, 1)

    def differs() -> bool:
        members = admin.get("/cluster/status")
        return any("RateLimitSettings" in one["config_mismatch"] for one in members)

    try:
        until(differs, 15)
    finally:
        admin.close()
        cluster.restart(0, config={})
        cluster.until_green()
