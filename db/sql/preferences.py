"""Preferences of users: SQL of the table `preferences`."""

from collections.abc import Collection, Sequence

from db.drivers import Row
from db.model import limits, shards
from db.model.entities import Preference
from db.model.ids import UserId
from db.model.settings import Dialect
from db.model.tables import PREFERENCES
from db.order.locks import AccountAlone
from db.pool.queryable import Queryable, Transaction

_SELECT = f"SELECT {PREFERENCES.names()} FROM preferences WHERE user_id = %s"  # noqa: S608 (constants)
_INSERT = f"INSERT INTO preferences ({PREFERENCES.names()}) VALUES "  # noqa: S608 (constants)
_REPLACE: dict[Dialect, str] = {
    "postgres": " ON CONFLICT (user_id, category, name) DO UPDATE SET value = excluded.value",
    "mysql": " ON DUPLICATE KEY UPDATE value = VALUES(value)",
}


async def save(db: Queryable, preferences: Sequence[Preference]) -> None:
    """Insert or replace. No two are of one name."""
    if not preferences:
        return
    row = f"({', '.join(['%s'] * PREFERENCES.width)})"
    await db.execute(
        _INSERT + ", ".join([row] * len(preferences)) + _REPLACE[db.dialect],
        [value for one in preferences for value in PREFERENCES.values(one)],
        changes={shards.preferences(one.user_id) for one in preferences},
    )


async def delete(tx: Transaction, lock: AccountAlone, keys: Collection[tuple[str, str]]) -> None:
    """Delete those of these (category, name), as far as they are there."""
    if not keys:
        return
    await tx.execute(
        f"DELETE FROM preferences WHERE user_id = %s AND (category, name) IN ({', '.join(['(%s, %s)'] * len(keys))})",  # noqa: S608
        [lock.id, *(part for key in keys for part in key)],
        changes=(shards.preferences(lock.id),),
    )


async def find(db: Queryable, user_id: UserId) -> list[Preference]:
    """All of a user, by category and name."""
    rows = await db.fetch(
        f"{_SELECT} ORDER BY category, name LIMIT %s",
        (user_id, limits.PREFERENCES),
        on=(shards.preferences(user_id),),
    )
    return _all(rows)


async def find_category(db: Queryable, user_id: UserId, category: str) -> list[Preference]:
    """Those of a category, by name."""
    rows = await db.fetch(
        f"{_SELECT} AND category = %s ORDER BY name LIMIT %s",
        (user_id, category, limits.PREFERENCES),
        on=(shards.preferences(user_id),),
    )
    return _all(rows)


async def find_value(db: Queryable, user_id: UserId, category: str, name: str) -> str:
    """The value of one of a user; '' where it is not there."""
    row = await db.fetch_one(
        "SELECT value FROM preferences WHERE user_id = %s AND category = %s AND name = %s",
        (user_id, category, name),
        on=(shards.preferences(user_id),),
    )
    return str(row[0]) if row else ""


async def measure(db: Queryable, user_id: UserId) -> tuple[int, int]:
    """(how many a user has, how many characters their values have together)."""
    row = await db.fetch_one(
        "SELECT count(*), coalesce(sum(char_length(value)), 0) FROM preferences WHERE user_id = %s",
        (user_id,),
        on=(shards.preferences(user_id),),
    )
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _all(rows: Sequence[Row]) -> list[Preference]:
    return [Preference(*row) for row in rows]
