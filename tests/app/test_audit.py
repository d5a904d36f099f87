"""The audit log: rows go with the change, what is refused is counted, and no privileged verb is without."""

import ast
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from app import journal
from app.audit import audited
from app.config.settings import Config
from app.context import Context
from app.errors import AppError, forbidden
from app.journal import MAX_ROWS, Entry, Journal, details
from app.origin import Origin
from app.permissions import Actor
from db.model.errors import Unavailable
from db.pool.queryable import Transaction
from db.sql.audits import Audit

ROOT = Path(__file__).parents[2]


class FakeDatabase:
    """Remembers what was committed: statements, and rows of the audit log as (action, result, extra_info)."""

    dialect = "postgres"
    stamps = board = None

    def __init__(self) -> None:
        self.committed: list[list[str]] = []
        self.rows: list[tuple[Any, ...]] = []
        self.down = False
        self._open: list[str] | None = None

    async def transact(self, work: Callable[["FakeDatabase"], Awaitable[Any]]) -> Any:
        self._open, rows = [], list(self.rows)
        try:
            result = await work(self)
        except BaseException:
            self.rows = rows
            raise
        else:
            self.committed.append(self._open)
            return result
        finally:
            self._open = None

    async def execute(self, sql: str, parameters: Any = (), **_: Any) -> int:
        if self.down:
            raise Unavailable("it is down")
        what = sql.split("(")[0].strip()
        if what == "INSERT INTO audits":
            for at in range(0, len(parameters), 9):
                self.rows.append(tuple(parameters[at : at + 9]))
        if self._open is None:
            self.committed.append([what])
        else:
            self._open.append(what)
        return 1


class Fixture:
    """A context over that database, and somebody who asks."""

    def __init__(self) -> None:
        self.db = FakeDatabase()
        self.ctx = Context.__new__(Context)
        self.ctx.config = Config()
        self.ctx.db = cast(Any, self.db)
        self.ctx.audit = Journal(cast(Any, self.db), "node1")
        session, user = cast(Any, type("S", (), {"id": "session1"})), cast(Any, type("U", (), {"id": "ann"}))
        self.actor = Actor(session, user, lambda: Origin("203.0.113.7", "203.0.113.7", "request1"))

    def told(self) -> list[tuple[str, str, str]]:
        rows = [Audit(*row) for row in self.db.rows]
        return [(row.action, row.result, row.extra_info) for row in rows]


@pytest.fixture
def fixture() -> Fixture:
    return Fixture()


@audited("change", "what")
async def _change(ctx: Context, actor: Actor, what: str, *, fails: bool = False, again: bool = False) -> str:
    await ctx.db.execute("UPDATE things", (what,))
    if again:
        await ctx.db.execute("UPDATE others")
    if fails:
        raise forbidden()
    return what


@audited("change", "what")
async def _refuse(ctx: Context, actor: Actor, what: str) -> None:
    raise forbidden()


@audited("change")
async def _change_nothing(ctx: Context, actor: Actor) -> None:
    return None


@audited("reload", outside=True)
async def _act_outside(ctx: Context, actor: Actor) -> None:
    return None


@audited("change", "what")
async def _fail_inside(ctx: Context, actor: Actor, what: str) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute("UPDATE things")
        raise forbidden()

    await ctx.db.transact(work)


async def test_the_row_is_in_the_transaction_of_the_change(fixture: Fixture) -> None:
    assert await _change(fixture.ctx, fixture.actor, "thing") == "thing"
    assert fixture.db.committed == [["UPDATE things", "INSERT INTO audits"]]
    [row] = [Audit(*one) for one in fixture.db.rows]
    assert (row.user_id, row.session_id, row.action, row.result) == ("ann", "session1", "change", "success")
    assert (row.ip_address, row.node_id, row.request_id) == ("203.0.113.7", "node1", "request1")
    assert row.extra_info == "what=thing"


async def test_a_verb_of_several_changes_has_one_row(fixture: Fixture) -> None:
    await _change(fixture.ctx, fixture.actor, "thing", again=True)
    assert fixture.db.committed == [["UPDATE things", "INSERT INTO audits"], ["UPDATE others"]]


async def test_a_change_that_is_rolled_back_leaves_no_row_but_that_it_failed(fixture: Fixture) -> None:
    with pytest.raises(AppError):
        await _fail_inside(fixture.ctx, fixture.actor, "thing")
    assert fixture.told() == []
    await fixture.ctx.audit.flush()
    assert fixture.told() == [("change", "api.context.permissions.app_error", "what=thing")]


async def test_what_is_refused_is_counted_and_written_later(fixture: Fixture) -> None:
    for _ in range(1000):
        with pytest.raises(AppError):
            await _refuse(fixture.ctx, fixture.actor, "thing")
    assert fixture.db.committed == []
    await fixture.ctx.audit.flush()
    assert fixture.told() == [("change", "api.context.permissions.app_error", "what=thing count=1000")]


async def test_a_flood_that_differs_in_everything_is_a_few_rows(fixture: Fixture) -> None:
    for number in range(5000):
        origin = Origin(f"10.0.{number // 250}.{number % 250}")
        fixture.ctx.audit.note(Entry("login", "wrong", origin=origin))
    await fixture.ctx.audit.flush()
    assert len(fixture.db.rows) == MAX_ROWS + 1
    assert fixture.told()[-1] == ("others", "refused", f" count={5000 - MAX_ROWS}")


async def test_what_changes_nothing_is_counted_too(fixture: Fixture) -> None:
    for _ in range(3):
        await _change_nothing(fixture.ctx, fixture.actor)
    await fixture.ctx.audit.flush()
    assert fixture.told() == [("change", "success", " count=3")]


