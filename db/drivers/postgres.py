"""PostgreSQL by psycopg: a pool of connections to one server, errors, and what a server says of itself."""

import asyncio
import contextlib
import logging
import os
import select
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from db.drivers import Connection, Facts, Migration, Parameters, Row, postgres_dsn, postgres_schema, postgres_session
from db.drivers.postgres_raw import RawConnection
from db.model.board import Term
from db.model.errors import (
    BadValue,
    ConnectionLost,
    DatabaseError,
    Deadlock,
    Duplicate,
    Locked,
    Refused,
    StatementFailed,
    Unavailable,
    Wrong,
)
from db.model.settings import PoolSettings

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

log = logging.getLogger(__name__)


DEADLOCK_SQLSTATES = frozenset({"40P01", "40001"})
# Besides class 08: a server that shuts down or has become read-only, and whatever it ends a session for: its database
# is gone, it was idle for too long, also in a transaction, or that took too long. The connection is of no more use. Nor
# is it when what we prepared is not there, or there already: a pooler has put another session behind it.
_LOST_SQLSTATES = frozenset(
    {"57P01", "57P02", "57P03", "57P04", "57P05", "25006", "25P03", "25P04", "40003", "26000", "42P05"}
)
_LOCKED_SQLSTATE = "55P03"
# A server that is full, who or what ended the statement, disks that fail.
_UNAVAILABLE_CLASSES = ("53", "57", "58")
_BAD_VALUE_CLASS = "22"
_ASK_AGAIN_S = 0.25
DRAIN_S = 10.0
_GIVE_UP_AT_ONCE_S = 0.1


def error_from_sqlstate(sqlstate: str | None, message: str, constraint: str | None = None) -> DatabaseError:
    """The error of ours that stands for what the server answered."""
    if sqlstate is None or sqlstate.startswith("08") or sqlstate in _LOST_SQLSTATES:
        return ConnectionLost(message)
    if sqlstate.startswith(_UNAVAILABLE_CLASSES):
        return Unavailable(message)
    if sqlstate == _LOCKED_SQLSTATE:
        return Locked(message)
    if sqlstate == "23505":
        return Duplicate(constraint or "")
    if sqlstate in DEADLOCK_SQLSTATES:
        return Deadlock(message)
    if sqlstate.startswith(_BAD_VALUE_CLASS):
        return BadValue(message)
    return StatementFailed(sqlstate, message)


def translate(error: Exception) -> DatabaseError:
    """The error of ours that stands for an exception of psycopg or its pool."""
    if isinstance(error, PoolTimeout):
        return Unavailable("no database connection became free in time")
    if isinstance(error, UnicodeEncodeError) or (isinstance(error, psycopg.DataError) and error.sqlstate is None):
        return BadValue("a text holds a NUL character or half of a surrogate pair")  # found before anything was sent
    if isinstance(error, psycopg.Error):
        return error_from_sqlstate(error.sqlstate, str(error), error.diag.constraint_name)
    return ConnectionLost(str(error))


def connect_arguments(dsn: str, settings: PoolSettings) -> tuple[dict[str, Any], dict[str, str]]:
    """Keyword arguments for every connection that this node makes, and what its session is set to.

    What the DSN says itself goes before. A network that swallows packets is noticed within about 10 s. Raises
    Unavailable for a DSN that can never work.
    """
    try:
        said, of_session = postgres_dsn.parts(dsn)
    except ValueError as error:
        raise Unavailable(f"the connection string cannot be used: {error}") from error
    ours = {
        "application_name": settings.application_name,
        "connect_timeout": max(2, int(settings.connect_timeout_s)),
        "tcp_user_timeout": 6000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    }
    wanted = postgres_session.wanted(settings, of_session, said.get("options", ""))
    return {"autocommit": True, **ours, **said}, wanted


