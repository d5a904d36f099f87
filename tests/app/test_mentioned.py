"""What of mentions no operation shows: who may say `@all`, and that no keys are forgotten."""

import ast
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from app import mentioned, roles
from db.model.entities import User
from db.pool.pool import Database
from db.sql import mentionkeys, users
from tests.app import races
from tests.app.races import World
from tests.db.people import user
from tests.plugins.drivers import drivers

ROOT = Path(__file__).parents[2]
_WRITES_KEYS = re.compile(
    r"USERS\.insert|INSERT INTO users\b|UPDATE users (?:\w+ )?SET (?:[^\"]*\b(?:first_name|notify_props)\b|[^\"]*\{)"
)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with races.contexts(database) as ctx:
        yield await races.build(ctx)


@drivers("postgres", "mysql")
async def test_all_is_for_who_may_use_channel_mentions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    actor = world.actor("bob")
    access = await world.ctx.caches.access.get((world.channel.id, actor.user_id))
    assert access is not None
    found = await mentioned.find(world.ctx, actor, access, "@all", None)
    assert found.user_ids == (world.id("ann"),)
    less = roles.ROLES["channel_user"] - {"use_channel_mentions"}
    monkeypatch.setitem(roles._OF_SCOPE["channel"], "channel_user", less)
    found = await mentioned.find(world.ctx, actor, access, f"@all @{world.people['ann'].username}", None)
    assert found.user_ids == (world.id("ann"),), "by name"
    assert (await mentioned.find(world.ctx, actor, access, "@all @here", None)).user_ids == ()


async def _keys(database: Database, who: User) -> set[tuple[str, str]]:
    return {
        (row[0], row[1])
        for row in await database.fetch("SELECT kind, keyword FROM mention_keys WHERE user_id = %s", (who.id,))
    }


@drivers("postgres", "mysql")
async def test_keys_follow_what_a_user_says(database: Database) -> None:
    ann = msgspec.structs.replace(user("ann"), notify_props='{"mention_keys":"one,two"}')
    await users.insert(database, ann)
    assert await _keys(database, ann) == {("words", "one"), ("words", "two")}
    ann = msgspec.structs.replace(ann, notify_props='{"mention_keys":"two,three","comments":"any"}')
    async with database.transaction() as tx:
        await mentionkeys.replace(tx, ann)
        assert len(tx.changes) == 2
    assert await _keys(database, ann) == {("words", "two"), ("words", "three"), ("replies", "any")}
    async with database.transaction() as tx:
        await mentionkeys.replace(tx, ann)
        assert tx.changes == set(), "nothing is changed, and no copy invalidated"


def test_who_writes_what_keys_are_made_of_replaces_them() -> None:
    """Finds the next statement that writes a first name or notify_props of users without `mentionkeys.replace`."""
    found, without = [], []
    for path in sorted((ROOT / "db" / "sql").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            text = ast.unparse(node)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _WRITES_KEYS.search(text):
                found.append(node.name)
                if "mentionkeys.replace(" not in text:
                    without.append(f"{path.name}: {node.name}")
    assert found
    assert without == []
