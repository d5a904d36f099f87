"""The pool under fake servers: who answers a read, what a write raises, holding, recycling."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import replace
from typing import Any

import pytest

from db.drivers import Facts, Parameters, Row
from db.model.board import FENCE_NS, Seen, Term, boottime_ns, fingerprint
from db.model.errors import ConnectionLost, Deadlock, StatementFailed, Unavailable, Wrong
from db.model.settings import PoolSettings
from db.model.shards import UNKNOWN, shard
from db.pool import generation
from db.pool.pool import Database

ONE, OTHER = shard("user", "one"), shard("user", "other")


class FakeServer:
    """Answers every read with its own name."""

    def __init__(self, name: str, world: "World", check: Callable[[Facts], None] | None) -> None:
        self.name = name
        self._world = world
        self._check = check
        self.closed = False
        self.term = Term()
        self.fault: Exception | None = None
        self.begin_faults: list[Exception] = []
        self.reads = 0
        self.open_gate = asyncio.Event()
        self.open_gate.set()

    async def open(self) -> None:
        self.closed = False

    async def close(self, *, at_once: bool = False) -> None:
        self.closed = True
        if at_once:
            self.abandon()

    def usage(self) -> dict[str, int]:
        return {}

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator["FakeServer"]:
        if self.closed:
            raise Unavailable("the pool is closed")
        if self._check is not None:
            self._check(self._world.facts[self.name])
            self.term = self._world.facts[self.name].term
        yield self

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        if self.begin_faults:
            raise self.begin_faults.pop()
        yield

    async def fetch(self, sql: str, _parameters: Parameters = ()) -> list[Row]:
        await self.open_gate.wait()
        if self.fault is not None:
            raise self.fault
        self.reads += 1
        return [] if sql == "nothing" else [(self.name,)]

    async def execute(self, sql: str, _parameters: Parameters = ()) -> int:
        await self.fetch(sql)
        return 1

    def abandon(self) -> None:
        self.fault = ConnectionLost("abandoned")
        self.open_gate.set()


class World:
    """A fake driver, and the facts and servers of the names that connection strings are here."""

    name = "postgres"

    def __init__(self) -> None:
        names = ("master", "replica0", "replica1", "heir", "foreign", "former")
        self.facts = {name: Facts("server", 1, True, 1 << 62, "1 server/1", "ours") for name in names}
        self.facts["foreign"] = Facts("else", 9, True, 5, "9 else/9", "theirs")
        self.servers: dict[str, FakeServer] = {}
        self.faults: dict[str, Exception] = {}
        self.now = 100
        self.position_fault: Exception | None = None

    def server(self, dsn: str, _: PoolSettings, __: int, check: Callable[[Facts], None] | None = None) -> FakeServer:
        self.servers[dsn] = FakeServer(dsn, self, check)
        return self.servers[dsn]

    async def ask(self, dsn: str, _: PoolSettings, check: Callable[[Facts], None] | None = None) -> Facts:
        if dsn not in self.facts:
            raise Unavailable("nobody there")
        if dsn in self.faults:
            raise self.faults[dsn]
        if check is not None:
            check(self.facts[dsn])
        return self.facts[dsn]

    async def facts_of(self, connection: FakeServer) -> Facts:
        return self.facts[connection.name]

    async def position(self, _: Any) -> int:
        if self.position_fault is not None:
            raise self.position_fault
        self.now += 1
        return self.now


SETTINGS = PoolSettings("master", replicas=("replica0", "replica1"), query_timeout_s=0.1)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(generation, "driver_of", lambda _: world)
    return world


@pytest.fixture
def database(world: World) -> Database:
    database = Database(SETTINGS)
    database.board.set_term(Term(1, 1))
    database.board.set_servers(fingerprint(SETTINGS.replicas))
    database.board.set_polled(boottime_ns())
    _probe(database, 100)
    return database


def _probe(database: Database, replayed: int) -> None:
    for index in range(2):
        database.board.set_replica(index, Seen(replayed, 0, boottime_ns()))


async def test_no_replica_is_read_while_nobody_knows_what_others_changed(database: Database) -> None:
    assert await _who(database) != "master"
    database.board.set_polled(boottime_ns() - FENCE_NS)
    assert await _who(database) == "master"
    database.board.set_master_lost(True)  # others may still write to it
    assert await _who(database) == "master"


class Listener:
    """Another node, which is told of commits."""

    wants_position = True

    def __init__(self, database: Database) -> None:
        self._database = database
        self.told: list[tuple[set[int], int]] = []

    async def committed(self, changed: Collection[int], position: int, _term: Term) -> None:
        assert not self._database.stamps.hold([ONE], (0, 0)), "it is not stamped yet"
        self.told.append((set(changed), position))


async def test_a_commit_is_stamped_and_then_told(database: Database, world: World) -> None:
    database.commits = listener = Listener(database)
    await database.execute("change", changes=(ONE,))
    async with database.transaction() as tx:
        await tx.execute("change", changes=(ONE,))
        assert len(listener.told) == 1
    await database.execute("change nothing that anybody keeps")
    world.position_fault = ConnectionLost("gone")
    await database.write("change", changes=(ONE,))
    assert listener.told == [({ONE}, 101), ({ONE}, 102), ({ONE}, UNKNOWN)]


async def test_floors_are_raised_before_a_commit_is_stamped(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a fill could take the new stamp and read what is older from a replica."""
    floors: list[int] = []
    monkeypatch.setattr(database.stamps, "write", lambda shards: floors.append(database.floors.floor(shards)))
    await database.execute("change", changes=(ONE,))
    assert floors == [101]


