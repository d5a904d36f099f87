"""Leases on real databases: one holder at a time, and nothing committed under an old token."""

import asyncio
from collections.abc import Awaitable

import pytest

from db.model.errors import DatabaseError, Fenced
from db.pool import systems
from db.pool.pool import Database
from db.pool.queryable import Transaction
from db.sql import leases
from db.sql.leases import Fence
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")

LONG_MS, SHORT_MS = 60_000, 50


async def take(database: Database, holder: str, ttl_ms: int = LONG_MS) -> Fence:
    """Acquire, waiting for the lease to end."""
    async with asyncio.timeout(20):
        while True:
            fence = await leases.acquire(database, "jobs", holder, ttl_ms)
            if fence is not None:
                return fence
            await asyncio.sleep(0.01)


async def work(database: Database, fence: Fence, *meanwhile: Awaitable[object], frozen: bool = False) -> None:
    """Set `two` under a lease."""

    async def write(tx: Transaction) -> None:
        await systems.claim(tx, "two", "")
        if frozen:  # between the last look at the lease and the COMMIT
            await tx.fetch("SELECT token FROM leases WHERE name = 'jobs' FOR UPDATE")
        for one in meanwhile:
            await one

    await leases.guarded(database, fence, write)


async def test_a_lease_is_one_holders_until_it_is_given_back(database: Database) -> None:
    assert await leases.find(database, "jobs") is None
    fence = await take(database, "a")
    assert await leases.acquire(database, "jobs", "b", LONG_MS) is None
    found = await leases.find(database, "jobs")
    assert found is not None
    assert (found.holder, found.token) == ("a", fence.token)
    assert LONG_MS - 10_000 < found.remaining_ms <= LONG_MS
    await leases.release(database, fence)
    assert (await take(database, "b")).token > fence.token


async def test_a_lease_ends_by_the_databases_clock_and_its_token_grows(database: Database) -> None:
    tokens = [(await take(database, holder, SHORT_MS)).token for holder in "abab"]
    assert tokens == sorted(set(tokens))


async def test_who_lost_the_answer_acquires_again_at_once_under_a_higher_token(database: Database) -> None:
    first = await take(database, "a")
    second = await leases.acquire(database, "jobs", "a", LONG_MS)
    assert second is not None
    assert second.token > first.token
    assert not await leases.renew(database, first, LONG_MS)


async def test_a_lease_is_renewed_as_long_as_it_has_not_ended(database: Database) -> None:
    fence = await take(database, "a", 1000)
    assert await leases.renew(database, fence, LONG_MS)
    assert await leases.acquire(database, "jobs", "b", LONG_MS) is None
    assert await leases.renew(database, fence, SHORT_MS)
    await asyncio.sleep(0.1)
    assert not await leases.renew(database, fence, LONG_MS)
    await leases.release(database, fence)
    other = await take(database, "b")
    assert not await leases.renew(database, fence, LONG_MS)
    await leases.release(database, fence)  # not one's own any more
    assert await leases.renew(database, other, LONG_MS)


async def test_of_many_that_ask_at_once_one_gets_it(database: Database) -> None:
    for name in ("first", "second"):
        found = await asyncio.gather(*(leases.acquire(database, name, f"node{n}", LONG_MS) for n in range(8)))
        assert len([fence for fence in found if fence is not None]) == 1


async def test_work_is_committed_under_the_last_token_only(database: Database) -> None:
    old = await take(database, "a", SHORT_MS)
    await leases.guarded(database, old, lambda tx: systems.claim(tx, "one", ""))
    new = await take(database, "b")
    with pytest.raises(Fenced):
        await work(database, old)
    await leases.guarded(database, new, lambda tx: systems.claim(tx, "three", ""))
    assert await systems.find(database, "one") == ""
    assert await systems.find(database, "two") is None
    assert await systems.find(database, "three") == ""


async def test_a_lease_that_is_taken_in_the_middle_of_the_work_undoes_it(database: Database) -> None:
    old = await take(database, "a", SHORT_MS)
    with pytest.raises(Fenced):
        await work(database, old, take(database, "b"))
    assert await systems.find(database, "two") is None


async def test_nobody_acquires_a_lease_between_the_last_look_at_it_and_the_commit(database: Database) -> None:
    old = await take(database, "a", SHORT_MS)
    async with database.transaction() as outer:
        await leases.guarded(outer, old, lambda tx: systems.claim(tx, "one", ""))
        taking = asyncio.create_task(take(database, "b"))
        await asyncio.wait([taking], timeout=0.5)
        assert not taking.done()
    assert (await taking).token > old.token


async def test_work_without_any_lease_is_undone(database: Database) -> None:
    with pytest.raises(Fenced):
        await work(database, Fence("jobs", 1))
    assert await systems.find(database, "two") is None


async def test_nobody_waits_long_for_who_is_frozen_before_its_commit(database: Database) -> None:
    old = await take(database, "a", SHORT_MS)
    with pytest.raises(DatabaseError):
        await work(database, old, take(database, "b"), frozen=True)
    assert await systems.find(database, "two") is None
