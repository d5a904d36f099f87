"""A simulated master with its log and two replicas, behind the real `Driver` protocol: pool and prober do not notice."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from db.drivers import Connection, Facts, Migration, Parameters, Row
from db.model.board import Term
from db.model.errors import ConnectionLost, DatabaseError, Unavailable
from db.model.settings import PoolSettings
from tests.rig import virtual

BOUND_S = 2.5
"""2.0 s, and what the poll's own query may take."""
NOTICE_S = 1.0
"""Within this the probers notice that the master is there again."""
MASTER = "master"
REPLICAS = ("0", "1")
Value = tuple[str, int]
"""Key and a number that no other write has."""


def now_s() -> float:
    """Virtual seconds."""
    return virtual.now()


def now_ns() -> int:
    """Virtual nanoseconds."""
    return int(now_s() * 1e9)


class Stale(Exception):
    """A stale read was found."""


class Truth:
    """What an object was, when."""

    def __init__(self, key: str) -> None:
        self.values: list[tuple[float, Value]] = [(0.0, (key, 0))]
        self._last: dict[Value, int] = {(key, 0): 0}

    def now(self) -> Value:
        """What it is."""
        return self.values[-1][1]

    def become(self, value: Value) -> int:
        """It changes; the place of the value in its history."""
        self.values.append((now_s(), value))
        self._last[value] = len(self.values) - 1
        return len(self.values) - 1

    def check(self, value: Value, asked: float, own: int, anywhere: int, *, bounded: bool) -> None:
        """Raises Stale if it is older than it may be.

        bounded: whether it may not have ceased to be true long before it was asked for. own: the place of what the node that answers had acknowledged. anywhere: of what the cluster promises.
        """
        place = self._last[value]
        end = self.values[place + 1][0] if place + 1 < len(self.values) else asked
        if bounded and end < asked - BOUND_S:
            raise Stale(f"{value} is {asked - end:.2f} s older than the truth")
        if place < own:
            raise Stale(f"{value} is older than what the same node acknowledged")
        if place < anywhere:
            raise Stale(f"{value} is older than what another node acknowledged, and all links were up")


class Servers:
    """A master with its log and two replicas that follow as they like. lives: of each server, how often it was begun."""

    def __init__(self, chance: random.Random, keys: Sequence[str]) -> None:
        self.chance = chance
        self.truth = {key: Truth(key) for key in keys}
        self.log: list[tuple[int, Value]] = [(0, (key, 0)) for key in keys]
        self.position = 0
        self.term = 1
        self.up = self.follow = True
        self.up_since = now_s()
        self.replayed = [0, 0]
        self.lives = dict.fromkeys((MASTER, *REPLICAS), 1)
        self.untold: set[int] = set()
        """Places in the log that no row of the outbox tells of."""
        self._number = 0
        self.unheard: dict[str, dict[int, float]] = {key: {} for key in keys}
        """When what was committed that no node told of: by hand, or by a process that died or heard no answer."""

    def commit(self, key: str) -> int:
        """Write; the place in the truth."""
        self._number += 1
        self.position += self.chance.randint(1, 5)
        self.log.append((self.position, (key, self._number)))
        place = self.truth[key].become((key, self._number))
        self.unheard[key][place] = now_s()
        return place

    def commit_untold(self, key: str) -> None:
        """Somebody truncates, or restores with the triggers disabled."""
        self.commit(key)
        self.untold.add(self.position)

    def value(self, key: str, position: int) -> Value:
        """As a server says that has replayed this much."""
        return next(value for at, value in reversed(self.log) if value[0] == key and at <= position)

    def position_of(self, name: str) -> int:
        """How far a server is."""
        return self.position if name == MASTER else self.replayed[int(name)]

    def facts(self, name: str, *, tell_term: bool = True) -> Facts:
        """What a server says of itself."""
        term = self.term if tell_term else 1
        return Facts("sim", term, name == MASTER, self.position_of(name), f"{term} sim/{term}", "c")

    def lost(self) -> bool:
        """Whether the master is not there, or was not a moment ago."""
        return not self.up or now_s() - self.up_since < NOTICE_S

    async def live(self) -> None:
        """Replicas follow."""
        while True:
            await asyncio.sleep(self.chance.uniform(0.05, 0.5))
            for index in range(2):
                if self.follow and self.chance.random() < 0.5:
                    self.replayed[index] = self.chance.randint(self.replayed[index], self.position)

    async def restart_replica(self) -> None:
        """A replica dies and comes back with less than it had."""
        index = self.chance.randrange(2)
        self.lives[str(index)] += 1
        self.replayed[index] = self.chance.randint(max(0, self.replayed[index] - 20), self.replayed[index])

    async def go_out(self) -> None:
        """The master is not there for a while."""
        self.up = False
        self.lives[MASTER] += 1
        await asyncio.sleep(self.chance.uniform(0.1, 5.0))
        self.up, self.up_since = True, now_s()

    async def fail_over(self) -> None:
        """The replicas stop following, the master dies, a replica takes over; what it lacks is lost."""
        self.follow = False
        await asyncio.sleep(self.chance.uniform(0.0, 2.0))
        self.up = False
        await asyncio.sleep(self.chance.uniform(0.1, 4.0))
        promoted = 0 if self.replayed[0] >= self.replayed[1] else 1
        self.position = self.replayed[promoted]
        self.log = [entry for entry in self.log if entry[0] <= self.position]
        self.untold = {at for at in self.untold if at <= self.position}
        self.replayed[promoted] = min(self.replayed)  # a new replica in its place
        self.lives[str(promoted)] += 1
        self.lives[MASTER] += 1
        for key, truth in self.truth.items():
            if truth.now() != (value := self.value(key, self.position)):
                truth.become(value)
        self.term += 1
        self.up = self.follow = True
        self.up_since = now_s()


