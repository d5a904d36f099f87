"""The MySQL driver on a real server: its pool, what breaks it, what it must get right."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from db.drivers import Facts, mysql_failover
from db.drivers.mysql import DRIVER, MySQLServer, read_dsn
from db.drivers.mysql_connection import ROW_WAIT_S, MySQLConnection
from db.model.errors import BadValue, ConnectionLost, Deadlock, Duplicate, StatementFailed, Unavailable, Wrong
from db.model.settings import PoolSettings
from db.pool import migrate, systems
from db.pool.pool import Database
from db.pool.queryable import Transaction
from tests.plugins.drivers import drivers
from tests.rig.lateness import within
from tests.rig.mariadb import MariaDB

pytestmark = drivers("mysql")


@pytest.fixture
async def server(settings: PoolSettings) -> AsyncIterator[MySQLServer]:
    server = DRIVER.server(settings.dsn, replace(settings, connect_timeout_s=0.5), 2)
    yield server
    await server.close()


@pytest.fixture
async def connection(settings: PoolSettings) -> AsyncIterator[MySQLConnection]:
    connection = await MySQLConnection.open(read_dsn(settings.dsn), settings)
    yield connection
    connection.close()


async def _id(server: MySQLServer) -> int:
    async with server.connection() as connection:
        return int((await connection.fetch("SELECT connection_id()"))[0][0])


async def test_a_connection_is_used_again(server: MySQLServer) -> None:
    assert await _id(server) == await _id(server)
    assert server.usage() == {"open": 1, "in_use": 0, "waiting": 0}


async def test_a_cancelled_query_costs_its_connection(server: MySQLServer) -> None:
    first = await _id(server)

    async def slow() -> None:
        async with server.connection() as connection:
            await connection.fetch("SELECT sleep(5), 'wrong data'")

    task = asyncio.create_task(slow())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with server.connection() as connection:
        assert await connection.fetch("SELECT 'mine'") == [("mine",)]
    assert await _id(server) != first
    assert server.usage()["open"] == 1


async def test_an_error_of_the_server_does_not_cost_its_connection(server: MySQLServer) -> None:
    first = await _id(server)
    async with server.connection() as connection:
        with pytest.raises(StatementFailed):
            await connection.fetch("SELEC 1")
    assert await _id(server) == first


async def test_an_answer_that_does_not_come_costs_its_connection(settings: PoolSettings) -> None:
    connection = await MySQLConnection.open(read_dsn(settings.dsn), settings)
    connection._timeout_s = 0.1
    with pytest.raises(Unavailable):
        await connection.fetch("SELECT sleep(5)")
    assert connection.broken
    with pytest.raises(ConnectionLost):
        await connection.fetch("SELECT 1")
    connection.close()


async def test_a_query_that_is_abandoned_ends_at_once_and_costs_its_connection(server: MySQLServer) -> None:
    async with server.connection() as connection:
        asyncio.get_running_loop().call_later(0.1, connection.abandon)
        with pytest.raises(ConnectionLost):
            await asyncio.wait_for(connection.fetch("SELECT sleep(5)"), 2)
    assert server.usage()["open"] == 0


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(settings: PoolSettings) -> None:
    connection = await MySQLConnection.open(read_dsn(settings.dsn), replace(settings, query_timeout_s=0.2))
    with pytest.raises(Unavailable):
        await connection.fetch("SELECT sleep(5)")
    assert await connection.fetch("SELECT 1") == [(1,)]
    connection.close()


async def test_when_all_are_in_use_one_waits_in_line_and_not_for_ever(server: MySQLServer) -> None:
    order: list[int] = []

    async def use(number: int) -> None:
        async with server.connection():
            order.append(number)
            await asyncio.sleep(0.02)

    await asyncio.gather(_id(server), _id(server))  # both connections are there
    await asyncio.gather(*(use(number) for number in range(10)))
    assert order == list(range(10))
    async with server.connection(), server.connection():
        with pytest.raises(Unavailable, match="became free in time"):
            async with server.connection():
                pass
    assert server.usage() == {"open": 2, "in_use": 0, "waiting": 0}


async def test_who_stops_waiting_leaves_the_line(server: MySQLServer) -> None:
    async with server.connection(), server.connection():
        waiting = asyncio.create_task(_id(server))
        await asyncio.sleep(0)
        assert server.usage()["waiting"] == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert server.usage() == {"open": 2, "in_use": 0, "waiting": 0}


async def test_one_given_and_cancelled_at_once_goes_to_the_next(server: MySQLServer) -> None:
    async with server.connection():
        async with server.connection():
            first, second = asyncio.create_task(_id(server)), asyncio.create_task(_id(server))
            await asyncio.sleep(0)
        first.cancel()  # it has been given a connection and has not run since
        assert await asyncio.wait_for(second, 1)
    assert server.usage() == {"open": 2, "in_use": 0, "waiting": 0}


async def test_connections_grow_old(settings: PoolSettings) -> None:
    server = DRIVER.server(settings.dsn, replace(settings, max_lifetime_s=0.0), 2)
    assert await _id(server) != await _id(server)
    await server.close()


async def test_a_closed_pool_gives_none(server: MySQLServer) -> None:
    await server.close()
    with pytest.raises(Unavailable):
        await _id(server)


async def test_a_connection_ended_by_the_server_is_seen_without_a_round_trip(
    server: MySQLServer, mariadb: MariaDB
) -> None:
    first = await _id(server)
    await asyncio.to_thread(mariadb.root, f"KILL {first}")
    assert await _id(server) != first


async def test_a_server_that_must_not_be_used_is_refused(settings: PoolSettings) -> None:
    def check(facts: Facts) -> None:
        assert facts.writable
        raise Wrong("another installation")

    server = DRIVER.server(settings.dsn, replace(settings, connect_timeout_s=0.3), 1, check)
    with pytest.raises(Wrong, match="another installation"):
        await _id(server)
    assert server.usage()["open"] == 0
    await server.close()


@pytest.mark.parametrize("dsn", ["chat:wrong@tcp(127.0.0.1:{port})/x", "chat:p@tcp(127.0.0.1:1)/x", "nothing"])
async def test_what_cannot_be_reached_is_unavailable(dsn: str, mariadb: MariaDB) -> None:
    text = dsn.format(port=mariadb.port)
    with pytest.raises(Unavailable) as caught:
        await DRIVER.ask(text, PoolSettings(text, driver="mysql"))
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("tls", ["skip-verify", "true"])
async def test_tls_that_is_asked_for_and_not_offered_is_refused_before_the_password(
    settings: PoolSettings, tls: str
) -> None:
    with pytest.raises(Unavailable, match=r"asks for TLS and the server does not offer it|SSL is required"):
        await DRIVER.ask(f"{settings.dsn}&tls={tls}", settings)
    (await MySQLConnection.open(read_dsn(f"{settings.dsn}&tls=preferred"), settings)).close()


@pytest.mark.mariadb
async def test_reads_recover_after_the_server_was_killed() -> None:
    server = await asyncio.to_thread(MariaDB().start)
    try:
        settings = PoolSettings(await asyncio.to_thread(server.new_database), driver="mysql", connect_timeout_s=15)
        await migrate.run(settings)
        database = Database(settings)
        await asyncio.gather(*(database.fetch("SELECT sleep(0.05)") for _ in range(5)))
        slow = asyncio.create_task(database.fetch("SELECT count(*), sleep(0.5) FROM systems"))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(server.crash)
        again = asyncio.create_task(database.fetch("SELECT count(*) FROM systems"))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)
        assert await again == [(0,)]
        assert (await slow)[0][0] == 0
        await systems.claim(database, "name", "value")
        await database.close()
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_server_that_becomes_read_only_loses_all_its_connections(
    settings: PoolSettings, mariadb: MariaDB
) -> None:
    database = Database(replace(settings, connect_timeout_s=0.3))
    await asyncio.gather(*(database.fetch("SELECT sleep(0.05)") for _ in range(3)))
    await asyncio.to_thread(mariadb.root, "SET GLOBAL read_only = 1")
    try:
        with pytest.raises(ConnectionLost):
            await systems.claim(database, "name", "value")
        assert database.generation.master.usage()["open"] == 0
        with pytest.raises(ConnectionLost, match="takes no writes"):
            await systems.claim(database, "name", "value")
    finally:
        await asyncio.to_thread(mariadb.root, "SET GLOBAL read_only = 0")
    assert await systems.claim(database, "name", "value")
    await database.close()


async def test_values_come_back_as_they_went(connection: MySQLConnection) -> None:
    await connection.execute(
        "CREATE TEMPORARY TABLE t (id VARCHAR(26) COLLATE utf8mb4_nopad_bin PRIMARY KEY, yes BOOLEAN, no BOOLEAN,"
        " number BIGINT, body MEDIUMTEXT, empty BIGINT)"
    )
    for text in ("", "\U0001f600 \u2603 \u00e9", "it's \"\\ %s", "a\nb\tc\u0001\x1a", "x" * 70_000):
        await connection.execute("DELETE FROM t")
        row = ("a", True, False, -(1 << 62), text, None)
        await connection.execute("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s)", row)
        assert await connection.fetch("SELECT * FROM t") == [row]
        assert isinstance((await connection.fetch("SELECT yes FROM t"))[0][0], bool)
    assert await connection.fetch("SELECT 1 FROM t WHERE body = %s", ("x" * 70_000,)) == [(1,)]


async def test_texts_are_compared_exactly(connection: MySQLConnection) -> None:
    for name in ("a", "A", "a ", "\u00e4", "a\U0001f600"):
        await connection.execute("INSERT INTO systems (name, value) VALUES (%s, '')", (name,))
    for name in ("a", "A", "a ", "\u00e4"):
        rows = await connection.fetch("SELECT name FROM systems WHERE name = ANY(%s)", ([name],))
        assert rows == [(name,)]
    rows = await connection.fetch("SELECT name FROM systems WHERE name <> ALL(%s) ORDER BY name", (["a", "\u00e4"],))
    assert [row[0] for row in rows] == ["A", "a ", "a\U0001f600"]


async def test_what_does_not_fit_is_a_bad_value(connection: MySQLConnection) -> None:
    for name in ("x" * 65, "a\0b"):
        with pytest.raises(BadValue):
            await connection.execute("INSERT INTO systems (name, value) VALUES (%s, '')", (name,))


async def test_a_duplicate_names_the_constraint(connection: MySQLConnection) -> None:
    insert = (
        "INSERT INTO teams (id, create_at, update_at, display_name, name, type, invite_id)"
        " VALUES (%s, 1, 1, '', 'n', 'O', %s)"
    )
    await connection.execute(insert, ("a", "1"))
    with pytest.raises(Duplicate) as caught:
        await connection.execute(insert, ("b", "2"))
    assert caught.value.constraint == "teams_name_key"


async def test_an_update_counts_the_rows_it_found(connection: MySQLConnection) -> None:
    await connection.execute("INSERT INTO systems (name, value) VALUES ('n', 'v')")
    assert await connection.execute("UPDATE systems SET value = 'v' WHERE name = 'n'") == 1


async def test_a_transaction_is_all_or_nothing_and_sees_what_others_commit(
    connection: MySQLConnection, database: Database
) -> None:
    with pytest.raises(Duplicate):  # noqa: PT012 (of the last line)
        async with connection.transaction():
            await systems.claim(database, "theirs", "1")
            assert await connection.fetch("SELECT value FROM systems WHERE name = 'theirs'") == [("1",)]
            await systems.claim(database, "later", "1")
            assert await connection.fetch("SELECT count(*) FROM systems") == [(2,)]
            await connection.execute("INSERT INTO systems (name, value) VALUES ('mine', '1')")
            await connection.execute("INSERT INTO systems (name, value) VALUES ('mine', '2')")
    assert await systems.find(database, "mine") is None


async def _keep_busy(tx: Transaction, enough: asyncio.Event) -> None:
    """So that the server does not end it."""
    while not enough.is_set():
        await tx.fetch("SELECT 1")
        await asyncio.sleep(0.5)


async def test_a_lock_that_is_not_to_be_had_is_a_deadlock_and_rolled_back(
    settings: PoolSettings, database: Database
) -> None:
    await systems.claim(database, "n", "v")
    impatient = await MySQLConnection.open(read_dsn(settings.dsn), settings)
    began = time.monotonic()
    async with database.transaction() as tx:
        await tx.execute("UPDATE systems SET value = 'w' WHERE name = 'n'")
        enough = asyncio.Event()
        busy = asyncio.create_task(_keep_busy(tx, enough))
        with pytest.raises(Deadlock):  # noqa: PT012 (of the last line)
            async with impatient.transaction():
                await impatient.execute("INSERT INTO systems (name, value) VALUES ('half', '')")
                await impatient.execute("UPDATE systems SET value = 'x' WHERE name = 'n'")
        enough.set()
        await busy
    assert within(ROW_WAIT_S + 2, since=began)
    assert await systems.find(database, "half") is None
    impatient.close()


async def test_a_master_is_closed_for_writing_while_transactions_wait_for_each_other(
    settings: PoolSettings, mariadb: MariaDB
) -> None:
    """The server holds up the next statement of the first one until the second one, which waits for it, is over."""
    name = read_dsn(settings.dsn).database
    privileged = replace(settings, dsn=f"root:@unix({mariadb.directory}/data/s.sock)/{name}")
    first, second, observer = [await MySQLConnection.open(read_dsn(privileged.dsn), privileged) for _ in range(3)]
    for one in (first, second):
        await one.execute("SET innodb_lock_wait_timeout = 30")
    await first.execute("INSERT INTO systems (name, value) VALUES ('n', 'v')")
    has_the_lock, go_on = asyncio.Event(), asyncio.Event()

    async def change(one: MySQLConnection, value: str) -> None:
        async with one.transaction():
            await one.execute("UPDATE systems SET value = %s WHERE name = 'n'", (value,))
            has_the_lock.set()
            await go_on.wait()
            await one.execute("INSERT INTO systems (name, value) VALUES (%s, '')", (value,))

    async def comes(query: str) -> None:
        while not (await observer.fetch(f"SELECT count(*) FROM information_schema.{query}"))[0][0]:
            await asyncio.sleep(0.15)  # InnoDB shows its transactions as they were when nobody had looked for 0.1 s

    changing = [asyncio.create_task(change(first, "a"))]
    await has_the_lock.wait()
    changing.append(asyncio.create_task(change(second, "b")))
    began = time.monotonic()
    try:
        await comes("innodb_trx WHERE trx_state = 'LOCK WAIT'")
        closing = asyncio.create_task(mysql_failover.close_for_writing(privileged.dsn, privileged))
        with contextlib.suppress(ConnectionLost):  # ended with all others: so it waits
            await comes("processlist WHERE info LIKE 'SET GLOBAL read_only%' AND state LIKE 'Waiting%'")
        go_on.set()
        facts = await closing
        assert not facts.writable
        assert within(5.0, since=began)
        # The second one is ended while it waits. Then the first may yet commit, as fast as it is, before it is ended, too.
        first_end, second_end = await asyncio.gather(*changing, return_exceptions=True)
        assert isinstance(second_end, ConnectionLost), second_end
        assert first_end is None or isinstance(first_end, ConnectionLost), first_end
    finally:
        await mysql_failover.open_for_writing(privileged.dsn, privileged)
        for one in (first, second, observer):
            one.close()


async def test_the_position_grows_with_every_commit(database: Database, connection: MySQLConnection) -> None:
    before = await DRIVER.position(connection)
    await systems.claim(database, "cluster_id", "c")
    after = await DRIVER.position(connection)
    facts = await DRIVER.facts(connection)
    assert before < after <= facts.position
    assert (facts.writable, facts.cluster_id, facts.marker, facts.server) == (True, "c", "", "0-1")


async def test_a_migration_goes_on_where_its_runner_was_killed(settings: PoolSettings, database: Database) -> None:
    await database.execute("DELETE FROM schema_migrations")
    await database.execute("DELETE FROM schema_migration_steps WHERE version = 1 AND step > 3")
    await database.execute("DROP TABLE preferences")
    await database.execute("DELETE FROM schema_migration_steps WHERE version IN (2, 4)")
    assert await migrate.run(settings) == [one.name for one in migrate.available("mysql")]
    assert await database.fetch("SELECT * FROM preferences") == []
    assert await migrate.run(settings) == []


async def test_of_several_runners_one_migrates(dsn: str) -> None:
    settings = PoolSettings(dsn, driver="mysql")
    applied = await asyncio.gather(*(migrate.run(settings) for _ in range(3)))
    assert sorted(map(len, applied)) == [0, 0, len(migrate.available("mysql"))]
    await migrate.wait(settings)
