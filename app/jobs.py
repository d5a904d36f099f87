"""What one node does for all of them, every so often: the node that has the lease (`cluster/relay/lease.py`).

A job is a function with `@job`, and stands in `JOBS`. All that it writes goes through its `Duty`, whose transactions
commit only while the lease is held; it goes on batch by batch until nothing is left, so that no transaction is long.
What has happened is told after the commit, as by every verb.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from app import customstatus
from app.config.settings import Config
from app.customstatus import Texts
from app.events import messages as events
from app.ports import Publisher
from app.statuses import store_props
from db.model.entities import User
from db.model.errors import DatabaseError, Fenced
from db.model.ids import UserId
from db.order import clock
from db.pool.queryable import Queryable, Transaction
from db.sql import attempts, audits, leases, outbox, statuses, trims, users
from db.sql.leases import Fence

log = logging.getLogger(__name__)
T = TypeVar("T")

KEEP_MS = 3_600_000
"""Every reader of the outbox has read what is older, and nobody is told again what happened before."""
SESSION_GRACE_MS = 60_000
"""Nodes judge sessions by their own clocks; one whose clock is slow must not lose a session that it thinks is good."""
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Duty:
    """What a job works with. settings: gives the configuration as it is by now. batch: rows of one transaction."""

    db: Queryable
    bus: Publisher
    fence: Fence
    settings: Callable[[], Config]
    batch: int = 500

    @property
    def config(self) -> Config:
        """The configuration of now."""
        return self.settings()

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """A transaction under the lease. Raises Fenced, having changed nothing, when another node has it."""
        return await leases.guarded(self.db, self.fence, work)

    async def in_batches(self, work: Callable[[Transaction, int], Awaitable[int]]) -> int:
        """The same until `work` touches fewer rows than it may; how many it touched."""

        async def silent(tx: Transaction, batch: int) -> tuple[int, list[object]]:
            return await work(tx, batch), []

        return await self.telling(silent, lambda _: None)

    async def telling(
        self, work: Callable[[Transaction, int], Awaitable[tuple[int, list[T]]]], tell: Callable[[list[T]], None]
    ) -> int:
        """As `in_batches`, of what is told after each commit. work: how many rows, and what to tell, if anything."""
        total = 0
        while True:
            touched, told = await self.write(lambda tx: work(tx, self.batch))
            if told:
                tell(told)
            total += touched
            if touched < self.batch:
                return total


@dataclass(frozen=True)
class Job:
    """Something to be done every so often; `run` says how many rows it touched. Raises DatabaseError."""

    name: str
    every_s: float
    run: Callable[[Duty], Awaitable[int]]


def job(*, every_s: float) -> Callable[[Callable[[Duty], Awaitable[int]]], Job]:
    """Make a job of a function; it has the function's name."""
    return lambda run: Job(run.__name__, every_s, run)


@job(every_s=60.0)
async def trim_log(duty: Duty) -> int:
    """Rows of the outbox that every reader has read long ago."""
    return await duty.write(lambda tx: outbox.trim(tx, KEEP_MS))


@job(every_s=60.0)
async def trim_events(duty: Duty) -> int:
    """Changes of channels that are too old to be told again to anybody: `trimmed_seq` says up to where."""
    return await duty.in_batches(lambda tx, batch: trims.events(tx, KEEP_MS, batch))


@job(every_s=300.0)
async def end_sessions(duty: Duty) -> int:
    """Sessions that have expired."""
    return await duty.in_batches(lambda tx, batch: trims.sessions(tx, SESSION_GRACE_MS, batch))


@job(every_s=300.0)
async def trim_attempts(duty: Duty) -> int:
    """Delays after wrong passwords that ended long ago."""
    return await duty.in_batches(attempts.trim)


@job(every_s=300.0)
async def trim_audits(duty: Duty) -> int:
    """Rows of the audit log that are too old, or too many."""
    limits = duty.config.audit_settings
    bound = await audits.find_bound(duty.db, limits.retention_days * _DAY_MS, limits.maximum_rows)
    return await duty.in_batches(lambda tx, batch: audits.trim(tx, bound, batch))


@job(every_s=5.0)
async def end_dnd(duty: Duty) -> int:
    """Times of "do not disturb" that are over: whoever holds connections of those users says what they are then."""

    async def end(tx: Transaction, batch: int) -> tuple[int, list[UserId]]:
        ended = await statuses.end_dnd(tx, await clock.now_ms(tx) // 1000, batch)
        return len(ended), ended

    return await duty.telling(end, lambda ended: duty.bus.publish(events.presence_restated(ended)))


@job(every_s=5.0)
async def clear_custom_statuses(duty: Duty) -> int:
    """Custom statuses that are over; everybody hears of the users as they are then."""

    async def clear(tx: Transaction, batch: int) -> tuple[int, list[User]]:
        now_ms = await clock.now_ms(tx)

        def cleared(props: Texts) -> Texts:  # its user may say something else meanwhile
            return customstatus.without_current(props) if customstatus.has_ended(props, now_ms) else props

        due = await users.find_ended_statuses(tx, now_ms, batch)
        changed = [user for one in due if (user := await store_props(tx, one, cleared)) is not None]
        await users.forget_ended_statuses(tx, due, now_ms)
        return len(due), changed

    def tell(cleared: list[User]) -> None:
        for user in cleared:
            for event in events.user_updated(user, duty.config.privacy_settings):
                duty.bus.publish(event)

    return await duty.telling(clear, tell)


JOBS = (trim_log, trim_events, end_sessions, trim_attempts, trim_audits, end_dnd, clear_custom_statuses)


async def run_for_ever(duty: Duty, jobs: tuple[Job, ...] = JOBS) -> None:
    """Do them all, until cancelled; one that fails is done at its next time. Raises Fenced: nothing is to go on."""
    loop = asyncio.get_running_loop()
    due = {one.name: loop.time() for one in jobs}
    while True:
        next_one = min(jobs, key=lambda one: due[one.name])
        await asyncio.sleep(max(0.0, due[next_one.name] - loop.time()))
        due[next_one.name] = loop.time() + next_one.every_s
        try:
            touched = await next_one.run(duty)
        except Fenced:
            raise
        except DatabaseError as error:
            log.warning("a job of the cluster failed", extra={"job": next_one.name, "reason": str(error).strip()})
        else:
            log.debug("a job of the cluster is done", extra={"job": next_one.name, "rows": touched})
