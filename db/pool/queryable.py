"""What the functions of this folder work with: the pool itself, or a transaction on one of its connections."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from typing import Protocol, TypeVar

from db.drivers import Connection, Parameters, Row
from db.model.board import Term
from db.model.errors import ConnectionLost, Unavailable
from db.model.settings import Dialect
from db.model.shards import Shard
from db.pool.loader import Key, Lookup

T = TypeVar("T")
RowShards = Callable[[Row], Iterable[Shard]]


class Commits(Protocol):
    """Who else is to be told of a commit: the other nodes of the cluster."""

    @property
    def wants_position(self) -> bool:
        """Whether the position of each commit is to be asked for, even where there are no replicas."""

    async def committed(self, changed: Collection[Shard], position: int, term: Term) -> None:
        """Tell of it; returns when the others have it, or after WriteBarrierMs. Called before a write is answered.

        position: of the commit; 0 when nobody asked for it, `db.model.shards.UNKNOWN` when nobody could. term: of the
        master that it was committed on; positions mean something under one only.
        """


class Nobody:
    """`Commits` of a node that is alone."""

    wants_position = False

    async def committed(self, changed: Collection[Shard], position: int, term: Term) -> None:
        """See `Commits`."""


class Queryable(Protocol):
    """What the functions of this folder need: the pool itself, or a transaction on one of its connections.

    on: the shards a read depends on; without them it is answered by the master. of: the shards of a row of the answer,
    for what is known only by then. changes: the shards a write changes.
    """

    @property
    def dialect(self) -> Dialect:
        """Which SQL it takes, where the servers' differ (decision 0010)."""

    async def transact(self, work: "Work[T]") -> T:
        """Do `work` in a transaction, which is committed when it returns and rolled back when it raises; its result.

        What the database undoes to free others is done again (`db/model/retries.py`): so `work` changes nothing outside
        before it is over. In a transaction, `work` is a part of that one.
        """

    async def fetch(
        self, sql: str, parameters: Parameters = (), *, on: Collection[Shard] | None = None, of: RowShards | None = None
    ) -> list[Row]:
        """All rows of a SELECT."""

    async def fetch_one(
        self, sql: str, parameters: Parameters = (), *, on: Collection[Shard] | None = None, of: RowShards | None = None
    ) -> Row | None:
        """The first row, or None: then the master has said so."""

    async def load(self, lookup: Lookup, key: Key) -> Row | None:
        """The row of this key, or None: then the master has said so."""

    async def execute(self, sql: str, parameters: Parameters = (), *, changes: Collection[Shard] = ()) -> int:
        """Run a writing statement; the number of rows it touched. Never tried again once it may have been committed."""

    async def write(
        self, sql: str, parameters: Parameters = (), *, changes: Collection[Shard] = (), of: RowShards | None = None
    ) -> list[Row]:
        """Run a writing statement with RETURNING; its rows. Never tried again once it may have been committed."""


class Transaction:
    """A `Queryable` on one connection between BEGIN and COMMIT."""

    def __init__(self, connection: Connection, dialect: Dialect, patience_s: float) -> None:
        self._connection = connection
        self._patience_s = patience_s
        self.dialect: Dialect = dialect
        self.changes: set[Shard] = set()
        self.last_lock = (0, "")
        """See `db/order/locks.py`."""

    async def transact(self, work: "Work[T]") -> T:
        """See `Queryable`: the transaction that a Deadlock ends is the caller's, and so is doing it again."""
        return await work(self)

    async def fetch(
        self, sql: str, parameters: Parameters = (), *, on: Collection[Shard] | None = None, of: RowShards | None = None
    ) -> list[Row]:
        """See `Queryable`. It is the master that answers, so what it depends on does not matter."""
        del on, of
        with at_most(self._patience_s, self._connection):
            return await self._connection.fetch(sql, parameters)

    async def fetch_one(
        self, sql: str, parameters: Parameters = (), *, on: Collection[Shard] | None = None, of: RowShards | None = None
    ) -> Row | None:
        """See `Queryable`."""
        rows = await self.fetch(sql, parameters, on=on, of=of)
        return rows[0] if rows else None

    async def load(self, lookup: Lookup, key: Key) -> Row | None:
        """See `Queryable`."""
        return await self.fetch_one(lookup.one, lookup.parameters_of(key))

    async def execute(self, sql: str, parameters: Parameters = (), *, changes: Collection[Shard] = ()) -> int:
        """See `Queryable`."""
        self.changes.update(changes)
        with at_most(self._patience_s, self._connection):
            return await self._connection.execute(sql, parameters)

    async def write(
        self, sql: str, parameters: Parameters = (), *, changes: Collection[Shard] = (), of: RowShards | None = None
    ) -> list[Row]:
        """See `Queryable`."""
        self.changes.update(changes)
        rows = await self.fetch(sql, parameters)
        self.changes.update(of_all(rows, of))
        return rows


Work = Callable[[Transaction], Awaitable[T]]
"""What is done in a transaction, perhaps several times: see `Queryable.transact`."""


def of_all(rows: Iterable[Row], of: RowShards | None) -> Iterator[Shard]:
    """The shards that `of` names for these rows."""
    if of is not None:
        for row in rows:
            yield from of(row)


@contextlib.contextmanager
def at_most(seconds: float, connection: Connection) -> Iterator[None]:
    """Wait no longer for a server that may be frozen. Raises Unavailable."""
    expired = False

    def give_up() -> None:
        nonlocal expired
        expired = True
        connection.abandon()

    timer = asyncio.get_running_loop().call_later(seconds, give_up)
    try:
        yield
    except ConnectionLost as error:
        if expired:
            raise Unavailable("the database did not answer in time") from error
        raise
    finally:
        timer.cancel()
