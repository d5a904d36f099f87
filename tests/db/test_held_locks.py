"""A lock is held across a round trip of the network for 3 s at most, whatever becomes of who holds it (decision 0035)."""

import asyncio
import time
from dataclasses import replace

import pytest

from db.drivers.mysql import read_dsn
from db.drivers.mysql_connection import IDLE_IN_TRANSACTION_S, MySQLConnection, _bounds
from db.model.errors import ConnectionLost, Unavailable
from db.pool import systems
from db.pool.pool import Database
from db.writer import connect
from db.writer.batch import PostWriter
from tests.db import rooms
from tests.db.proxied import Work, World, neighbour, run
from tests.plugins.drivers import drivers
from tests.rig.faultproxy import DOWN
from tests.rig.lateness import within

pytestmark = drivers("postgres", "mysql")


def test_who_is_cut_off_in_a_transaction_holds_up_nobody_for_longer_than_3_s(world: World) -> None:
    """Nobody resets a link that dies: the server waits for the next statement, with the lock on the channel."""

    async def work() -> None:
        async with Work(world) as ours, neighbour(world, ours) as post:
            has_it, over = asyncio.Event(), asyncio.Event()

            async def edit() -> None:
                async with ours.database.transaction() as tx:
                    await rooms.place(tx, ours.channel)
                    await systems.claim(tx, "cut off", "1")
                    has_it.set()
                    await over.wait()

            editing = asyncio.create_task(edit())
            await has_it.wait()
            world.proxy.cut()
            began = time.monotonic()
            await post()
            assert within(3, since=began)
            over.set()
            with pytest.raises(Unavailable):
                await editing
            world.proxy.heal()
            assert ours.count("cut off") == 0
            await ours.all("after")

    run(work())


def test_a_batch_whose_answers_go_nowhere_holds_up_nobody_and_is_written_once(world: World) -> None:
    """On MySQL it takes two sends: in between the server waits for the second one."""

    async def work() -> None:
        async with Work(world) as ours, neighbour(world, ours) as post:
            world.proxy.set(DOWN, drop_after=0)
            writing = asyncio.create_task(ours.post("once"))
            if world.driver == "mysql":
                in_transaction = "SELECT trx_id FROM information_schema.innodb_trx"
                async with asyncio.timeout(10):
                    while not world.sql(in_transaction):
                        await asyncio.sleep(0.15)  # it shows what was when nobody had looked for 0.1 s
            began = time.monotonic()
            await post()
            assert within(3, since=began)
            world.proxy.heal()
            await writing
            assert ours.posts("once") == 1

    run(work())


def test_who_waits_for_one_channel_waits_in_no_other(world: World) -> None:
    """Posts that are written together wait together for the channel that somebody holds, but not for long."""

    async def work() -> None:
        async with Work(world) as ours:
            database = Database(replace(world.settings, query_timeout_s=30.0))
            await database.open()
            writer = PostWriter(lambda: connect.connect(database))
            free, (has_it, over) = await ours.another_channel(), (asyncio.Event(), asyncio.Event())

            async def hold() -> None:
                async with database.transaction() as tx:
                    await rooms.place(tx, ours.channel)
                    has_it.set()
                    while not over.is_set():
                        await tx.fetch_one("SELECT 1")  # who is idle for 2 s is ended
                        await asyncio.sleep(0.2)

            holding = asyncio.create_task(hold())
            await has_it.wait()
            began = time.monotonic()
            held, *others = (
                asyncio.create_task(writer.write(replace(ours.new_post(name), channel_id=channel)))
                for name, channel in (("held", ours.channel), ("free", free), ("free too", free))
            )
            assert all(await asyncio.gather(*others))
            assert within(2, since=began)
            for number in range(3):
                began = time.monotonic()
                assert await writer.write(replace(ours.new_post(f"free {number}"), channel_id=free))
                assert within(0.5, since=began)
            assert not held.done()
            over.set()
            await holding
            assert await held
            await writer.close()
            await database.close()

    run(work())


def test_who_thinks_for_too_long_in_a_transaction_is_told_that_it_is_unavailable(world: World) -> None:
    """The loop of a worker stood still, say. Nothing is half done, and it is no fault of the request."""

    async def work() -> None:
        async with Work(world) as ours:
            for last in (True, False):  # it is found out by a statement, or by the COMMIT

                async def think(*, statement: bool) -> None:
                    async with ours.database.transaction() as tx:
                        await systems.claim(tx, "thought", "1")
                        await asyncio.sleep(IDLE_IN_TRANSACTION_S + 1.2)
                        if statement:
                            await tx.fetch("SELECT 1")

                with pytest.raises(Unavailable):
                    await think(statement=last)
            assert ours.count("thought") == 0
            await ours.all("after")

    run(work())


def test_mysql_without_a_limit_for_transactions_ends_them_all_the_same(world: World) -> None:
    """MySQL 8 has one limit for all that is idle: ours is for the time of the transaction. MariaDB plays its part."""
    if world.driver != "mysql":
        return

    async def work() -> None:
        connection = await MySQLConnection.open(read_dsn(world.settings.dsn), world.settings)
        await connection.execute("SET SESSION idle_transaction_timeout = 0")
        connection.begin, connection.end = _bounds(mariadb=False)
        async with connection.transaction():
            assert await connection.fetch("SELECT @@SESSION.wait_timeout") == [(IDLE_IN_TRANSACTION_S,)]
        assert await connection.fetch("SELECT @@SESSION.wait_timeout = @@GLOBAL.wait_timeout") == [(1,)]

        async def think() -> None:
            async with connection.transaction():
                await asyncio.sleep(IDLE_IN_TRANSACTION_S + 1.2)

        with pytest.raises(ConnectionLost):
            await think()
        connection.close()

    run(work())