class SimConnection:
    """A connection of a process to a server, as long as the server lives. wait: half of a round trip."""

    def __init__(self, servers: Servers, name: str, wait: Callable[[], Awaitable[None]]) -> None:
        self.servers = servers
        self.name = name
        self._life = servers.lives[name]
        self._wait = wait
        self._abandoned = False
        self.term = Term()

    async def trip(self) -> None:
        """Half of a round trip. Raises ConnectionLost."""
        await self._wait()
        if not self.holds:
            raise ConnectionLost("gone")

    @property
    def holds(self) -> bool:
        """Whether it can be used."""
        if self._abandoned or self.servers.lives[self.name] != self._life:
            return False
        return self.name != MASTER or self.servers.up

    async def fetch(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """A read of this key."""
        del sql
        await self.trip()
        found = self.servers.value(str(parameters[0]), self.servers.position_of(self.name))
        await self.trip()
        return [found]

    async def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """A write of this key; its place in the truth."""
        del sql
        await self.trip()
        place = self.servers.commit(str(parameters[0]))
        await self.trip()
        return place

    def transaction(self) -> contextlib.AbstractAsyncContextManager[None]:
        """See `Connection`."""
        raise NotImplementedError

    def abandon(self) -> None:
        """See `Connection`."""
        self._abandoned = True


class SimServer:
    """See `db.drivers.Server`: keeps one idle connection, and looks at new ones."""

    def __init__(self, driver: "SimDriver", name: str, check: Callable[[Facts], None] | None) -> None:
        self._driver = driver
        self._name = name
        self._check = check
        self._idle: list[SimConnection] = []

    async def open(self) -> None:
        """See `Server`."""

    async def close(self, *, at_once: bool = False) -> None:
        """See `Server`."""

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[SimConnection]:
        """See `Server`."""
        connection = self._idle.pop() if self._idle else None
        if connection is None or not connection.holds:
            connection = await self._connect()
        yield connection
        if connection.holds:
            self._idle.append(connection)

    async def _connect(self) -> SimConnection:
        driver = self._driver
        connection = SimConnection(driver.servers, self._name, driver.wait)
        try:
            await connection.trip()
            facts = driver.servers.facts(self._name, tell_term=driver.tell_term)
            if self._check is not None:
                self._check(facts)
                connection.term = facts.term if facts.writable else Term()
        except DatabaseError as error:
            await asyncio.sleep(0.05)
            raise Unavailable(str(error)) from error
        return connection

    def usage(self) -> dict[str, int]:
        """See `Server`."""
        return {}


class SimDriver:
    """See `db.drivers.Driver`: a process's way to the servers."""

    name = "sim"

    def __init__(self, servers: Servers, wait: Callable[[], Awaitable[None]], *, tell_term: bool) -> None:
        """wait: half of a round trip of this process."""
        self.servers = servers
        self.wait = wait
        self.tell_term = tell_term

    def server(
        self, dsn: str, settings: PoolSettings, size: int, check: Callable[[Facts], None] | None = None
    ) -> SimServer:
        """See `Driver`."""
        del settings, size
        return SimServer(self, dsn, check)

    async def ask(self, dsn: str, settings: PoolSettings, check: Callable[[Facts], None] | None = None) -> Facts:
        """See `Driver`."""
        raise NotImplementedError

    def hosts(self, dsn: str) -> list[tuple[str, str]]:
        """See `Driver`."""
        raise NotImplementedError

    async def facts(self, connection: Connection) -> Facts:
        """See `Driver`."""
        assert isinstance(connection, SimConnection)
        await connection.trip()
        return self.servers.facts(connection.name, tell_term=self.tell_term)

    async def position(self, connection: Connection) -> int:
        """See `Driver`."""
        assert isinstance(connection, SimConnection)
        await connection.trip()
        return self.servers.position_of(connection.name)

    async def confirm(self, connection: Connection) -> None:
        """See `Driver`."""

    async def nudge(self, connection: Connection) -> None:
        """See `Driver`."""

    async def migrate(self, settings: PoolSettings, migrations: Sequence[Migration]) -> list[str]:
        """See `Driver`."""
        raise NotImplementedError

    async def schema_version(self, settings: PoolSettings) -> int:
        """See `Driver`."""
        raise NotImplementedError


@dataclass(frozen=True)
class SimSettings(PoolSettings):
    """Settings that lead to simulated servers."""

    driver_of: SimDriver | None = None


class SimCursor:
    """What a relay has seen of the master's log: see `db.sql.outbox.Cursor`. blind: sees that time passes, nothing else.

    trusting: does not look whether what tells of changes is still what it was.
    """

    def __init__(self, *, blind: bool, trusting: bool) -> None:
        self._blind = blind
        self._trusting = trusting
        self.unseen = ""
        self._seen: int | None = None

    async def poll(self, connection: Connection) -> tuple[int, list[Row], list[Row]] | None:
        """See `Cursor`."""
        assert isinstance(connection, SimConnection)
        servers = connection.servers
        await connection.trip()
        position = servers.position
        since = position if self._seen is None else self._seen
        changes = {("x", value[0]) for at, value in servers.log if since < at <= position and at not in servers.untold}
        untold = any(since < at <= position for at in servers.untold)
        self.unseen = "truncated" if untold and not self._trusting else ""
        await connection.trip()
        first, self._seen = self._seen is None, position
        return None if first else (position, [] if self._blind else sorted(changes), [])
