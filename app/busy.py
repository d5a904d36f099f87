"""Whether administrators have declared that the servers are busy: then what nobody needs is refused, on every node.

It stands in the table `systems`, with its end; a worker asks again when what it knows is a second old.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from app.errors import server_busy
from db.model.errors import DatabaseError
from db.pool import systems
from db.pool.queryable import Queryable

NAME: Final = "server_busy_until"
DEFAULT_S, MOST_S = 3600, 86_400
"""As in Mattermost."""
_KNOWN_MS = 1000
_PATIENCE_S = 0.5


class Busy:
    """What a worker knows of it. now_ms: milliseconds since 1970."""

    def __init__(self, db: Queryable, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._now_ms = now_ms
        self._until_ms = 0
        self._asked_ms = 0
        self._asking = asyncio.Lock()

    async def until_ms(self) -> int:
        """Its end; 0 while there is none. Raises DatabaseError."""
        found = await systems.find(self._db, NAME)
        self._asked_ms = self._now_ms()
        self._until_ms = int(found or 0)
        return self._until_ms if self._until_ms > self._asked_ms else 0

    async def refuse(self) -> None:
        """Raises 503 while it is declared. A database that does not answer refuses nobody."""
        if self._now_ms() - self._asked_ms >= _KNOWN_MS and not self._asking.locked():
            async with self._asking:
                self._asked_ms = self._now_ms()
                try:
                    async with asyncio.timeout(_PATIENCE_S):
                        await self.until_ms()
                except (DatabaseError, TimeoutError):
                    pass
        if self._until_ms > self._now_ms():
            raise server_busy(max(1, (self._until_ms - self._now_ms()) // 1000))
