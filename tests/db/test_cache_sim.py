"""The real caches, follower and fence in a simulated cluster: no read is older than the bound, whatever breaks.

Two nodes of two workers, a master, replicas that lag; slow queries, writers that are killed between commit and stamp, a
bus that loses messages, polls that fail or take seconds, frozen and restarted relays, frozen workers, paused nodes, and
failovers that lose the last commits. Leaving out one of the guards must make seeds fail.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from typing import Any, cast

import pytest

from db import outbox
from db.board import LocalBoard, fence_open
from db.cache import Cache, Registry
from db.drivers import Facts, Row
from db.errors import Busy, Unavailable
from db.outbox import Follower, Outbox
from db.pool import Database
from db.shards import LocalFloors, LocalStamps, Shard, Tokens, shard
from tests.rig import virtual
from tests.rig.scale import for_each_seed, scale

BOUND_S = 2.5
"""2.0 s, and what the poll's own query may take."""
LENGTH_S = 20.0
KEYS = ("a", "b", "c", "d")
Value = tuple[str, int]
"""Key and a number that no other write has."""


def _now() -> float:
    return asyncio.get_running_loop().time()


def _now_ns() -> int:
    return int(_now() * 1e9)


class Stale(Exception):
    """A stale read was found."""


class Truth:
    """What an object was, when."""

    def __init__(self, key: str) -> None:
        self.values: list[tuple[float, Value]] = [(0.0, (key, 0))]

    def now(self) -> Value:
        return self.values[-1][1]

    def check(self, value: Value, asked: float, least: int) -> None:
        """Raises Stale unless it was true not long before it was asked for, and is what was written or later."""
        ends = [at for at, _ in self.values[1:]] + [float("inf")]
        places = [place for place, (_, one) in enumerate(self.values) if one == value]
        if not places or ends[places[-1]] < asked - BOUND_S:
            late = asked - ends[places[-1]] if places else float("inf")
            raise Stale(f"{value} is {late:.2f} s older than the truth")
        if places[-1] < least:
            raise Stale(f"{value} is older than what the same node acknowledged")


class Servers:
    """A master with its log and two replicas that follow as they like."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.truth = {key: Truth(key) for key in KEYS}
        self.log: list[tuple[int, Value]] = [(0, (key, 0)) for key in KEYS]
        self.position = 0
        self.term = 1
        self.up = self.follow = True
        self.replayed = [0, 0]
        self._number = 0

    def commit(self, key: str) -> tuple[int, int]:
        """Write; position, and place in the truth."""
        self._number += 1
        self.position += self.chance.randint(1, 5)
        self.log.append((self.position, (key, self._number)))
        truth = self.truth[key]
        truth.values.append((_now(), (key, self._number)))
        return self.position, len(truth.values) - 1

    def value(self, key: str, position: int) -> Value:
        """As a server says that has replayed this much."""
        return next(value for at, value in reversed(self.log) if value[0] == key and at <= position)

    async def live(self) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0.01, 0.3))
            for index in range(2):
                if self.follow and self.chance.random() < 0.5:
                    self.replayed[index] = self.chance.randint(self.replayed[index], self.position)

    async def fail_over(self) -> None:
        """The replicas stop following, the master dies, a replica takes over; what it lacks is lost."""
        self.follow = False
        await asyncio.sleep(self.chance.uniform(0.0, 2.0))
        self.up = False
        await asyncio.sleep(self.chance.uniform(0.1, 4.0))
        self.position = max(self.replayed)
        self.log = [entry for entry in self.log if entry[0] <= self.position]
        self.replayed = [self.position, min(self.replayed)]
        for key, truth in self.truth.items():
            if truth.now() != (value := self.value(key, self.position)):
                truth.values.append((_now(), value))
        self.term += 1
        self.up = self.follow = True


class FakeCursor:
    """What a relay has seen of the simulated master's log."""

    def __init__(self) -> None:
        self._seen: int | None = None

    async def poll(self, connection: Any) -> tuple[int, list[Row], list[Row]] | None:
        """See `db.outbox.Cursor`. connection: the node."""
        node, servers = connection, connection.servers
        await node.query(node.relay_runs)
        position, log = servers.position, list(servers.log)
        await node.query(node.relay_runs)
        since, self._seen = self._seen, position
        if since is None:
            return None
        changes = {("x", value[0]) for at, value in log if since < at <= position}
        return position, [] if "outbox" in node.without else list(changes), []


class SimulatedOutbox(Outbox):
    """The real one with another cursor."""

    def _begin(self) -> FakeCursor:
        return FakeCursor()


