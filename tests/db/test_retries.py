"""What a database undoes to free others is done again, once it is known to be undone, and nothing else is."""

import ast
import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from db.drivers import Connection
from db.drivers.mysql_connection import MySQLConnection
from db.drivers.postgres import PostgresConnection
from db.model import retries
from db.model.errors import ConnectionLost, DatabaseError, Deadlock, Duplicate, StatementFailed, Unavailable
from db.model.retries import ATTEMPTS
from db.pool import systems
from db.pool.pool import Database
from db.pool.queryable import Transaction
from tests.plugins.drivers import drivers
from tests.rig import virtual

ROOT = Path(__file__).parents[2]


class Faults:
    """Of the next COMMITs: errors in their place (the transaction is rolled back), or after them (`late`)."""

    def __init__(self) -> None:
        self.early: list[DatabaseError] = []
        self.late: list[DatabaseError] = []
        self.tries = 0


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Of every transaction of this test."""
    faults = Faults()
    for kind in (PostgresConnection, MySQLConnection):
        real: Any = kind.transaction

        @contextlib.asynccontextmanager
        async def transaction(connection: Connection, real: Any = real) -> AsyncIterator[None]:
            faults.tries += 1
            async with real(connection):
                yield
                if faults.early:
                    raise faults.early.pop(0)
            if faults.late:
                raise faults.late.pop(0)

        monkeypatch.setattr(kind, "transaction", transaction)
    return faults


async def _count(tx: Transaction) -> int:
    """One more than there was."""
    if await systems.claim(tx, "n", "1"):
        return 1
    row = await tx.fetch_one("SELECT value FROM systems WHERE name = 'n' FOR UPDATE")
    assert row is not None
    await tx.execute("UPDATE systems SET value = %s WHERE name = 'n'", (str(int(row[0]) + 1),))
    return int(row[0]) + 1


@drivers("postgres", "mysql")
async def test_a_deadlock_is_not_the_callers(database: Database, faults: Faults) -> None:
    faults.early = [Deadlock("1"), Deadlock("2")]
    assert await database.transact(_count) == 1
    assert faults.tries == 3
    assert await systems.find(database, "n") == "1"


@drivers("postgres", "mysql")
async def test_the_last_of_some_deadlocks_is(database: Database, faults: Faults) -> None:
    faults.early = [Deadlock(str(one)) for one in range(50)]
    with pytest.raises(Deadlock):
        await database.transact(_count)
    assert faults.tries == ATTEMPTS
    assert await systems.find(database, "n") is None


@drivers("postgres", "mysql")
async def test_nothing_is_done_again_that_may_have_been_done(database: Database, faults: Faults) -> None:
    """The answer to the COMMIT was lost, or did not come in time."""
    for number, error in enumerate([ConnectionLost("x"), Unavailable("x"), StatementFailed("40003", "x")], 1):
        faults.tries, faults.late = 0, [error]
        with pytest.raises(type(error)):
            await database.transact(_count)
        assert faults.tries == 1
        assert await systems.find(database, "n") == str(number)


@drivers("postgres", "mysql")
async def test_of_two_that_wait_for_each_other_both_are_done(database: Database) -> None:
    """They lock `a` and `b` in opposite orders. The server chooses which of them is to be undone."""
    both = asyncio.Barrier(2)

    def work(first: str, second: str) -> Callable[[Transaction], Awaitable[None]]:
        waited = False

        async def cross(tx: Transaction) -> None:
            nonlocal waited
            await tx.execute("UPDATE systems SET value = concat(value, '1') WHERE name = %s", (first,))
            if not waited:
                waited = True
                await both.wait()
            await tx.execute("UPDATE systems SET value = concat(value, '2') WHERE name = %s", (second,))

        return cross

    for name in ("a", "b"):
        await systems.put(database, name, "")
    await asyncio.gather(database.transact(work("a", "b")), database.transact(work("b", "a")))
    found = [await systems.find(database, name) for name in ("a", "b")]
    assert found in (["12", "21"], ["21", "12"])


@drivers("postgres", "mysql")
async def test_a_statement_of_its_own_is_done_again_as_well(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [Deadlock("1"), Deadlock("2")]
    for kind in (PostgresConnection, MySQLConnection):
        for name in ("execute", "fetch"):
            real: Any = getattr(kind, name)

            async def run(connection: Connection, *arguments: Any, real: Any = real) -> Any:
                if "systems SET" in arguments[0] and told:
                    raise told.pop()
                return await real(connection, *arguments)

            monkeypatch.setattr(kind, name, run)
    await systems.put(database, "n", "1")
    update = "UPDATE systems SET value = concat(value, '+') WHERE name = 'n'"
    assert await database.execute(update) == 1
    told.append(Deadlock("3"))
    await database.write(update + (" RETURNING name" if database.dialect == "postgres" else ""))
    assert await systems.find(database, "n") == "1++"


async def test_what_is_a_part_of_a_transaction_is_not_done_again_alone(database: Database, faults: Faults) -> None:
    """The database has undone all of it."""
    parts = 0

    async def part(tx: Transaction) -> None:
        nonlocal parts
        parts += 1
        if parts < 3:
            raise Deadlock("x")

    wholes = 0

    async def whole(tx: Transaction) -> None:
        nonlocal wholes
        wholes += 1
        await tx.transact(part)

    await database.transact(whole)
    assert (wholes, parts, faults.tries) == (3, 3, 3)


def test_no_try_begins_once_the_patience_is_over() -> None:
    tries = 0

    async def wait_for_a_row() -> None:
        nonlocal tries
        tries += 1
        await asyncio.sleep(3.0)
        raise Deadlock("Lock wait timeout exceeded")

    async def story() -> None:
        with pytest.raises(Deadlock):
            await retries.retried(wait_for_a_row)

    virtual.run(story())
    assert tries == 2


@pytest.mark.parametrize("error", [Duplicate("x"), Unavailable("x"), ConnectionLost("x"), RuntimeError("x")], ids=repr)
async def test_other_errors_end_it_at_once(error: Exception) -> None:
    tries = 0

    async def fail() -> None:
        nonlocal tries
        tries += 1
        raise error

    with pytest.raises(type(error)):
        await retries.retried(fail)
    assert tries == 1


_BY_HAND = {
    "db/pool/pool.py",
    "db/sql/outbox.py",
    "db/drivers/postgres.py",
    "db/drivers/postgres_schema.py",
    "db/drivers/postgres_session.py",
}
"""What makes transactions of tries; reads a snapshot; begins; migrates under a lock of its own; looks for a pooler."""


def _calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr


def test_nobody_opens_a_transaction_that_is_tried_once_only() -> None:
    paths = [path for folder in ("app", "api", "ws", "cluster", "db") for path in (ROOT / folder).rglob("*.py")]
    assert {str(path.relative_to(ROOT)) for path in paths if "transaction" in set(_calls(path))} == _BY_HAND
