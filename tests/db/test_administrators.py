"""Who counts as an administrator where the last one may not go."""

from typing import Any

from msgspec.structs import replace

from db.model.entities import User
from db.pool.pool import Database
from db.sql import users
from tests.db.people import user
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")
ROLE = "system_admin"


async def _insert(database: Database, **changes: Any) -> User:
    new = replace(user("a"), **changes)
    await users.insert(database, new)
    return new


NONE: tuple[dict[str, Any], ...] = (
    {"roles": f"system_user {ROLE}", "delete_at": 5},
    {"roles": f"system_user {ROLE}_of_logs"},
    {"roles": f"{ROLE}2 system_user"},
    {"roles": f"custom_{ROLE}"},
    {"roles": "system_user"},
    {"roles": ""},
)


async def test_who_is_deactivated_or_has_a_role_like_it_is_none(database: Database) -> None:
    last = await _insert(database, roles=f"system_user {ROLE}")
    others = [await _insert(database, **changes) for changes in NONE]
    for changed in (last, *others):
        async with database.transaction() as tx:
            assert await users.lock_administrators(tx, ROLE, changed.id) == {last.id}


async def test_all_who_have_the_role_are(database: Database) -> None:
    both = [await _insert(database, roles=roles) for roles in (f"{ROLE} system_user", f"system_user {ROLE}")]
    async with database.transaction() as tx:
        assert await users.lock_administrators(tx, ROLE, both[0].id) == {one.id for one in both}