async def test_without_replicas_the_position_is_fetched_only_for_who_wants_it(world: World) -> None:
    database = Database(replace(SETTINGS, replicas=()))
    await database.execute("change", changes=(ONE,))
    assert world.now == 100
    database.commits = listener = Listener(database)
    await database.execute("change", changes=(ONE,))
    assert listener.told == [({ONE}, 101)]


async def test_what_is_rolled_back_is_told_to_nobody(database: Database) -> None:
    database.commits = listener = Listener(database)
    before = database.stamps.take([ONE])

    async def fail() -> None:
        async with database.transaction() as tx:
            await tx.execute("change", changes=(ONE,))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert database.stamps.hold([ONE], before)
    assert listener.told == []


async def _who(database: Database, on: tuple[int, ...] | None = (ONE,), **options: Any) -> str:
    rows = await database.fetch("something", on=on, **options)
    return str(rows[0][0])


async def test_reads_that_say_what_they_depend_on_go_to_replicas_and_others_to_the_master(database: Database) -> None:
    assert {await _who(database) for _ in range(4)} == {"replica0", "replica1"}
    assert await _who(database, None) == "master"


async def test_what_was_written_is_read_from_the_master_until_replicas_have_it(database: Database) -> None:
    await database.execute("write", changes=(ONE,))
    assert await _who(database) == "master"
    assert await _who(database, (OTHER,)) != "master"
    _probe(database, 101)
    assert await _who(database) != "master"


async def test_what_a_row_says_of_itself_counts_too(database: Database) -> None:
    await database.write("write", changes=(), of=lambda _: (ONE,))
    assert await _who(database, (OTHER,), of=lambda _: (ONE,)) == "master"
    assert await _who(database, (OTHER,), of=lambda _: (OTHER,)) != "master"