class Late(tuple[int, ...]):
    """Tokens that are taken when they are first compared: after the read."""

    seen: Tokens | None = None


class LateStamps(LocalStamps):
    """Leaves out the token."""

    def take(self, shards: Sequence[Shard]) -> Tokens:
        return Late(super().take(shards))

    def hold(self, shards: Sequence[Shard], tokens: Tokens) -> bool:
        assert isinstance(tokens, Late)
        if tokens.seen is None:
            tokens.seen = super().take(shards)
        return super().take(shards) == tokens.seen


class NoFloors(LocalFloors):
    """Leaves out the floors."""

    def floor(self, _: Iterable[Shard]) -> int:
        return 0


class OpenBoard(LocalBoard):
    """Leaves out the fence."""

    def polled_ns(self) -> int:
        return _now_ns()


class HastyFollower(Follower):
    """Leaves out that after a first poll nobody knows what changed before it."""

    async def _begin(self) -> None:
        pass


class Node:
    """What the processes of a node share, its relay, and the part of `Database` that cache and follower use."""

    dialect = "postgres"

    def __init__(self, servers: Servers, chance: random.Random, without: frozenset[str]) -> None:
        self.servers = servers
        self.chance = chance
        self.without = without
        self.stamps: LocalStamps = LateStamps() if "token" in without else LocalStamps()
        self.floors: LocalFloors = NoFloors() if "floor" in without else LocalFloors()
        self.board: LocalBoard = OpenBoard() if "fence" in without else LocalBoard()
        self.generation = self.master = self.driver = self
        self.replicas = (0, 1)
        self.acknowledged = dict.fromkeys(KEYS, 0)
        self.relay_runs = asyncio.Event()
        self.relay_runs.set()
        self._relay: asyncio.Task[None] | None = None

    async def query(self, runs: asyncio.Event) -> None:
        """Half of a round trip; then the process must be running to go on. Raises Unavailable."""
        kind = self.chance.random()
        await asyncio.sleep(0.002 if kind < 0.95 else self.chance.uniform(0.0, 1.5))
        await runs.wait()
        if not self.servers.up or kind > 0.995:
            raise Unavailable("gone")

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator["Node"]:
        await self.query(self.relay_runs)
        yield self

    def abandon(self) -> None:
        pass

    async def facts(self, _: "Node") -> Facts:
        await self.query(self.relay_runs)
        timeline = 1 if "term" in self.without else self.servers.term
        return Facts("", timeline, True, 0, "", "")

    def check(self, _: Facts) -> None:
        pass

    async def position(self) -> int:
        await self.query(self.relay_runs)
        return self.servers.position

    async def execute(self, *_: Any) -> int:
        return 0

    def landed(self, changed: Iterable[Shard], position: int) -> None:
        changed = list(changed)
        self.floors.raise_to(changed, position)
        self.stamps.write(changed)

    async def read(self, key: str, runs: asyncio.Event) -> Value:
        """As `db/pool.py` does: a replica that has what the floor demands, else the master."""
        replicated = fence_open(self.board.polled_ns(), _now_ns())
        floor = self.floors.floor([shard("x", key)])
        fit = [one for one in self.servers.replayed if replicated and one >= floor]
        await asyncio.sleep(self.chance.choice([0.0, 0.001, 0.1]))
        if fit and self.chance.random() < 0.7:
            found = self.servers.value(key, self.chance.choice(fit))
        else:
            await self.query(runs)
            found = self.servers.value(key, self.servers.position)
        await self.query(runs)
        return found

    def start_relay(self) -> None:
        if self._relay is not None:
            self._relay.cancel()
        kind = HastyFollower if "begin" in self.without else Follower
        follower = kind(cast(Database, self))
        follower._outbox = SimulatedOutbox(cast(Database, self))
        self._relay = asyncio.get_running_loop().create_task(follower.run())


