"""Every way in which a connection gets lost, for everything that is done with one: from one table, on both drivers.

Between the pool and its server stands a proxy. What is found idle is lost before it is used again, or what is under way
is. Reads and posts are done all the same, posts once; so are transactions whose BEGIN found it out. Else a write raises
`Unavailable`, which is 503 to a client: never anything else, which would be 500.
On the loop that workers run: what uvloop says of a transport that was closed, asyncio's own does not say.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest
import uvloop

from db import batch, migrate, systems, users
from db.batch import PostWriter
from db.drivers.mysql import read_dsn
from db.drivers.mysql_connection import IDLE_IN_TRANSACTION_S, KEEPALIVES, MySQLConnection, _bounds, _transport
from db.drivers.postgres import PostgresConnection, connect
from db.entities import Channel
from db.errors import ConnectionLost, Unavailable
from db.ids import ChannelId, PostId, TeamId, UserId, new_id
from db.pool import Database
from db.posts import NewPost
from db.settings import PoolSettings
from tests.db import rooms
from tests.db.people import user
from tests.plugins.drivers import Driver, drivers
from tests.rig import backends
from tests.rig.faultproxy import DOWN, FaultProxy
from tests.rig.lateness import within
from tests.rig.mariadb import PASSWORD, USER

pytestmark = drivers("postgres", "mysql")


@dataclass
class World:
    """A server of the module's own, and the way to it."""

    driver: Driver
    servers: Any
    proxy: FaultProxy
    name: str

    @property
    def settings(self) -> PoolSettings:
        """By the proxy. A statement may take a second, so a silent server is given up after six."""
        if self.driver == "mysql":
            return PoolSettings(
                f"{USER}:{PASSWORD}@tcp(127.0.0.1:{self.proxy.port})/{self.name}", driver="mysql", query_timeout_s=1.0
            )
        return PoolSettings(f"postgres://mmnode@127.0.0.1:{self.proxy.port}/{self.name}", query_timeout_s=1.0)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """As an administrator. In a thread: the rig's own way to MariaDB runs a loop."""
        with ThreadPoolExecutor(1) as thread:
            rows: list[tuple[Any, ...]] = thread.submit(self.servers.master.execute, query, self.name).result(30)
        return rows

    def _root(self, statement: str) -> None:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(self.servers.master.root, statement).result(30)

    def sessions(self) -> list[int]:
        """Of the pool."""
        if self.driver == "mysql":
            query = f"SELECT id FROM information_schema.processlist WHERE user = '{USER}'"
        else:
            query = "SELECT pid FROM pg_stat_activity WHERE usename = 'mmnode'"
        return [session for (session,) in self.sql(query)]

    def kill(self) -> None:
        """An administrator ends all sessions."""
        for session in self.sessions():
            with contextlib.suppress(Exception):  # it has ended by itself
                self.sql(f"KILL {session}" if self.driver == "mysql" else f"SELECT pg_terminate_backend({session})")

    def restart(self) -> None:
        """Killed, and there again."""
        self.servers.master.crash()
        if self.driver == "mysql":
            with ThreadPoolExecutor(1) as thread:
                thread.submit(self.servers.master.start).result(60)
        else:
            self.servers.master.start()  # it would end with the thread that starts it

    def close_idle(self) -> None:
        """As after wait_timeout, or idle_session_timeout: the server ends what is idle, in its own words."""
        if self.driver == "mysql":
            self._root("SET GLOBAL wait_timeout = 1")
        else:
            self.sql(f"ALTER DATABASE {self.name} SET idle_session_timeout = 1000")

    def keep_idle(self) -> None:
        """As before."""
        if self.driver == "mysql":
            self._root("SET GLOBAL wait_timeout = DEFAULT")
        else:
            self.sql(f"ALTER DATABASE {self.name} RESET idle_session_timeout")


@pytest.fixture(scope="module")
def world(driver: Driver) -> Iterator[World]:
    """With our schema in it."""
    with backends.servers(driver, 0) as servers, FaultProxy("127.0.0.1", servers.master.port) as proxy:
        name = servers.new_database()
        found = World(driver, servers, proxy, name)
        asyncio.run(migrate.run(found.settings))
        yield found


