"""The connection pool: reads, single writes and transactions of one worker process.

SQL is written with psycopg's `%s` placeholders; parameters are always bound. Rows are tuples in column order.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from db.drivers import postgres
from db.errors import ConnectionLost
from db.settings import PoolSettings

Row = tuple[Any, ...]
Parameters = Sequence[object]
_READ_ATTEMPTS = 3


class Queryable(Protocol):
    """What the functions of this folder need: the pool itself, or a transaction on one of its connections."""

    async def fetch(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """All rows of a SELECT."""

    async def fetch_one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """The first row, or None."""

    async def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a writing statement; the number of rows it touched. Never retried."""

    async def write(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Run a writing statement with RETURNING; its rows. Never retried."""


class Transaction:
    """A `Queryable` on one connection between BEGIN and COMMIT."""

    def __init__(self, connection: postgres.Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """See `Queryable`."""
        with postgres.translated():
            cursor = await self._connection.execute(sql, parameters)
            return await cursor.fetchall()

    write = fetch

    async def fetch_one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """See `Queryable`."""
        with postgres.translated():
            cursor = await self._connection.execute(sql, parameters)
            return await cursor.fetchone()

    async def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """See `Queryable`."""
        with postgres.translated():
            cursor = await self._connection.execute(sql, parameters)
            return cursor.rowcount


class Database:
    """The pool of one worker. `open()` it before use; every method may raise the errors of `db/errors.py`."""

    def __init__(self, settings: PoolSettings, max_size: int | None = None) -> None:
        self.settings = settings
        self._pool = postgres.open_pool(settings, max_size or settings.max_connections)

    async def open(self) -> None:
        """Start the pool. Returns at once; connections are made behind it and on demand."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections; those in use when their work is done."""
        await self._pool.close()

    async def fetch(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """All rows of a read. A connection that breaks meanwhile is replaced and the read tried again."""
        for attempt in range(_READ_ATTEMPTS):
            try:
                async with self._connection() as connection:
                    cursor = await connection.execute(sql, parameters)
                    return await cursor.fetchall()
            except ConnectionLost:
                if attempt == _READ_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def fetch_one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """The first row of a read, or None."""
        rows = await self.fetch(sql, parameters)
        return rows[0] if rows else None

    async def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run one writing statement in a transaction of its own; the number of rows it touched. Never retried."""
        async with self._connection() as connection:
            cursor = await connection.execute(sql, parameters)
            return cursor.rowcount

    async def write(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Run one writing statement with RETURNING; its rows. Never retried."""
        async with self._connection() as connection:
            cursor = await connection.execute(sql, parameters)
            return await cursor.fetchall()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction: committed when the block ends, rolled back when it raises."""
        async with self._connection() as connection, connection.transaction():
            yield Transaction(connection)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[postgres.Connection]:
        with postgres.translated():
            async with postgres.checked_out(self._pool, self.settings.connect_timeout_s) as connection:
                yield connection
