"""One connection to MySQL or MariaDB, by the pure Python asyncio connection of mysql-connector-python.

Its cursors are not used: they take every statement apart in search of several, user's text included. What it keeps to
itself and we need (the socket) is reached for in one place, `_transport`.
"""

import asyncio
import contextlib
import select
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import Any

from mysql.connector import aio, errors
from mysql.connector.constants import ClientFlag, FieldType

from db.drivers import Facts, Parameters, Row
from db.drivers.mysql_dsn import Dsn
from db.drivers.mysql_text import format_sql, is_of_the_server, literal, translate
from db.model.board import Term
from db.model.errors import ConnectionLost, DatabaseError, Unavailable
from db.model.settings import PoolSettings

ROW_WAIT_S = 3
"""A `SET GLOBAL read_only = 1` by hand is held up as long by a transaction that waits for the lock of another one."""
IDLE_IN_TRANSACTION_S = 2
"""A node that dies, freezes or is cut off keeps others waiting for its locks as long, and 3 s at most (design §4)."""
KEEPALIVES = {
    socket.TCP_KEEPIDLE: 5,
    socket.TCP_KEEPINTVL: 2,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 6000,
}
_ANSWER_S = 5.0
_QUIT = b"\x01\x00\x00\x00\x01"
_SQL_MODE = (
    "ANSI_QUOTES,STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION"
)
_MARIADB_COLLATION, _MYSQL_COLLATION = "utf8mb4_nopad_bin", "utf8mb4_0900_bin"


def _bool(value: bytes) -> bool:
    return value != b"0"


def _decimal(value: bytes) -> Decimal:
    return Decimal(value.decode())


def _text(value: bytes) -> str:
    return value.decode()


# The schema has TINYINT for booleans only, and no type that is not here.
_DECODERS: dict[int, Callable[[bytes], Any]] = {
    FieldType.TINY: _bool,
    FieldType.SHORT: int,
    FieldType.INT24: int,
    FieldType.LONG: int,
    FieldType.LONGLONG: int,
    FieldType.FLOAT: float,
    FieldType.DOUBLE: float,
    FieldType.NEWDECIMAL: _decimal,
}