@pytest.fixture(autouse=True)
def mended(world: World) -> Iterator[None]:
    """Each test begins with all in order."""
    yield
    world.proxy.heal()


class Work:
    """A pool, a writer of posts, and all that is done with them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.database = Database(world.settings)
        self.writer = PostWriter(lambda: batch.connect(self.database))
        self.ann = user("ann")
        self.channel = ChannelId(new_id())
        self.silent = False

    async def __aenter__(self) -> "Work":
        await self.database.open()
        await users.insert(self.database, self.ann)
        async with self.database.transaction() as tx:
            await rooms.insert(tx, Channel(self.channel, 1, 1, 0, TeamId(""), "O", "Room", self.channel, "", "", self.ann.id, 0))  # fmt: skip
            await rooms.join(tx, self.channel, self.ann.id)
        await asyncio.gather(*(self.all(one) for one in ("warm", "warmer")))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.writer.close()
        await self.database.close()

    async def all(self, name: str) -> None:
        """Everything, each on a connection of its own."""
        await asyncio.gather(*(one(self, f"{name}-{new_id()}") for one in WORKS))

    async def read(self, _: str) -> None:
        with self.may_be_silent():
            assert await self.database.fetch_one("SELECT 1") == (1,)

    async def load(self, _: str) -> None:
        with self.may_be_silent():
            assert await users.find(self.database, self.ann.id) == self.ann

    async def transaction(self, name: str) -> None:
        with self.may_be_silent():
            async with self.database.transaction() as tx:
                await systems.claim(tx, name, "1")
            assert self.count(name) == 1

    @contextlib.contextmanager
    def may_be_silent(self) -> Iterator[None]:
        """The proxy's kernel acknowledges what goes nowhere: as of a frozen server, nobody knows before the time is up."""
        try:
            yield
        except Unavailable:
            if not self.silent:
                raise

    async def post(self, name: str) -> None:
        written = await self.writer.write(self.new_post(name))
        assert written is not None
        assert self.posts(name) == 1

    async def statement(self, name: str) -> None:
        """The only one that may fail: nobody knows whether it was done when its answer is lost."""
        try:
            await self.database.execute("INSERT INTO systems (name, value) VALUES (%s, '1')", (name,))
        except Unavailable:
            assert self.count(name) <= 1
        else:
            assert self.count(name) == 1

    def new_post(self, name: str) -> NewPost:
        """By ann, in the channel; its text is its key."""
        return NewPost(
            PostId(new_id()), self.channel, UserId(self.ann.id), "", name, "", "{}", "", (), name, True, True
        )  # fmt: skip

    def count(self, name: str) -> int:
        return int(self.world.sql(f"SELECT count(*) FROM systems WHERE name = '{name}'")[0][0])

    def posts(self, name: str) -> int:
        return int(self.world.sql(f"SELECT count(*) FROM posts WHERE message = '{name}'")[0][0])


WORKS: tuple[Callable[[Work, str], Awaitable[None]], ...] = (
    Work.read, Work.load, Work.transaction, Work.post, Work.statement,
)  # fmt: skip
FAULTS: dict[str, Callable[[World], None]] = {
    "killed by an administrator": World.kill,
    "reset": lambda world: world.proxy.reset(),
    "the server restarted": World.restart,
    "half-open": lambda world: world.proxy.silence(),
}


def test_a_network_that_swallows_packets_is_noticed_by_the_kernel(world: World) -> None:
    """On the client's end by both drivers, and of PostgreSQL on the server's end."""

    async def work() -> None:
        if world.driver == "mysql":
            ours = await MySQLConnection.open(read_dsn(world.settings.dsn), world.settings)
            transport = _transport(ours._raw)
            assert transport is not None
            sock = transport.get_extra_info("socket")
            found = {option: sock.getsockopt(socket.IPPROTO_TCP, option) for option in KEEPALIVES}
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            ours.close()
        else:
            async with await connect(world.settings.dsn, world.settings) as raw:
                with socket.socket(fileno=os.dup(raw.fileno())) as sock:
                    found = {option: sock.getsockopt(socket.IPPROTO_TCP, option) for option in KEEPALIVES}
                rows = await PostgresConnection(raw).fetch(
                    "SELECT name, setting FROM pg_settings WHERE name ~ 'tcp_|client_connection_check'"
                )
                assert dict(rows) == {
                    "client_connection_check_interval": "500",
                    "tcp_keepalives_count": "2",
                    "tcp_keepalives_idle": "1",
                    "tcp_keepalives_interval": "1",
                    "tcp_user_timeout": "3000",
                }
        assert found == KEEPALIVES

    _run(work())