async def test_what_is_done_outside_the_database_is_written_before_the_answer(fixture: Fixture) -> None:
    await _act_outside(fixture.ctx, fixture.actor)
    assert fixture.told() == [("reload", "success", "")]


async def test_without_a_database_rows_are_kept_until_there_is_one(fixture: Fixture) -> None:
    fixture.db.down = True
    await _act_outside(fixture.ctx, fixture.actor)
    with pytest.raises(Unavailable):
        await fixture.ctx.audit.flush()
    fixture.db.down = False
    await fixture.ctx.audit.close()
    assert fixture.told() == [("reload", "success", "")]


async def test_a_long_outage_takes_no_more_than_so_much_memory(fixture: Fixture) -> None:
    fixture.db.down = True
    for _ in range(1200):
        await fixture.ctx.audit.record(Entry("reload"))
    fixture.db.down = False
    await fixture.ctx.audit.close()
    assert len(fixture.db.rows) == 1000


async def test_each_row_has_a_line_in_the_log(fixture: Fixture, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await _change(fixture.ctx, fixture.actor, "thing")
    for _ in range(3):
        fixture.ctx.audit.note(Entry("login", "wrong"))
    await fixture.ctx.audit.flush()
    lines = [vars(record) for record in caplog.records if record.message == "audit"]
    assert [(line["action"], line["result"], line["count"]) for line in lines] == [
        ("change", "success", 1),
        ("login", "wrong", 3),
    ]


def test_text_that_no_database_can_hold_is_replaced() -> None:
    assert details(name="a\0b\ud800") == "name=a?b?"


def test_a_value_cannot_be_taken_for_another_field() -> None:
    assert details(wanted="channel_user user_id=root", by="") == 'wanted="channel_user user_id=root" by=""'


def test_details_are_no_longer_than_a_row_holds_wherever_they_are_kept() -> None:
    assert len(details(wanted="x" * 1_000_000)) == 1000


async def test_the_end_waits_for_rows_that_are_being_written(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FLUSH_S", 0.0)
    began, goes_on = asyncio.Event(), asyncio.Event()
    execute = fixture.db.execute

    async def slow(*arguments: Any, **more: Any) -> int:
        began.set()
        await goes_on.wait()
        return await execute(*arguments, **more)

    fixture.db.execute = slow  # type: ignore[method-assign]
    fixture.ctx.audit.note(Entry("login", "wrong"))
    await began.wait()
    asyncio.get_running_loop().call_later(0.05, goes_on.set)
    await fixture.ctx.audit.close()
    assert fixture.told() == [("login", "wrong", "")]


# No privileged verb without -------------------------------------------------------------------------------------------

# A function of app/ that asks for a permission which begins so decides over people, their rights, or the node. It must be
# audited, unless it is in `_READS`: then it changes nothing of that kind.
_PRIVILEGED = (
    "add_user", "assign_", "convert_", "create_bot", "create_user_access_token", "demote_", "edit_other_users",
    "invalidate_", "manage_", "permanent_delete", "promote_", "recycle_", "reload_", "remove_user", "revoke_",
    "sysconsole_",
)  # fmt: skip
_READS = frozenset(
    {
        "accounts.delete",  # `users.set_active` is audited
        "accounts.require_over",  # what verbs that are audited ask with
        "audits.of_everybody",
        "categories._missing",
        "installation.analytics",
        "installation.busy_state",
        "installation.onboarding",
        "installation.schema_versions",
        "logfile.lines",
        "audits.of_user",
        "channels.create_direct",  # of others, by administrators
        "people._beginning",
        "people.by_email",
        "people.stats",
        "permissions.viewer",
        "posts._require_deleted",
        "posts.find_for",
        "reading.info",
        "statuses.choose",  # of others, by administrators
        "statuses.clear_custom",  # likewise
        "statuses.forget_recent",
        "statuses.set_custom",
        "sessions._require_over",  # what verbs that are audited ask with
        "system._keep",  # of verbs that are audited
        "system.cluster_status",
        "system.environment_config",
        "system.view_config",
        "teamchanges._change",  # of verbs that are audited
        "teamlists.invite_by_email",  # which changes nothing
        "teamlists.page",
        "teamlists.search",
        "teams.seen_by",
    }
)


def _verbs() -> dict[str, tuple[set[str], bool]]:
    """Functions of app/ by module and name: the texts of permission calls in them, and whether they are audited."""
    found = {}
    for path in sorted((ROOT / "app").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            texts = set()
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1].startswith(("can", "require")):
                    for one in ast.walk(call):
                        if isinstance(one, ast.Constant) and isinstance(one.value, str):
                            texts.add(one.value)
            audited_ = any(ast.unparse(one).startswith("audited(") for one in node.decorator_list)
            found[f"{path.stem}.{node.name}"] = (texts, audited_)
    return found


def test_every_privileged_verb_is_audited() -> None:
    privileged = {name: is_audited for name, (texts, is_audited) in _verbs().items() if _is_privileged(texts)}
    assert len(privileged) > 15
    assert {name for name, is_audited in privileged.items() if not is_audited} == _READS


def _is_privileged(texts: set[str]) -> bool:
    return any(text.startswith(_PRIVILEGED) for text in texts)


def test_a_password_is_hashed_by_one_function_which_looks_at_the_rules() -> None:
    found = [
        (path.stem, ast.unparse(node))
        for folder in ("app", "api", "ws", "cluster")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("hasher.hash")
    ]
    assert [module for module, _ in found if module != "passwords"] == ["users"]
