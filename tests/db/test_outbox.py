"""The outbox: every change is told of once, whoever made it and however long it took."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from db.model.board import LocalBoard, Term
from db.model.entities import Channel, Preference, Session
from db.model.errors import Unavailable
from db.model.ids import ChannelId, PostId, SessionId, TeamId, UserId, new_id
from db.pool import guards
from db.pool.pool import Database
from db.sql import outbox, preferences, sessions, statuses, users
from db.sql.mysql import witnesses
from db.sql.outbox import Follower, Outbox, Poll
from db.sql.posts import NewPost
from db.writer import connect
from db.writer.batch import PostWriter
from tests.cluster.simdb import now_ns
from tests.db import rooms
from tests.db.people import user
from tests.plugins.drivers import drivers
from tests.rig import postgres, virtual
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
    await _until_settled(reader)
    return reader


async def _until_settled(reader: Outbox) -> None:
    """MySQL: tables that are new might yet become others of the same second."""
    async with asyncio.timeout(10):
        while await reader.poll() is None:
            await asyncio.sleep(0.1)


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
            await slow.fetch("SELECT 1")  # who is idle for 2 s is ended
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
    await database.execute("INSERT INTO statuses (user_id, status) VALUES ('0', 'online')")  # the witness on MySQL
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


_NEVER_KEPT = {"leases", "login_attempts", "audits", "schema_migrations", "schema_migration_steps"}


async def test_every_table_but_those_that_nobody_keeps_a_copy_of_is_truncated_in_the_next_test(
    database: Database,
) -> None:
    there = await database.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = "
        + ("database()" if database.dialect == "mysql" else "current_schema()")
    )
    assert {name for (name,) in there} - _NEVER_KEPT == set(guards.TABLES)


async def _fill(database: Database) -> None:
    """A row in each table of which a copy is kept."""
    ann = user("ann")
    await users.insert(database, ann)
    await preferences.save(database, [Preference(ann.id, "c", "n", "v")])
    await statuses.set_by_user(database, ann.id, "dnd", 1, manual=True)
    await sessions.insert(database, Session(SessionId(new_id()), new_id(), ann.id, 1, 1, 1, "", "csrf"))
    await rooms.insert_team(database, rooms.team(new_id()), ann.id)
    channel = ChannelId(new_id())
    async with database.transaction() as tx:
        await rooms.insert(tx, Channel(channel, 1, 1, 0, TeamId(""), "O", "Room", channel, "", "", ann.id, 0))
        await rooms.join(tx, channel, ann.id)
    writer = PostWriter(lambda: connect.connect(database))
    post = PostId(new_id())
    assert await writer.write(NewPost(post, channel, ann.id, "", "m", "", "{}", "", (), None, True, True)) is not None
    await writer.close()
    await database.execute(
        "INSERT INTO reactions (post_id, user_id, emoji_name, create_at) VALUES (%s, %s, 'ok', 1)", (post, ann.id)
    )
    await database.execute(
        "INSERT INTO sidebar_categories (user_id, team_id, id, sort_order, type, channel_ids)"
        " VALUES (%s, 't', 'c', 0, 'custom', '[]')",
        (ann.id,),
    )
    await database.execute("INSERT INTO mention_keys (kind, keyword, user_id) VALUES ('w', 'k', %s)", (ann.id,))
    await database.execute(
        "INSERT INTO cluster_nodes (node_id, incarnation, public_key, address, mac, last_seen_at)"
        " VALUES (%s, 1, '', '', '', 1)",
        (new_id(),),
    )


async def test_a_truncated_table_is_everything_at_the_next_poll_and_then_nothing(
    database: Database, reader: Outbox
) -> None:
    tables: tuple[str, ...] = guards.TABLES
    if database.dialect == "mysql":
        tables = (*witnesses.TABLES, witnesses.OUTBOX)
        assert set(guards.TABLES) - set(tables) == {"channel_events", "post_versions", "post_mentions", "systems"}
    wrong = []
    for table in tables:
        await _fill(database)
        await _until_settled(reader)
        await database.execute(f"TRUNCATE TABLE {table}")
        await statuses.set_by_user(database, UserId(new_id()), "dnd", 1, manual=True)
        if await reader.poll() is not None:
            wrong.append(table)
        await _until_settled(reader)
    assert wrong == []
    await statuses.set_by_user(database, (ann := user("ann")).id, "dnd", 1, manual=True)
    assert await _changes(reader) == {("status", ann.id)}


async def test_a_table_that_is_replaced_as_by_a_restore_is_everything(database: Database, reader: Outbox) -> None:
    if database.dialect == "mysql":
        await database.execute("CREATE TABLE restored LIKE statuses")
        await database.execute("RENAME TABLE statuses TO before_it, restored TO statuses")
    else:
        await database.execute("ALTER TABLE statuses DISABLE TRIGGER USER")  # pg_restore --disable-triggers
        await database.execute("DELETE FROM statuses")
        await database.execute("ALTER TABLE statuses ENABLE TRIGGER USER")
    for _ in range(3):  # its triggers are gone, or do not always fire any more: nothing tells of changes from now on
        assert await reader.poll() is None


@drivers("postgres")
async def test_a_trigger_fires_whatever_the_role_of_the_session(database: Database, reader: Outbox) -> None:
    """Of PostgreSQL: who applies what others wrote, or restores. Only its administrator may."""
    postgres.shared().execute(
        database.settings.dsn,
        "SET session_replication_role = replica; INSERT INTO statuses (user_id, status) VALUES ('ann', 'online')",
    )
    assert await _changes(reader) == {("status", "ann")}
    rows = await database.fetch("SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal")
    assert {enabled for _, enabled in rows} == {"A"}


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
