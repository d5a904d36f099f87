"""The description of the tables, and what databases have after all migrations: the same."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.caches import Caches, PageKey
from app.postlists import Threads
from db.model import shards, tables
from db.model.board import LocalBoard
from db.model.ids import ChannelId, TeamId
from db.model.shards import LocalStamps
from db.model.tables import OF_SOCKETS, TABLES, TOLD, Namespace, Table, Tells
from db.pool import triggers
from db.pool.pool import Database
from db.sql.mysql import witnesses
from db.sql.teams import OfUser
from tests.plugins.drivers import drivers

ROOT = Path(__file__).parents[2]
PRODUCT = [path for top in ("cluster", "api", "ws", "app", "db") for path in sorted((ROOT / top).rglob("*.py"))]


async def _triggers(database: Database) -> set[triggers.Trigger]:
    return triggers.there(await database.fetch(triggers.THERE[database.dialect]))


@drivers("postgres", "mysql")
async def test_a_database_has_the_triggers_that_the_description_demands(database: Database) -> None:
    there, demanded = await _triggers(database), triggers.demanded(database.dialect)
    needed = triggers.migration(database.dialect, demanded - there, there - demanded)
    assert needed == "", f"the next migration of {database.dialect} has to say:\n{needed}"
    if database.dialect == "postgres":
        rows = await database.fetch("SELECT prosrc FROM pg_proc WHERE proname = 'log_activation'")
        assert triggers.body(tables.USERS) in " ".join(rows[0][0].split())


@drivers("postgres", "mysql")
async def test_a_migration_that_is_printed_makes_of_a_database_what_another_description_demands(
    database: Database,
) -> None:
    """Of every kind of change: a column more counts, all do, a namespace more, a table more, one that tells no more."""
    changed = {
        "sessions": {"counts": ()},
        "teams": {"counts": ("name", "delete_at")},
        "channel_members": {"counts": (*tables.CHANNEL_MEMBERS.counts, "msg_count")},
        "preferences": {"tells": ()},
        "reactions": {"tells": (Tells(Namespace.POSTS, "post_id"), Tells(Namespace.USER, "user_id"))},
    }
    wanted: list[Table] = [dataclasses.replace(one, **changed.get(one.name, {})) for one in TABLES]  # type: ignore[arg-type]
    there, demanded = await _triggers(database), triggers.demanded(database.dialect, wanted)
    text = triggers.migration(database.dialect, demanded - there, there - demanded)
    for line in text.splitlines():
        await database.execute(line.removesuffix(";"))
    assert await _triggers(database) == demanded
    await database.execute("INSERT INTO reactions (post_id, user_id, emoji_name, create_at) VALUES ('p', 'u', 'ox', 1)")
    rows = await database.fetch("SELECT namespace, \"key\" FROM cluster_log WHERE \"key\" IN ('p', 'u')")
    assert set(rows) == {("posts", "p"), ("user", "u")}


_OF_ONE_DIALECT = {
    "postgres": {"xid", "changed_xid"},
    "mysql": {"changed_at", "admin_of", "dnd_ends_at", "nickname_lower", "first_name_lower", "last_name_lower"},
}


@drivers("postgres", "mysql")
async def test_a_database_has_the_columns_that_the_description_names(database: Database) -> None:
    rows = await database.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = "
        + ("database()" if database.dialect == "mysql" else "current_schema()")
    )
    there: dict[str, set[str]] = {}
    for name, column in rows:
        there.setdefault(name, set()).add(column)
    for table in (*TABLES, tables.MEMBERSHIPS):
        described = {*table.columns, *table.beside}
        assert there[table.name] - _OF_ONE_DIALECT[database.dialect] == described, table.name
        assert described >= {*table.counts, *(one.key for one in table.tells), *[table.witness] * bool(table.witness)}


def test_columns_are_those_of_entities_in_their_order() -> None:
    """A row becomes an entity by position: letter by letter what stood in each statement."""
    assert tables.SESSIONS.names("s").startswith("s.id, s.token_hash, s.user_id, s.create_at")
    assert tables.STATUSES.names() == 'user_id, status, "manual", last_activity_at, dnd_end_time, prev_status'
    assert tables.MEMBERSHIPS.columns == tables.CHANNEL_MEMBERS.columns[: tables.MEMBERSHIPS.width]
    assert tables.PREFERENCES.insert == (
        "INSERT INTO preferences (user_id, category, name, value) VALUES (%s, %s, %s, %s)"
    )


# Namespaces ------------------------------------------------------------------------------------------------------------

SLOTS = {
    "user": 52499, "session": 13474, "status": 64570, "preferences": 12107, "team": 9788, "team_channels": 55771,
    "team_members": 46198, "user_teams": 3832, "channel": 31580, "channel_members": 42010, "user_channels": 43035,
    "cluster_node": 22844, "sidebar": 35889, "posts": 4204, "viewed": 53046, "mention_keys": 20124,
}  # fmt: skip
"""Nodes of different versions tell each other what changed by these numbers (of the key "key")."""


def test_the_slots_of_objects_are_those_of_other_versions() -> None:
    assert {one.value: shards.of(one, "key") for one in Namespace} == SLOTS
    assert {one.value: shards.shard(one.value, "key") for one in Namespace} == SLOTS


def test_every_namespace_has_its_function_and_fits_its_column() -> None:
    for one in Namespace:
        if one is not Namespace.CLUSTER_NODE:
            assert callable(getattr(shards, one.value))
        assert len(one.value) <= 32
    assert set(Namespace) - {Namespace.VIEWED} == TOLD
    assert {"session", "user", "user_channels", "user_teams"} == OF_SOCKETS


def test_a_namespace_is_a_text_in_one_place_only() -> None:
    """Who compares a namespace, or makes a slot of one, uses `Namespace`; a word that is wrong has no type then."""
    for path in PRODUCT:
        if path.relative_to(ROOT).as_posix() == "db/model/tables.py":
            continue
        text = path.read_text()
        if not re.search(r"namespace|\b(shard|of)\(", text):
            continue
        for node in ast.walk(ast.parse(text)):
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Compare) and "namespace" in ast.unparse(node.left):
                said = [
                    one.value for each in node.comparators for one in ast.walk(each) if isinstance(one, ast.Constant)
                ]
                assert not said, place
            if isinstance(node, ast.Call) and _makes_a_slot(node.func):
                assert not [one for one in node.args if isinstance(one, ast.Constant)], place


def _makes_a_slot(called: ast.expr) -> bool:
    match called:
        case ast.Name(id="shard" | "of") | ast.Attribute(value=ast.Name(id="shards"), attr="shard" | "of"):
            return True
    return False


class _Asked:
    """Which namespaces a cache asks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.namespaces: set[str] = set()
        real = shards.of

        def of(namespace: Namespace, key: str) -> shards.Shard:
            self.namespaces.add(namespace)
            return real(namespace, key)

        monkeypatch.setattr(shards, "of", of)


