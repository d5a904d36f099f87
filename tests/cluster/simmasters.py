"""Several simulated masters at once, behind the real `Driver` protocol: replicas that were promoted while the old one
lives, and ways to them that change for a node, or for a single connection, at any time.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from db.drivers import Connection, Facts, Migration, Parameters, Row
from db.model.board import Term
from db.model.errors import ConnectionLost, DatabaseError, Unavailable
from db.model.settings import PoolSettings


@dataclass
class Master:
    """A server that takes writes. place: in the order of the promotions. mark: as in `systems`."""

    place: int
    server: str
    timeline: int
    mark: str
    up: bool = True

    @property
    def marked(self) -> bool:
        """Whether the mark is its own."""
        return self.mark.partition(" ")[2] == f"{self.server}/{self.timeline}"


class Servers:
    """All masters there ever were, and where each node's new connections lead. counts: timelines, as PostgreSQL."""

    def __init__(self, chance: random.Random, node_ids: Sequence[str]) -> None:
        self.chance = chance
        self.counts = chance.random() < 0.5
        first = Master(0, "s0", int(self.counts), "")
        self.all = [first]
        self.routes: dict[str, list[Master]] = {node_id: [first] for node_id in node_ids}

    @property
    def newest(self) -> Master:
        """Promoted last."""
        return self.all[-1]

    def promote(self) -> Master:
        """A replica of the newest master becomes one itself, with a copy of its mark."""
        before = self.newest
        place = before.place + 1
        server = before.server if self.counts else f"s{place}"
        self.all.append(Master(place, server, before.timeline + 1 if self.counts else 0, before.mark))
        return self.newest

    def facts(self, master: Master) -> Facts:
        """What a server says of itself."""
        return Facts(master.server, master.timeline, True, 1, master.mark, "c")

    def way(self, node_id: str) -> Master:
        """Where a new connection leads: behind a proxy that changes its mind not always to the same."""
        return self.chance.choice(self.routes[node_id])


class MasterConnection:
    """A connection of a process. It leads to one server for as long as it lives."""

    def __init__(self, master: Master, wait: Callable[[], Awaitable[None]]) -> None:
        self.master = master
        self.term = Term()
        self._wait = wait
        self._abandoned = False

    @property
    def holds(self) -> bool:
        """Whether it can be used."""
        return self.master.up and not self._abandoned

    async def trip(self) -> None:
        """Half of a round trip. Raises ConnectionLost."""
        await self._wait()
        if not self.holds:
            raise ConnectionLost("gone")

    async def fetch(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Which master answers."""
        del sql, parameters
        await self.trip()
        await self.trip()
        return [(self.master.place,)]

    async def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """A write; which master has it. Of statements about the mark: whether they changed it."""
        await self.trip()
        found = self.master.place
        if "systems" in sql:
            claim = sql.startswith("INSERT")
            new, old = (str(parameters[1]), "") if claim else (str(parameters[0]), str(parameters[2]))
            found = int(self.master.mark == old)
            if found:
                self.master.mark = new
        await self.trip()
        return found

    def transaction(self) -> contextlib.AbstractAsyncContextManager[None]:
        """See `Connection`."""
        raise NotImplementedError

    def abandon(self) -> None:
        """See `Connection`."""
        self._abandoned = True


class MasterServer:
    """See `db.drivers.Server`: a pool, which looks at new connections only, as the real ones do."""

    def __init__(self, driver: "MastersDriver", check: Callable[[Facts], None] | None) -> None:
        self._driver = driver
        self._check = check
        self._idle: list[MasterConnection] = []
        self._used: list[MasterConnection] = []

    async def open(self) -> None:
        """See `Server`."""

    async def close(self, *, at_once: bool = False) -> None:
        """See `Server`."""
        for one in [*self._idle, *(self._used if at_once else [])]:
            one.abandon()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[MasterConnection]:
        """See `Server`."""
        connection = None
        while self._idle and (connection is None or not connection.holds):
            connection = self._idle.pop(0)
        if connection is None or not connection.holds:
            connection = await self._connect()
        self._used.append(connection)
        try:
            yield connection
        finally:
            self._used.remove(connection)
            if connection.holds:
                self._idle.append(connection)

    async def _connect(self) -> MasterConnection:
        driver = self._driver
        connection = MasterConnection(driver.servers.way(driver.node_id), driver.wait)
        try:
            await connection.trip()
            facts = driver.servers.facts(connection.master)
            if self._check is not None:
                self._check(facts)
            connection.term = facts.term
        except DatabaseError as error:
            await asyncio.sleep(0.1)
            raise Unavailable(str(error)) from error
        return connection

    def forget(self, most: int | None = None) -> None:
        """So many idle connections break."""
        for one in self._idle[:most]:
            one.abandon()

    def usage(self) -> dict[str, int]:
        """See `Server`."""
        return {}


class MastersDriver:
    """See `db.drivers.Driver`: a process's way to the servers. wait: half of a round trip of it."""

    name = "sim"

    def __init__(self, servers: Servers, node_id: str, wait: Callable[[], Awaitable[None]]) -> None:
        self.servers = servers
        self.node_id = node_id
        self.wait = wait

    def server(
        self, dsn: str, settings: PoolSettings, size: int, check: Callable[[Facts], None] | None = None
    ) -> MasterServer:
        """See `Driver`."""
        del dsn, settings, size
        return MasterServer(self, check)

    async def ask(self, dsn: str, settings: PoolSettings, check: Callable[[Facts], None] | None = None) -> Facts:
        """See `Driver`."""
        raise NotImplementedError

    async def facts(self, connection: Connection) -> Facts:
        """See `Driver`."""
        assert isinstance(connection, MasterConnection)
        await connection.trip()
        return self.servers.facts(connection.master)

    async def position(self, connection: Connection) -> int:
        """See `Driver`."""
        assert isinstance(connection, MasterConnection)
        await connection.trip()
        return 1

    async def migrate(self, settings: PoolSettings, migrations: Sequence[Migration]) -> list[str]:
        """See `Driver`."""
        raise NotImplementedError

    async def schema_version(self, settings: PoolSettings) -> int:
        """See `Driver`."""
        raise NotImplementedError


@dataclass(frozen=True)
class MastersSettings(PoolSettings):
    """Settings that lead to simulated servers."""

    driver_of: MastersDriver | None = None