class RawConnection(aio.MySQLConnection):
    """The connector's connection, made to keep what TLS is asked for: it would go on in the clear, or check no name."""

    def __init__(self, dsn: Dsn, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._dsn = dsn

    async def _do_handshake(self) -> None:
        await super()._do_handshake()
        assert self._server_info is not None
        assert self._socket is not None
        if not self._server_info.capabilities & ClientFlag.SSL:
            if self._dsn.tls in ("true", "skip-verify"):
                raise errors.InterfaceError("the connection string asks for TLS and the server does not offer it")
            self._ssl_disabled = True  # `preferred`: the connector would look for a cipher all the same
        writer = self._socket._writer
        assert writer is not None

        async def switch_to_ssl(ssl_context: ssl.SSLContext) -> None:
            await writer.start_tls(ssl_context, server_hostname=self._dsn.host)

        self._socket.switch_to_ssl = switch_to_ssl  # type: ignore[method-assign]

    @property
    def is_mariadb(self) -> bool:
        """Whether the server says that it is MariaDB."""
        return self._server_info is not None and "mariadb" in self._server_info.version.lower()


def _transport(raw: RawConnection) -> asyncio.WriteTransport | None:
    writer = raw._socket._writer if raw._socket is not None else None
    return writer.transport if writer is not None else None


class MySQLConnection:
    """A `Connection` of `db/drivers`.

    broken: it must not be used again. It is so from the moment a statement is sent until its answer is read to the end:
    whoever is cancelled in between would otherwise leave half an answer to the next.
    """

    def __init__(self, raw: RawConnection, timeout_s: float) -> None:
        self._raw = raw
        self._timeout_s = timeout_s
        self.mariadb = raw.is_mariadb
        self.collation = _MARIADB_COLLATION if self.mariadb else _MYSQL_COLLATION
        self.begin, self.end = _bounds(mariadb=self.mariadb)
        self.broken = False
        self.lost = False
        """The server went away, is silent or no master any more: its other connections are of no use either."""
        self.born = self.idle_since = time.monotonic()
        self.term = Term()
        """See `Connection`."""

    @classmethod
    async def open(cls, dsn: Dsn, settings: PoolSettings, *, multi_statements: bool = False) -> "MySQLConnection":
        """Connect and set up the session. multi_statements: one send may hold several statements.

        Raises the errors of `db/model/errors.py`: Unavailable when the server cannot be reached in time.
        """
        raw = RawConnection(dsn, **_arguments(dsn, settings, multi_statements=multi_statements))
        timeout_s = min(dsn.timeout_s or settings.connect_timeout_s, settings.connect_timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                await raw.connect()
                _notice_silence(raw)
                self = cls(raw, settings.query_timeout_s + _ANSWER_S)
                await self.execute(_session(self, settings))
        except TimeoutError as error:
            _abort(raw)
            raise Unavailable("the database did not answer in time") from error
        except (errors.Error, OSError, RuntimeError, DatabaseError) as error:
            _abort(raw)
            ours = error if isinstance(error, DatabaseError) else translate(error)
            raise (ours if isinstance(ours, Unavailable) else Unavailable(str(ours))) from error
        except BaseException:
            _abort(raw)
            raise
        return self

    def met(self, facts: Facts) -> None:
        """What the server says of itself."""
        if facts.writable:
            self.term = facts.term

    async def fetch(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """See `Connection`. A list stands only in `= ANY(%s)` and `<> ALL(%s)`."""
        return (await self._run(format_sql(sql, parameters)))[0]

    async def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """See `Connection`. Rows that an UPDATE found count, as in PostgreSQL, also when nothing changed in them."""
        return (await self._run(format_sql(sql, parameters)))[1]

    async def _run(self, statement: bytes) -> tuple[list[Row], int]:
        with self._answering():
            async with asyncio.timeout(self._timeout_s):
                return await self._take(await self._raw.cmd_query(statement))

    async def run_all(self, statements: Sequence[str]) -> list[list[Row]]:
        """Send all statements at once; the rows of each. The first that fails ends the run.

        Only for a connection opened with `multi_statements`.
        """
        results = []
        with self._answering():
            async with asyncio.timeout(self._timeout_s):
                async for result in self._raw.cmd_query_iter(format_sql(";".join(statements))):
                    results.append((await self._take(result))[0])
        return results

    @contextlib.contextmanager
    def _answering(self) -> Any:
        if self.broken:
            raise ConnectionLost("the connection is closed")
        self.broken = True
        try:
            yield
        except TimeoutError as error:
            self.lost = True
            raise Unavailable("the database did not answer in time") from error
        except (errors.Error, OSError) as error:
            ours = translate(error)
            self.broken = not is_of_the_server(error) or isinstance(ours, ConnectionLost)
            self.lost = isinstance(ours, ConnectionLost)
            raise ours from error
        except RuntimeError as error:  # what uvloop's transport says to who writes after it was closed
            if not _is_closed(self._raw):
                raise
            self.lost = True
            raise ConnectionLost("the server closed the connection") from error
        self.broken = False

    async def _take(self, result: Any) -> tuple[list[Row], int]:
        if "columns" not in result:
            return [], result["affected_rows"]
        decoders = [_DECODERS.get(column[1], _text) for column in result["columns"]]
        raw_rows: Any = (await self._raw.get_rows(raw=True))[0]
        rows = [
            tuple(None if value is None else decode(value) for decode, value in zip(decoders, raw_row, strict=True))
            for raw_row in raw_rows
        ]
        return rows, len(rows)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See `Connection`."""
        for statement in self.begin:
            await self._run(statement.encode())
        try:
            yield
            await self._run(b"COMMIT")
        except BaseException:
            await self.roll_back()
            raise
        await self._end()

    async def roll_back(self) -> None:
        """End a transaction that may be open. The server does it alone when the connection breaks."""
        if self.broken:
            return
        with contextlib.suppress(DatabaseError):
            await self._run(b"ROLLBACK")
        await self._end()

    async def _end(self) -> None:
        """After a transaction, which is over whatever comes of this."""
        with contextlib.suppress(DatabaseError):
            for statement in self.end:
                await self._run(statement.encode())

    def abandon(self) -> None:
        """See `Connection`."""
        self.broken = self.lost = True
        _abort(self._raw)

    def is_alive(self) -> bool:
        """Whether the server has not closed this idle connection; without a round trip."""
        transport = _transport(self._raw)
        if self.broken or transport is None or transport.is_closing():
            return False
        poller = select.poll()
        poller.register(
            transport.get_extra_info("socket").fileno(),
            select.POLLIN | select.POLLRDHUP | select.POLLERR | select.POLLHUP,
        )
        return not poller.poll(0)

    def close(self) -> None:
        """Take leave of the server; at once when the connection is broken."""
        transport = _transport(self._raw)
        if transport is None or transport.is_closing():
            return
        if self.broken:
            transport.abort()
        else:
            self.broken = True
            transport.write(_QUIT)
            transport.close()


def _arguments(dsn: Dsn, settings: PoolSettings, *, multi_statements: bool) -> dict[str, Any]:
    flags = ClientFlag.get_default() | ClientFlag.FOUND_ROWS
    if not multi_statements:
        flags &= ~ClientFlag.MULTI_STATEMENTS
    return {
        "user": dsn.user,
        "password": dsn.password,
        "host": dsn.host,
        "port": dsn.port,
        "unix_socket": dsn.unix_socket or None,
        "database": dsn.database,
        "charset": "utf8mb4",
        "collation": "utf8mb4_bin",  # known to both servers; `_session` sets the one that does not pad
        "autocommit": True,
        "client_flags": flags,
        "ssl_disabled": dsn.tls == "false",
        "ssl_verify_cert": dsn.tls == "true",
        "ssl_verify_identity": dsn.tls == "true",
        "conn_attrs": {"program_name": settings.application_name},
    }


def _bounds(*, mariadb: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What begins a transaction, and what is said after its end. MySQL has one limit for all that is idle."""
    begin = "START TRANSACTION"
    if mariadb:
        return (begin,), ()
    return (f"SET SESSION wait_timeout = {IDLE_IN_TRANSACTION_S}", begin), ("SET SESSION wait_timeout = DEFAULT",)


def _session(connection: MySQLConnection, settings: PoolSettings) -> str:
    """One statement that makes a session behave as our SQL expects."""
    lock_wait_s = max(1, int(settings.query_timeout_s))
    row_wait_s = min(ROW_WAIT_S, lock_wait_s)
    variables = {
        "sql_mode": literal(_SQL_MODE),
        "time_zone": literal("+00:00"),
        "collation_connection": literal(connection.collation),
        "lc_messages": literal("en_US"),  # the name of an index is read out of a message
        "innodb_lock_wait_timeout": str(row_wait_s),
        "lock_wait_timeout": str(lock_wait_s),
        # Of a statement, or an answer, that has begun to go over the network.
        "net_read_timeout": str(IDLE_IN_TRANSACTION_S + 1),
        "net_write_timeout": str(IDLE_IN_TRANSACTION_S + 1),
    }
    if connection.mariadb:
        variables["tx_isolation"] = literal("READ-COMMITTED")
        variables["max_statement_time"] = str(settings.query_timeout_s)
        variables["idle_transaction_timeout"] = str(IDLE_IN_TRANSACTION_S)
    else:
        variables["transaction_isolation"] = literal("READ-COMMITTED")
        variables["max_execution_time"] = str(int(settings.query_timeout_s * 1000))
    # As `Facts.server`: what `db/model/numbers.py` compares with the mark of the term.
    server = "concat(@@gtid_domain_id, '-', @@server_id)" if connection.mariadb else "@@server_uuid"
    return f"SET {''.join(f'SESSION {name} = {value}, ' for name, value in variables.items())}@mmnode_server = {server}"


def _notice_silence(raw: RawConnection) -> None:
    """A network that swallows packets is noticed within about 10 s, as by libpq (`db/drivers/postgres.py`)."""
    transport = _transport(raw)
    ours: socket.socket | None = transport.get_extra_info("socket") if transport is not None else None
    if ours is None or ours.family == socket.AF_UNIX:
        return
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVES.items():
        ours.setsockopt(socket.IPPROTO_TCP, option, value)


def _is_closed(raw: RawConnection) -> bool:
    transport = _transport(raw)
    return transport is None or transport.is_closing()


def _abort(raw: RawConnection) -> None:
    transport = _transport(raw)
    if transport is not None:
        transport.abort()
