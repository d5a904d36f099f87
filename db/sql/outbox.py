"""The outbox: everything that changed since the last poll, exactly, whoever changed it (design §4).

On PostgreSQL a poll takes a snapshot and reads the rows of `cluster_log` that this snapshot sees and the last poll's
did not: a transaction that was open for a minute is told of when it commits, and nothing is told of twice. MySQL cannot
be asked that; there a list of missing ids has the same result (`db/sql/mysql/outbox.py`). The same poll tells which
heads of channels changed, and the master's position, which is at least that of all it told of.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from db.drivers import Connection, Row
from db.drivers.mysql_tables import NOW_MS
from db.model import shards, tables
from db.model.board import boottime_ns
from db.model.errors import DatabaseError
from db.model.settings import Dialect
from db.pool import guards
from db.pool.pool import Database
from db.pool.queryable import Queryable, at_most

log = logging.getLogger(__name__)

POLL_EVERY_S = 1.0
_TIMEOUT_S = 5.0
_TOO_LONG_S = 900.0
_TOO_MUCH = 10_000
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
"""(namespace, key), as in `db/model/shards.py`."""


@dataclass(frozen=True)
class Poll:
    """What a poll found. heads: (channel id, seq) of the channels whose head changed."""

    position: int
    changes: list[Change]
    heads: list[tuple[str, int]]


class Cursor(Protocol):
    """What a reader has seen of one master's outbox. unseen: changes that nobody told of, '' for none."""

    unseen: str

    async def poll(self, connection: Connection) -> tuple[int, list[Row], list[Row]] | None:
        """(position, changes, heads) since the last poll; None for the first one."""


class _SnapshotCursor:
    """PostgreSQL's: the snapshot of the last poll."""

    def __init__(self) -> None:
        self._snapshot: str | None = None
        self._watch = guards.Watch("postgres")
        self.unseen = ""

    async def poll(self, connection: Connection) -> tuple[int, list[Row], list[Row]] | None:
        """See `Cursor`."""
        since = self._snapshot
        changes: list[Row] = []
        heads: list[Row] = []
        async with connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            rows = await connection.fetch(_SNAPSHOT)
            triggers = await connection.fetch(guards.SQL["postgres"])
            if since is not None:
                changes = await connection.fetch(_CHANGES, (since, since))
                heads = await connection.fetch(_HEADS, (since, since))
        self._snapshot = rows[0][0]
        self.unseen = self._watch.look(guards.seen(triggers[0]))
        return None if since is None else (rows[0][1], changes, heads)


class Outbox:
    """One reader. A cursor means nothing to another master: the first poll of each term is a first one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._master: tuple[str, int, str] | None = None
        self._unseen = ""
        self._cursor = self._begin()

    def forget(self) -> None:
        """What the last poll told of was lost: the next one is a first one."""
        self._cursor = self._begin()

    def _begin(self) -> Cursor:
        if self._database.dialect == "mysql":
            from db.sql.mysql.outbox import IdCursor

            return IdCursor()
        return _SnapshotCursor()

    async def poll(self) -> Poll | None:
        """What changed since the last poll. Raises DatabaseError.

        None for the first, which sets the cursor, and when anything may have changed (`db/pool/guards.py`).
        """
        async with self._database.master() as (generation, connection):
            with at_most(_TIMEOUT_S, connection):
                facts = await generation.driver.facts(connection)
                try:
                    self._database.check(facts)
                except DatabaseError:
                    connection.abandon()
                    raise
                master = (facts.server, facts.timeline, facts.marker)
                if master != self._master:
                    self.forget()
                    self._master = master
                found = await self._cursor.poll(connection)
            try:
                self._database.terms.check(facts.term)
            except DatabaseError:  # a later master has changes that this one does not know of
                self.forget()
                raise
        if found is None:
            return None
        position, changes, heads = found
        truncated = [key for namespace, key in changes if namespace == tables.EVERYTHING]
        unseen = self._cursor.unseen or (f"truncated: {', '.join(truncated)}" if truncated else "")
        if unseen != self._unseen:
            self._unseen = unseen
            if unseen:
                log.warning("anything may have changed: no copy counts any more", extra={"reason": unseen})
        if unseen:
            return None
        return Poll(position, [(row[0], row[1]) for row in changes], [(row[0], row[1]) for row in heads])


class Follower:
    """Polls every second, raises the floors of what changed and stamps it (the relay's; one a node).

    The board says when the last poll that was applied had been sent: the fence of all copies. polls: good ones so far.
    told: called with what each poll found, after it was applied; with None when anything may have changed.
    """

    def __init__(self, database: Database, told: Callable[[Poll | None], None] = lambda _: None) -> None:
        self._database = database
        self._told = told
        self._hurry = asyncio.Event()
        self._trusted_ns = self.applied_ns = 0
        """When the last applied poll was sent; the other one: what is sent earlier counts no more."""
        self._outbox = Outbox(database)
        self._polled_at = asyncio.get_running_loop().time()
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
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, POLL_EVERY_S - (loop.time() - began))):
                    await self._hurry.wait()
            self._hurry.clear()

    @property
    def trusted(self) -> bool:
        """Whether a poll was applied since anything was lost."""
        return self.applied_ns >= self._trusted_ns

    def poll_now(self) -> None:
        """Do not wait for the next second."""
        self._hurry.set()

    def distrust(self) -> None:
        """Something was lost on another way: only a poll that is sent from now on counts, and the next one is at once.

        Until then no copy counts and no replica is read: floors may lack what other nodes were answered for.
        """
        self._trusted_ns = boottime_ns()
        self._database.board.set_polled(0)
        self._hurry.set()

    async def _poll(self, began: float) -> None:
        database = self._database
        sent_ns = boottime_ns()
        poll = await self._outbox.poll()
        if poll is None:
            await self._begin()
        else:
            changed = [shards.shard(namespace, key) for namespace, key in poll.changes]
            changed += [shards.posts(channel_id) for channel_id, _ in poll.heads]
            if began - self._polled_at > _TOO_LONG_S or len(changed) > _TOO_MUCH:
                database.floors.raise_all(poll.position)
                database.stamps.write_all()
                self._told(None)
            else:
                database.landed(changed, poll.position)
                if poll.changes or poll.heads:
                    self._told(poll)
        self.applied_ns = sent_ns
        if self.trusted:
            database.board.set_polled(sent_ns)
        self._polled_at = began
        self.polls += 1

    async def _begin(self) -> None:
        """After a first poll: nobody knows what changed before it."""
        if self._database.generation.replicas:
            try:
                self._database.floors.raise_all(await self._database.position())
            except DatabaseError:
                self._outbox.forget()
                raise
        self._database.stamps.write_all()
        self._told(None)

    def status(self) -> dict[str, object]:
        """For `mmnode db status`."""
        age_s = asyncio.get_running_loop().time() - self._polled_at
        return {"outbox_polls": self.polls, "outbox_age_s": round(age_s, 3)}


async def trim(db: Queryable, older_than_ms: int) -> int:
    """Forget what every reader has read long ago; how many rows."""
    return await db.execute(_TRIM[db.dialect], (older_than_ms,))
