"""Reading the outbox; see `db/sql/outbox.py`.

Ids are given out before their transactions commit, so they do not become visible in order. The cursor is the highest
id seen and the list of those below that were not there yet: each poll asks for both. An id that is still missing after
the longest time a transaction may take was rolled back.
"""

import asyncio
from collections.abc import Iterable

from db.drivers import Connection, Row
from db.drivers.mysql import DRIVER
from db.drivers.mysql_tables import NOW_MS
from db.pool import guards
from db.sql.mysql import witnesses
from db.sql.mysql.witnesses import Witnesses

_TRANSACTION_S = 900.0
_MISSING_MAX = 10_000
_HEADS_AGAIN_MS = 60_000
_FIRST = f"""
SELECT {NOW_MS},
    coalesce((SELECT max(id) FROM cluster_log WHERE create_at < {NOW_MS} - %s), 0),
    coalesce((SELECT max(id) FROM cluster_log), 0)
"""  # noqa: S608 (a constant)
_CHANGES = 'SELECT id, namespace, "key" FROM cluster_log WHERE id > %s OR id = ANY(%s) ORDER BY id'
_HEADS = "SELECT channel_id, seq FROM channel_heads WHERE changed_at >= %s"


class IdCursor:
    """The cursor of one reader."""

    def __init__(self) -> None:
        self._highest: int | None = None
        self._missing: dict[int, float] = {}
        """Ids and when they were first missed."""
        self._heads: dict[str, int] = {}
        """What was told of the heads that changed lately: a batch may commit well after the time that it notes."""
        self._polled_ms = 0
        self._watch = guards.Watch("mysql")
        self._witnesses = Witnesses()
        self.unseen = ""

    async def poll(self, connection: Connection) -> tuple[int, list[Row], list[Row]] | None:
        """See `db.sql.outbox.Cursor`."""
        if self._highest is None:
            now_ms, settled, highest = (await connection.fetch(_FIRST, (int(_TRANSACTION_S * 1000),)))[0]
            settled = max(settled, highest - _MISSING_MAX)
            there = await connection.fetch("SELECT id FROM cluster_log WHERE id > %s", (settled,))
            heads = await connection.fetch(_HEADS, (now_ms - _HEADS_AGAIN_MS,))
            self._advance(settled, highest, (row[0] for row in there))
            self._note_heads(now_ms, heads)
            await self._look(connection)
            return None
        rows = await connection.fetch(_CHANGES, (self._highest, list(self._missing)))
        now_ms = (await connection.fetch(f"SELECT {NOW_MS}"))[0][0]
        heads = await connection.fetch(_HEADS, (self._polled_ms - _HEADS_AGAIN_MS,))
        # Asked last: what can be seen is in the log before it can be seen.
        position = await DRIVER.position(connection)
        self._advance(self._highest, max([self._highest, *(row[0] for row in rows)]), (row[0] for row in rows))
        changes = list(dict.fromkeys((row[1], row[2]) for row in rows))
        await self._look(connection)
        return position, changes, self._note_heads(now_ms, heads)

    async def _look(self, connection: Connection) -> None:
        """What no row told of. Last: what comes after the rows were read is told of by the next poll, or a witness."""
        self.unseen = self._watch.look(guards.seen((await connection.fetch(guards.SQL["mysql"]))[0]))
        looked = await connection.fetch(witnesses.SQL, self._witnesses.parameters())
        if truncated := self._witnesses.look(looked[0]):
            self.unseen = f"truncated: {', '.join(truncated)}"
            if witnesses.OUTBOX in truncated:  # ids begin anew
                self._highest, self._missing = None, {}

    def _advance(self, since: int, highest: int, seen: Iterable[int]) -> None:
        now = asyncio.get_running_loop().time()
        there = set(seen)
        kept = {one: at for one, at in self._missing.items() if one not in there and now - at < _TRANSACTION_S}
        new = (one for one in range(max(since, highest - _MISSING_MAX) + 1, highest) if one not in there)
        self._missing = kept | dict.fromkeys(new, now)
        self._highest = highest

    def _note_heads(self, now_ms: int, heads: list[Row]) -> list[Row]:
        """Those that were not told of yet."""
        new = [row for row in heads if self._heads.get(row[0]) != row[1]]
        self._heads = {row[0]: row[1] for row in heads}
        self._polled_ms = now_ms
        return new
