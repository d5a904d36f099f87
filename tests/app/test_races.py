"""A rule changes after a write was allowed and before it is written: every pair of the two (decision 0027).

The rule is changed in a transaction that is still open; the write passes its first check, which sees the rule as it was, and
waits for the lock that orders the two; then the rule is committed. So no pair is left to luck, and each is red where the
write does not ask again, or asks without the lock.
"""

import ast
import asyncio
import contextlib
import dataclasses
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from app.errors import AppError
from db.drivers import Connection
from db.drivers.mysql_connection import MySQLConnection
from db.drivers.postgres import PostgresConnection
from db.model.errors import Deadlock
from db.model.ids import ChannelId, TeamId, UserId
from db.order import locks
from db.pool.pool import Database
from db.sql import posts
from tests.app import races
from tests.app.races import RULES, WRITES, Write
from tests.plugins.drivers import drivers

ROOT = Path(__file__).parents[2]


async def _pair(world: races.World, rule: str, write: Write) -> str | None:
    """What is wrong with this pair."""
    database = world.ctx.db
    who = world.id(write.target if rule.startswith("target") else write.actor)
    async with database.transaction() as tx:
        await RULES[rule](world, tx, who)
        before = await races.picture(tx)

        async def run() -> object:
            return await write.run(world)

        writing = asyncio.create_task(run())
        await races.until_it_waits(database, tx, writing)
    status: int | None = None
    try:
        await writing
    except AppError as error:
        status = error.status
    broken = await races.violations(database)
    if broken:
        return ", ".join(broken)
    wanted = races.refusal(rule, write)
    if status != wanted:
        return f"{status}, not {wanted}"
    if status is not None and await races.picture(database) != before:
        return "it was refused, and yet something is written"
    return None


@drivers("postgres", "mysql")
@pytest.mark.parametrize("rule", RULES)
async def test_a_rule_that_changes_at_the_last_moment_holds(database: Database, rule: str) -> None:
    wrong = {}
    async with races.contexts(database) as ctx:
        for name, write in WRITES.items():
            found = await _pair(await races.build(ctx), rule, write)
            if found is not None:
                wrong[name] = found
    assert wrong == {}


@drivers("postgres", "mysql")
async def test_all_at_once_come_to_the_limits_and_not_beyond(database: Database) -> None:
    """Sixteen at once, so that the locks are seen to be enough where nobody else holds them."""
    async with races.contexts(database) as ctx:
        worlds = [await races.build(ctx) for _ in range(2)]
        writes = [
            WRITES[name].run(world)
            for world in worlds
            for name in (
                "join the team",
                "add to the team",
                "reply",
                "delete",
                "reply",
                "leave the team",
                "react",
                "post",
            )
        ]
        results = await asyncio.gather(*writes, return_exceptions=True)
        unexpected = [one for one in results if isinstance(one, BaseException) and not isinstance(one, AppError)]
        assert unexpected == []
        assert await races.violations(database) == []


class _UndoneOnce:
    """The first COMMIT of each verb is answered with a deadlock: all of its transaction is undone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.armed = False
        for kind in (PostgresConnection, MySQLConnection):
            monkeypatch.setattr(kind, "transaction", self._transaction(kind.transaction))

    def _transaction(self, real: Any) -> Any:
        @contextlib.asynccontextmanager
        async def transaction(connection: Connection) -> AsyncIterator[None]:
            async with real(connection):
                yield
                if self.armed:
                    self.armed = False
                    raise Deadlock("to free others")

        return transaction


async def test_what_the_database_undoes_is_done_again_by_every_verb(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same is written then, and the same told, as where nothing was undone."""
    undone = _UndoneOnce(monkeypatch)
    for name, write in WRITES.items():
        seen = []
        async with races.contexts(database) as ctx:
            for armed in (False, True):
                world = await races.build(ctx)
                told = races.Told()
                ctx.bus = cast(Any, told)
                before, undone.armed = await races.picture(database), armed
                await write.run(world)
                # Posts are written by batches, which have retries of their own (`db/writer/batch.py`).
                assert not undone.armed or write.verb in ("posts.create", "posts.announce"), name
                undone.armed = False
                after = await races.picture(database)
                seen.append(([int(b) - int(a) for a, b in zip(before, after, strict=True)], list(told.kinds)))
        assert seen[0] == seen[1], name
        assert await races.violations(database) == []


# What would find the next one ---------------------------------------------------------------------------------------