def _per_host(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same for each host of a multi-host string alone."""
    key = "host" if "host" in arguments else "hostaddr"
    hosts = str(arguments.get(key, "")).split(",")
    ports = str(arguments.get("port", "")).split(",")
    for index, host in enumerate(hosts):
        if len(hosts) > 1:
            port = ports[index] if index < len(ports) else ports[0]
            yield {**arguments, key: host, **({"port": port} if port else {})}
        else:
            yield arguments


async def connect(dsn: str, settings: PoolSettings, check: Callable[[Facts], None] | None = None) -> RawConnection:
    """A connection to the first host of `dsn` that answers and that `check` lets pass.

    libpq tries its hosts, too, but it would be content with a former master that has come back. Raises Unavailable.
    """
    failures: list[DatabaseError] = []
    by_dsn, wanted = connect_arguments(dsn, settings)
    for arguments in _per_host(by_dsn):
        try:
            with translated():
                raw = await RawConnection.connect(**arguments)
                raw.began_read_only = is_read_only(raw.pgconn)
                raw.idle_since = asyncio.get_running_loop().time()
                raw.add_notice_handler(raw.note)
                try:
                    await postgres_session.begin(raw, wanted, arguments)
                    if check is not None:
                        facts = await DRIVER.facts(PostgresConnection(raw))
                        check(facts)
                        if facts.writable:
                            raw.term = facts.term
                except BaseException:
                    await raw.close()
                    raise
                return raw
        except Unavailable as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    kinds = (kind for kind in (Refused, Wrong) if any(isinstance(failure, kind) for failure in failures))
    raise next(kinds, Unavailable)("; ".join(str(failure).strip() for failure in failures))


class PostgresConnection:
    """A `Connection` of `db/drivers`."""

    def __init__(self, raw: RawConnection) -> None:
        self.raw = raw

    @property
    def term(self) -> Term:
        """See `Connection`."""
        return self.raw.term

    async def fetch(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """See `Connection`."""
        with translated():
            cursor = await self.raw.execute(sql, parameters)
            self.raw.confirm()
            return await cursor.fetchall()

    async def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """See `Connection`."""
        with translated():
            cursor = await self.raw.execute(sql, parameters)
            self.raw.confirm()
            return cursor.rowcount

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See `Connection`."""
        with translated():
            async with self.raw.transaction():
                yield
            self.raw.confirm()

    def abandon(self) -> None:
        """See `Connection`. Not by cancelling: psycopg would wait for the server to confirm that."""
        if not self.raw.closed:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.raw.fileno())) as ours:
                ours.shutdown(socket.SHUT_RDWR)


class PostgresServer:
    """A `Server` of `db/drivers`: psycopg's pool, with a patience of our own.

    The pool's own is not used: its check waits a second between two dead connections, and a caller in its queue is
    forgotten when the connection made for them fails. Here dead connections are dropped without delay, and asking again
    every quarter of a second makes the pool try to connect again, so that all is well as soon as the server is back.
    """

    def __init__(self, dsn: str, settings: PoolSettings, size: int, check: Callable[[Facts], None] | None) -> None:
        self._timeout_s = settings.connect_timeout_s
        self._in_use: set[PostgresConnection] = set()
        self._lost_at = 0.0
        """When one was lost last: of a server or a network that dies the idle ones may still look alive."""
        self._opened = False

        class Connecting(RawConnection):
            """How psycopg's pool gets its connections."""

            @classmethod
            async def connect(cls, *_: object, **__: object) -> RawConnection:  # type: ignore[override]
                return await connect(dsn, settings, check)

        self._pool: AsyncConnectionPool[RawConnection] = AsyncConnectionPool(
            connection_class=Connecting,
            min_size=min(settings.max_idle_connections, size),
            max_size=size,
            timeout=settings.connect_timeout_s,
            max_lifetime=settings.max_lifetime_s,
            reconnect_timeout=_GIVE_UP_AT_ONCE_S,
            open=False,
        )

    async def open(self) -> None:
        """See `Server`."""
        self._opened = True
        await self._pool.open(wait=False)

    async def close(self, *, at_once: bool = False) -> None:
        """See `Server`."""
        if at_once:
            self._abandon_all()
        await self._pool.close()
        if self._in_use:
            asyncio.get_running_loop().call_later(DRAIN_S, self._abandon_all)

    def _abandon_all(self) -> None:
        for connection in self._in_use:
            connection.abandon()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[PostgresConnection]:
        """See `Server`."""
        with translated():
            raw = await self._get()
            connection = PostgresConnection(raw)
            self._in_use.add(connection)
            try:
                yield connection
            finally:
                self._in_use.discard(connection)
                raw.idle_since = asyncio.get_running_loop().time()
                if raw.closed:
                    self._lost_at = raw.idle_since
                await self._pool.putconn(raw)

    async def _get(self) -> RawConnection:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        if not self._opened:
            await self.open()
        while True:
            try:
                connection = await self._pool.getconn(timeout=_ASK_AGAIN_S)
            except PoolTimeout:
                if loop.time() >= deadline:
                    raise
                continue
            fresh = connection.idle_since > self._lost_at
            if fresh and _is_alive(connection) and is_read_only(connection.pgconn) == connection.began_read_only:
                return connection
            await connection.close()
            await self._pool.putconn(connection)

    def usage(self) -> dict[str, int]:
        """See `Server`."""
        stats = self._pool.get_stats()
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        return {"open": size, "in_use": size - idle, "waiting": stats.get("requests_waiting", 0)}