async def test_a_transaction_raises_all_that_it_changed_and_only_when_it_commits(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as tx:
            await tx.execute("write", changes=(ONE,))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert database.floors.floor((ONE, OTHER)) == 0
    async with database.transaction() as tx:
        await tx.execute("write", changes=(ONE,))
        await tx.write("write", of=lambda _: (OTHER,))
    assert database.floors.floor((ONE,)) == database.floors.floor((OTHER,)) == 101


async def test_not_found_is_asked_of_the_master(world: World, database: Database) -> None:
    assert await database.fetch_one("nothing", on=(ONE,)) is None
    assert world.servers["master"].reads == 1
    assert await database.fetch("nothing", on=(ONE,)) == []
    assert world.servers["master"].reads == 1


@pytest.mark.parametrize("fault", [ConnectionLost("gone"), Unavailable("full"), StatementFailed("40001", "conflict")])
async def test_a_replica_that_fails_is_passed_over(world: World, database: Database, fault: Exception) -> None:
    world.servers["replica0"].fault = fault
    assert {await _who(database) for _ in range(8)} == {"replica1"}
    world.servers["replica1"].fault = fault
    assert await _who(database) == "master"


async def test_replicas_are_not_read_while_the_board_speaks_of_others(database: Database) -> None:
    database.board.set_servers(fingerprint(("replica0",)))
    _probe(database, 100)
    assert await _who(database) == "master"


async def test_a_new_connection_to_a_replica_that_is_further_back_than_its_probe_is_refused(
    world: World, database: Database
) -> None:
    for name in ("replica0", "replica1"):
        world.facts[name] = Facts("server", 1, False, 99, "1 server/1", "ours")
    assert await _who(database) == "master"


async def test_a_position_that_nobody_can_tell_keeps_readers_on_the_master_until_it_is_known(
    world: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.pool._SETTLE_S", 0.01)
    world.position_fault = ConnectionLost("gone")
    assert await database.execute("write", changes=(ONE,)) == 1
    assert database.floors.floor((ONE,)) == UNKNOWN
    _probe(database, 1 << 60)
    assert await _who(database) == "master"
    world.position_fault = None
    async with asyncio.timeout(5):
        while database.floors.floor((ONE,)) == UNKNOWN:
            await asyncio.sleep(0.01)
    assert await _who(database) != "master"
    await database.close()


async def test_a_server_that_does_not_answer_is_given_up(
    world: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.pool._BEYOND_S", 0.0)
    monkeypatch.setattr("db.pool.pool.REPLICA_READ_S", 0.05)
    for name in ("replica0", "replica1"):
        world.servers[name].open_gate.clear()
    assert await _who(database) == "master"
    world.servers["master"].open_gate.clear()
    with pytest.raises(Unavailable, match="did not answer in time"):
        await database.execute("write")


async def test_writes_wait_while_they_are_held(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.hold()
    waiting = asyncio.create_task(database.execute("write"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert await _who(database) != "master"
    database.release()
    assert await waiting == 1
    monkeypatch.setattr("db.pool.pool.HOLD_S", 0.01)
    database.hold()
    with pytest.raises(Unavailable, match="held"):
        await database.execute("write")


async def test_a_recycle_goes_over_to_other_servers_and_covers_what_was_written_before(
    world: World, database: Database
) -> None:
    old = world.servers["master"]
    tokens = database.stamps.take([])
    await database.recycle(PoolSettings("heir", replicas=("replica0",)))
    assert not database.stamps.hold([], tokens), "a copy may be of what the old servers said"
    assert old.closed
    assert await _who(database, None) == "heir"
    assert database.floors.floor(()) == world.now


@pytest.mark.parametrize("said", [Unavailable("gone"), Deadlock("conflict with recovery"), ""])
async def test_a_replica_that_cannot_say_whose_it_is_does_not_prevent_a_recycle(
    world: World, database: Database, said: Exception | str
) -> None:
    await _who(database, None)
    if isinstance(said, Exception):
        world.faults["replica0"] = said
    else:
        world.facts["replica0"] = Facts("server", 1, False, 1, "", "")
    await database.recycle(PoolSettings("heir", replicas=("replica0",)))
    assert await _who(database, None) == "heir"


@pytest.mark.parametrize(
    ("dsn", "replicas", "words"),
    [
        ("unknown", (), "nobody there"),
        ("foreign", (), "not that of this installation"),
        ("heir", ("foreign",), r"DataSourceReplicas\[0\]"),
        ("former", (), "another one has taken its place"),
    ],
)
async def test_a_recycle_that_cannot_be_verified_changes_nothing(
    world: World, database: Database, dsn: str, replicas: tuple[str, ...], words: str
) -> None:
    await _who(database, None)  # by now it is known which installation this is
    database.board.set_term(Term(2, 1))
    world.facts |= {name: Facts("server", 2, True, 1, "2 server/2", "ours") for name in ("master", "heir")}
    with pytest.raises(Unavailable, match=words):
        await database.recycle(PoolSettings(dsn, replicas=replicas))
    assert await _who(database, None) == "master"


async def test_a_former_master_is_not_written_to(database: Database) -> None:
    database.board.set_term(Term(1, 2))
    with pytest.raises(Wrong):
        await database.execute("write")


async def test_who_waits_for_a_connection_while_the_pool_is_recycled_gets_it_from_the_new_one(
    world: World, database: Database
) -> None:
    world.servers["master"].closed = True
    with pytest.raises(Unavailable):
        await database.execute("write")
    before = database.generation
    gate = asyncio.Event()

    class Late(contextlib.AsyncExitStack):
        async def __aenter__(self) -> "Late":
            await gate.wait()
            raise Unavailable("the pool is closed")

    before.master.connection = Late  # type: ignore[assignment, method-assign]
    waiting = asyncio.create_task(database.execute("write"))
    await asyncio.sleep(0)
    await database.recycle(SETTINGS)
    gate.set()
    assert await waiting == 1


async def test_a_begin_that_finds_its_connection_dead_is_sent_on_another(world: World, database: Database) -> None:
    master = world.servers["master"]
    master.begin_faults = [ConnectionLost("idle for too long"), ConnectionLost("killed")]
    async with database.transaction() as tx:
        assert await tx.fetch("SELECT 1") == [("master",)]
    assert master.begin_faults == []


@pytest.mark.parametrize("faults", [[ConnectionLost("gone")] * 3, [Unavailable("frozen")]])
async def test_a_begin_is_not_sent_for_ever(world: World, database: Database, faults: list[Exception]) -> None:
    world.servers["master"].begin_faults = [*faults]
    with pytest.raises(Unavailable):
        async with database.transaction():
            pytest.fail("it has not begun")
    assert world.servers["master"].begin_faults == []


async def test_a_transaction_that_is_lost_after_its_begin_is_not_begun_again(world: World, database: Database) -> None:
    begun = 0

    async def work() -> None:
        nonlocal begun
        async with database.transaction():
            begun += 1
            raise ConnectionLost("in the middle")

    with pytest.raises(ConnectionLost):
        await work()
    assert begun == 1


async def test_what_was_written_while_a_later_master_was_met_is_acknowledged_by_nobody(
    world: World, database: Database
) -> None:
    await database.execute("write")
    server = world.servers["master"]
    server.open_gate.clear()
    writing = asyncio.create_task(database.execute("write"))
    reading = asyncio.create_task(database.fetch("something"))
    await asyncio.sleep(0)
    database.board.raise_term(Term(2, 2))
    world.facts["master"] = Facts("server", 2, True, 1, "1 server/1", "ours")  # where the same name leads by now
    server.open_gate.set()
    with pytest.raises(ConnectionLost):
        await writing
    assert await reading == [("master",)]
    assert world.servers["master"] is not server, "connections to the former master are still used"
    assert database.board.term() == Term(2, 2)


async def test_a_later_term_ends_what_is_open_on_the_former_master(world: World, database: Database) -> None:
    class Beside:
        closed = False

        def close(self) -> None:
            self.closed = True

    beside = Beside()
    database.attach(beside)
    await database.execute("write")
    before, tokens = database.generation, database.stamps.take([ONE])
    assert database.current() is before
    database.board.raise_term(Term(2, 2))
    assert database.current() is not before
    assert beside.closed
    assert not database.stamps.hold([ONE], tokens), "copies of what the former master said are kept"
    await asyncio.sleep(0)
    assert world.servers["master"].closed is False


async def test_a_database_of_another_installation_is_no_later_master(world: World, database: Database) -> None:
    await database.execute("write")
    world.facts["master"] = world.facts["foreign"]
    database.generation.master.closed = False  # type: ignore[attr-defined]
    with pytest.raises(Wrong, match="installation"):
        await database.execute("write")
    assert database.board.term() == Term(1, 1)
