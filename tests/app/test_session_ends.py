"""Sessions that end, however: their sockets are told at once, and those of no other session.

Without that a socket would be closed as well, but only when the outbox is polled, up to two seconds later: a test that waits
for the closing alone is green either way.
"""

import ast
import inspect
from collections.abc import Awaitable, Callable
from types import ModuleType

import pytest
from msgspec.structs import replace

from app import logins, sessions, users
from app.context import Context
from app.events.messages import EverySessionClosed, SessionClosed
from app.origin import NOWHERE
from app.passwords import Hasher
from app.permissions import Actor
from db.model import limits
from db.model.entities import Session, User
from db.model.ids import SessionId, new_id, new_token, token_hash
from db.pool.pool import Database
from db.sql import sessions as sessions_db
from db.sql import users as users_db
from tests.app import races
from tests.db.people import user

PASSWORD = "a long password"
OWN = 3


class Heard:
    """A bus that remembers."""

    def __init__(self) -> None:
        self.messages: list[object] = []

    def publish(self, message: object) -> None:
        self.messages.append(message)


class People:
    """ann with three sessions, bob with one, and root, who administers. token: of ann's first one."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.token = new_token()
        self.ann: list[Actor] = []

    async def arrive(self) -> None:
        password = await self._ctx.hasher.hash(PASSWORD)
        ann = replace(user("ann"), password=password)
        await self._insert(ann)
        self.ann = [await self._session(ann, self.token), *[await self._session(ann) for _ in range(OWN - 1)]]
        self.bob = await self._session(await self._insert(user("bob")))
        self.root = await self._session(await self._insert(replace(user("root"), roles="system_admin system_user")))

    async def _insert(self, new: User) -> User:
        await users_db.insert(self._ctx.db, new)
        return new

    async def _session(self, who: User, token: str = "") -> Actor:
        hashed, far = token_hash(token or new_token()), self._ctx.now_ms() * 2
        session = Session(SessionId(new_id()), hashed, who.id, 1, far, 1, "", new_token())
        await sessions_db.insert(self._ctx.db, session)
        return Actor(session, who)


End = Callable[[Context, People], Awaitable[object]]
# By what ends: how, and how many of ann's three.
ENDS: dict[str, tuple[End, int]] = {
    "logging out": (lambda ctx, all_: sessions.log_out(ctx, all_.ann[0]), 1),
    "one by its id": (
        lambda ctx, all_: sessions.revoke(ctx, all_.ann[1], all_.ann[0].user_id, all_.ann[0].session.id),
        1,
    ),
    "one by its token": (lambda ctx, all_: sessions.revoke(ctx, all_.root, all_.ann[0].user_id, all_.token), 1),
    "one by itself": (
        lambda ctx, all_: sessions.revoke(ctx, all_.ann[0], all_.ann[0].user_id, all_.ann[0].session.id),
        1,
    ),
    "all of a user": (lambda ctx, all_: sessions.revoke_all(ctx, all_.ann[0], all_.ann[0].user_id), OWN),
    "everybody's": (lambda ctx, all_: sessions.revoke_everybodys(ctx, all_.root), OWN),
    "a deactivation": (lambda ctx, all_: users.set_active(ctx, all_.root, all_.ann[0].user_id, active=False), OWN),
    "one session more than a user may have": (
        lambda ctx, all_: logins.log_in(ctx, PASSWORD, "", NOWHERE, user_id=all_.ann[0].user_id, login_id=""),
        1,
    ),
}


@pytest.mark.parametrize("name", ENDS)
async def test_whose_session_ends_is_told_at_once_and_nobody_else(
    database: Database, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(limits, "SESSIONS", OWN)
    end, ended = ENDS[name]
    async with races.contexts(database) as ctx:
        ctx.hasher = Hasher(memory_kib=64, passes=1)
        ctx.bus = heard = Heard()  # type: ignore[assignment]
        people = People(ctx)
        await people.arrive()
        before = await _ids(database)
        await end(ctx, people)
        gone = before - await _ids(database)
    assert len(gone & {one.session.id for one in people.ann}) == ended
    if any(isinstance(one, EverySessionClosed) for one in heard.messages):
        assert gone == before
    else:
        assert sorted(one.session_id for one in heard.messages if isinstance(one, SessionClosed)) == sorted(gone)


async def _ids(database: Database) -> set[str]:
    return {row[0] for row in await database.fetch("SELECT id FROM sessions")}


def _deleting(module: ModuleType, name: str) -> set[str]:
    """The functions of a module that delete sessions by what it calls `name`."""
    found = set()
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.AsyncFunctionDef):
            calls = [ast.unparse(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)]
            if any(call.startswith(f"{name}.delete") for call in calls):
                found.add(f"{module.__name__}.{node.name}")
    return found


def test_nothing_else_ends_a_session() -> None:
    """Who deletes sessions in another place has a case above first."""
    assert _deleting(sessions, "sessions") == {
        "app.sessions.create",
        "app.sessions._end",
        "app.sessions.revoke_everybodys",
        "app.sessions.end_all",
    }
    assert _deleting(users, "sessions_db") == {"app.users.set_active"}
