"""MySQL closes what is idle for `wait_timeout`: the first work after a quiet time is done all the same.

On the loop that workers run: what uvloop says of a transport that was closed, asyncio's own does not say.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from db.drivers.mysql import read_dsn
from db.drivers.mysql_connection import MySQLConnection, _transport
from db.model.errors import ConnectionLost
from db.model.ids import ChannelId, PostId, new_id
from db.model.settings import PoolSettings
from db.pool import systems
from db.pool.pool import Database
from db.sql import users
from db.sql.posts import NewPost
from db.writer import connect
from db.writer.batch import PostWriter
from tests.db.people import user
from tests.plugins.drivers import drivers
from tests.rig import mariadb

pytestmark = drivers("mysql")


@pytest.fixture(autouse=True)
def impatient_server(settings: PoolSettings) -> Iterator[None]:
    """The server closes what is idle for a second, of connections that are made meanwhile."""
    mariadb.shared().root("SET GLOBAL wait_timeout = 1")
    yield
    mariadb.shared().root("SET GLOBAL wait_timeout = DEFAULT")


def _run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


async def _until_closed(connection: MySQLConnection) -> None:
    """Until the server has closed it, and our transport has found out."""
    async with asyncio.timeout(10):
        while connection.is_alive():
            await asyncio.sleep(0.1)
        while (transport := _transport(connection._raw)) is not None and not transport.is_closing():
            transport.write(b"\x01\x00\x00\x00\x0e")  # a write finds out
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("send", [MySQLConnection.fetch, MySQLConnection.execute])
def test_a_connection_that_the_server_closed_while_idle_is_lost(settings: PoolSettings, send: Any) -> None:
    async def work() -> None:
        connection = await MySQLConnection.open(read_dsn(settings.dsn), settings)
        await _until_closed(connection)
        with pytest.raises(ConnectionLost):
            await send(connection, "SELECT 1")
        assert connection.lost
        connection.close()

    _run(work())


def test_work_after_a_quiet_time_is_done(settings: PoolSettings) -> None:
    """The first post of each morning."""

    async def work() -> None:
        database = Database(settings)
        await database.open()
        writer = PostWriter(lambda: connect.connect(database))
        ann = user("ann")
        await users.insert(database, ann)
        for _ in range(2):
            nowhere = ChannelId(new_id())
            post = NewPost(PostId(new_id()), nowhere, ann.id, "", "m", "", "{}", "", (), None, True, False)
            assert await writer.write(post) is None  # the server said that there is no such channel
            async with database.transaction() as tx:
                await systems.claim(tx, new_id(), "1")
            assert await users.find(database, ann.id) == ann
            await asyncio.sleep(2.5)
        await writer.close()
        await database.close()

    _run(work())
