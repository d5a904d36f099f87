"""Simulated nodes: a relay and workers around the real pool, prober, follower, caches and mesh."""

import asyncio
import random
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Protocol

from cluster.bus.changes import Learner, Teller
from cluster.bus.envelope import Class, Kind
from cluster.peers.membership import Liveness
from cluster.peers.mesh import Mesh
from cluster.peers.outputs import Deliver, Lost, Output, Through
from cluster.peers.quiet import Quiet, Witness, witnesses
from cluster.peers.terms import share
from db.model.board import Term, fence_open
from db.model.errors import DatabaseError, Unavailable
from db.model.shards import Shard, shard
from db.pool.cache import Cache, Registry
from db.pool.pool import Database
from db.pool.prober import Prober
from db.pool.queryable import Commits, RowShards
from db.sql.outbox import Cursor, Follower, Outbox
from tests.cluster.simdb import (
    BOUND_S,
    MASTER,
    REPLICAS,
    Servers,
    SimCursor,
    SimDriver,
    SimSettings,
    Value,
    now_ns,
    now_s,
)
from tests.cluster.simguards import HastyFollower, Shared
from tests.cluster.simnet import Network, SimNode

IPC_S = 0.0002
_LOOK_S = 0.25
_RETRY_S = 0.5


class Killed(Exception):
    """A process died here."""


class World(Protocol):
    """What nodes live in. without: the guards left out."""

    chance: random.Random
    servers: Servers
    network: Network["Member"]
    without: frozenset[str]
    severed: set[str]
    """Nodes that do not reach the servers."""
    promised: dict[str, int]
    nodes: list["Node"]

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let it run; its failure is that of the simulation."""

    def calm(self) -> bool:
        """Whether everything was well for some seconds."""


class Process:
    """A process of a node: it can be frozen and killed. number: its place in the shared memory."""

    def __init__(self, world: World, node: "Node", number: int) -> None:
        self.world = world
        self.node = node
        self.runs = asyncio.Event()
        self.runs.set()
        self._tasks: list[asyncio.Task[None]] = []
        driver = SimDriver(world.servers, self.trip, tell_term="term" not in world.without)
        self.database = Database(
            SimSettings(MASTER, replicas=REPLICAS, driver_of=driver),
            floors=node.shared.column(number),
            stamps=node.shared.stamps,
            board=node.shared.board,
        )

    async def trip(self) -> None:
        """Half of a round trip; then the process must be running to go on. Raises Unavailable."""
        if self.node.node_id in self.world.severed:
            await asyncio.sleep(0.05)
            raise Unavailable("no way")
        kind = self.world.chance.random()
        await asyncio.sleep(0.001 if kind < 0.97 else self.world.chance.uniform(0.0, 1.5))
        if not self.runs.is_set():
            await self.runs.wait()
        if kind > 0.998:
            raise Unavailable("gone")

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let it run as long as the process."""
        self._tasks.append(self.world.start(work))

    def kill(self) -> None:
        """kill -9."""
        for task in [*self._tasks, *self.database._tasks]:
            task.cancel()

    async def open(self) -> None:
        """As `Worker.open_database` does."""
        while True:
            try:
                await self.database.take_floor()
                return
            except Unavailable:
                await asyncio.sleep(_RETRY_S)


class SimulatedOutbox(Outbox):
    """The real one with another cursor."""

    blind = trusting = False

    def _begin(self) -> Cursor:
        return SimCursor(blind=self.blind, trusting=self.trusting)


class Member(SimNode):
    """The relay's end of the bus between nodes: what `Interlink` hands to `Relay`."""

    def __init__(self, mesh: Mesh, node: "Node") -> None:
        super().__init__(mesh)
        self._node = node

    def renew(self, now: float) -> None:
        """See `SimNode`."""
        self.mesh.may_serve(self._node.polled_at)
        relay = self._node.relay
        self.mesh.about.has_master = relay is not None and relay.has_master

    def exchange(self, now: float) -> None:
        """See `SimNode`."""
        share(self.mesh, self._node.shared.board, now)

    def take(self, output: Output, now: float) -> None:
        """See `SimNode`."""
        relay = self._node.relay
        assert relay is not None
        match output:
            case Deliver():
                relay.learner.take(output.envelope, output.body)
            case Lost():
                relay.learner.forget(output.reason)
            case Through():
                name, _, life = output.worker.rpartition("/")
                worker = self._node.workers.get(name)
                if worker is not None and str(worker.life) == life:
                    asyncio.get_running_loop().call_later(IPC_S, worker.teller.through, output.ticket)


