"""MySQL and MariaDB: a pool of connections to one server, and what a server says of itself."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from db.drivers import Connection, Facts, Migration, Row, mysql_schema
from db.drivers.mysql_connection import MySQLConnection
from db.drivers.mysql_dsn import Dsn, parse
from db.model.errors import ConnectionLost, Unavailable
from db.model.settings import PoolSettings
from db.model.shards import UNKNOWN

log = logging.getLogger(__name__)

_ASK_AGAIN_S = 0.25
_KEEP_IDLE_S = 60.0
_DRAIN_S = 10.0


def read_dsn(text: str) -> Dsn:
    """The parts of a connection string. Raises Unavailable, saying what is wrong with it."""
    try:
        dsn = parse(text)
    except ValueError as error:
        raise Unavailable(f"not a MySQL connection string: {error}") from None
    if dsn.unknown:
        log.warning("options of the connection string are not obeyed", extra={"options": ", ".join(dsn.unknown)})
    return dsn


class MySQLServer:
    """A `Server` of `db/drivers`. Connections are made on demand; who waits for one is served in order of arrival.

    A connection that broke, was cancelled in the middle of an answer or has lived long enough is not used again.
    """

    def __init__(self, dsn: str, settings: PoolSettings, size: int, check: Callable[[Facts], None] | None) -> None:
        self._text = dsn
        self._settings = settings
        self._size = size
        self._check = check
        self._idle: deque[MySQLConnection] = deque()
        self._waiting: deque[asyncio.Future[MySQLConnection | None]] = deque()
        self._open = 0
        """Connections and those under way: never more than `size`."""
        self._in_use: set[MySQLConnection] = set()
        self._closed = False

    async def open(self) -> None:
        """See `Server`."""

    async def close(self, *, at_once: bool = False) -> None:
        """See `Server`."""
        self._closed = True
        if at_once:
            self._abandon_all()
        while self._idle:
            self._drop(self._idle.popleft())
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(Unavailable("the pool is closed"))
        if self._in_use:
            asyncio.get_running_loop().call_later(_DRAIN_S, self._abandon_all)

    def _abandon_all(self) -> None:
        for connection in self._in_use:
            connection.abandon()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[MySQLConnection]:
        """See `Server`."""
        connection = await self._get()
        self._in_use.add(connection)
        try:
            yield connection
        finally:
            self._in_use.discard(connection)
            self._put(connection)

    def usage(self) -> dict[str, int]:
        """See `Server`."""
        return {"open": self._open, "in_use": self._open - len(self._idle), "waiting": len(self._waiting)}

    async def _get(self) -> MySQLConnection:
        if self._closed:
            raise Unavailable("the pool is closed")
        deadline = asyncio.get_running_loop().time() + self._settings.connect_timeout_s
        if not self._waiting:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_alive():
                    return connection
                self._drop(connection)
        if self._open < self._size and not self._waiting:
            self._open += 1
            return await self._connect(deadline)
        return await self._wait(deadline) or await self._connect(deadline)

    async def _wait(self, deadline: float) -> MySQLConnection | None:
        """Wait in line; a connection, or None: the place of one that was closed."""
        waiter: asyncio.Future[MySQLConnection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                return await waiter
        except BaseException as error:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:  # given, and nobody takes it
                connection = waiter.result()
                if connection is None:
                    self._give_place()
                else:
                    self._put(connection)
            if isinstance(error, TimeoutError):
                raise Unavailable("no database connection became free in time") from error
            raise

    async def _connect(self, deadline: float) -> MySQLConnection:
        """Make a connection in a place that is ours, trying again until the deadline."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    return await self._connect_once()
                except Unavailable:
                    if self._closed or loop.time() + _ASK_AGAIN_S >= deadline:
                        raise
                await asyncio.sleep(_ASK_AGAIN_S)
        except BaseException:
            self._give_place()
            raise

    async def _connect_once(self) -> MySQLConnection:
        connection = await MySQLConnection.open(read_dsn(self._text), self._settings)
        try:
            if self._check is not None:
                facts = await DRIVER.facts(connection)
                self._check(facts)
                connection.met(facts)
        except BaseException:
            connection.close()
            raise
        return connection

    def _put(self, connection: MySQLConnection) -> None:
        now = time.monotonic()
        if connection.lost:  # of a server that dies the others may still look alive for a moment
            while self._idle:
                self._drop(self._idle.pop())
        if connection.broken or self._closed or now - connection.born > self._settings.max_lifetime_s:
            self._drop(connection)
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        connection.idle_since = now
        self._idle.append(connection)
        if len(self._idle) > self._settings.max_idle_connections and now - self._idle[0].idle_since > _KEEP_IDLE_S:
            self._drop(self._idle.popleft())

    def _drop(self, connection: MySQLConnection) -> None:
        connection.close()
        self._give_place()

    def _give_place(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._open -= 1


_OF_SYSTEMS = """
    coalesce((SELECT value FROM systems WHERE name = 'db_generation'), ''),
    coalesce((SELECT value FROM systems WHERE name = 'cluster_id'), '')
"""
# ON: a replica has all that was committed. OFF: none was heard within the server's time-out, and commits wait no more.
_MARIADB_SEMI_SYNC = (
    "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'RPL_SEMI_SYNC_MASTER_STATUS'"
)
_MYSQL_SEMI_SYNC = (
    "SELECT max(variable_value) FROM performance_schema.global_status"
    " WHERE variable_name IN ('Rpl_semi_sync_source_status', 'Rpl_semi_sync_master_status')"
)
_NUDGE = "INSERT INTO systems (name, value) VALUES ('semi_sync', uuid()) ON DUPLICATE KEY UPDATE value = VALUES(value)"
# What replicas have replayed is gtid_slave_pos: their own log may be ahead of what their readers see.
_MARIADB_FACTS = f"""
SELECT @@server_id, @@gtid_domain_id, @@GLOBAL.read_only, @@innodb_read_only,
    @@gtid_binlog_pos, @@gtid_slave_pos, @@gtid_current_pos, {_OF_SYSTEMS},
    IF(@@rpl_semi_sync_master_enabled, ({_MARIADB_SEMI_SYNC}), NULL)
"""
_MYSQL_FACTS = f"""
SELECT @@server_uuid, @@GLOBAL.read_only OR @@GLOBAL.super_read_only OR @@innodb_read_only, @@GLOBAL.gtid_executed,
    {_OF_SYSTEMS},
    IF(EXISTS (SELECT 1 FROM performance_schema.global_variables WHERE variable_value = 'ON'
        AND variable_name IN ('rpl_semi_sync_source_enabled', 'rpl_semi_sync_master_enabled')),
        ({_MYSQL_SEMI_SYNC}), NULL)
"""  # noqa: S608 (constants)


class MySQLDriver:
    """A `Driver` of `db/drivers`, for MySQL 8 and MariaDB 10.6 and newer."""

    name = "mysql"

    def __init__(self) -> None:
        self._without_position: set[str] = set()
        """Servers that the log was told of."""

    def server(
        self, dsn: str, settings: PoolSettings, size: int, check: Callable[[Facts], None] | None = None
    ) -> MySQLServer:
        """See `Driver`."""
        return MySQLServer(dsn, settings, size, check)

    async def ask(self, dsn: str, settings: PoolSettings, check: Callable[[Facts], None] | None = None) -> Facts:
        """See `Driver`."""
        connection = await MySQLConnection.open(read_dsn(dsn), settings)
        try:
            facts = await self.facts(connection)
            if check is not None:
                check(facts)
            return facts
        finally:
            connection.close()

    def hosts(self, dsn: str) -> list[tuple[str, str]]:
        """See `Driver`. Its strings name one."""
        del dsn
        return []

    async def facts(self, connection: Connection) -> Facts:
        """See `Driver`. Without GTIDs the position is 0, and the log says so."""
        assert isinstance(connection, MySQLConnection)
        if connection.mariadb:
            rows = await connection.fetch(_MARIADB_FACTS)
            server_id, domain, read_only, engine_read_only, written, replayed, current, *rest = rows[0]
            writable = _is_off(read_only) and _is_off(engine_read_only)
            position = mariadb_position(written if writable else replayed or current, int(domain))
            server = f"{domain}-{server_id}"
        else:
            server, read_only, executed, *rest = (await connection.fetch(_MYSQL_FACTS))[0]
            writable = _is_off(read_only)
            position = mysql_position(executed)
        if not position and server not in self._without_position:
            self._without_position.add(server)
            log.warning(
                "a database server counts no transactions (GTID): replicas cannot be used", extra={"server": server}
            )
        marker, cluster_id, semi_sync = rest
        synchronous = None if semi_sync is None or not writable else not _is_off(semi_sync)
        return Facts(server, 0, writable, position, marker, cluster_id, synchronous, server)

    async def position(self, connection: Connection) -> int:
        """See `Driver`. UNKNOWN when the server counts no transactions: then no replica is ever read."""
        assert isinstance(connection, MySQLConnection)
        return position_of((await connection.fetch(position_sql(connection)))[0])

    async def confirm(self, connection: Connection) -> None:
        """See `Driver`. After a time-out the server commits without a replica, and says so in its status only."""
        assert isinstance(connection, MySQLConnection)
        rows = await connection.fetch(_MARIADB_SEMI_SYNC if connection.mariadb else _MYSQL_SEMI_SYNC)
        if not rows or rows[0][0] is None or _is_off(rows[0][0]):
            raise ConnectionLost("the commit was not confirmed by a replica")

    async def nudge(self, connection: Connection) -> None:
        """See `Driver`."""
        await connection.execute(_NUDGE)

    async def migrate(self, settings: PoolSettings, migrations: Sequence[Migration]) -> list[str]:
        """See `Driver`."""
        return await mysql_schema.migrate(read_dsn(settings.dsn), settings, migrations)

    async def schema_version(self, settings: PoolSettings) -> int:
        """See `Driver`."""
        return await mysql_schema.version(read_dsn(settings.dsn), settings)


DRIVER = MySQLDriver()


def position_sql(connection: MySQLConnection) -> str:
    """Asks the master how far its log is written; for `position_of`."""
    return "SELECT @@gtid_binlog_pos, @@gtid_domain_id" if connection.mariadb else "SELECT @@GLOBAL.gtid_executed"


def position_of(row: Row) -> int:
    """What the answer to `position_sql` says."""
    position = mariadb_position(row[0], int(row[1])) if len(row) == 2 else mysql_position(row[0])
    return position or UNKNOWN


def _is_off(value: object) -> bool:
    """A switch, which servers give as a number or a word."""
    return str(value).upper() in ("0", "OFF", "FALSE")


def mariadb_position(gtids: str, domain: int) -> int:
    """The sequence number of one domain in `domain-server-sequence,…`; 0: nothing of that domain."""
    for gtid in gtids.split(","):
        parts = gtid.strip().split("-")
        if len(parts) == 3 and int(parts[0]) == domain:
            return int(parts[2])
    return 0


def mysql_position(executed: str) -> int:
    """How many transactions are there without a gap, of all servers that ever were the master.

    executed: `uuid:1-100:105,uuid:tag:1-7`. A replica that applies out of order counts up to its first gap only.
    """
    total = 0
    for one in executed.replace("\n", "").split(","):
        fresh = True  # the first interval of a server, or of one of its tags
        for part in one.strip().split(":")[1:]:
            first, _, last = part.partition("-")
            if not first.isdigit():
                fresh = True
            elif fresh:
                total += int(last or first)
                fresh = False
    return total
