"""Rows of wrong passwords: those that come together count each other; what says nothing any more goes."""

import asyncio
from typing import Any, cast

import pytest

from app import jobs, journal
from app.config.settings import AuditSettings, Config
from app.jobs import Duty
from db.drivers import Connection
from db.drivers.mysql_connection import MySQLConnection
from db.drivers.postgres import PostgresConnection
from db.model.ids import UserId, new_id
from db.order.clock import NOW_MS
from db.pool.pool import Database
from db.pool.queryable import Transaction
from db.sql import attempts, audits, leases
from db.sql.audits import Audit
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")

DAY_MS = 86_400_000


async def _now_ms(database: Database) -> int:
    row = await database.fetch_one(f"SELECT {NOW_MS[database.dialect]}")
    assert row is not None
    return int(row[0])


async def _duty(database: Database, keep_rows: int = 1, *, batch: int) -> Duty:
    """Of the leader; rows of the audit log are kept for a day."""
    fence = await leases.acquire(database, "jobs", "node", 60_000)
    assert fence is not None
    config = Config(audit_settings=AuditSettings(retention_days=1, maximum_rows=keep_rows))
    return Duty(database, cast(Any, None), fence, lambda: config, batch)


async def test_a_key_without_a_row_has_zeros(database: Database) -> None:
    now_ms, found = await attempts.find(database, [("", "a"), ("ann", "a")])
    assert found == {("", "a"): (0, 0, 0), ("ann", "a"): (0, 0, 0)}
    assert abs(now_ms - await _now_ms(database)) < 60_000


async def test_attempts_that_come_together_count_each_other(database: Database) -> None:
    """Whichever rows they share, and in whatever order they name them."""
    keys = [("", "a"), ("ann", ""), ("ann", "a"), ("ann", "b"), ("", "b")]

    async def count(number: int) -> None:
        mine = [keys[number % 5], keys[(number + 1) % 5], keys[(number + 3) % 5]]

        async def work(tx: Transaction) -> None:
            _, found = await attempts.lock(tx, mine)
            await asyncio.sleep(0.002)
            after = {key: (times[0] + 1, times[1], times[2]) for key, times in found.items()}
            await attempts.save(tx, after, dict.fromkeys(after, 7))

        await database.transact(work)

    await asyncio.gather(*(count(number) for number in range(50)))
    _, found = await attempts.find(database, keys)
    assert found == dict.fromkeys(keys, (30, 0, 0))


async def test_what_is_forgotten_is_the_account_from_everywhere(database: Database) -> None:
    keys = [("ann", "a"), ("ann", ""), ("bob", "a"), ("", "a")]
    async with database.transaction() as tx:
        await attempts.lock(tx, keys)
        await attempts.save(tx, dict.fromkeys(keys, (5, 6, 7)), dict.fromkeys(keys, 8))
        await attempts.forget(tx, "ann")
    _, found = await attempts.find(database, keys)
    assert found == {key: (0, 0, 7) if key[0] == "ann" else (5, 6, 7) for key in keys}


async def test_rows_go_when_they_say_nothing_any_more(database: Database) -> None:
    now_ms = await _now_ms(database)
    keys = [(f"user{number}", "a") for number in range(12)]
    async with database.transaction() as tx:
        await attempts.lock(tx, keys)
        keep = {key: now_ms + (DAY_MS if number < 5 else -1) for number, key in enumerate(keys)}
        await attempts.save(tx, dict.fromkeys(keys, (1, 1, 1)), keep)
    assert await jobs.trim_attempts.run(await _duty(database, batch=3)) == 7
    _, found = await attempts.find(database, keys)
    assert [key for key, times in found.items() if times != (0, 0, 0)] == keys[:5]


def _audit(action: str) -> Audit:
    return Audit(new_id(), "ann", "", action, journal.SUCCESS, "", "", "", "")


@pytest.mark.parametrize(("keep_rows", "left"), [(1000, ["new", "newer"]), (1, ["newer"])])
async def test_rows_of_the_audit_log_go_by_age_and_by_number(
    database: Database, keep_rows: int, left: list[str]
) -> None:
    now_ms = await _now_ms(database)
    columns = "id, create_at, user_id, action, result"
    for number in range(20):
        await database.execute(
            f"INSERT INTO audits ({columns}) VALUES (%s, %s, 'ann', 'old', 'success')",
            (new_id(), now_ms - 2 * DAY_MS - number),
        )
    await audits.insert(database, [_audit("new")])
    await asyncio.sleep(0.005)
    await audits.insert(database, [_audit("newer")])
    assert await jobs.trim_audits.run(await _duty(database, keep_rows, batch=3)) == 22 - len(left)
    found = await audits.find_page(database, UserId("ann"), 0, 100)
    assert [one.action for one in found] == left[::-1]


@pytest.mark.parametrize("keep_rows", [0, 1, 4, 9, 10])
async def test_of_rows_of_one_moment_as_many_stay_as_are_kept(database: Database, keep_rows: int) -> None:
    await audits.insert(database, [_audit(str(number)) for number in range(10)])
    newest = [one.id for one in await audits.find_page(database, None, 0, keep_rows)]
    assert await jobs.trim_audits.run(await _duty(database, keep_rows, batch=2)) == 10 - keep_rows
    assert [one.id for one in await audits.find_page(database, None, 0, 100)] == newest


async def test_what_stays_is_walked_over_once_and_not_for_each_batch(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await audits.insert(database, [_audit(str(number)) for number in range(30)])
    duty, sent = await _duty(database, 3, batch=4), list[str]()
    for kind in (PostgresConnection, MySQLConnection):
        real: Any = kind.fetch

        async def fetch(connection: Connection, *arguments: Any, real: Any = real) -> Any:
            sent.append(arguments[0])
            return await real(connection, *arguments)

        monkeypatch.setattr(kind, "fetch", fetch)
    assert await jobs.trim_audits.run(duty) == 27
    assert len([sql for sql in sent if "OFFSET" in sql]) == 1
    assert len([sql for sql in sent if "LIMIT" in sql]) == 8


async def test_a_row_is_as_old_as_the_databases_clock_says(database: Database) -> None:
    before = await _now_ms(database)
    await audits.insert(database, [_audit("one"), _audit("two")])
    await audits.insert(database, [])
    found = await audits.find_page(database, None, 0, 10)
    assert {one.action for one in found} == {"one", "two"}
    after = await _now_ms(database)
    assert all(before <= one.create_at <= after for one in found)
