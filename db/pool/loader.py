"""Natural batching of reads by key: what is asked for while a batch is under way goes as the next (decision 0011).

No cache: an answer is given to those who asked before its query was sent, and then forgotten. So nobody gets an answer
that is older than their question, and who reads after a write sees it. No timer and no added latency when idle.

    load ──> LoadQueue (sans-I/O) ──take──> one send: a statement for each kind of read, all its keys ──> futures

A batch whose connection is lost is asked again on a new one. A batch that the server refuses is asked again key by key,
so that one bad key fails alone.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from db.drivers import Row
from db.drivers.pipeline import TEXT_ARRAY_OID, PipelineConnection, Statement, text_array
from db.model.board import Term
from db.model.errors import Busy, ConnectionLost, DatabaseError, Unavailable
from db.model.shards import Shard
from db.pool.batching import Lanes

log = logging.getLogger(__name__)

CONNECTIONS = 1
"""Batches of reads under way at once in a worker. More would make smaller batches of the same work."""
MAX_BATCH_KEYS = 256
MAX_WAITING = 8192
_RECONNECT_DELAY_S = 0.05
_CLOSE_S = 1.0

Key = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Lookup:
    """A read of at most one row by a key of one or more texts.

    name: unique among all. one: the statement for one key, with %s; `parameters` says which part of the key goes into
    each (None: the parts in order). many: the same for many keys, as PostgreSQL takes it: $1… is an array for each part
    of the key, and each row begins with the place of its key in the arrays, counted from 1. on, of: the shards that the
    answer depends on, by its key and by its row, as in `db/pool/pool.py`.
    """

    name: str
    one: str
    many: str
    of: Callable[[Row], Iterable[Shard]] | None = None
    on: Callable[[Key], Collection[Shard]] | None = None
    width: int = 1
    parameters: tuple[int, ...] | None = None

    def parameters_of(self, key: Key) -> Key:
        """The parameters of `one`."""
        return key if self.parameters is None else tuple(key[part] for part in self.parameters)


def lookup_by(
    name: str,
    *,
    columns: str,
    source: str,
    key: str,
    of: Callable[[Row], Iterable[Shard]] | None = None,
    on: Callable[[Key], Collection[Shard]] | None = None,
) -> Lookup:
    """A lookup by one column. source: what follows FROM."""
    return Lookup(
        name,
        one=f"SELECT {columns} FROM {source} WHERE {key} = %s",  # noqa: S608 (constants)
        many=f"SELECT k.n, {columns} FROM {source} JOIN unnest($1::text[]) WITH ORDINALITY k (key, n) ON {key} = k.key",  # noqa: S608
        of=of,
        on=on,
    )


Waiter = asyncio.Future[Row | None]
Batch = dict[Lookup, dict[Key, list[Waiter]]]
Found = dict[tuple[Lookup, Key], Row]


class LoadQueue:
    """What waits to be read. Sans-I/O. Those who ask for the same while it waits share the answer."""

    def __init__(self, max_keys: int = MAX_BATCH_KEYS) -> None:
        self._max_keys = max_keys
        self._waiting: dict[tuple[Lookup, Key], tuple[float, list[Waiter]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, lookup: Lookup, key: Key, waiter: Waiter, deadline: float) -> None:
        """Queue a question."""
        asked = self._waiting.get((lookup, key))
        if asked is None:
            self._waiting[lookup, key] = (deadline, [waiter])
        else:
            asked[1].append(waiter)

    def take(self) -> tuple[float, Batch] | None:
        """The deadline of the next batch, and what waits longest; None: nothing does.

        What nobody waits for any more is dropped.
        """
        deadline = 0.0
        batch: Batch = {}
        size = 0
        while self._waiting and size < self._max_keys:
            for lookup, key in list(itertools.islice(self._waiting, self._max_keys - size)):
                until, waiters = self._waiting.pop((lookup, key))
                if all(waiter.done() for waiter in waiters):
                    continue
                deadline = deadline or until
                batch.setdefault(lookup, {})[key] = waiters
                size += 1
        return (deadline, batch) if batch else None


class LoadConnection(Protocol):
    """What the loader needs of a connection."""

    @property
    def closed(self) -> bool:
        """Whether a new one is needed."""

    async def load(self, wanted: Mapping[Lookup, Sequence[Key]]) -> Found:
        """The rows of these keys, as far as there are any. Raises the errors of `db/model/errors.py`."""

    def close(self) -> None:
        """Close at once."""


class PipelineLoads:
    """A `LoadConnection` on PostgreSQL: one send and one receive for each batch.

    retired: whether the pool uses other servers by now. A connection is replaced after `lifetime_s`, as the pool's are.
    check: raises ConnectionLost for answers of a term that is over.
    """

    def __init__(
        self,
        connection: PipelineConnection,
        retired: Callable[[], bool],
        lifetime_s: float,
        check: Callable[[Term], None] = lambda _: None,
    ) -> None:
        self._connection = connection
        self._retired = retired
        self._check = check
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + lifetime_s
        self._prepared: set[Lookup] = set()

    @property
    def closed(self) -> bool:
        """Whether a new one is needed: also once it is too old, its server a replica, or the pool recycled."""
        connection = self._connection
        if not connection.closed and (self._retired() or connection.is_read_only or self._loop.time() >= self._until):
            connection.close()
        return connection.closed

    async def load(self, wanted: Mapping[Lookup, Sequence[Key]]) -> Found:
        """See `LoadConnection`."""
        new = [lookup for lookup in wanted if lookup not in self._prepared]
        if new:
            await self._prepare(new)
        calls = [
            (lookup.name, [text_array([key[part] for key in keys]) for part in range(lookup.width)])
            for lookup, keys in wanted.items()
        ]
        found: Found = {}
        answers = await self._connection.query(calls)
        self._check(self._connection.term)
        for (lookup, keys), rows in zip(wanted.items(), answers, strict=True):
            for row in rows:
                found[lookup, keys[row[0] - 1]] = row[1:]
        return found

    def close(self) -> None:
        """See `LoadConnection`."""
        self._connection.close()

    async def _prepare(self, new: Sequence[Lookup]) -> None:
        try:
            await self._connection.prepare(
                {lookup.name: Statement(lookup.many, (TEXT_ARRAY_OID,) * lookup.width) for lookup in new}
            )
        except DatabaseError:
            self.close()  # nobody knows which of them are prepared now
            raise
        self._prepared.update(new)


class Loader:
    """Answers the reads by key of a worker.

    connections: batches under way at most. timeout_s: how long a question may wait for a database that is not there.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[LoadConnection]],
        *,
        connections: int = CONNECTIONS,
        timeout_s: float = 5.0,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self._queue = LoadQueue()
        self._lanes: Lanes[tuple[float, Batch], LoadConnection] = Lanes(
            connect, connections, self._queue.take, self._answer, self._failed
        )
        self._loop = asyncio.get_running_loop()

    async def load(self, lookup: Lookup, key: Key) -> Row | None:
        """The row of this key as it is now or later, or None.

        Raises Busy when too many wait, Unavailable when the database could not be reached in time, BadValue for a key
        that it cannot hold.
        """
        if len(self._queue) >= self._max_waiting:
            raise Busy("too many reads wait for the database")
        waiter: Waiter = self._loop.create_future()
        self._queue.add(lookup, key, waiter, self._loop.time() + self._timeout_s)
        self._lanes.kick()
        return await waiter

    def renew(self) -> None:
        """Close what is idle and of no more use: the pool was recycled."""
        self._lanes.renew()

    async def close(self) -> None:
        """Finish what is under way, unless the database is not there, then close the connections."""
        await self._lanes.close(_CLOSE_S)

    def _failed(self, taken: tuple[float, Batch], error: Exception) -> None:
        if not isinstance(error, DatabaseError):
            log.error("a batch of reads failed", exc_info=error)
        _fail(taken[1], error)

    async def _answer(self, taken: tuple[float, Batch]) -> None:
        deadline, batch = taken
        wanted = {lookup: list(keys) for lookup, keys in batch.items()}
        try:
            found = await self._load_until(wanted, deadline)
        except Unavailable:
            raise
        except DatabaseError as error:
            alone = [{lookup: {key: waiters}} for lookup, keys in batch.items() for key, waiters in keys.items()]
            if len(alone) == 1:
                _fail(batch, error)
                return
            for one in alone:
                await self._answer((deadline, one))
            return
        for lookup, keys in batch.items():
            for key, waiters in keys.items():
                row = found.get((lookup, key))
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(row)

    async def _load_until(self, wanted: Mapping[Lookup, Sequence[Key]], deadline: float) -> Found:
        """Ask, on new connections if need be, until there is an answer or the time is over."""
        while True:
            connection: LoadConnection | None = None
            try:
                connection = self._lanes.idle() or await self._lanes.connect()
                try:
                    return await connection.load(wanted)
                finally:
                    self._lanes.check_in(connection)
            except Unavailable as error:
                answered = connection is not None and not isinstance(error, ConnectionLost)  # such as: it took too long
                if answered or self._loop.time() + _RECONNECT_DELAY_S >= deadline:
                    raise
                await asyncio.sleep(_RECONNECT_DELAY_S)


def _fail(batch: Batch, error: Exception) -> None:
    for keys in batch.values():
        for waiters in keys.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
