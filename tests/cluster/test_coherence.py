"""Caches, streams and membership together, in simulated clusters: no read is older than it may be, whatever breaks.

Three nodes of a relay and one or two workers, a master, two replicas that lag, one virtual clock. Faults: lost messages,
cut links (one way or both), nodes, relays, workers and replicas that start anew, frozen relays, workers and nodes,
writers killed between commit and telling, slow queries, a database that is out, failovers that lose the last commits,
changes that no row of the outbox tells of, a node that dies or leaves and starts again on the database's side of a
network that is split.
Leaving out one of the guards must make seeds fail.

1. No read is older than the bound, nor than what its own node acknowledged.
2. What a node acknowledged, when all that serve knew of it and links and processes were well, is never un-read anywhere.
"""

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from cluster.peers.mesh import Mesh
from cluster.peers.ring import Ring
from db.model import board
from db.pool import generation, prober
from db.sql import outbox
from tests.cluster.simdb import Servers, Stale, now_ns, now_s
from tests.cluster.simguards import GUARDS
from tests.cluster.simnet import LoopClock, Network
from tests.cluster.simnodes import Member, Node, Process
from tests.rig import virtual
from tests.rig.scale import for_each_seed, scale

LENGTH_S = 60.0
QUIET_S = 4.0
NODES = ["n0", "n1", "n2"]
KEYS = ("a", "b", "c", "d")


