"""The runner: starts and stops the work as the lease says."""

import asyncio
from collections.abc import Callable

import pytest

from cluster.relay.lease import LeaseRunner, LeaseTimes
from db.model.errors import Fenced
from db.pool.pool import Database
from db.sql import leases
from db.sql.leases import Fence
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")

TIMES = LeaseTimes(lease_s=1.5, renew_s=0.3, stop_s=0.8, retry_s=0.1, ask_s=0.3)


class Work:
    """Runs until it is told to end."""

    def __init__(self) -> None:
        self.fences: list[Fence] = []
        self.running = 0
        self.fail: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __call__(self, fence: Fence) -> None:
        self.fences.append(fence)
        self.running += 1
        try:
            await asyncio.shield(self.fail)
        finally:
            self.running -= 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_work_is_stopped_while_the_database_is_away_and_goes_on_afterwards(database: Database) -> None:
    work = Work()
    runner = LeaseRunner(database, "jobs", "a", work, times=TIMES)
    running = asyncio.create_task(runner.run())
    await until(lambda: work.running == 1)
    assert runner.status() == {"leads": True, "token": work.fences[0].token}
    async with database.transaction() as tx:  # nobody is answered as long as this holds the row
        await tx.fetch("SELECT 1 FROM leases WHERE name = 'jobs' FOR UPDATE")
        await until(lambda: work.running == 0)
        assert not runner.status()["leads"]
    await until(lambda: work.running == 1)
    assert len(work.fences) == 2
    await end(running)
    assert work.running == 0


async def test_a_holder_that_ends_gives_the_lease_back(database: Database) -> None:
    times = LeaseTimes()  # the real ones: nobody would wait for 10 s
    work, other = Work(), Work()
    first = asyncio.create_task(LeaseRunner(database, "jobs", "a", work, times=times).run())
    await until(lambda: work.running == 1)
    await end(first)
    found = await leases.find(database, "jobs")
    assert found is not None
    assert found.remaining_ms <= 0
    second = asyncio.create_task(LeaseRunner(database, "jobs", "b", other, times=times).run())
    await until(lambda: other.running == 1)
    assert other.fences[0].token > work.fences[0].token
    await end(second)


async def test_work_that_was_fenced_ends_and_the_lease_is_asked_for_anew(database: Database) -> None:
    work = Work()
    running = asyncio.create_task(LeaseRunner(database, "jobs", "a", work, times=TIMES).run())
    await until(lambda: work.running == 1)
    failed, work.fail = work.fail, asyncio.get_running_loop().create_future()
    failed.set_exception(Fenced("another node has it"))
    await until(lambda: len(work.fences) == 2)
    assert work.fences[1].token > work.fences[0].token
    await end(running)


async def test_a_fault_in_the_work_is_not_hidden(database: Database) -> None:
    work = Work()
    work.fail.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(10):
            await LeaseRunner(database, "jobs", "a", work, times=TIMES).run()
