"""Rows as a table inside a statement, the clock, and transactions that are tried again."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from db.errors import Deadlock
from db.queryable import Queryable, Transaction

T = TypeVar("T")

NOW_MS = "CAST(floor(unix_timestamp(now(6)) * 1000) AS SIGNED)"
_DEADLOCK_ATTEMPTS = 5


def table_of(columns: Sequence[str], rows: int) -> str:
    """A table of `rows` rows with these columns, of placeholders row by row."""
    first = ", ".join(f"%s AS {column}" for column in columns)
    other = ", ".join(["%s"] * len(columns))
    return "(SELECT " + " UNION ALL SELECT ".join([first, *[other] * (rows - 1)]) + ")"


async def transact(db: Queryable, work: Callable[[Transaction], Awaitable[T]]) -> T:
    """Do `work` in a transaction; in that of the caller when there is one. After a deadlock it is done again.

    InnoDB ends deadlocks by rolling back whole transactions, so one of the caller's own is the caller's to repeat.
    """
    for _ in range(_DEADLOCK_ATTEMPTS - 1):
        try:
            async with db.transaction() as transaction:
                return await work(transaction)
        except Deadlock:
            if isinstance(db, Transaction):
                raise
    async with db.transaction() as transaction:
        return await work(transaction)
