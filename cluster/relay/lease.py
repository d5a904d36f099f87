"""Who does the jobs of the cluster: one node at a time, by a lease in the database.

                   acquired                     7 s without a renewal
    FOLLOWING ────────────────> HOLDING, works ───────────────────────> HOLDING, does not work
        ▲                          │  ▲                                    │  │
        └──── lost, fenced ────────┘  └────────── renewed ─────────────────┘  │
        └─────────────────────────── lost ────────────────────────────────────┘

`Lease` is sans-I/O: seconds of CLOCK_BOOTTIME (which goes on while a machine is suspended) come in as arguments, and an
answer counts from when its question was SENT. `LeaseRunner` asks the database and starts and stops the work. That the
database's clock may jump, and a frozen process may go on before it looks at a clock, is what the token is for.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from db.model.board import boottime_ns
from db.model.errors import DatabaseError, Fenced
from db.pool.pool import Database
from db.sql import leases
from db.sql.leases import Fence

log = logging.getLogger(__name__)

JOBS = "jobs"
_RELEASE_S = 1.0


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds. lease_s: how long it lasts in the database. stop_s: after the last good renewal work goes on so long."""

    lease_s: float = 10.0
    renew_s: float = 3.0
    stop_s: float = 7.0
    retry_s: float = 0.5
    ask_s: float = 2.0


class Ask(Enum):
    """What to ask the database."""

    ACQUIRE = "take the lease if nobody has it"
    RENEW = "keep it"


class Lease:
    """One node's part. Ask what `due` says, one question at a time, and tell the answer."""

    def __init__(self, times: LeaseTimes | None = None) -> None:
        self.times = times or LeaseTimes()
        self.fence: Fence | None = None
        """What is held, as far as is known; None: follows."""
        self._good_at = 0.0
        self._ask_at = 0.0

    def due(self, now: float) -> Ask | None:
        """The question to ask at this moment, if any."""
        if now < self._ask_at:
            return None
        return Ask.ACQUIRE if self.fence is None else Ask.RENEW

    def acquired(self, asked_at: float, fence: Fence | None) -> None:
        """The answer to ACQUIRE; None: somebody else has it."""
        self.fence = fence
        self._good_at = asked_at
        self._ask_at = asked_at + self.times.renew_s

    def renewed(self, asked_at: float, *, still_ours: bool) -> None:
        """The answer to RENEW."""
        if still_ours:
            self._good_at = asked_at
            self._ask_at = asked_at + self.times.renew_s
        else:
            self.lost()

    def failed(self, now: float) -> None:
        """The database did not answer: what the question did is unknown."""
        self._ask_at = now + self.times.retry_s

    def lost(self) -> None:
        """Somebody else has it, or may have it: follow, and try to get it at once."""
        self.fence = None
        self._ask_at = 0.0

    def may_work(self, now: float) -> bool:
        """Whether the jobs may run now."""
        return self.fence is not None and now < self._good_at + self.times.stop_s

    def wait_s(self, now: float) -> float:
        """How long nothing is to be done, however the question under way is answered."""
        at = self._ask_at
        if self.may_work(now):
            at = min(at, self._good_at + self.times.stop_s)
        return max(0.0, at - now)


class LeaseRunner:
    """`run` until cancelled: does `work` whenever this node has the lease.

    holder: names this start of this process. work: gets the fence that its transactions are to be guarded by, runs
    until it is cancelled; Fenced ends it. clock: seconds of CLOCK_BOOTTIME.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        holder: str,
        work: Callable[[Fence], Awaitable[None]],
        *,
        times: LeaseTimes | None = None,
        clock: Callable[[], float] = lambda: boottime_ns() / 1e9,
    ) -> None:
        self._database = database
        self._name = name
        self._holder = holder
        self._work = work
        self._clock = clock
        self.lease = Lease(times)
        self._asking: asyncio.Task[None] | None = None
        self._working: asyncio.Task[None] | None = None
        self._works_under: Fence | None = None

    async def run(self) -> None:
        """Ask, work, stop; until cancelled. Then the lease is given back."""
        try:
            while True:
                now = self._clock()
                if self._asking is None and (ask := self.lease.due(now)) is not None:
                    self._asking = asyncio.create_task(self._ask(ask, now))
                await self._mind_work(now)
                waiting = [task for task in (self._asking, self._working) if task is not None]
                # While a question is under way the next one is not due, but the end of the work may be.
                wait_s = max(0.05, self.lease.wait_s(now))
                if waiting:
                    await asyncio.wait(waiting, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(wait_s)
                if self._asking is not None and self._asking.done():
                    self._asking.result()
                    self._asking = None
        finally:
            await self._end()

    def status(self) -> dict[str, object]:
        """For operators: whether this node does the jobs, and under which token."""
        fence = self.lease.fence
        return {"leads": self.lease.may_work(self._clock()), "token": fence.token if fence is not None else None}

    async def _ask(self, ask: Ask, asked_at: float) -> None:
        lease, ttl_ms = self.lease, int(self.lease.times.lease_s * 1000)
        try:
            async with asyncio.timeout(lease.times.ask_s):
                if ask is Ask.ACQUIRE:
                    lease.acquired(asked_at, await leases.acquire(self._database, self._name, self._holder, ttl_ms))
                    if lease.fence is not None:
                        log.info("this node does the jobs of the cluster", extra={"token": lease.fence.token})
                elif lease.fence is not None:
                    still_ours = await leases.renew(self._database, lease.fence, ttl_ms)
                    lease.renewed(asked_at, still_ours=still_ours)
                    if not still_ours:
                        log.warning("the lease on the jobs of the cluster was lost")
        except (DatabaseError, TimeoutError):
            lease.failed(self._clock())

    async def _mind_work(self, now: float) -> None:
        if self._working is not None and self._working.done():
            await self._finish()
        if self._working is not None and (not self.lease.may_work(now) or self.lease.fence != self._works_under):
            log.warning("the jobs of the cluster are stopped: the lease was not renewed in time")
            self._working.cancel()
            await self._finish()
        if self._working is None and self.lease.may_work(now) and self.lease.fence is not None:
            self._works_under = self.lease.fence
            self._working = asyncio.create_task(self._do(self.lease.fence))

    async def _do(self, fence: Fence) -> None:
        await self._work(fence)

    async def _finish(self) -> None:
        """Wait for work that is done or cancelled."""
        assert self._working is not None
        working, self._working = self._working, None
        await asyncio.wait([working])
        if working.cancelled():
            return
        error = working.exception()
        if isinstance(error, Fenced):
            log.warning("a job of the cluster was undone: another node has the lease")
            if self.lease.fence == self._works_under:
                self.lease.lost()
        elif error is not None:
            raise error

    async def _end(self) -> None:
        for task in (self._asking, self._working):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self.lease.fence is not None:
            with contextlib.suppress(DatabaseError, TimeoutError):
                async with asyncio.timeout(_RELEASE_S):
                    await leases.release(self._database, self.lease.fence)
