"""The outbox: everything that changed since the last poll, exactly, whoever changed it (design §4).

On PostgreSQL a poll takes a snapshot and reads the rows of `cluster_log` that this snapshot sees and the last poll's
did not: a transaction that was open for a minute is told of when it commits, and nothing is told of twice. MySQL cannot
be asked that; there a list of missing ids has the same result (`db/mysql/outbox.py`). The same poll tells which heads
of channels changed, and the master's position, which is at least that of all it told of.
"""

import asyncio
import logging
from dataclasses import dataclass

from db import shards
from db.drivers import Row
from db.errors import DatabaseError
from db.mysql.outbox import IdCursor
from db.mysql.tables import NOW_MS
from db.pool import Database
from db.queryable import Queryable
from db.settings import Dialect

log = logging.getLogger(__name__)

POLL_EVERY_S = 1.0
_TOO_LONG_S = 900.0
_KEEP_S = 3600.0
_TRIM_EVERY_S = 60.0
_SNAPSHOT = "SELECT pg_current_snapshot()::text, (pg_current_wal_insert_lsn() - '0/0')::bigint"
_CHANGES = (
    "SELECT DISTINCT namespace, key FROM cluster_log WHERE xid >= pg_snapshot_xmin(%s::pg_snapshot)"
    " AND NOT pg_visible_in_snapshot(xid, %s::pg_snapshot)"
)
_HEADS = (
    "SELECT channel_id, seq FROM channel_heads WHERE changed_xid >= pg_snapshot_xmin(%s::pg_snapshot)"
    " AND NOT pg_visible_in_snapshot(changed_xid, %s::pg_snapshot)"
)
_TRIM: dict[Dialect, str] = {
    "postgres": "DELETE FROM cluster_log WHERE create_at < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - %s",
    "mysql": f"DELETE FROM cluster_log WHERE create_at < {NOW_MS} - %s",  # noqa: S608 (a constant)
}

Change = tuple[str, str]
"""(namespace, key), as in `db/shards.py`."""


@dataclass(frozen=True)
class Poll:
    """What a poll found. heads: (channel id, seq) of the channels whose head changed."""

    position: int
    changes: list[Change]
    heads: list[tuple[str, int]]


class _SnapshotCursor:
    """PostgreSQL's: the snapshot of the last poll."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._snapshot: str | None = None

    async def poll(self) -> tuple[int, list[Row], list[Row]] | None:
        """(position, changes, heads); None for the first poll."""
        since = self._snapshot
        changes: list[Row] = []
        heads: list[Row] = []
        async with self._database.transaction() as tx:
            await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            rows = await tx.fetch(_SNAPSHOT)
            if since is not None:
                changes = await tx.fetch(_CHANGES, (since, since))
                heads = await tx.fetch(_HEADS, (since, since))
        self._snapshot = rows[0][0]
        return None if since is None else (rows[0][1], changes, heads)


class Outbox:
    """One reader."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.forget()

    def forget(self) -> None:
        """Another master: what the cursor says means nothing there. The next poll is a first one."""
        mysql = self._database.dialect == "mysql"
        self._cursor = IdCursor(self._database) if mysql else _SnapshotCursor(self._database)

    async def poll(self) -> Poll | None:
        """What changed since the last poll; None for the first, which sets the cursor. Raises DatabaseError."""
        found = await self._cursor.poll()
        if found is None:
            return None
        position, changes, heads = found
        return Poll(position, [(row[0], row[1]) for row in changes], [(row[0], row[1]) for row in heads])


class Follower:
    """Polls every second and raises the floors of what changed (the relay's; one a node). polls: good ones so far."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._outbox = Outbox(database)
        self._term = database.board.term()
        self._polled_at = self._trimmed_at = asyncio.get_running_loop().time()
        self.polls = 0

    async def run(self) -> None:
        """Poll until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._poll(began)
            except DatabaseError as error:
                log.warning("the outbox cannot be read", extra={"reason": str(error).strip()})
            await asyncio.sleep(max(0.0, POLL_EVERY_S - (loop.time() - began)))

    async def _poll(self, began: float) -> None:
        database = self._database
        if database.board.term() != self._term:
            self._outbox.forget()
            self._term = database.board.term()
        poll = await self._outbox.poll()
        if poll is not None:
            if began - self._polled_at > _TOO_LONG_S:
                database.floors.raise_all(poll.position)
            changed = [shards.shard(namespace, key) for namespace, key in poll.changes]
            changed += [shards.posts(channel_id) for channel_id, _ in poll.heads]
            database.floors.raise_to(changed, poll.position)
        self._polled_at = began
        self.polls += 1
        if began - self._trimmed_at >= _TRIM_EVERY_S:
            self._trimmed_at = began
            await trim(database, int(_KEEP_S * 1000))

    def status(self) -> dict[str, object]:
        """For `mmnode db status`."""
        age_s = asyncio.get_running_loop().time() - self._polled_at
        return {"outbox_polls": self.polls, "outbox_age_s": round(age_s, 1)}


async def trim(db: Queryable, older_than_ms: int) -> int:
    """Forget what every reader has read long ago; how many rows."""
    return await db.execute(_TRIM[db.dialect], (older_than_ms,))
