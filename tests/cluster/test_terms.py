"""Several masters at once: who is master is a property of each write (decision 0036).

Three nodes around the real pool, prober, terms and mesh, one virtual clock. Replicas are promoted while the old master
lives or dies; the ways to the new one open node by node, or for a part of the new connections only, or at once. Meanwhile
messages are lost, links between two nodes are cut, relays, workers and nodes are frozen and begin anew. Leaving out one
of the guards must make seeds fail.

1. No write is acknowledged by a master after one of a later master was.
2. No read is answered by a former master 2.5 s after that, by a node whose processes run.
3. A server bears its own mark, or that of whom it followed.
4. In the end, when everything is well and all ways lead to the last master, all nodes acknowledge there.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cluster.peers import terms as agreement
from cluster.peers.mesh import Mesh
from cluster.peers.outputs import Output
from cluster.peers.terms import Terms, share
from db.drivers import Facts
from db.model import board
from db.model.board import LocalBoard, Term
from db.model.errors import DatabaseError
from db.pool import generation, prober, terms
from db.pool.pool import Database
from db.pool.prober import Prober
from tests.cluster.simdb import now_ns, now_s
from tests.cluster.simmasters import Master, MasterConnection, MastersDriver, MastersSettings, Servers
from tests.cluster.simnet import LoopClock, Network, SimNode
from tests.rig import virtual
from tests.rig.scale import for_each_seed, scale

NODES = ["n0", "n1", "n2"]
LENGTH_S = 30.0
END_S = 12.0
READ_S = 2.5


class Broken(Exception):
    """One of the promises above."""


class Member(SimNode):
    """A relay's end of the bus."""

    def __init__(self, mesh: Mesh, node: "Node") -> None:
        super().__init__(mesh, per_tick=node.cluster.chance.randint(4, 30))
        self._node = node

    def exchange(self, now: float) -> None:
        """See `SimNode`."""
        share(self.mesh, self._node.board, now)

    def take(self, output: Output, now: float) -> None:
        """See `SimNode`."""


class Process:
    """A process of a node: it can be frozen and killed."""

    def __init__(self, cluster: "Cluster", node: "Node") -> None:
        self.cluster = cluster
        self.node = node
        self.runs = asyncio.Event()
        self.runs.set()
        self.tasks: list[asyncio.Task[None]] = []
        driver = MastersDriver(cluster.servers, node.node_id, self.trip)
        self.database = Database(MastersSettings("", driver_of=driver), board=node.board)

    async def trip(self) -> None:
        """Half of a round trip; the process must be running to go on."""
        kind = self.cluster.chance.random()
        await asyncio.sleep(0.002 if kind < 0.95 else self.cluster.chance.uniform(0.0, 0.5))
        if not self.runs.is_set():
            await self.runs.wait()

    def kill(self) -> None:
        """kill -9."""
        for task in [*self.tasks, *self.database._tasks]:
            task.cancel()


class Relay(Process):
    """Probes, and takes part in the cluster."""

    def __init__(self, cluster: "Cluster", node: "Node") -> None:
        super().__init__(cluster, node)
        self.tasks.append(cluster.start(self._serve()))

    async def _serve(self) -> None:
        self.tasks.append(self.cluster.start(Prober(self.database, self.node.board).run()))
        while True:
            try:
                await self.database.position()  # it enrols
                break
            except DatabaseError:
                await asyncio.sleep(0.5)
        self.cluster.network.start(self.node.node_id)

    def kill(self) -> None:
        """See `Process`."""
        super().kill()
        self.cluster.network.stop(self.node.node_id)


class Worker(Process):
    """Writes and reads for clients."""

    def __init__(self, cluster: "Cluster", node: "Node") -> None:
        super().__init__(cluster, node)
        self.database.terms.among_nodes = True
        self.tasks.append(cluster.start(self._write_for_ever()))
        self.tasks.append(cluster.start(self._read_for_ever()))
        self.tasks.append(cluster.start(self._beat()))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            if self.runs.is_set():
                self.database.current()

    async def _write_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.cluster.chance.expovariate(3))
            if not self.runs.is_set():
                await self.runs.wait()
            try:
                place = await self.database.execute("write")
            except DatabaseError:
                continue
            self.cluster.acknowledged(self.node, place)

    async def _read_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.cluster.chance.expovariate(2))
            if not self.runs.is_set():
                await self.runs.wait()
            try:
                rows = await self.database.fetch("read")
            except DatabaseError:
                continue
            self.cluster.answered(self.node, rows[0][0])


