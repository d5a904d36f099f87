"""Batched reads, under a fake database: never older than asked, failures alone, lost connections, cancelled waiters."""

import asyncio
import random
from collections.abc import Mapping, Sequence

import pytest

from db.drivers import Row
from db.model.entities import Session
from db.model.errors import BadValue, Busy, ConnectionLost, StatementFailed, Unavailable
from db.model.ids import SessionId, UserId, new_id
from db.model.settings import PoolSettings
from db.pool import systems
from db.pool.loader import MAX_BATCH_KEYS, Found, Key, Loader, LoadQueue, Lookup
from db.pool.pool import Database
from db.sql import sessions, users
from tests.db.people import user
from tests.plugins.drivers import drivers
from tests.rig.scale import for_each_seed, scale

pytestmark = drivers("postgres", "mysql")

COLOUR, SIZE = Lookup("colour", "", ""), Lookup("size", "", "")


class FakeDatabase:
    """Rows by lookup and key, versions that grow, errors to order."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Lookup, Key], int] = {}
        self.batches: list[Mapping[Lookup, Sequence[Key]]] = []
        self.plan: list[Exception | None] = []
        """Errors of the next batches, in order; None: all is well."""
        self.connects = 0
        self.unreachable = 0
        self.open = asyncio.Event()
        """Answers wait for it, after the rows were read."""
        self.open.set()

    async def connect(self) -> "FakeConnection":
        self.connects += 1
        if self.unreachable:
            self.unreachable -= 1
            raise Unavailable("not there")
        return FakeConnection(self)


class FakeConnection:
    def __init__(self, database: FakeDatabase) -> None:
        self._database = database
        self._busy = False
        self.closed = False

    async def load(self, wanted: Mapping[Lookup, Sequence[Key]]) -> Found:
        assert not self._busy, "two batches on one connection"
        self._busy = True
        database = self._database
        database.batches.append(wanted)
        found: Found = {
            (lookup, key): (database.rows[lookup, key],)
            for lookup, keys in wanted.items()
            for key in keys
            if (lookup, key) in database.rows
        }
        try:
            await asyncio.sleep(0)
            await database.open.wait()
            error = database.plan.pop(0) if database.plan else None
            if any(key == ("bad",) for keys in wanted.values() for key in keys):
                raise BadValue("bad")
            if error is not None:
                self.closed = isinstance(error, ConnectionLost)
                raise error
            return found
        finally:
            self._busy = False

    def close(self) -> None:
        self.closed = True


def _sizes(database: FakeDatabase) -> list[int]:
    return [sum(len(keys) for keys in batch.values()) for batch in database.batches]


async def _until_batches(database: FakeDatabase, number: int) -> None:
    while len(database.batches) < number:
        await asyncio.sleep(0)


async def test_what_is_asked_together_goes_together_whatever_it_asks_for() -> None:
    database = FakeDatabase()
    database.rows = {(COLOUR, ("1",)): 10, (SIZE, ("1",)): 20}
    loader = Loader(database.connect)
    keys = [(COLOUR, "1"), (SIZE, "1"), (COLOUR, "2")]
    found = await asyncio.gather(*(loader.load(lookup, (key,)) for lookup, key in keys))
    assert found == [(10,), (20,), None]
    assert _sizes(database) == [3]


async def test_a_lone_question_goes_at_once() -> None:
    database = FakeDatabase()
    assert await Loader(database.connect).load(COLOUR, ("1",)) is None


async def test_those_who_ask_for_the_same_before_it_is_sent_share_the_question() -> None:
    database = FakeDatabase()
    database.rows[COLOUR, ("1",)] = 10
    loader = Loader(database.connect)
    found: list[Row | None] = await asyncio.gather(*(loader.load(COLOUR, ("1",)) for _ in range(5)))
    assert found == [(10,)] * 5
    assert _sizes(database) == [1]


async def test_who_asks_while_the_same_question_is_under_way_is_not_given_its_answer() -> None:
    database = FakeDatabase()
    database.rows[COLOUR, ("1",)] = 1
    database.open.clear()
    loader = Loader(database.connect)
    early = asyncio.create_task(loader.load(COLOUR, ("1",)))
    await _until_batches(database, 1)
    database.rows[COLOUR, ("1",)] = 2  # somebody writes, and then reads
    late = asyncio.create_task(loader.load(COLOUR, ("1",)))
    await asyncio.sleep(0)
    database.open.set()
    assert (await early, await late) == ((1,), (2,))


async def test_nothing_is_remembered() -> None:
    database = FakeDatabase()
    loader = Loader(database.connect)
    assert await loader.load(COLOUR, ("1",)) is None
    database.rows[COLOUR, ("1",)] = 1
    assert await loader.load(COLOUR, ("1",)) == (1,)


async def test_a_batch_has_a_most_and_the_longest_waiting_go_first() -> None:
    queue = LoadQueue(max_keys=3)
    loop = asyncio.get_running_loop()
    for number in range(5):
        queue.add(COLOUR, (str(number),), loop.create_future(), float(number + 1))
    taken = [one for _ in range(3) if (one := queue.take()) is not None]
    assert [(deadline, list(batch[COLOUR])) for deadline, batch in taken] == [
        (1.0, [("0",), ("1",), ("2",)]),
        (4.0, [("3",), ("4",)]),
    ]
    database = FakeDatabase()
    loader = Loader(database.connect)
    await asyncio.gather(*(loader.load(COLOUR, (str(number),)) for number in range(MAX_BATCH_KEYS + 1)))
    assert _sizes(database) == [MAX_BATCH_KEYS, 1]


async def test_one_bad_key_fails_alone() -> None:
    database = FakeDatabase()
    database.rows[COLOUR, ("1",)] = 1
    loader = Loader(database.connect)
    found = await asyncio.gather(*(loader.load(COLOUR, (key,)) for key in ("1", "bad", "2")), return_exceptions=True)
    assert found[0] == (1,)
    assert isinstance(found[1], BadValue)
    assert found[2] is None


async def test_a_lost_connection_is_replaced_and_the_batch_asked_again() -> None:
    database = FakeDatabase()
    database.rows[COLOUR, ("1",)] = 1
    database.plan = [ConnectionLost("cut")]
    assert await Loader(database.connect).load(COLOUR, ("1",)) == (1,)
    assert database.connects == 2


async def test_what_took_too_long_is_not_asked_again() -> None:
    database = FakeDatabase()
    database.plan = [Unavailable("statement timeout")]
    with pytest.raises(Unavailable):
        await Loader(database.connect).load(COLOUR, ("1",))
    assert len(database.batches) == 1


async def test_a_database_that_is_not_there_is_waited_for_but_not_for_ever() -> None:
    database = FakeDatabase()
    database.unreachable = 2
    loader = Loader(database.connect, timeout_s=0.3)
    assert await loader.load(COLOUR, ("1",)) is None
    database.plan = [ConnectionLost("cut")]
    database.unreachable = 10_000
    with pytest.raises(Unavailable):
        await loader.load(COLOUR, ("1",))
    database.unreachable = 0
    assert await loader.load(COLOUR, ("1",)) is None


async def test_who_stops_waiting_harms_nobody_and_is_not_asked_for() -> None:
    database = FakeDatabase()
    database.rows = {(COLOUR, (key,)): 1 for key in "abc"}
    database.open.clear()
    loader = Loader(database.connect)
    under_way = [asyncio.create_task(loader.load(COLOUR, (key,))) for key in "ab"]
    await _until_batches(database, 1)
    waiting = [asyncio.create_task(loader.load(COLOUR, (key,))) for key in "cda"]
    await asyncio.sleep(0)
    under_way[0].cancel()
    waiting[1].cancel()
    await asyncio.sleep(0)
    database.open.set()
    assert await under_way[1] == (1,)
    assert await waiting[0] == (1,)
    assert await waiting[2] == (1,)
    assert [list(batch[COLOUR]) for batch in database.batches] == [[("a",), ("b",)], [("c",), ("a",)]]


async def test_the_queue_is_bounded() -> None:
    database = FakeDatabase()
    loader = Loader(database.connect, max_waiting=10)
    found = await asyncio.gather(*(loader.load(COLOUR, (str(number),)) for number in range(15)), return_exceptions=True)
    assert sum(isinstance(one, Busy) for one in found) == 5


async def test_connections_of_no_more_use_are_closed_and_close_finishes_what_is_under_way() -> None:
    database = FakeDatabase()
    made: list[FakeConnection] = []

    async def connect() -> FakeConnection:
        made.append(await database.connect())
        return made[-1]

    loader = Loader(connect)
    await loader.load(COLOUR, ("1",))
    made[0].close()
    loader.renew()
    database.open.clear()
    task = asyncio.create_task(loader.load(COLOUR, ("1",)))
    await _until_batches(database, 2)
    closing = asyncio.create_task(loader.close())
    await asyncio.sleep(0)
    database.open.set()
    await closing
    assert await task is None
    assert [connection.closed for connection in made] == [True, True]


async def _storm(chance: random.Random) -> None:
    """Writers and readers, errors and cancelled readers: no answer is older than its question."""
    database = FakeDatabase()
    keys = [(lookup, (name,)) for lookup in (COLOUR, SIZE) for name in "xyz"]
    database.rows = dict.fromkeys(keys, 0)
    database.plan = [
        chance.choice([None, None, None, ConnectionLost("x"), StatementFailed("XX000", "y")]) for _ in range(100)
    ]
    loader = Loader(database.connect, connections=chance.choice([1, 2]))
    answers = 0

    async def reader() -> None:
        nonlocal answers
        for _ in range(8):
            key = chance.choice(keys)
            if chance.random() < 0.4:
                database.rows[key] += 1
            known = database.rows[key]
            try:
                async with asyncio.timeout(0 if chance.random() < 0.1 else None):
                    row = await loader.load(*key)
            except (TimeoutError, StatementFailed):
                continue
            assert row is not None
            assert known <= row[0] <= database.rows[key]
            answers += 1

    await asyncio.gather(*(reader() for _ in range(10)))
    await loader.close()
    assert answers
    assert not len(loader._queue)


def test_no_answer_is_older_than_its_question_in_a_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.pool.loader._RECONNECT_DELAY_S", 0.0)
    for_each_seed(scale(150, 20_000), lambda chance: asyncio.run(_storm(chance)))


# On real databases of both kinds ------------------------------------------------------------------------------------


@pytest.fixture
async def people(database: Database) -> list[tuple[UserId, str]]:
    """(user id, hash of the token of a session) of 20 people."""
    found = []
    async with database.transaction() as tx:
        for number in range(20):
            one, token = user(f"u{number}"), new_id()
            await users.insert(tx, one)
            await sessions.insert(tx, Session(SessionId(new_id()), token, one.id, 1, 2, 3, "", "csrf"))
            found.append((one.id, token))
    return found


async def test_everybody_gets_their_own(database: Database, people: list[tuple[UserId, str]]) -> None:
    tokens = [token for _, token in people] + ["nobody's"]
    found = await asyncio.gather(
        *(sessions.find_by_token_hash(database, token) for token in tokens),
        *(users.find(database, user_id) for user_id, _ in people),
    )
    assert [one[1].id if isinstance(one, tuple) else one for one in found[:21]] == [*(one for one, _ in people), None]
    assert [one.id for one in found[21:] if not isinstance(one, tuple) and one is not None] == [
        one for one, _ in people
    ]
    first = found[0]
    assert isinstance(first, tuple)
    assert await database.fetch_one("SELECT username, email_verified FROM users WHERE id = %s", (people[0][0],)) == (
        first[1].username,
        first[1].email_verified,
    )


@drivers("postgres")
async def test_a_key_that_the_database_cannot_hold_fails_alone(
    database: Database, people: list[tuple[UserId, str]]
) -> None:
    good, bad = await asyncio.gather(
        users.find(database, people[0][0]), users.find(database, UserId("\0")), return_exceptions=True
    )
    assert getattr(good, "id", None) == people[0][0]
    assert isinstance(bad, BadValue)


@drivers("postgres")
async def test_reads_outlive_their_connection(database: Database, people: list[tuple[UserId, str]]) -> None:
    assert await users.find(database, people[0][0])
    await database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert all(await asyncio.gather(*(users.find(database, user_id) for user_id, _ in people)))


@drivers("postgres")
async def test_a_recycle_leaves_no_connection_behind(
    database: Database, settings: PoolSettings, people: list[tuple[UserId, str]]
) -> None:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND query LIKE '%%ORDINA' || 'LITY%%' AND pid <> pg_backend_pid()"
    )
    assert await users.find(database, people[0][0])
    assert await database.fetch(query) == [(1,)]
    await systems.claim(database, "cluster_id", new_id())
    await database.recycle(settings)
    async with asyncio.timeout(5.0):
        while await database.fetch(query) != [(0,)]:
            await asyncio.sleep(0.02)
    assert await users.find(database, people[0][0])
