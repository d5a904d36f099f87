"""The connection pool of one worker process: reads on fit replicas, writes on the master, live recycle.

SQL is written with `%s` placeholders; parameters are always bound. Rows are tuples in column order.

    fetch(sql, …, on=shards) ──Router──> a replica that has what the floors of these shards demand, else the master
    load(lookup, key, …) ──────────────> the same; from PostgreSQL's master in batches with others (db/pool/loader.py)
    execute / write / transaction ─────> the master; then its position becomes the floor of what was changed, which is
                                         stamped (caches), told to the other nodes, and acknowledged if the term that
                                         it ran under is still the highest (terms.py)
    recycle(settings) ─────────────────> a new generation is built and verified, one reference swapped, the old drained
    a later term is known ─────────────> a new generation at once; all that was begun on the old one fails
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from db.drivers import Connection, Parameters, Row, pipeline
from db.drivers.pipeline import PipelineConnection
from db.model import board as boards
from db.model.board import Board, LocalBoard, fence_open
from db.model.errors import ConnectionLost, DatabaseError, Unavailable
from db.model.retries import retried
from db.model.settings import PoolSettings
from db.model.shards import UNKNOWN, Floors, LocalFloors, LocalStamps, Shard, Stamps
from db.pool.generation import Generation, verify
from db.pool.loader import Key, Loader, Lookup, PipelineLoads
from db.pool.masters import Masters
from db.pool.queryable import Commits, Nobody, RowShards, Transaction, Work, at_most, of_all
from db.pool.terms import HOLD_S

T = TypeVar("T")
log = logging.getLogger(__name__)

_READ_ATTEMPTS = 3
_SETTLE_S = 0.5
_SAFE_S = 0.1
REPLICA_READ_S = 2.0
_BEYOND_S = 5.0


class Database(Masters):
    """The pool of one worker. `open()` it before use; every method may raise the errors of `db/model/errors.py`.

    size: connections to the master at most (None: all of the settings' budget); the loader's go past it. floors,
    stamps, board: what the processes of a node share; of its own when there is but one process. commits: who else is
    told of what is committed; may be replaced later.
    """

    def __init__(
        self,
        settings: PoolSettings,
        size: int | None = None,
        *,
        floors: Floors | None = None,
        stamps: Stamps | None = None,
        board: Board | None = None,
        commits: Commits | None = None,
    ) -> None:
        reserved = settings.max_connections - (size or settings.max_connections)
        super().__init__(settings, reserved, stamps or LocalStamps(), board or LocalBoard())
        self.floors: Floors = floors or LocalFloors()
        self.commits: Commits = commits or Nobody()
        self._free = asyncio.Event()
        self._free.set()
        self._unsettled: set[Shard] = set()
        self._loader: Loader | None = None

    @property
    def _patience_s(self) -> float:
        """The server itself ends a statement after the query timeout; longer than this, it is not there."""
        return self.settings.query_timeout_s + _BEYOND_S

    async def open(self) -> None:
        """Start the pools. Returns at once; connections are made behind it and on demand."""
        await self.generation.open()

    async def close(self) -> None:
        """Close all connections; those in use when their work is done."""
        for task in list(self._tasks):
            task.cancel()
        if self._loader is not None:
            await self._loader.close()
        await self.generation.close()

    # Reads ---------------------------------------------------------------------------------------------------------

    async def fetch(
        self, sql: str, parameters: Parameters = (), *, on: Collection[Shard] | None = None, of: RowShards | None = None
    ) -> list[Row]:
        """All rows of a read. A connection that breaks meanwhile is replaced and the read tried again."""
        if on is not None and self.generation.replicas:
            rows = await self._from_replica(sql, parameters, on, of)
            if rows is not None:
                return rows
        return await self._from_master(sql, parameters)

    async def fetch_one(
        self, sql: str, parameters: Parameters = (), *, on: Collection[Shard] | None = None, of: RowShards | None = None
    ) -> Row | None:
        """The first row of a read, or None when the master has none."""
        if on is not None and self.generation.replicas:
            rows = await self._from_replica(sql, parameters, on, of)
            if rows:
                return rows[0]
        rows = await self._from_master(sql, parameters)
        return rows[0] if rows else None

    async def load(self, lookup: Lookup, key: Key) -> Row | None:
        """The row of this key, or None when the master has none. What the master answers, it answers in batches."""
        generation = self.current()
        if generation.replicas:
            on = lookup.on(key) if lookup.on is not None else ()
            rows = await self._from_replica(lookup.one, lookup.parameters_of(key), on, lookup.of)
            if rows:
                return rows[0]
        if generation.settings.driver == "mysql":
            rows = await self._from_master(lookup.one, lookup.parameters_of(key))
            return rows[0] if rows else None
        if self._loader is None:
            self._loader = Loader(self._connect_loads, timeout_s=generation.settings.connect_timeout_s)
        return await self._loader.load(lookup, key)

    async def _connect_loads(self) -> PipelineLoads:
        generation = self.current()
        connection = await PipelineConnection.open(generation.settings, {}, self.check, options=pipeline.KEY_PLANS)
        self.attach(connection)
        return PipelineLoads(
            connection, lambda: self.current() is not generation, generation.settings.max_lifetime_s, self.terms.check
        )

    async def _from_replica(
        self, sql: str, parameters: Parameters, on: Collection[Shard], of: RowShards | None
    ) -> list[Row] | None:
        """The rows, or None when no replica may or can say. None may while nobody knows what others changed."""
        generation = self.generation
        if not fence_open(self.board.polled_ns(), boards.boottime_ns()):
            return None
        floor = self.floors.floor(on)
        loop = asyncio.get_running_loop()
        until = loop.time() + REPLICA_READ_S
        while loop.time() < until:
            choice = generation.choose(floor)
            if choice is None:
                break
            index, replayed = choice
            try:
                async with generation.replicas[index].connection() as connection:
                    if not generation.has_reached(index, replayed):
                        continue  # it began anew, further back, while we waited for the connection
                    with at_most(REPLICA_READ_S, connection):
                        rows = await connection.fetch(sql, parameters)
            except DatabaseError as error:  # also a read that the replica's recovery has ended: another may answer
                generation.router.failed(index, boards.boottime_ns(), broken=isinstance(error, Unavailable))
                continue
            generation.router.succeeded(index)
            if of is not None and any(self.floors.floor(of(row)) > replayed for row in rows):
                break
            return rows
        return None

    async def _from_master(self, sql: str, parameters: Parameters) -> list[Row]:
        for attempt in range(_READ_ATTEMPTS):
            try:
                async with self.master() as (_, connection):
                    with at_most(self._patience_s, connection):
                        rows = await connection.fetch(sql, parameters)
                    self.terms.check(connection.term)
                    return rows
            except ConnectionLost:
                if attempt == _READ_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    # Writes --------------------------------------------------------------------------------------------------------

    async def execute(self, sql: str, parameters: Parameters = (), *, changes: Collection[Shard] = ()) -> int:
        """Run one writing statement in a transaction of its own; the number of rows it touched."""

        async def write() -> int:
            async with self._writing() as (connection, changed):
                changed.update(changes)
                return await connection.execute(sql, parameters)

        return await retried(write)

    async def write(
        self, sql: str, parameters: Parameters = (), *, changes: Collection[Shard] = (), of: RowShards | None = None
    ) -> list[Row]:
        """Run one writing statement with RETURNING; its rows."""

        async def write() -> list[Row]:
            async with self._writing() as (connection, changed):
                rows = await connection.fetch(sql, parameters)
                changed.update(changes)
                changed.update(of_all(rows, of))
                return rows

        return await retried(write)

    async def transact(self, work: Work[T]) -> T:
        """See `Queryable`."""

        async def once() -> T:
            async with self.transaction() as tx:
                return await work(tx)

        return await retried(once)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One try of a transaction: committed when the block ends, rolled back when it raises."""
        await self.writable()
        async with self._begun() as (generation, connection, bounds):
            transaction = Transaction(connection, generation.settings.driver, self._patience_s)
            try:
                yield transaction
            except BaseException:
                with at_most(self._patience_s, connection):
                    await bounds.__aexit__(*sys.exc_info())
                raise
            with at_most(self._patience_s, connection):
                await bounds.__aexit__(None, None, None)
            position = await self._committed(generation, connection, transaction.changes)
        if transaction.changes:
            await self.commits.committed(transaction.changes, position, connection.term)
        await self.terms.acknowledge(connection.term)

    @contextlib.asynccontextmanager
    async def _begun(self) -> AsyncIterator[tuple[Generation, Connection, AbstractAsyncContextManager[None]]]:
        """A connection to the master after BEGIN, which changes nothing: another one does when the first was lost."""
        for attempt in range(_READ_ATTEMPTS):
            async with self.master() as (generation, connection):
                bounds = connection.transaction()
                try:
                    with at_most(self._patience_s, connection):
                        await bounds.__aenter__()
                except ConnectionLost:
                    if attempt == _READ_ATTEMPTS - 1:
                        raise
                    continue
                yield generation, connection, bounds
                return

    @contextlib.asynccontextmanager
    async def _writing(self) -> AsyncIterator[tuple[Connection, set[Shard]]]:
        await self.writable()
        changed: set[Shard] = set()
        async with self.master() as (generation, connection):
            with at_most(self._patience_s, connection):
                yield connection, changed
            position = await self._committed(generation, connection, changed)
        if changed:
            await self.commits.committed(changed, position, connection.term)
        await self.terms.acknowledge(connection.term)

    async def writable(self) -> None:
        """Wait while writes are held, no copy would get them, or nodes agree on a master. Raises Unavailable."""
        if not (self._free.is_set() and self._is_safe()):
            try:
                async with asyncio.timeout(HOLD_S):
                    await self._free.wait()
                    while not self._is_safe():
                        await asyncio.sleep(_SAFE_S)
            except TimeoutError as error:
                held = "writes are held while the database changes its master"
                unsafe = "no replica confirms what is written, and SqlSettings.RequireSynchronous is set"
                raise Unavailable(unsafe if self._free.is_set() else held) from error
        await self.terms.ready()

    def _is_safe(self) -> bool:
        return self.board.synchronous() or not self.settings.require_synchronous

    @property
    def wants_position(self) -> bool:
        """Whether somebody needs to know how far the log is after a commit."""
        return bool(self.generation.replicas) or self.commits.wants_position

    async def _committed(self, generation: Generation, connection: Connection, changed: set[Shard]) -> int:
        """Ask for the position of a commit that changed this, if anybody wants it; `landed`. Raises as `confirm`."""
        await self.confirm(connection)
        if not changed:
            return 0
        position: int | None = None
        if self.wants_position:
            # Committed it is; at worst nobody knows how far.
            with contextlib.suppress(DatabaseError), at_most(self._patience_s, connection):
                position = await generation.driver.position(connection)
        return self.landed(changed, position)

    async def confirm(self, connection: Connection) -> None:
        """Make sure that a copy has what was committed, where that is wanted. Raises Unavailable: it is unknown."""
        if self.settings.require_synchronous:
            with at_most(self._patience_s, connection):
                await self.generation.driver.confirm(connection)

    def landed(self, changed: Collection[Shard], position: int | None) -> int:
        """Nobody of this node reads what is older than a commit that changed this any more.

        position: of the commit; None: nobody asked, or could. What the other nodes are to be told of it.
        """
        if position is not None:
            self.floors.raise_to(changed, position)
        elif self.generation.replicas:
            self.unknown(changed)
        self.stamps.write(changed)
        return position if position is not None else UNKNOWN if self.wants_position else 0

    async def take_floor(self) -> None:
        """Let no replica be read that lacks anything committed until now. Raises DatabaseError."""
        if self.generation.replicas:
            self.floors.take_over(await self.position())

    async def position(self) -> int:
        """How far the master's log is. Raises DatabaseError."""
        async with self.master() as (generation, connection):
            with at_most(self._patience_s, connection):
                position = await generation.driver.position(connection)
            self.terms.check(connection.term)
            return position

    def unknown(self, changed: Iterable[Shard]) -> None:
        """Something was committed and nobody knows how far the log is: the master answers until that is known."""
        changed = set(changed)
        self.floors.raise_to(changed, UNKNOWN)
        first = not self._unsettled
        self._unsettled |= changed
        if first:
            self._tasks.start(self._settle())

    async def _settle(self) -> None:
        while self._unsettled:
            await asyncio.sleep(_SETTLE_S)
            shards = set(self._unsettled)
            with contextlib.suppress(DatabaseError):
                self.floors.settle(shards, await self.position())
                self._unsettled -= shards

    def replicas_fit(self) -> bool:
        """Whether every replica may be read now. True without any."""
        return self.generation.all_fit()

    # Servers -------------------------------------------------------------------------------------------------------

    async def verify(self, settings: PoolSettings) -> None:
        """Whether a recycle to these settings is possible. Raises Unavailable, saying what is wrong."""
        await verify(settings, self._cluster_id, self._judge)

    async def recycle(self, settings: PoolSettings) -> None:
        """Go over to new connections by these settings; work under way ends on the old ones.

        Raises Unavailable, with the reason, when the new master cannot be verified: then nothing has changed. Replicas
        are read only once the prober speaks of the same ones, which it is to do after every process has recycled.
        """
        await self.verify(settings)
        new = self._build(settings)
        await new.open()
        try:
            async with new.master.connection():
                pass  # the first request finds one ready
        except BaseException:
            await new.close()
            raise
        later, self._term = self.board.term() > self._term, self.board.term()
        old = self._swap(new)
        if later:
            self._end_beside()
        await old.close(at_once=later)
        if new.replicas:  # what this process committed before may have raised no floor
            async with new.master.connection() as connection:
                self.floors.raise_all(await new.driver.position(connection))

    def _swap(self, new: Generation) -> Generation:
        old = super()._swap(new)
        if self._loader is not None:
            self._loader.renew()
        return old

    def hold(self) -> None:
        """Let no write begin, and acknowledge none that is under way, until `release`."""
        self._free.clear()
        self.terms.held = True

    def release(self) -> None:
        """Let writes go on."""
        self.terms.held = False
        self._free.set()

    def usage(self) -> dict[str, object]:
        """Figures for operators."""
        generation = self.generation
        return {
            "master": generation.master.usage(),
            "replicas": [
                {**server.usage(), "reads": served}
                for server, served in zip(generation.replicas, generation.router.served, strict=True)
            ],
        }
