"""Connections to the master of now: of the highest term that is known. All that is of an earlier one is ended."""

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Protocol
from weakref import WeakSet

from db.drivers import Connection, Facts
from db.model.board import Board, Term
from db.model.errors import ConnectionLost, Unavailable, Wrong
from db.model.settings import Dialect, PoolSettings
from db.model.shards import Stamps
from db.model.tasks import Tasks
from db.pool.generation import Generation
from db.pool.terms import Terms

log = logging.getLogger(__name__)


class Closable(Protocol):
    """A connection beside the pool."""

    def close(self) -> None:
        """Close at once; what it does fails."""


class Masters:
    """The part of `db.pool.pool.Database` that knows which server is the master.

    reserved: connections beside the pool.
    """

    def __init__(self, settings: PoolSettings, reserved: int, stamps: Stamps, board: Board) -> None:
        self.stamps = stamps
        self.board = board
        self.terms = Terms(board)
        self._reserved = reserved
        self.generation = self._build(settings)
        self._term = Term()
        """For which the generation was built; the lowest one before any master was met."""
        self._beside: WeakSet[Closable] = WeakSet()
        self._cluster_id = ""
        self._tasks = Tasks()

    @property
    def settings(self) -> PoolSettings:
        """Of the connections in use now."""
        return self.generation.settings

    @property
    def dialect(self) -> Dialect:
        """See `Queryable`."""
        return self.generation.settings.driver

    @contextlib.asynccontextmanager
    async def master(self) -> AsyncIterator[tuple[Generation, Connection]]:
        """A connection to the master of the highest term known. Who uses it looks at its term again when it is done.

        Who waits for one while the pool is recycled, or another master is met, gets it from the new one.
        """
        async with contextlib.AsyncExitStack() as stack:
            while True:
                generation = self.current()
                try:
                    connection = await stack.enter_async_context(generation.master.connection())
                except Unavailable:
                    if generation is self.current():
                        raise
                    continue
                if connection.term >= self.board.term():
                    break
                connection.abandon()
                await stack.aclose()
            yield generation, connection

    def current(self) -> Generation:
        """The connections to use now: of the highest term that is known. All that is of an earlier one is ended."""
        term = self.board.term()
        if term > self._term:
            before, self._term = self._term, term
            if before != Term():
                log.warning("all connections to the former master are ended", extra={"term": str(term)})
                old = self._swap(self._build(self.settings))
                self._end_beside()
                self._tasks.start(old.close(at_once=True))
        return self.generation

    def _swap(self, new: Generation) -> Generation:
        old, self.generation = self.generation, new
        self.stamps.write_all()  # what was asked of the old servers makes no copy any more
        return old

    def _end_beside(self) -> None:
        for one in list(self._beside):
            one.close()

    def attach(self, connection: Closable) -> None:
        """A connection to the master beside the pool: it ends with its term."""
        self._beside.add(connection)

    def _build(self, settings: PoolSettings) -> Generation:
        return Generation(settings, max(1, settings.max_connections - self._reserved), self.check, self.board)

    def check(self, facts: Facts) -> None:
        """Of every new connection to the master. One of a later term than any before is known to the node from here on:
        before anything is written by it.
        """
        self._judge(facts)
        self._cluster_id = self._cluster_id or facts.cluster_id
        self.board.raise_term(facts.term)

    def _judge(self, facts: Facts) -> None:
        if not facts.writable:
            raise ConnectionLost("the server takes no writes")
        if self._cluster_id not in ("", facts.cluster_id):
            raise Wrong("the database is not that of this installation")
        if facts.term < self.board.term():
            raise Wrong("this was the master once, and another one has taken its place")
