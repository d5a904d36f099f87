"""Sees what the relay does not tell: while its polls of the outbox stay away, the worker polls itself.

A relay that is frozen is killed after 5 s; until then no message of the bus comes, and nobody says that any is missing.
The board tells how old its last poll is. In quiet times the worker's own cursor is only moved on now and then, so that
there is one to begin from; what that finds is held, for the relay may have fallen silent before it saw as much. What is
told twice does no harm.
"""

import asyncio
from collections.abc import Callable

from db.model.board import boottime_ns
from db.model.errors import DatabaseError
from db.pool.pool import Database
from db.sql.outbox import Outbox, Poll

SILENT_NS = 1_500_000_000
"""Half a second beyond the interval of the relay's polls."""
_LOOK_EVERY_S = 0.25
_MOVE_EVERY_S = 10.0


class Lookout:
    """told: called with what was found, as by a relay; with None when anything may have changed."""

    def __init__(self, database: Database, told: Callable[[Poll | None], None]) -> None:
        self._database = database
        self._told = told
        self._outbox = Outbox(database)
        self._held: Poll | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        move_at = loop.time()
        while True:
            silent = boottime_ns() - self._database.board.polled_ns() > SILENT_NS
            if silent or loop.time() >= move_at:
                move_at = loop.time() + _MOVE_EVERY_S
                await self._look(silent=silent)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _look(self, *, silent: bool) -> None:
        try:
            poll = await self._outbox.poll()
        except DatabaseError:  # the relay's prober says so; without the database there is nothing to tell
            return
        if not silent:
            self._held = poll
            return
        if self._held is not None:
            self._told(self._held)
            self._held = None
        self._told(poll)