_KEYS: dict[str, Any] = {
    **dict.fromkeys(
        (
            "sessions_by_token",
            "sessions",
            "users",
            "heads",
            "teams",
            "team_counts",
            "user_teams",
            "statuses",
            "preferences",
            "mention_keys",
        ),
        "one",
    ),
    **dict.fromkeys(("access", "user_channels", "team_members", "sidebars"), ("one", "other")),
    "pages": PageKey(ChannelId("one"), 0, 0, 60, Threads()),
}
_ROW = SimpleNamespace(id="one")
_VALUES: dict[str, Any] = {"sessions_by_token": (_ROW, _ROW), "sessions": (_ROW, _ROW), "user_channels": [_ROW],
                           "user_teams": OfUser((), (TeamId("one"),))}  # fmt: skip


def _depends(caches: Caches, name: str) -> Iterator[shards.Shard]:
    cache = caches.registry._caches[name]
    yield from cache._on(_KEYS[name])
    if cache._of is not None:
        yield from cache._of(_VALUES[name])


def test_copies_depend_only_on_what_every_node_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that is new needs a key here. What nobody is told of would be stale for ever on another node."""
    asked = _Asked(monkeypatch)
    database: Any = SimpleNamespace(stamps=LocalStamps(), board=LocalBoard())
    caches = Caches(database)
    assert set(caches.registry.names) == set(_KEYS)
    for name in caches.registry.names:
        assert list(_depends(caches, name)), name
        assert asked.namespaces <= TOLD, name


def test_what_looks_after_changes_knows_all_tables() -> None:
    assert set(witnesses.TABLES) == {one.name for one in TABLES if one.witness}
    assert {one.name for one in TABLES if one.tells} <= set(witnesses.TABLES)
    assert len({one.name for one in TABLES}) == len(TABLES)


def test_the_statements_of_a_migration_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert triggers.main(["mysql", "teams"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("CREATE TRIGGER IF NOT EXISTS log_teams_") == 3
    assert triggers.main(["postgres"]) == 0
    assert capsys.readouterr().out.count("ENABLE ALWAYS TRIGGER") == len(triggers.demanded("postgres", TABLES)) > 20
    assert triggers.main([]) == 2
