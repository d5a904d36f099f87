"""Preferences of users: SQL of the table `preferences`."""

from collections.abc import Iterable

from db.model import shards
from db.model.entities import Preference
from db.model.ids import UserId
from db.model.settings import Dialect
from db.model.tables import PREFERENCES
from db.pool.queryable import Queryable

_SAVE: dict[Dialect, str] = {
    "postgres": f"{PREFERENCES.insert} ON CONFLICT (user_id, category, name) DO UPDATE SET value = excluded.value",
    "mysql": f"{PREFERENCES.insert} ON DUPLICATE KEY UPDATE value = VALUES(value)",
}


async def save(db: Queryable, preferences: Iterable[Preference]) -> None:
    """Insert or replace."""
    for preference in preferences:
        await db.execute(
            _SAVE[db.dialect],
            PREFERENCES.values(preference),
            changes=(shards.preferences(preference.user_id),),
        )


async def find_value(db: Queryable, user_id: UserId, category: str, name: str) -> str:
    """The value of one of a user; '' where it is not there."""
    row = await db.fetch_one(
        "SELECT value FROM preferences WHERE user_id = %s AND category = %s AND name = %s",
        (user_id, category, name),
        on=(shards.preferences(user_id),),
    )
    return str(row[0]) if row else ""