class Node:
    """A relay and two workers around one board."""

    def __init__(self, cluster: "Cluster", node_id: str) -> None:
        self.cluster = cluster
        self.node_id = node_id
        self.board = LocalBoard()
        self.relay: Relay | None = None
        self.workers: list[Worker] = []

    @property
    def well(self) -> bool:
        """Whether its relay runs and hears its peers."""
        member = self.cluster.network.nodes.get(self.node_id)
        return member is not None and member.frozen_until <= now_s() and member.mesh.listens(now_s())  # which it notes

    def start(self) -> None:
        """Begin with empty memory."""
        self.board = LocalBoard()
        self.relay = Relay(self.cluster, self)
        self.workers = [Worker(self.cluster, self) for _ in range(2)]

    def kill(self) -> None:
        """kill -9, all of it."""
        for one in self.processes:
            one.kill()
        self.relay, self.workers = None, []

    @property
    def processes(self) -> list[Process]:
        """Those that live."""
        return [*([] if self.relay is None else [self.relay]), *self.workers]


class Cluster:
    """All of it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.servers = Servers(chance, NODES)
        self.nodes = {node_id: Node(self, node_id) for node_id in NODES}
        drop = chance.choice([0.0, 0.1, 0.3])
        self.network: Network[Member] = Network(
            chance, NODES, LoopClock(), lambda mesh: Member(mesh, self.nodes[mesh.node_id]), drop=drop, tick_s=0.1
        )
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.latest: tuple[int, float] = (0, now_s())
        """The last master that acknowledged a write, and when it first did."""
        self.acks: dict[str, tuple[int, float]] = {}

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let it run; its failure is that of the simulation."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._look_at)
        return task

    def _look_at(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._ended.done():
            self._ended.set_exception(error)

    def acknowledged(self, node: Node, place: int) -> None:
        """A client has its answer."""
        if place < self.latest[0]:
            raise Broken(f"{node.node_id} acknowledged on master {place} after one on {self.latest[0]} was")
        if place > self.latest[0]:
            self.latest = (place, now_s())
        self.acks[node.node_id] = (place, now_s())

    def answered(self, node: Node, place: int) -> None:
        """A client has read."""
        latest, since = self.latest
        if place < latest and now_s() - since > READ_S and node.well:
            raise Broken(f"{node.node_id} read from master {place} long after {latest} acknowledged")

    async def run(self) -> int:
        """How many masters there were. Raises Broken."""
        for node in self.nodes.values():
            node.start()
        tasks = [self.start(self._promote_for_ever()), self.start(self._break_for_ever())]
        await asyncio.wait([self._ended], timeout=LENGTH_S)
        for task in tasks:
            task.cancel()
        await self._mend()
        await asyncio.wait([self._ended], timeout=END_S)
        if self._ended.done():
            self._ended.result()
        last = self.servers.newest.place
        for node_id in NODES:
            place, at = self.acks.get(node_id, (-1, 0.0))
            if place != last or now_s() - at > END_S / 2:
                raise Broken(f"{node_id} does not acknowledge on the last master")
        return last + 1

    async def _mend(self) -> None:
        self.network.heal()
        for node in self.nodes.values():
            for one in node.processes:
                one.runs.set()
            self.servers.routes[node.node_id] = [self.servers.newest]
            if node.relay is None:
                node.kill()
                node.start()
        await asyncio.sleep(1.0)
        for one in self.chance.choice(list(self.nodes.values())).processes:  # connections of one node are enough
            one.database.generation.master.forget()  # type: ignore[attr-defined]

    # Masters -------------------------------------------------------------------------------------------------------

    async def _promote_for_ever(self) -> None:
        chance, servers = self.chance, self.servers
        await asyncio.sleep(chance.uniform(3.0, 6.0))
        while True:
            before = servers.newest
            if before.marked:
                new = servers.promote()
                if chance.random() < 0.3:
                    before.up = False
                await self._lead(new)
            await asyncio.sleep(chance.uniform(2.0, 12.0))
            for one in servers.all:
                self._look_at_mark(one)

    async def _lead(self, new: Master) -> None:
        """Ways to it open; connections that are open stay where they are."""
        chance, routes = self.chance, self.servers.routes
        kind = chance.choice(["all", "one by one", "some connections"])
        for node_id in chance.sample(NODES, len(NODES)):
            if kind == "some connections":
                routes[node_id] = [routes[node_id][-1], new]
            else:
                routes[node_id] = [new]
                if kind == "one by one":
                    await asyncio.sleep(chance.uniform(0.0, 5.0))
            if chance.random() < 0.5:  # single connections break: of workers, or of the prober
                for one in self.nodes[node_id].processes:
                    if chance.random() < 0.3:
                        one.database.generation.master.forget(1)  # type: ignore[attr-defined]

    def _look_at_mark(self, master: Master) -> None:
        _, _, who = master.mark.partition(" ")
        known = [f"{one.server}/{one.timeline}" for one in self.servers.all[: master.place + 1]]
        if who and who not in known:
            raise Broken(f"master {master.place} bears the mark of a later one: {master.mark}")

    # Faults --------------------------------------------------------------------------------------------------------

    async def _break_for_ever(self) -> None:
        chance = self.chance
        faults = [self._freeze, self._freeze, self._cut, self._restart_relay, self._restart_worker, self._restart]
        while True:
            await asyncio.sleep(chance.uniform(0.2, 5.0))
            await chance.choice(faults)(chance.choice(list(self.nodes.values())))

    async def _freeze(self, node: Node) -> None:
        processes: list[Process] = list(node.processes)
        if self.chance.random() < 0.6:
            processes = self.chance.sample(processes, 1)
        seconds = self.chance.uniform(0.5, 7.0)
        for one in processes:
            one.runs.clear()
            if one is node.relay:
                self.network.freeze(node.node_id, seconds)
        await asyncio.sleep(seconds)
        self.chance.shuffle(processes)  # who wakes first may act first
        for one in processes:
            one.runs.set()

    async def _cut(self, _: Node) -> None:
        a, b = self.chance.sample(NODES, 2)
        self.network.cut(a, b)
        if self.chance.random() < 0.5:
            self.network.cut(b, a)
        await asyncio.sleep(self.chance.uniform(0.1, 8.0))
        self.network.heal()

    async def _restart_relay(self, node: Node) -> None:
        if node.relay is not None:
            node.relay.kill()
            node.relay = None
            await asyncio.sleep(self.chance.uniform(0.1, 2.0))
            node.relay = Relay(self, node)

    async def _restart_worker(self, node: Node) -> None:
        node.workers.pop(0).kill()
        node.workers.append(Worker(self, node))

    async def _restart(self, node: Node) -> None:
        node.kill()
        await asyncio.sleep(self.chance.uniform(0.1, 6.0))
        node.start()


@pytest.fixture(autouse=True)
def virtual_time(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for module in (board, generation, prober):
        monkeypatch.setattr(module, "boottime_ns", now_ns)
    for module in (generation, prober):
        monkeypatch.setattr(module, "driver_of", lambda settings: settings.driver_of)
    for name in ("db", "cluster"):
        caplog.set_level(logging.CRITICAL, name)


def _live(chance: random.Random) -> int:
    async def live() -> int:
        return await Cluster(chance).run()

    return virtual.run(live())


def test_no_master_acknowledges_after_a_later_one_did() -> None:
    masters = for_each_seed(scale(40, 10_000), _live)
    assert sum(masters) > 2 * len(masters), "hardly anything was promoted: the test shows nothing"


def _no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms.Terms, "check", lambda *_: None)


def _no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms.Terms, "_agreed", lambda _: True)


def _nobody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Terms, "hear", lambda *_: None)
    monkeypatch.setattr(Terms, "said", lambda self, _: self.known)


def _nobody_confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Terms, "said", lambda self, _: self.known)


def _deaf_nodes_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "LISTENED_NS", 1 << 62)


def _who_slept_heard_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "WAKE_S", 0.0)
    monkeypatch.setattr("cluster.peers.mesh.WAKE_S", 0.0)


def _joining_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mesh, "listens", lambda *_: True)


def _copies_count_as_their_original(monkeypatch: pytest.MonkeyPatch) -> None:
    def term(facts: Facts) -> Term:
        number = facts.marker.partition(" ")[0]
        return Term(int(number) if number else 0, facts.timeline)

    monkeypatch.setattr(Facts, "term", property(term))


def _connections_carry_no_term(monkeypatch: pytest.MonkeyPatch) -> None:
    last = property(lambda _: Term(1 << 31, 0), lambda *_: None)
    monkeypatch.setattr(MasterConnection, "term", last, raising=False)
    monkeypatch.setattr(Database, "current", lambda self: self.generation)


@pytest.mark.parametrize(
    "leave_out",
    [
        _no_check,
        _no_agreement,
        _nobody_tells,
        _nobody_confirms,
        _deaf_nodes_go_on,
        _who_slept_heard_all,
        _joining_counts,
        _copies_count_as_their_original,
        _connections_carry_no_term,
    ],
    ids=lambda one: one.__name__.strip("_"),
)
def test_without_a_guard_a_former_master_acknowledges(
    leave_out: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out(monkeypatch)
    for seed in range(scale(100, 400)):
        try:
            _live(random.Random(seed))
        except Broken:
            return
    pytest.fail("nothing was found: the simulation would not notice either")
