"""What one node at a time does for all of them. Each transaction is guarded by the lease's token (`db/sql/leases.py`).

    trim_log       rows of the outbox that every reader has read long ago
    trim_events    changes of channels that are too old to be replayed to anybody: `trimmed_seq` says up to where
    end_sessions   sessions that have expired
    trim_attempts  delays after wrong passwords that ended long ago
    trim_audits    rows of the audit log that are too old, or too many

A job goes on batch by batch until nothing is left, so that no transaction is long.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from db.model import shards
from db.model.errors import DatabaseError, Fenced
from db.model.ids import SessionId
from db.order.clock import NOW_MS
from db.pool.queryable import Queryable, Transaction
from db.sql import attempts, audits, outbox
from db.sql.leases import Fence, guarded

log = logging.getLogger(__name__)

KEEP_MS = 3_600_000
SESSION_GRACE_MS = 60_000
"""Nodes judge sessions by their own clocks; one whose clock is slow must not lose a session that it thinks is good."""
_BATCH = 500


async def trim_log(db: Queryable, fence: Fence, keep_ms: int = KEEP_MS) -> int:
    """See above; how many rows."""
    return await guarded(db, fence, lambda tx: outbox.trim(tx, keep_ms))


async def trim_events(db: Queryable, fence: Fence, keep_ms: int = KEEP_MS, batch: int = _BATCH) -> int:
    """See above; how many rows.

    What goes is everything up to the channel's last row that is old enough, and its head says so in the same
    transaction: whoever stands below `trimmed_seq` is told to fetch anew.
    """

    async def trim(tx: Transaction) -> int | None:
        now_ms = NOW_MS[tx.dialect]
        rows = await tx.fetch(
            "SELECT DISTINCT channel_id FROM (SELECT channel_id FROM channel_events"  # noqa: S608
            f" WHERE create_at < {now_ms} - %s ORDER BY create_at LIMIT %s) oldest ORDER BY channel_id",
            (keep_ms, batch),
        )
        if not rows:
            return None
        channel_ids = [row[0] for row in rows]
        # As who posts does: heads are locked in order, so nobody waits in a circle.
        await tx.fetch(
            "SELECT channel_id FROM channel_heads WHERE channel_id = ANY(%s) ORDER BY channel_id FOR UPDATE",
            (channel_ids,),
        )
        await tx.execute(
            "UPDATE channel_heads SET trimmed_seq = greatest(trimmed_seq, coalesce((SELECT max(e.seq)"  # noqa: S608
            " FROM channel_events e WHERE e.channel_id = channel_heads.channel_id"
            f" AND e.create_at < {now_ms} - %s), 0)) WHERE channel_id = ANY(%s)",
            (keep_ms, channel_ids),
            changes=[shards.posts(channel_id) for channel_id in channel_ids],
        )
        return await tx.execute(
            "DELETE FROM channel_events WHERE channel_id = ANY(%s) AND seq <="
            " coalesce((SELECT h.trimmed_seq FROM channel_heads h WHERE h.channel_id = channel_events.channel_id),"
            " seq)",
            (channel_ids,),
        )

    total = 0
    while (gone := await guarded(db, fence, trim)) is not None:
        total += gone
    return total


async def end_sessions(db: Queryable, fence: Fence, grace_ms: int = SESSION_GRACE_MS, batch: int = _BATCH) -> int:
    """See above; how many."""

    async def end(tx: Transaction) -> int:
        expired = f"expires_at BETWEEN 1 AND {NOW_MS[tx.dialect]} - %s"
        rows = await tx.fetch(
            f"SELECT id FROM sessions WHERE {expired} ORDER BY expires_at LIMIT %s",  # noqa: S608
            (grace_ms, batch),
        )
        session_ids = [SessionId(row[0]) for row in rows]
        if session_ids:
            await tx.execute(
                f"DELETE FROM sessions WHERE id = ANY(%s) AND {expired}",  # noqa: S608
                (session_ids, grace_ms),
                changes=[shards.session(session_id) for session_id in session_ids],
            )
        return len(session_ids)

    return await _in_batches(db, fence, end, batch)


async def trim_attempts(db: Queryable, fence: Fence, batch: int = _BATCH) -> int:
    """See above; how many rows."""
    return await _in_batches(db, fence, lambda tx: attempts.trim(tx, batch), batch)


def trim_audits(limits: Callable[[], tuple[int, int]], batch: int = _BATCH) -> "Job":
    """See above. limits: how long rows are kept (ms) and how many, as configured when the job runs."""

    async def run(db: Queryable, fence: Fence) -> int:
        bound = await audits.find_bound(db, *limits())
        return await _in_batches(db, fence, lambda tx: audits.trim(tx, bound, batch), batch)

    return Job("trim_audits", 300.0, run)


async def _in_batches(db: Queryable, fence: Fence, trim: Callable[[Transaction], Awaitable[int]], batch: int) -> int:
    total = 0
    while True:
        touched = await guarded(db, fence, trim)
        total += touched
        if touched < batch:
            return total


@dataclass(frozen=True)
class Job:
    """Something to be done every so often; `run` says how many rows it touched. Raises DatabaseError."""

    name: str
    every_s: float
    run: Callable[[Queryable, Fence], Awaitable[int]]


JOBS = (
    Job("trim_log", 60.0, trim_log),
    Job("trim_events", 60.0, trim_events),
    Job("end_sessions", 300.0, end_sessions),
    Job("trim_attempts", 300.0, trim_attempts),
)


async def run_for_ever(db: Queryable, fence: Fence, jobs: tuple[Job, ...] = JOBS) -> None:
    """Do them all, until cancelled; one that fails is done at its next time. Raises Fenced: nothing is to go on."""
    loop = asyncio.get_running_loop()
    due = {job.name: loop.time() for job in jobs}
    while True:
        job = min(jobs, key=lambda one: due[one.name])
        await asyncio.sleep(max(0.0, due[job.name] - loop.time()))
        due[job.name] = loop.time() + job.every_s
        try:
            touched = await job.run(db, fence)
        except Fenced:
            raise
        except DatabaseError as error:
            log.warning("a job of the cluster failed", extra={"job": job.name, "reason": str(error).strip()})
        else:
            log.debug("a job of the cluster is done", extra={"job": job.name, "rows": touched})