class Relay(Process):
    """As `RelayWorker` and `Relay`."""

    def __init__(self, world: World, node: "Node") -> None:
        super().__init__(world, node, 0)
        self.follower = (HastyFollower if "begin" in world.without else Follower)(self.database)
        log = SimulatedOutbox(self.database)
        log.blind = "outbox" in world.without
        log.trusting = "unseen" in world.without
        log.forget()
        self.follower._outbox = log
        self.learner = Learner(self.database, self.follower.distrust)
        self.degraded_at = float("-inf")
        """When reads last went on without a master."""
        self.start(self._serve())

    async def _serve(self) -> None:
        await self.open()
        self._prober = Prober(self.database, self.node.shared.board)
        self.start(self._prober.run())
        self.start(self._look())
        self.start(self.follower.run())
        while True:
            try:
                await self.database.position()  # it enrols
                break
            except DatabaseError:
                await asyncio.sleep(_RETRY_S)
        self.world.network.start(self.node.node_id)

    @property
    def has_master(self) -> bool:
        """See `Condition`."""
        return self._prober.master is not None and not self.node.shared.board.master_lost()

    async def _look(self) -> None:
        """As `Condition`."""
        quiet, board = Quiet(), self.node.shared.board
        while True:
            await asyncio.sleep(_LOOK_S)
            if not self.runs.is_set():
                await self.runs.wait()
            member = self.world.network.nodes.get(self.node.node_id)
            if member is None or not member.mesh.joined:
                continue
            since = quiet.look(
                now_s(),
                lost=not self.has_master and self.follower.polls > 0 and self.follower.trusted,
                polled_at=self.follower.applied_ns / 1e9,
                peers=self._witnesses(member.mesh),
                stranger_at=float("-inf"),
                most_s=600.0,
            )
            if since is not None:
                board.set_polled(max(board.polled_ns(), int(since * 1e9)))
                self.degraded_at = now_s()

    def may_lack(self, key: str) -> bool:
        """Whether reads that go on without a master may lack what nobody told of before the master was lost."""
        if now_s() - self.degraded_at > BOUND_S:
            return False
        return any(at >= self.follower.applied_ns / 1e9 for at in self.world.servers.unheard[key].values())

    def _witnesses(self, mesh: Mesh) -> list[Witness]:
        found = witnesses(mesh, ())
        if "whole" in self.world.without:
            found = [replace(one, whole_at=0.0) for one in found]
        if "left" in self.world.without:
            found = [one for one in found if one.liveness is not Liveness.LEFT]
        return [one for one in found if one.liveness is not Liveness.DOWN] if "quiet" in self.world.without else found

    def leave(self) -> None:
        """Say good-bye."""
        member = self.world.network.nodes.get(self.node.node_id)
        if member is not None:
            member.mesh.leave()
            self.world.network.settle(self.node.node_id)

    def kill(self) -> None:
        """See `Process`."""
        super().kill()
        self.world.network.stop(self.node.node_id)

    def told(self, worker: str, seq: int, body: bytes, db_gen: str, position: str) -> None:
        """A commit of a worker: see `Interlink.changed`."""
        node_id, network = self.node.node_id, self.world.network
        member = network.nodes.get(node_id)
        if member is None:
            return
        if not self.runs.is_set():
            member.inbox.append(lambda: self.told(worker, seq, body, db_gen, position))
            return
        mesh, now = member.mesh, network.now
        number = mesh.publish(Kind.CHANGED, Class.RELIABLE, body, now, db_gen=db_gen, position=position)
        mesh.wait_for_all(number, worker, seq, now)
        network.settle(node_id)


