"""Administrators while there is no master (`app/emergency.py`): who is believed, and for how long."""

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from app import emergency
from app.context import Context
from app.emergency import BELIEVED_S, Administrators
from app.sessions import authenticate_operator
from db.model import shards
from db.model.board import boottime_ns
from db.model.entities import Session, User
from db.model.errors import Busy, DatabaseError, Unavailable
from db.model.ids import SessionId, new_id, new_token, token_hash
from db.pool.pool import Database
from db.sql import sessions, users
from tests.db.people import user
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")
NEVER_MS = 1 << 50


@dataclass
class World:
    """An administrator with a session, and somebody else with one; known to `administrators`."""

    database: Database
    administrators: Administrators
    session: Session
    other: Session
    user: User

    def known(self, session: Session, now_ms: int = 0) -> bool:
        return self.administrators.find(session.token_hash, now_ms) is not None


async def _session(database: Database, who: User) -> Session:
    made = Session(SessionId(new_id()), new_id(), who.id, 1, NEVER_MS, 1, "", "csrf")
    await sessions.insert(database, made)
    return made


@pytest.fixture
async def world(database: Database) -> World:
    admin = msgspec.structs.replace(user("admin"), roles="system_user system_admin")
    other = msgspec.structs.replace(user("other"), roles="system_user system_administrator_of_nothing")
    for one in (admin, other):
        await users.insert(database, one)
    world = World(
        database, Administrators(database), await _session(database, admin), await _session(database, other), admin
    )
    await world.administrators.read()
    return world


async def test_an_administrator_is_believed_only_while_there_is_no_master(world: World) -> None:
    assert not world.known(world.session)
    world.database.board.set_master_lost(True)
    assert world.known(world.session)
    assert not world.known(world.other)
    assert not world.known(world.session, now_ms=NEVER_MS)


async def test_what_was_told_to_have_changed_is_believed_no_more(world: World) -> None:
    world.database.board.set_master_lost(True)
    world.database.stamps.write_all()  # nobody knows what: not that it was this
    assert world.known(world.session)
    world.database.stamps.write([shards.session(world.session.id)])
    assert not world.known(world.session)


async def test_a_change_of_the_account_counts_too_and_another_read_settles_it(world: World) -> None:
    world.database.stamps.write([shards.user(world.user.id)])
    world.database.board.set_master_lost(True)
    assert not world.known(world.session)
    world.database.board.set_master_lost(False)
    await world.administrators.read()
    world.database.board.set_master_lost(True)
    assert world.known(world.session)


async def test_ten_minutes_are_the_most(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.database.board.set_master_lost(True)
    now = boottime_ns()
    monkeypatch.setattr(emergency, "boottime_ns", lambda: now + int((BELIEVED_S - 1) * 1e9))
    assert world.known(world.session)
    monkeypatch.setattr(emergency, "boottime_ns", lambda: now + int((BELIEVED_S + 1) * 1e9))
    assert not world.known(world.session)


async def test_who_has_just_logged_in_is_noted_while_there_is_a_master_and_not_after(world: World) -> None:
    fresh = await _session(world.database, world.user)
    late = await _session(world.database, world.user)
    world.administrators.note(fresh, world.user)
    world.database.board.set_master_lost(True)
    world.administrators.note(late, world.user)
    assert world.known(fresh)
    assert not world.known(late)


async def test_a_session_that_has_ended_is_forgotten_with_the_next_read(world: World) -> None:
    await sessions.delete(world.database, world.session.id)
    await world.administrators.read()
    world.database.board.set_master_lost(True)
    assert not world.known(world.session)


async def test_who_became_an_administrator_since_people_were_looked_for_is_kept_by_the_next_read(world: World) -> None:
    late = msgspec.structs.replace(user("late"), roles="system_user system_admin")
    await users.insert(world.database, late)
    session = await _session(world.database, late)
    world.administrators.note(session, late)
    await world.administrators.read()
    world.database.board.set_master_lost(True)
    assert world.known(session)
    assert world.known(world.session)


@pytest.mark.parametrize("failure", [Unavailable("no way"), Busy("too many wait")])
async def test_who_asks_before_it_is_known_that_the_master_is_lost_is_known_a_moment_later(
    world: World, failure: DatabaseError
) -> None:
    async def lookup(_: str) -> None:
        raise failure

    ctx = SimpleNamespace(
        administrators=world.administrators,
        caches=SimpleNamespace(sessions_by_token=SimpleNamespace(get=lookup)),
        now_ms=lambda: 0,
    )
    token = new_token()
    session = msgspec.structs.replace(world.session, id=SessionId(new_id()), token_hash=token_hash(token))
    world.administrators.note(session, world.user)
    asking = asyncio.create_task(authenticate_operator(cast(Context, ctx), token))
    await asyncio.sleep(0.1)
    assert not asking.done()
    world.database.board.set_master_lost(True)
    assert (await asking).session == session
    with pytest.raises(type(failure)):
        await authenticate_operator(cast(Context, ctx), new_token())
