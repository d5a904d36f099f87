"""A pool, and a writer of posts, behind a proxy that loses connections to a server: all that is done with one of them.

On the loop that workers run: what uvloop says of a transport that was closed, asyncio's own does not say.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import uvloop

from db.model.entities import Channel
from db.model.errors import Unavailable
from db.model.ids import ChannelId, PostId, TeamId, UserId, new_id
from db.model.settings import PoolSettings
from db.pool import migrate, systems
from db.pool.pool import Database
from db.sql import users
from db.sql.posts import NewPost
from db.writer import connect
from db.writer.batch import PostWriter
from tests.db import rooms
from tests.db.people import user
from tests.plugins.drivers import Driver
from tests.rig import backends
from tests.rig.faultproxy import FaultProxy
from tests.rig.mariadb import PASSWORD, USER


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


@contextlib.contextmanager
def behind_a_proxy(driver: Driver) -> Iterator[World]:
    """With our schema in it."""
    with backends.servers(driver, 0) as servers, FaultProxy("127.0.0.1", servers.master.port) as proxy:
        found = World(driver, servers, proxy, servers.new_database())
        run(migrate.run(found.settings))
        yield found


class Work:
    """A pool, a writer of posts, and all that is done with them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.database = Database(world.settings)
        self.writer = PostWriter(lambda: connect.connect(self.database))
        self.ann = user("ann")
        self.channel = ChannelId(new_id())
        self.silent = False

    async def __aenter__(self) -> "Work":
        await self.database.open()
        await users.insert(self.database, self.ann)
        await self._make(self.channel)
        await asyncio.gather(*(self.all(one) for one in ("warm", "warmer")))
        return self

    async def _make(self, channel_id: ChannelId) -> None:
        async with self.database.transaction() as tx:
            await rooms.insert(tx, Channel(channel_id, 1, 1, 0, TeamId(""), "O", "Room", channel_id, "", "", self.ann.id, 0))  # fmt: skip
            await rooms.join(tx, channel_id, self.ann.id)

    async def another_channel(self) -> ChannelId:
        """Of ann's, too."""
        found = ChannelId(new_id())
        await self._make(found)
        return found

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


def run(work: Coroutine[Any, Any, Any]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(work, 60))


@contextlib.asynccontextmanager
async def neighbour(world: World, ours: Work) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """What another node does, by a way of its own to the server: a post in our channel."""
    to = f"127.0.0.1:{world.servers.master.port}"
    direct = replace(
        world.settings, dsn=world.settings.dsn.replace(f"127.0.0.1:{world.proxy.port}", to), query_timeout_s=30.0
    )
    database = Database(direct)
    await database.open()
    writer = PostWriter(lambda: connect.connect(database))

    async def post() -> None:
        assert await writer.write(ours.new_post(new_id())) is not None

    await post()
    yield post
    await writer.close()
    await database.close()
