"""The outbox: every change is told of once, whoever made it and however long it took."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from db import outbox, preferences, statuses, users
from db.board import LocalBoard, Term
from db.entities import Preference
from db.errors import Unavailable
from db.ids import UserId, new_id
from db.outbox import Follower, Outbox, Poll
from db.pool import Database
from tests.cluster.simdb import now_ns
from tests.db.people import user
from tests.plugins.drivers import drivers
from tests.rig import virtual
from tests.rig.scale import scale

pytestmark = drivers("postgres", "mysql")


async def _changes(reader: Outbox) -> set[tuple[str, str]]:
    poll = await reader.poll()
    assert poll is not None
    assert len(set(poll.changes)) == len(poll.changes)
    return set(poll.changes)


@pytest.fixture
async def reader(database: Database) -> Outbox:
    reader = Outbox(database)
    assert await reader.poll() is None
    return reader


async def test_every_write_is_told_of_once(database: Database, reader: Outbox) -> None:
    ann = user("ann")
    await users.insert(database, ann)
    await preferences.save(database, [Preference(ann.id, "c", "n", "v")])
    await statuses.set_by_user(database, ann.id, "dnd", 1, manual=True)
    assert await _changes(reader) == {("user", ann.id), ("preferences", ann.id), ("status", ann.id)}
    assert await _changes(reader) == set()


async def test_a_transaction_that_was_open_for_long_is_seen_by_the_poll_after_its_commit(
    database: Database, reader: Outbox
) -> None:
    ann, bob = user("ann"), user("bob")
    async with database.transaction() as slow:
        await slow.execute("INSERT INTO statuses (user_id, status) VALUES (%s, 'online')", (ann.id,))
        for _ in range(scale(5, 40)):  # others come and go meanwhile, with higher transaction ids
            await statuses.set_by_user(database, bob.id, new_id()[:8], 1, manual=True)
            assert await _changes(reader) == {("status", bob.id)}
            await asyncio.sleep(scale(0, 1))
    assert await _changes(reader) == {("status", ann.id)}
    assert await _changes(reader) == set()


async def test_what_was_rolled_back_is_not_told_of(database: Database, reader: Outbox) -> None:
    async def fail() -> None:
        async with database.transaction() as tx:
            await statuses.set_by_user(tx, UserId(new_id()), "dnd", 1, manual=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await _changes(reader) == set()


async def test_an_update_by_hand_and_a_renamed_key_are_told_of(database: Database, reader: Outbox) -> None:
    old, new = new_id(), new_id()
    await database.execute("INSERT INTO statuses (user_id, status) VALUES (%s, 'online')", (old,))
    await reader.poll()
    await database.execute("UPDATE statuses SET user_id = %s WHERE user_id = %s", (new, old))
    assert await _changes(reader) == {("status", old), ("status", new)}


async def test_every_change_under_concurrency_is_told_of_exactly_once(database: Database, reader: Outbox) -> None:
    ids = [UserId(new_id()) for _ in range(200)]
    told: list[tuple[str, str]] = []

    async def poll() -> None:
        found = await reader.poll()
        assert found is not None
        told.extend(found.changes)

    async def write(part: list[UserId]) -> None:
        for one in part:
            await statuses.set_by_user(database, one, "dnd", 1, manual=True)

    writers = asyncio.gather(*(write(ids[start::5]) for start in range(5)))
    while not writers.done():
        await poll()
    await writers
    await poll()
    assert sorted(told) == sorted(("status", one) for one in ids)


async def test_the_position_of_a_poll_covers_what_it_tells_of(database: Database, reader: Outbox) -> None:
    async with database.generation.master.connection() as connection:
        before = await database.generation.driver.position(connection)
    await statuses.set_by_user(database, UserId(new_id()), "dnd", 1, manual=True)
    poll = await reader.poll()
    assert isinstance(poll, Poll)
    assert poll.position > before


async def test_another_master_is_asked_from_the_beginning(database: Database, reader: Outbox) -> None:
    await statuses.set_by_user(database, UserId(new_id()), "dnd", 1, manual=True)
    await database.execute("INSERT INTO systems (name, value) VALUES ('db_generation', '7 other/1')")
    assert await reader.poll() is None
    assert await _changes(reader) == set()


async def test_a_former_master_is_not_asked(database: Database, reader: Outbox) -> None:
    database.board.set_term(Term(9, 9))
    with pytest.raises(Unavailable):
        await reader.poll()


async def test_old_rows_are_trimmed(database: Database, reader: Outbox) -> None:
    await statuses.set_by_user(database, UserId(new_id()), "dnd", 1, manual=True)
    assert await outbox.trim(database, 60_000) == 0
    assert await outbox.trim(database, -1000) == 1
    assert await _changes(reader) == set()


def test_a_poll_that_was_sent_before_a_loss_does_not_count_and_the_next_one_is_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def poll(_: Outbox) -> Poll:
        await asyncio.sleep(0.1)
        return Poll(1, [], [])

    async def follow() -> list[int]:
        board = LocalBoard()
        database = SimpleNamespace(board=board, dialect="postgres", landed=lambda *_: 0)
        follower = Follower(cast(Database, database))
        running = asyncio.create_task(follower.run())
        await asyncio.sleep(0.15)
        seen = [board.polled_ns()]
        await asyncio.sleep(0.9)  # the second poll is under way
        for wait_s in (0.0, 0.1, 0.1):
            if not wait_s:
                follower.distrust()
            await asyncio.sleep(wait_s)
            seen.append(board.polled_ns())
        running.cancel()
        return [round(one / 1e6) for one in seen]

    monkeypatch.setattr(outbox, "boottime_ns", now_ns)
    monkeypatch.setattr(Outbox, "poll", poll)
    assert virtual.run(follow()) == [1_000_000, 0, 0, 1_001_100]
