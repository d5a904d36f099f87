"""Preferences of users: SQL of the table `preferences`."""

from collections.abc import Iterable

from db.model import shards
from db.model.entities import Preference
from db.model.settings import Dialect
from db.pool.queryable import Queryable

_INSERT = "INSERT INTO preferences (user_id, category, name, value) VALUES (%s, %s, %s, %s)"
_SAVE: dict[Dialect, str] = {
    "postgres": f"{_INSERT} ON CONFLICT (user_id, category, name) DO UPDATE SET value = excluded.value",
    "mysql": f"{_INSERT} ON DUPLICATE KEY UPDATE value = VALUES(value)",
}


async def save(db: Queryable, preferences: Iterable[Preference]) -> None:
    """Insert or replace."""
    for preference in preferences:
        await db.execute(
            _SAVE[db.dialect],
            (preference.user_id, preference.category, preference.name, preference.value),
            changes=(shards.preferences(preference.user_id),),
        )