class Cluster:
    """All of it: fulfils `simnodes.World`."""

    def __init__(self, chance: random.Random, without: frozenset[str] = frozenset()) -> None:
        self.chance = chance
        self.without = without
        self.servers = Servers(chance, KEYS)
        self.promised = dict.fromkeys(KEYS, 0)
        self.severed: set[str] = set()
        self.nodes = [Node(self, node_id, chance.randint(1, 2)) for node_id in NODES]
        self._by_id = {node.node_id: node for node in self.nodes}
        drop = chance.choice([0.0, 0.01, 0.1, 0.3])
        self.network: Network[Member] = Network(chance, NODES, LoopClock(), self._member, drop=drop, tick_s=0.1)
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._forgetful = chance.random() < 0.3
        """Whether nodes keep nothing of what they send: what is lost is gone for good."""
        self._troubles = 0
        self._quiet_since = now_s()

    def _member(self, mesh: Mesh) -> Member:
        if self._forgetful:
            mesh.ring = Ring(max_messages=0)
        return Member(mesh, self._by_id[mesh.node_id])

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """See `World`."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._look_at)
        return task

    def _look_at(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._ended.done():
            self._ended.set_exception(error)

    def calm(self) -> bool:
        """See `World`."""
        return not self._troubles and now_s() - self._quiet_since >= QUIET_S

    async def run(self) -> tuple[int, int]:
        """(hits, all reads). Raises Stale."""
        for node in self.nodes:
            node.start()
        self.start(self.servers.live())
        self.start(self._break_for_ever())
        await asyncio.wait([self._ended], timeout=LENGTH_S)
        if self._ended.done():
            self._ended.result()
        for node in self.nodes:
            node.count()
        return sum(node.hits for node in self.nodes), sum(node.reads for node in self.nodes)

    # Faults --------------------------------------------------------------------------------------------------------

    async def _break_for_ever(self) -> None:
        """One after the other, with some time of rest."""
        chance = self.chance
        faults = [
            self._freeze_relay,
            self._freeze_worker,
            self._freeze_node,
            self._cut,
            self._lose_database,
            self._fail_over,
            self._truncate,
            self._restart_relay,
            self._restart_worker,
            self._restart_node,
            self._restart_node,
            self._split,
        ]
        while True:
            await asyncio.sleep(chance.choice([chance.uniform(0.2, 3.0), chance.uniform(3.0, 12.0)]))
            if chance.random() < 0.2:
                await self.servers.restart_replica()
            await chance.choice(faults)(chance.choice(self.nodes))

    async def _trouble(self, work: Coroutine[Any, Any, None]) -> None:
        self._troubles += 1
        await work
        self._troubles -= 1
        self._quiet_since = now_s()

    async def _freeze_relay(self, node: Node) -> None:
        if node.relay is not None:
            await self._trouble(self._freeze([node.relay]))

    async def _freeze_worker(self, node: Node) -> None:
        await self._trouble(self._freeze([self.chance.choice(list(node.workers.values()))]))

    async def _freeze_node(self, node: Node) -> None:
        if node.relay is not None:
            await self._trouble(self._freeze([node.relay, *node.workers.values()]))

    async def _freeze(self, processes: list[Process]) -> None:
        seconds = self.chance.uniform(0.5, 6.0)
        for one in processes:
            one.runs.clear()
            if one is one.node.relay:
                self.network.freeze(one.node.node_id, seconds)
        await asyncio.sleep(seconds)
        self.chance.shuffle(processes)  # who wakes first may act first
        for one in processes:
            one.runs.set()

    async def _cut(self, _: Node) -> None:
        a, b = self.chance.sample(NODES, 2)
        self.network.cut(a, b)
        if self.chance.random() < 0.5:
            self.network.cut(b, a)
        await self._trouble(asyncio.sleep(self.chance.choice([self.chance.uniform(0.1, 6.0), 15.0])))
        self.network.heal()

    async def _lose_database(self, _: Node) -> None:
        await self._trouble(self.servers.go_out())

    async def _split(self, node: Node) -> None:
        await self._trouble(self._split_and_heal(node))

    async def _split_and_heal(self, node: Node) -> None:
        """A node goes; the others lose it and the database; it comes again where the database is."""
        chance = self.chance
        if node.relay is not None and chance.random() < 0.7:
            node.relay.leave()
            await asyncio.sleep(0.1)
        node.kill()
        await asyncio.sleep(chance.uniform(0.0, 6.0))
        for other in NODES:
            if other != node.node_id:
                self.severed.add(other)
                self.network.cut(node.node_id, other)
                self.network.cut(other, node.node_id)
        await asyncio.sleep(chance.uniform(0.0, 3.0))
        node.start()
        await asyncio.sleep(chance.uniform(5.0, 30.0))
        self.severed.clear()
        self.network.heal()

    async def _fail_over(self, _: Node) -> None:
        await self._trouble(self.servers.fail_over())

    async def _truncate(self, _: Node) -> None:
        if self.servers.up:
            self.servers.commit_untold(self.chance.choice(KEYS))

    async def _restart_relay(self, node: Node) -> None:
        if node.relay is not None:
            node.relay.kill()
            node.relay = None
        await asyncio.sleep(self.chance.uniform(0.1, 2.5))
        node.start_relay()

    async def _restart_worker(self, node: Node) -> None:
        node.start_worker(self.chance.randint(1, len(node.workers)))

    async def _restart_node(self, node: Node) -> None:
        node.kill()
        await asyncio.sleep(self.chance.choice([self.chance.uniform(0.1, 2.0), self.chance.uniform(2.0, 6.0)]))
        node.start()


@pytest.fixture(autouse=True)
def virtual_time(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for module in (board, generation, outbox, prober):
        monkeypatch.setattr(module, "boottime_ns", now_ns)
    for module in (generation, prober):
        monkeypatch.setattr(module, "driver_of", lambda settings: settings.driver_of)
    monkeypatch.setattr(prober, "EVERY_S", 0.5)
    for name in ("db", "cluster"):
        caplog.set_level(logging.ERROR, name)


def _live(chance: random.Random, without: frozenset[str] = frozenset()) -> tuple[int, int]:
    async def live() -> tuple[int, int]:
        return await Cluster(chance, without).run()

    return virtual.run(live())


def test_no_read_is_older_than_the_bound_nor_than_what_all_nodes_were_told() -> None:
    figures = for_each_seed(scale(20, 10_000), _live)
    hits, reads = (sum(one) for one in zip(*figures, strict=True))
    assert hits > reads / 4, "the caches hardly served: the test shows nothing"


@pytest.mark.parametrize(("guard", "found"), GUARDS.items())
def test_without_a_guard_stale_reads_are_found(guard: str, found: str) -> None:
    for seed in range(scale(60, 300)):
        try:
            _live(random.Random(seed), frozenset({guard}))
        except Stale as error:
            if found in str(error):
                return
    pytest.fail("no such read was found: the simulation would not notice either")