_RULED = [
    "teams",
    "team_members",
    "channels",
    "channel_heads",
    "channel_members",
    "channel_events",
    "posts",
    "post_versions",
    "reactions",
]
_WRITES_RULED = re.compile(
    rf"\b(?:INSERT INTO|UPDATE|DELETE FROM) (?:{'|'.join(_RULED)})\b|\b(?:{'|'.join(map(str.upper, _RULED))})\.insert\b"
)
_PROOFS = {"Place", "TeamAlone", "TeamShared", "Scope", "Accounts", "AccountAlone"}
_WITHOUT = {
    "channels.view": "how far one has read is one's own",
    "members.set_muted": "what one hears of is one's own",
    "trims.events": "forgets what is old, in the name of nobody",
}
_OWN = "about one account, which it locks: its rules are read again there, and names are unique"
_NO_RULES = {
    "accounts.attach_device": "about the session that asks",
    "accounts.patch": _OWN,
    "accounts.set_password": f"{_OWN}; tests/api/test_accounts.py",
    "categories.create": _OWN,
    "categories.delete": _OWN,
    "categories.set_order": _OWN,
    "guests.demote": "locks the account, its teams and heads: tests/api/test_guests.py",
    "guests.promote": "locks the account, its teams and heads: tests/api/test_guests.py",
    "logins.confirm": "charged and forgiven as log-ins are: tests/api/test_accounts.py",
    "pictures.reset": _OWN,
    "preferences.delete": _OWN,
    "preferences.save": _OWN,
    "statuses.clear_custom": _OWN,
    "statuses.forget_recent": _OWN,
    "statuses.set_custom": _OWN,
    "users.create": "its names are unique, and who is the first of a closed server: tests/app/test_accounts.py",
    "users.set_active": "locks all administrators: tests/api/test_roles.py",
    "users.set_roles": "locks all administrators: tests/api/test_roles.py",
    "posts.announce": "the server's own word: its channel is looked at by the batch",
}


def _functions(path: Path) -> Iterator[tuple[str, ast.AsyncFunctionDef | ast.FunctionDef, str]]:
    """(module.name, function, its text with that of the constants of the module which it names)."""
    text = path.read_text()
    tree = ast.parse(text)
    constants: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    constants[target.id] = ast.unparse(node.value)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            named = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
            yield f"{path.stem}.{node.name}", node, ast.unparse(node) + "".join(constants.get(one, "") for one in named)


def _takes_a_proof(function: ast.AsyncFunctionDef | ast.FunctionDef) -> bool:
    given = [*function.args.args, *function.args.kwonlyargs]
    kinds = {name for one in given if one.annotation for name in re.findall(r"\w+", ast.unparse(one.annotation))}
    return bool(kinds & _PROOFS)


def test_what_writes_under_rules_takes_the_proof_of_a_lock() -> None:
    found = {
        name: function
        for path in sorted((ROOT / "db").rglob("*.py"))
        if not {"mysql", "drivers"} & set(path.parts)  # the same in another form
        for name, function, text in _functions(path)
        if _WRITES_RULED.search(text) and isinstance(function, ast.AsyncFunctionDef)
    }
    without = {name for name, function in found.items() if not _takes_a_proof(function)}
    assert without == set(_WITHOUT)
    assert {"channels.add_member", "members.remove", "teams.add_member", "edits.delete", "reactions.add"} <= set(found)


def test_every_verb_that_writes_is_raced_with_every_rule() -> None:
    """A verb that opens a transaction, or that calls a function of its module which does."""
    writing: set[str] = set()
    for path in sorted((ROOT / "app").rglob("*.py")):
        functions = {name: text for name, _, text in _functions(path)}
        opens = {name for name, text in functions.items() if ".db.transact(" in text or ".posts.write(" in text}
        hidden = {name for name in opens if "._" in name}
        opens |= {
            name for name, text in functions.items() if any(f"{one.partition('.')[2]}(" in text for one in hidden)
        }
        writing |= {name for name in opens if "._" not in name}
    assert writing - set(_NO_RULES) == {write.verb for write in WRITES.values()}
    assert set(_NO_RULES) <= writing


def test_a_new_post_says_what_it_requires() -> None:
    assert [one.name for one in dataclasses.fields(posts.NewPost) if one.default is not dataclasses.MISSING] == []


async def test_locks_are_taken_in_one_order(database: Database) -> None:
    """Two transactions that took them in different orders might wait for each other."""
    async with database.transaction() as tx:
        await locks.accounts(tx, [UserId("b"), UserId("a")])
        await locks.team(tx, TeamId("t"))
        for late in (locks.accounts(tx, [UserId("c")]), locks.share_team(tx, TeamId("s"))):
            with pytest.raises(RuntimeError):
                await late
        locks.head(tx, ChannelId("c"))
        with pytest.raises(RuntimeError):
            locks.head(tx, ChannelId("b"))