def _is_alive(connection: RawConnection) -> bool:
    """Whether the server has not closed an idle connection; without a round trip: an idle one is never readable."""
    if connection.closed:
        return False
    poller = select.poll()
    poller.register(connection.pgconn.socket, select.POLLIN | select.POLLERR | select.POLLHUP)
    return not poller.poll(0)


def is_read_only(connection: "PGconn") -> bool:
    """Whether the server said, at its last answer, that it takes no writes: a replica, or a master that was demoted."""
    said = connection.parameter_status
    return b"on" in (said(b"in_hot_standby"), said(b"default_transaction_read_only"))


_FACTS = """
SELECT coalesce(current_setting('mmnode.session', true), ''),
    (SELECT system_identifier FROM pg_control_system())::text,
    CASE WHEN pg_is_in_recovery() THEN 0
         ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
    NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off',
    (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::bigint,
    coalesce((SELECT value FROM systems WHERE name = 'db_generation'), ''),
    coalesce((SELECT value FROM systems WHERE name = 'cluster_id'), ''),
    CASE WHEN pg_is_in_recovery() OR current_setting('synchronous_standby_names') = '' THEN NULL
         WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN FALSE
         WHEN pg_has_role('pg_read_all_stats', 'USAGE')
         THEN EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))
         ELSE TRUE END,
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text
"""


POSITION_SQL = "SELECT (pg_current_wal_lsn() - '0/0')::bigint"


class PostgresDriver:
    """A `Driver` of `db/drivers`."""

    name = "postgres"

    def server(
        self, dsn: str, settings: PoolSettings, size: int, check: Callable[[Facts], None] | None = None
    ) -> PostgresServer:
        """See `Driver`."""
        return PostgresServer(dsn, settings, size, check)

    async def ask(self, dsn: str, settings: PoolSettings, check: Callable[[Facts], None] | None = None) -> Facts:
        """See `Driver`."""
        async with await connect(dsn, settings, check) as raw:
            return await self.facts(PostgresConnection(raw))

    def hosts(self, dsn: str) -> list[tuple[str, str]]:
        """See `Driver`."""
        said = {key: value for key, value in postgres_dsn.parse(dsn).items() if key != "target_session_attrs"}
        single = list(_per_host(said))
        if len(single) < 2:
            return []
        return [
            (f"{one.get('host') or one.get('hostaddr')}:{one.get('port', '5432')}", make_conninfo("", **one))
            for one in single
        ]

    async def facts(self, connection: Connection) -> Facts:
        """See `Driver`."""
        assert isinstance(connection, PostgresConnection)
        mark, *facts = (await connection.fetch(_FACTS))[0]
        postgres_session.judge(connection.raw, mark)
        return Facts(*facts)

    async def position(self, connection: Connection) -> int:
        """See `Driver`."""
        rows = await connection.fetch(POSITION_SQL)
        return int(rows[0][0])

    async def confirm(self, connection: Connection) -> None:
        """See `Driver`. Its commits wait, and say so when they did not."""

    async def nudge(self, connection: Connection) -> None:
        """See `Driver`. It never ceases to wait."""

    async def migrate(self, settings: PoolSettings, migrations: Sequence[Migration]) -> list[str]:
        """See `Driver`."""
        with translated():
            async with await connect(settings.dsn, replace(settings, query_timeout_s=0)) as raw:
                return await postgres_schema.migrate(raw, migrations)

    async def schema_version(self, settings: PoolSettings) -> int:
        """See `Driver`."""
        with translated():
            async with await connect(settings.dsn, settings) as raw:
                return await postgres_schema.version(raw)


DRIVER = PostgresDriver()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's exceptions into ours."""
    try:
        yield
    except (psycopg.Error, OSError, UnicodeEncodeError) as error:
        raise translate(error) from error
