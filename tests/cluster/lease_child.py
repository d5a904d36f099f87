"""A process that works under a lease, for `test_lease_story.py`: python -m … driver dsn holder."""

import asyncio
import sys

from cluster.relay.lease import LeaseRunner, LeaseTimes
from db.model.errors import DatabaseError
from db.model.settings import Dialect, PoolSettings
from db.pool.pool import Database
from db.pool.queryable import Transaction
from db.sql import leases
from db.sql.leases import Fence

TIMES = LeaseTimes(lease_s=1.0, renew_s=0.3, stop_s=0.7, retry_s=0.1, ask_s=0.5)
DRIVERS: dict[str, Dialect] = {"postgres": "postgres", "mysql": "mysql"}


async def main(driver: str, dsn: str, holder: str) -> None:
    """Write a row with the token, over and over, as long as this process has the lease."""
    database = Database(PoolSettings(dsn, driver=DRIVERS[driver], max_connections=4))
    await database.open()

    async def insert(tx: Transaction, fence: Fence) -> None:
        await asyncio.sleep(0.02)  # where most of a process's time is spent, and where it is frozen
        await tx.execute("INSERT INTO story (token, holder) VALUES (%s, %s)", (fence.token, holder))

    async def write(fence: Fence) -> None:
        try:
            await leases.guarded(database, fence, lambda tx: insert(tx, fence))
        except DatabaseError:
            await asyncio.sleep(0.05)

    async def work(fence: Fence) -> None:
        while True:  # what was begun goes on although the runner stops the work: only the token is in its way then
            await asyncio.shield(asyncio.create_task(write(fence)))

    await LeaseRunner(database, "jobs", holder, work, times=TIMES).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
