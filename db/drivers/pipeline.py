"""PostgreSQL's pipeline mode by libpq (psycopg.pq): one send and one receive for a whole transaction.

Statements are prepared once per connection; parameters and rows go in binary. This is the way of batches, of posts
(`db/writer/batch.py`) and of reads by key (`db/pool/loader.py`); everything else uses psycopg's pool.
"""

import asyncio
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

from db.drivers import Facts, Row
from db.drivers.postgres import connect, error_from_sqlstate, is_read_only, translate
from db.drivers.postgres_raw import RawConnection
from db.model.board import Term
from db.model.errors import ConnectionLost, DatabaseError, Unavailable
from db.model.settings import PoolSettings

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

INT4_ARRAY_OID, INT8_ARRAY_OID, TEXT_ARRAY_OID, BOOL_ARRAY_OID = 1007, 1016, 1009, 1000
_INT4_OID, _TEXT_OID, _BOOL_OID = 23, 25, 16
_BINARY = 1
# For statements that find rows by unique keys: their plan is known, is not made again for each batch, and must not be
# that of the day the tables were small.
KEY_PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_ARRAY_HEADER = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i")


def text_array(values: Iterable[str | None]) -> bytes:
    """`values` as a binary text[] parameter. Raises BadValue for text that no database holds."""
    parts: list[bytes] = []
    count = 0
    for value in values:
        count += 1
        if value is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            try:
                encoded = value.encode()
            except UnicodeEncodeError as error:
                raise translate(error) from error
            parts.append(_LENGTH.pack(len(encoded)))
            parts.append(encoded)
    if not count:
        return struct.pack("!iiI", 0, 0, _TEXT_OID)
    return _ARRAY_HEADER.pack(1, 1, _TEXT_OID, count, 1) + b"".join(parts)


def int4_array(values: Sequence[int]) -> bytes:
    """`values` as a binary int4[] parameter."""
    return _fixed_array(values, _INT4_OID, "i", 4)


def bool_array(values: Sequence[bool]) -> bytes:
    """`values` as a binary bool[] parameter."""
    return _fixed_array(values, _BOOL_OID, "?", 1)


def _fixed_array(values: Sequence[int], oid: int, code: str, size: int) -> bytes:
    if not values:
        return struct.pack("!iiI", 0, 0, oid)
    pairs: list[int] = []
    for value in values:
        pairs.append(size)
        pairs.append(value)
    return _ARRAY_HEADER.pack(1, 1, oid, len(values), 1) + struct.pack("!" + f"i{code}" * len(values), *pairs)


@dataclass(frozen=True)
class Statement:
    """A statement to prepare: its SQL with $1… and the type OIDs of its parameters (all sent in binary)."""

    sql: str
    parameter_oids: tuple[int, ...] = ()


