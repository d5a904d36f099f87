"""What happens to an account while somebody logs in, signs up or is deactivated."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from msgspec.structs import replace

from app import logins, users
from app.config.settings import Config, TeamSettings
from app.context import Context
from app.errors import AppError
from app.origin import NOWHERE, Origin
from app.passwords import Hasher, Verify
from app.permissions import Actor
from db.model.entities import Session, User
from db.model.ids import SessionId, UserId, new_id
from db.order import locks
from db.pool.pool import Database
from db.sql import sessions
from db.sql import users as users_db
from tests.app import races
from tests.db.people import user
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")
PASSWORD = "a long password"


@contextlib.asynccontextmanager
async def _context(database: Database) -> AsyncIterator[Context]:
    async with races.contexts(database) as ctx:
        ctx.hasher = Hasher(memory_kib=64, passes=1)
        ctx.config = Config(team_settings=TeamSettings(enable_open_server=False))
        yield ctx


async def _insert(ctx: Context, name: str, **changes: Any) -> User:
    new = replace(user(name), password=await ctx.hasher.hash(PASSWORD), **changes)
    await users_db.insert(ctx.db, new)
    return new


def _actor(who: User) -> Actor:
    return Actor(Session(SessionId(new_id()), "", who.id, 1, 2, 1, "", ""), who)


async def test_who_is_deactivated_while_their_password_is_looked_at_gets_no_session(database: Database) -> None:
    async with _context(database) as ctx:
        ann = await _insert(ctx, "ann")
        turn = ctx.hasher.turn

        @contextlib.asynccontextmanager
        async def slow(source: str, *, known: bool) -> AsyncIterator[Verify]:
            async with turn(source, known=known) as verify:
                yield verify
                await users_db.set_delete_at(database, ann.id, 5, 5)

        ctx.hasher.turn = cast(Any, slow)  # type: ignore[method-assign]
        with pytest.raises(AppError) as refused:
            await logins.log_in(ctx, PASSWORD, "", NOWHERE, user_id=ann.id, login_id="")
        assert refused.value.id == "api.user.login.inactive.app_error"
        assert await sessions.find_of_user(database, ann.id) == []


async def test_who_comes_from_where_they_logged_in_lately_is_known_in_the_queue(database: Database) -> None:
    async with _context(database) as ctx:
        ann = await _insert(ctx, "ann")
        turn, asked = ctx.hasher.turn, []

        @contextlib.asynccontextmanager
        async def heard(source: str, *, known: bool) -> AsyncIterator[Verify]:
            asked.append((source, known))
            async with turn(source, known=known) as verify:
                yield verify

        ctx.hasher.turn = cast(Any, heard)  # type: ignore[method-assign]
        for source in ("home", "home", "elsewhere"):
            await logins.log_in(ctx, PASSWORD, "", Origin(source, source, ""), user_id=ann.id, login_id="")
        assert asked == [("home", False), ("home", True), ("elsewhere", False)]


async def test_of_two_first_sign_ups_at_a_closed_server_one_is_refused(database: Database) -> None:
    async with _context(database) as ctx:
        await database.execute("DELETE FROM systems WHERE name = %s", (users._FIRST_ADMIN,))
        names = [f"first{new_id()[:8]}" for _ in range(2)]
        news = [users.NewUser(username=name, email=f"{name}@example.org", password=PASSWORD) for name in names]
        done = await asyncio.gather(
            *(users.create(ctx, None, new, invite_id="", token="", origin=NOWHERE) for new in news),
            return_exceptions=True,
        )
        refused = [one.id for one in done if isinstance(one, AppError)]
        assert refused == ["api.user.create_user.no_open_server"]
        assert sum(isinstance(one, User) and "system_admin" in one.roles for one in done) == 1


async def test_a_deactivation_does_not_hold_administrators_while_it_waits_for_an_account(database: Database) -> None:
    """Who locks accounts in the order of their ids, as a new direct channel does, would wait in a circle with it."""
    async with _context(database) as ctx:
        ids = sorted(UserId(new_id()) for _ in range(2))
        ann = await _insert(ctx, "ann", id=ids[0])
        root = await _insert(ctx, "root", id=ids[1], roles="system_admin system_user")
        async with database.transaction() as tx:
            await locks.accounts(tx, [ann.id])
            task = asyncio.ensure_future(users.set_active(ctx, _actor(root), ann.id, active=False))
            await races.until_it_waits(database, tx, task)
            await locks.accounts(tx, [root.id])
        await task
        found = await users_db.find(database, ann.id)
        assert found is not None
        assert found.delete_at
