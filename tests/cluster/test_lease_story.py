"""Two processes, one lease, a real database: frozen, killed, and asked to stop."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from db.model.settings import PoolSettings
from db.pool.pool import Database
from tests.plugins.drivers import drivers
from tests.rig.scale import scale

pytestmark = drivers("postgres", "mysql")

TABLE = {
    "postgres": "CREATE TABLE story (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, token BIGINT, holder VARCHAR(8))",
    "mysql": "CREATE TABLE story (id BIGINT AUTO_INCREMENT PRIMARY KEY, token BIGINT, holder VARCHAR(8))",
}
Start = Callable[[str], Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start(database: Database, settings: PoolSettings) -> AsyncIterator[Start]:
    await database.execute(TABLE[settings.driver])
    started: list[asyncio.subprocess.Process] = []

    async def start(holder: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.cluster.lease_child", settings.driver, settings.dsn, holder,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.communicate()


async def holder_of(database: Database, *, after: int = 0, but: str = "") -> tuple[str, int]:
    """Who, other than `but`, has written last under a token above `after`, and which."""
    async with asyncio.timeout(30):
        while True:
            row = await database.fetch_one(
                "SELECT holder, token FROM story WHERE token > %s AND holder <> %s ORDER BY id DESC", (after, but)
            )
            if row is not None:
                return row[0], row[1]
            await asyncio.sleep(0.02)


async def check(database: Database) -> None:
    """Each token was one process's, and none wrote after a later one did."""
    rows = await database.fetch("SELECT token, holder FROM story ORDER BY id")
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert len({row[0] for row in rows}) == len(set(rows))


async def test_a_frozen_holder_is_replaced_and_writes_nothing_when_it_wakes(database: Database, start: Start) -> None:
    processes = {name: await start(name) for name in ("a", "b")}
    holder, token = await holder_of(database)
    for _ in range(scale(2, 20)):
        frozen = processes[holder]
        os.kill(frozen.pid, signal.SIGSTOP)
        _, next_token = await holder_of(database, after=token, but=holder)
        os.kill(frozen.pid, signal.SIGCONT)
        await asyncio.sleep(0.5)  # time enough to write what it must not
        await check(database)
        holder, token = await holder_of(database, after=next_token - 1)


async def test_a_killed_holder_is_replaced_when_its_lease_ends(database: Database, start: Start) -> None:
    first = await start("a")
    _, token = await holder_of(database)
    await start("b")
    first.kill()
    assert (await holder_of(database, after=token))[0] == "b"
    await check(database)


async def test_two_that_start_at_once_never_both_work(database: Database, start: Start) -> None:
    await asyncio.gather(*(start(name) for name in "abcd"))
    await holder_of(database)
    await asyncio.sleep(1.5)
    await check(database)