class PipelineConnection:
    """One connection that runs a list of prepared statements in one round trip. One run at a time.

    After an error of the server the transaction is rolled back and the connection stays usable; after a lost
    connection or a timeout `closed` is true and the owner opens a new one.
    """

    def __init__(self, connection: RawConnection, timeout_s: float) -> None:
        self._connection = connection
        self._pgconn: PGconn = connection.pgconn
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._waiter: asyncio.Future[None] | None = None
        self._transformer = Transformer(connection)
        self._results: list[list[Row]] = []
        self._error: DatabaseError | None = None
        self._writing = False
        self.closed = False

    @classmethod
    async def open(
        cls,
        settings: PoolSettings,
        statements: Mapping[str, Statement],
        check: Callable[[Facts], None] | None = None,
        *,
        options: Mapping[str, str] | None = None,
    ) -> "PipelineConnection":
        """Connect, set `options` of the session, and prepare `statements` under their names.

        Raises Unavailable when the server cannot be reached or must not be used (`check` says so), StatementFailed when
        it refuses a statement.
        """
        connection = await connect(settings.dsn, settings, check)
        self = cls(connection, settings.query_timeout_s + 5.0)
        self._pgconn.enter_pipeline_mode()
        self._loop.add_reader(self._socket, self._on_readable)
        try:
            for name, value in (options or {}).items():
                self._pgconn.send_query_params(f"SET {name} = {value}".encode(), None)
            await self.prepare(statements)
        except BaseException:
            self.close()
            raise
        return self

    @property
    def term(self) -> Term:
        """See `Connection`."""
        return self._connection.term

    @property
    def is_read_only(self) -> bool:
        """Whether the server said, at its last answer, that it takes no writes: a master that was demoted."""
        return is_read_only(self._pgconn)

    async def prepare(self, statements: Mapping[str, Statement]) -> None:
        """Prepare more statements. Raises as `run`."""

        def queue() -> None:
            for name, statement in statements.items():
                self._pgconn.send_prepare(name.encode(), statement.sql.encode(), statement.parameter_oids)

        await self._send(queue)

    async def query(self, calls: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[Row]]:
        """Run the named statements, which only read; the rows of each, in order. Raises as `run`.

        Without BEGIN and COMMIT: up to the synchronisation point the server takes them as one transaction anyway.
        """
        return await self._send(lambda: self._queue(calls))

    async def run(self, calls: Sequence[tuple[str, Sequence[bytes]]], then: str | None = None) -> list[list[Row]]:
        """Run the named statements as one transaction; the rows of each, in order.

        BEGIN goes before and COMMIT after them in the same send, and then, outside the transaction, the statement
        `then`, whose rows come last. Raises Deadlock, Duplicate, BadValue or
        StatementFailed after a rollback, Unavailable when the outcome is unknown.
        """

        def queue() -> None:
            self._pgconn.send_query_params(b"BEGIN", None)
            self._queue(calls)
            self._pgconn.send_query_params(b"COMMIT", None)
            if then is not None:
                self._queue([(then, ())])

        try:
            results = await self._send(queue)
        except DatabaseError:
            if not self.closed:
                await self._roll_back()
            raise
        return [*results[1 : len(calls) + 1], *results[len(calls) + 2 :]]

    def close(self) -> None:
        """Close at once; a run under way fails with Unavailable."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket)
        self._stop_writing()
        self._pgconn.finish()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionLost("the database connection was lost"))

    def _queue(self, calls: Iterable[tuple[str, Sequence[bytes]]]) -> None:
        for name, parameters in calls:
            self._pgconn.send_query_prepared(name.encode(), parameters, [_BINARY] * len(parameters), _BINARY)

    async def _send(self, queue: Callable[[], object]) -> list[list[Row]]:
        """Send what `queue` puts into the pipeline; all answers."""
        if self.closed:
            raise ConnectionLost("the connection is closed")
        try:
            queue()
        except psycopg.Error as error:
            self.close()
            raise translate(error) from error
        return await self._finish()

    async def _roll_back(self) -> None:
        try:
            await self._send(lambda: self._pgconn.send_query_params(b"ROLLBACK", None))
        except DatabaseError:
            self.close()

    async def _finish(self) -> list[list[Row]]:
        """Send what is queued and wait for all answers up to the synchronisation point."""
        self._results = []
        self._error = None
        self._waiter = waiter = self._loop.create_future()
        timer = self._loop.call_later(self._timeout_s, self._time_out)
        try:
            self._pgconn.pipeline_sync()
            self._flush()
            await waiter
        except psycopg.Error as error:
            self.close()
            raise translate(error) from error
        except BaseException:  # cancelled: what is still to come must not meet the next run
            self.close()
            raise
        finally:
            timer.cancel()
            self._waiter = None
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # seen: it was raised above, or nobody waits any more
        if self._error is not None:
            raise self._error
        self._connection.confirm()
        return self._results

    def _time_out(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Unavailable("the database did not answer in time"))
        self.close()

    def _flush(self) -> None:
        if self._pgconn.flush() == 1:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._socket, self._on_writable)
        else:
            self._stop_writing()

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket)

    def _on_writable(self) -> None:
        try:
            self._flush()
        except psycopg.Error:
            self.close()

    def _on_readable(self) -> None:
        try:
            self._pgconn.consume_input()
            if self._writing:
                self._flush()
            while self._waiter is not None and not self._waiter.done() and not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is not None:
                    self._take(result)
        except psycopg.Error:
            self.close()

    def _take(self, result: "PGresult") -> None:
        status = result.status
        if status == pq.ExecStatus.TUPLES_OK:
            self._transformer.set_pgresult(result)
            self._results.append(self._transformer.load_rows(0, result.ntuples, tuple))
        elif status == pq.ExecStatus.COMMAND_OK:
            self._results.append([])
        elif status == pq.ExecStatus.PIPELINE_SYNC:
            assert self._waiter is not None
            self._waiter.set_result(None)
        elif status != pq.ExecStatus.PIPELINE_ABORTED and self._error is None:
            self._error = _error_of(result)
            if isinstance(self._error, ConnectionLost):
                self.close()


def _error_of(result: "PGresult") -> DatabaseError:
    def field(which: pq.DiagnosticField) -> str | None:
        value = result.error_field(which)
        return value.decode(errors="replace") if value is not None else None

    return error_from_sqlstate(
        field(pq.DiagnosticField.SQLSTATE),
        field(pq.DiagnosticField.MESSAGE_PRIMARY) or "unknown error",
        field(pq.DiagnosticField.CONSTRAINT_NAME),
    )
