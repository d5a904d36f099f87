"""Wrong passwords and delays: SQL of the table `login_attempts`; what the times mean is `app/guard.py`'s.

Rows are made or locked in the order of their keys, so that attempts which come together on any nodes count each other
and nobody waits in a circle.
"""

from collections.abc import Mapping, Sequence

from db.model.settings import Dialect
from db.order.clock import NOW_MS
from db.pool.queryable import Queryable, Transaction

Key = tuple[str, str]
"""(account, source)."""
Times = tuple[int, int, int]
"""(forgotten_at, until_at, good_at)."""

_NONE: Times = (0, 0, 0)
# What is there is updated to what it is: that locks it, as an insert locks what was not there.
_LOCK: dict[Dialect, str] = {
    "postgres": "ON CONFLICT (account, source) DO UPDATE SET account = excluded.account",
    "mysql": "ON DUPLICATE KEY UPDATE account = VALUES(account)",
}


async def find(db: Queryable, keys: Sequence[Key]) -> tuple[int, dict[Key, Times]]:
    """(now, the times of these keys), as the master says. A key without a row has zeros."""
    wanted = " OR ".join(["(account = %s AND source = %s)"] * len(keys))
    rows = await db.fetch(
        f"SELECT account, source, forgotten_at, until_at, good_at FROM login_attempts WHERE {wanted}",  # noqa: S608
        [part for key in keys for part in key],
    )
    now = await db.fetch(f"SELECT {NOW_MS[db.dialect]}")
    return int(now[0][0]), dict.fromkeys(keys, _NONE) | {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}


async def lock(tx: Transaction, keys: Sequence[Key]) -> tuple[int, dict[Key, Times]]:
    """The same, and nobody else changes them before the transaction ends."""
    rows = ", ".join(["(%s, %s)"] * len(keys))
    await tx.execute(
        f"INSERT INTO login_attempts (account, source) VALUES {rows} {_LOCK[tx.dialect]}",  # noqa: S608 (constants)
        [part for key in sorted(keys) for part in key],
    )
    return await find(tx, keys)


async def save(tx: Transaction, times: Mapping[Key, Times], keep_until: Mapping[Key, int]) -> None:
    """Replace the times of rows that are locked. keep_until: when a row may be deleted."""
    for key, (forgotten_at, until_at, good_at) in times.items():
        await tx.execute(
            "UPDATE login_attempts SET forgotten_at = %s, until_at = %s, good_at = %s, keep_until = %s"
            " WHERE account = %s AND source = %s",
            (forgotten_at, until_at, good_at, keep_until[key], *key),
        )


async def forget(tx: Transaction, account: str) -> None:
    """Forget the failures of an account, from wherever they came."""
    await tx.fetch("SELECT source FROM login_attempts WHERE account = %s ORDER BY source FOR UPDATE", (account,))
    await tx.execute(
        "UPDATE login_attempts SET forgotten_at = 0, until_at = 0 WHERE account = %s",
        (account,),
    )


async def trim(tx: Transaction, limit: int) -> int:
    """Delete up to `limit` rows that say nothing any more; how many."""
    rows = await tx.fetch(
        "SELECT account, source FROM login_attempts"  # noqa: S608 (a constant)
        f" WHERE keep_until < {NOW_MS[tx.dialect]} ORDER BY keep_until LIMIT %s",
        (limit,),
    )
    for account, source in sorted(rows):
        await tx.execute(
            "DELETE FROM login_attempts WHERE account = %s AND source = %s"  # noqa: S608 (a constant)
            f" AND keep_until < {NOW_MS[tx.dialect]}",
            (account, source),
        )
    return len(rows)