class Worker:
    """A process with caches: one that knows by the key what a copy depends on, one that learns it from the row."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.runs = asyncio.Event()
        self.runs.set()
        self.registry = Registry(node.stamps, node.board, _now_ns)
        self.caches: list[Cache[str, Value]] = [
            self.registry.declare("on", self._read, on=lambda key: (shard("x", key),), capacity=3)
        ]
        if "token" not in node.without:
            self.caches.append(
                self.registry.declare(
                    "of", self._read, on=lambda _: (), of=lambda value: (shard("x", value[0]),), capacity=3
                )
            )

    async def _read(self, key: str) -> Value:
        return await self.node.read(key, self.runs)

    async def read_for_ever(self, chance: random.Random) -> None:
        while True:
            await asyncio.sleep(chance.choice([0.0, 0.02, 0.1]))
            await self.runs.wait()
            key = chance.choice(KEYS)
            asked, least = _now(), self.node.acknowledged[key]
            try:
                value = await chance.choice(self.caches).get(key)
            except (Busy, Unavailable):
                continue
            assert value is not None
            self.node.servers.truth[key].check(value, asked, least)

    async def write_for_ever(self, nodes: Sequence[Node], chance: random.Random) -> None:
        node, servers = self.node, self.node.servers
        while True:
            await asyncio.sleep(chance.uniform(0.0, 1.5))
            await self.runs.wait()
            if not servers.up:
                continue
            key, term = chance.choices(KEYS, (8, 4, 1, 0.2))[0], servers.term
            position, place = servers.commit(key)
            if chance.random() < 0.1:
                continue  # killed before it could tell anybody; or somebody with psql
            await asyncio.sleep(chance.choice([0.0, 0.001, 0.5]))
            await self.runs.wait()
            if servers.term != term or not servers.up:
                continue  # nobody could say how far: unacknowledged
            node.landed([shard("x", key)], position)
            for other in nodes:
                if other is not node and chance.random() < 0.5:
                    asyncio.get_running_loop().call_later(0.01, other.landed, [shard("x", key)], position)
            node.acknowledged[key] = place


class World:
    """All of it."""

    def __init__(self, chance: random.Random, without: frozenset[str] = frozenset()) -> None:
        self.chance = chance
        self.servers = Servers(chance)
        self.nodes = [Node(self.servers, chance, without) for _ in range(2)]
        self.workers = [Worker(node) for node in self.nodes for _ in range(2)]

    async def run(self) -> tuple[int, int]:
        """(hits, all reads). Raises Stale."""
        for node in self.nodes:
            node.start_relay()
        jobs: list[Coroutine[Any, Any, None]] = [
            self.servers.live(),
            self._break(),
        ]
        jobs += [worker.read_for_ever(self.chance) for worker in self.workers for _ in range(2)]
        jobs += [worker.write_for_ever(self.nodes, self.chance) for worker in self.workers]
        tasks = [asyncio.get_running_loop().create_task(job) for job in jobs]
        done, _ = await asyncio.wait(tasks, timeout=LENGTH_S, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            await task
        figures = [one for worker in self.workers for one in worker.registry.figures().values()]
        return sum(one["hits"] for one in figures), sum(one["hits"] + one["misses"] for one in figures)

    async def _break(self) -> None:
        """One fault after the other."""
        chance = self.chance
        while True:
            await asyncio.sleep(chance.uniform(0.2, 3.0))
            node = chance.choice(self.nodes)
            own = [worker.runs for worker in self.workers if worker.node is node]
            match chance.choice(["relay", "restart", "worker", "node", "failover"]):
                case "relay":
                    await self._freeze([node.relay_runs])
                case "restart":
                    await asyncio.sleep(0.6)
                    node.start_relay()
                case "worker":
                    await self._freeze([chance.choice(own)])
                case "node":
                    await self._freeze([node.relay_runs, *own])
                case "failover":
                    await self.servers.fail_over()

    async def _freeze(self, processes: list[asyncio.Event]) -> None:
        for one in processes:
            one.clear()
        await asyncio.sleep(self.chance.uniform(0.5, 6.0))
        self.chance.shuffle(processes)  # who wakes first may act first
        for one in processes:
            one.set()


@pytest.fixture(autouse=True)
def virtual_time(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(outbox, "boottime_ns", _now_ns)
    caplog.set_level(logging.ERROR, "db.outbox")


def test_no_read_is_older_than_the_bound() -> None:
    hits = reads = 0

    def live(chance: random.Random) -> None:
        nonlocal hits, reads
        found = virtual.run(_live(chance, frozenset()))
        hits, reads = hits + found[0], reads + found[1]

    for_each_seed(scale(40, 10_000), live)
    assert hits > reads / 4, "the caches hardly served: the test shows nothing"


@pytest.mark.parametrize("guard", ["token", "floor", "outbox", "fence", "begin", "term"])
def test_without_a_guard_stale_reads_are_found(guard: str) -> None:
    for seed in range(scale(60, 300)):
        try:
            virtual.run(_live(random.Random(seed), frozenset({guard})))
        except Stale:
            return
    pytest.fail("no stale read was found: the simulation would not notice either")


async def _live(chance: random.Random, without: frozenset[str]) -> tuple[int, int]:
    return await World(chance, without).run()