class Worker(Process, Commits):
    """A process with caches: one that knows by the key what a copy depends on, one that learns it from the row."""

    def __init__(self, world: World, node: "Node", number: int, life: int) -> None:
        super().__init__(world, node, number)
        self.name = f"api{number}"
        self.life = life
        self.teller = Teller(self._tell)
        if "barrier" in world.without:
            self.teller.limit_s = 0
        self.database.commits = self
        self._seq = 0
        self._late: dict[str, float] = {}
        """When replicas answered last that have no master, as late as they are (decision 0012): by key."""
        self.registry = Registry(node.shared.stamps, node.shared.board, now_ns)
        self.caches: list[Cache[str, Value]] = [
            self.registry.declare("on", self._read_on, on=lambda key: (shard("x", key),), capacity=4)
        ]
        if "token" not in world.without:
            self.caches.append(
                self.registry.declare(
                    "of", self._read_of, on=lambda _: (), of=lambda value: (shard("x", value[0]),), capacity=4
                )
            )
        self.start(self._serve())

    async def _serve(self) -> None:
        await self.open()
        self.start(self._read_for_ever())
        self.start(self._write_for_ever())

    async def _read_on(self, key: str) -> Value | None:
        return await self._read(key, (shard("x", key),), lambda _: ())

    async def _read_of(self, key: str) -> Value | None:
        return await self._read(key, (), lambda row: (shard("x", row[0]),))

    async def _read(self, key: str, on: Sequence[Shard], of: RowShards) -> Value | None:
        board = self.node.shared.board
        without_master = (
            not fence_open(board.polled_ns(), now_ns()) and board.master_lost() and self.world.servers.lost()
        )
        row = await self.database.fetch_one("", (key,), on=on, of=of)
        if without_master:
            self._late[key] = now_s()
        return None if row is None else (row[0], row[1])

    async def ask(self, key: str) -> None:
        """A client reads. Raises Stale."""
        if not self.runs.is_set():
            await self.runs.wait()
        node, world = self.node, self.world
        asked, own = now_s(), node.acknowledged[key]
        anywhere = world.promised[key] if node.serves else 0
        may_lack = node.relay is not None and node.relay.may_lack(key)
        try:
            value = await world.chance.choice(self.caches).get(key)
        except DatabaseError:
            return
        assert value is not None
        try:
            bounded = self._late.get(key, 0.0) < asked and not may_lack
            world.servers.truth[key].check(value, asked, own, anywhere, bounded=bounded)
        except Exception as error:
            error.add_note(f"read on {node.node_id}, asked at {asked:.3f}, answered at {now_s():.3f}")
            raise

    async def _read_for_ever(self) -> None:
        chance = self.world.chance
        keys = list(self.world.servers.truth)
        while True:
            await asyncio.sleep(chance.expovariate(4))
            await self.ask(chance.choice(keys))

    async def _write_for_ever(self) -> None:
        chance, servers = self.world.chance, self.world.servers
        keys = list(servers.truth)
        while True:
            await asyncio.sleep(chance.uniform(0.2, 3.0))
            if not self.runs.is_set():
                await self.runs.wait()
            key = chance.choices(keys, (8, 4, 1, 0.2))[0]
            if chance.random() < 0.1:
                if servers.up:
                    servers.commit(key)  # somebody with psql; or a process that died when it was committed
                continue
            if await self._write(key) and chance.random() < 0.5:
                others = [one for node in self.world.nodes if node is not self.node for one in node.workers.values()]
                if others:
                    await chance.choice(others).ask(key)

    async def _write(self, key: str) -> bool:
        """Whether it was acknowledged."""
        world, node = self.world, self.node
        well, misses = world.calm() and node.serves, self.teller.misses
        try:
            place = await self.database.execute("", (key,), changes=(shard("x", key),))
        except (DatabaseError, Killed):
            return False
        if not self.runs.is_set():
            await self.runs.wait()
        node.acknowledged[key] = max(node.acknowledged[key], place)
        world.servers.unheard[key].pop(place, None)
        if well and world.calm() and node.serves and self.teller.misses == misses:
            world.promised[key] = max(world.promised[key], place)
        return True

    @property
    def wants_position(self) -> bool:
        """See `Commits`."""
        return self.teller.wants_position

    async def committed(self, changed: Collection[Shard], position: int, term: Term) -> None:
        """See `Commits`."""
        if self.world.chance.random() < 0.05:
            raise Killed
        await self.teller.committed(changed, position, term)

    def _tell(self, body: bytes, db_gen: str, position: str) -> int:
        self._seq += 1
        relay = self.node.relay
        if relay is not None:
            name = f"{self.name}/{self.life}"
            asyncio.get_running_loop().call_later(IPC_S, relay.told, name, self._seq, body, db_gen, position)
        return self._seq


class Node:
    """A relay and some workers."""

    def __init__(self, world: World, node_id: str, workers: int) -> None:
        self.world = world
        self.node_id = node_id
        self.acknowledged = dict.fromkeys(world.servers.truth, 0)
        self.shared = Shared(world.without)
        self.relay: Relay | None = None
        self.workers: dict[str, Worker] = {}
        self.hits = self.reads = 0
        self._size = workers
        self._lives = 0

    @property
    def serves(self) -> bool:
        """Whether it is given requests: see `RelayWorker._renew`."""
        member = self.world.network.nodes.get(self.node_id)
        if member is None:
            return False
        return member.mesh.joined if "joining" in self.world.without else member.mesh.ready

    @property
    def polled_at(self) -> float:
        """When the last applied poll of the outbox was sent."""
        return self.shared.board.polled_ns() / 1e9

    def start(self) -> None:
        """Begin with empty memory."""
        self.shared = Shared(self.world.without)
        self.start_relay()
        for number in range(1, 1 + self._size):
            self.start_worker(number)

    def start_relay(self) -> None:
        """Begin, or begin anew."""
        if self.relay is not None:
            self.relay.kill()
        self.relay = Relay(self.world, self)

    def start_worker(self, number: int) -> None:
        """Begin, or begin anew."""
        name = f"api{number}"
        if name in self.workers:
            self._end(self.workers[name])
        self._lives += 1
        self.workers[name] = Worker(self.world, self, number, self._lives)

    def kill(self) -> None:
        """kill -9, all of it."""
        if self.relay is not None:
            self.relay.kill()
            self.relay = None
        for worker in self.workers.values():
            self._end(worker)
        self.workers.clear()

    def count(self) -> None:
        """Add up what the caches did."""
        for worker in self.workers.values():
            self._count(worker)

    def _end(self, worker: Worker) -> None:
        worker.kill()
        self._count(worker)

    def _count(self, worker: Worker) -> None:
        for one in worker.registry.figures().values():
            self.hits += one["hits"]
            self.reads += one["hits"] + one["misses"]
