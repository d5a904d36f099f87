"""Preferences of users: SQL of the table `preferences`."""

from collections.abc import Iterable

from db.model import shards
from db.model.entities import Preference
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