def _run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(work, 60))


@pytest.mark.parametrize("fault", FAULTS)
def test_all_work_after_idle_connections_were_lost_is_done(world: World, fault: str) -> None:
    async def work() -> None:
        async with Work(world) as ours:
            FAULTS[fault](world)
            ours.silent = fault == "half-open"
            await ours.all("after")
            ours.silent = False
            await ours.all("long after")

    _run(work())


def test_all_work_after_the_server_closed_what_was_idle_is_done(world: World) -> None:
    world.close_idle()
    try:

        async def work() -> None:
            async with Work(world) as ours:
                await asyncio.sleep(2.5)
                await ours.all("after")

        _run(work())
    finally:
        world.keep_idle()


@pytest.mark.parametrize("fault", FAULTS)
def test_work_under_way_is_done_once_or_is_unavailable(world: World, fault: str) -> None:
    """Each in the middle of its transaction, or of its statement."""
    sleep = "SELECT sleep(0.7)" if world.driver == "mysql" else "SELECT pg_sleep(0.7)"

    async def work() -> None:
        async with Work(world) as ours:
            began = asyncio.Event()

            async def transaction() -> None:
                async with ours.database.transaction() as tx:
                    await systems.claim(tx, "in the middle", fault)
                    began.set()
                    await asyncio.sleep(0.5)
                    await tx.fetch("SELECT 1")

            async def read() -> None:
                assert len(await ours.database.fetch(sleep)) == 1

            async def write() -> None:
                await ours.database.write(sleep)

            world.proxy.set(latency_s=0.1)  # so that a batch is under way, too
            tasks = [asyncio.create_task(one) for one in (transaction(), read(), write(), ours.post(fault))]
            await began.wait()
            world.proxy.set(latency_s=0.0)
            FAULTS[fault](world)
            in_transaction, reading, writing, post = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(in_transaction, Unavailable), in_transaction
            assert ours.count("in the middle") == 0
            assert reading is None or isinstance(reading, Unavailable), reading
            assert isinstance(writing, Unavailable), writing
            assert post is None, post
            ours.silent = fault == "half-open"
            await ours.all("after")
            ours.silent = False
            await ours.all("long after")

    _run(work())


@contextlib.asynccontextmanager
async def _neighbour(world: World, ours: Work) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """What another node does, by a way of its own to the server: a post in our channel."""
    to = f"127.0.0.1:{world.servers.master.port}"
    direct = replace(
        world.settings, dsn=world.settings.dsn.replace(f"127.0.0.1:{world.proxy.port}", to), query_timeout_s=30.0
    )
    database = Database(direct)
    await database.open()
    writer = PostWriter(lambda: batch.connect(database))

    async def post() -> None:
        assert await writer.write(ours.new_post(new_id())) is not None

    await post()
    yield post
    await writer.close()
    await database.close()


def test_who_is_cut_off_in_a_transaction_holds_up_nobody_for_longer_than_3_s(world: World) -> None:
    """Nobody resets a link that dies: the server waits for the next statement, with the lock on the channel."""

    async def work() -> None:
        async with Work(world) as ours, _neighbour(world, ours) as post:

            async def edit() -> None:
                async with ours.database.transaction() as tx:
                    await rooms.place(tx, ours.channel)
                    await systems.claim(tx, "cut off", "1")
                    world.proxy.cut()
                    began = time.monotonic()
                    await post()
                    assert within(3, since=began)

            with pytest.raises(Unavailable):
                await edit()
            world.proxy.heal()
            assert ours.count("cut off") == 0
            await ours.all("after")

    _run(work())


def test_a_batch_whose_answers_go_nowhere_holds_up_nobody_and_is_written_once(world: World) -> None:
    """On MySQL it takes two sends: in between the server waits for the second one."""

    async def work() -> None:
        async with Work(world) as ours, _neighbour(world, ours) as post:
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

    _run(work())


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

    _run(work())


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

    _run(work())
