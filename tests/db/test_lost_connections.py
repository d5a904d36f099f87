"""Every way in which a connection gets lost, for everything that is done with one: from one table, on both drivers.

Between the pool and its server stands a proxy. What is found idle is lost before it is used again, or what is under way
is. Reads and posts are done all the same, posts once; so are transactions whose BEGIN found it out. Else a write raises
`Unavailable`, which is 503 to a client: never anything else, which would be 500.
"""

import asyncio
import os
import socket
from collections.abc import Callable

import pytest

from db.drivers.mysql import read_dsn
from db.drivers.mysql_connection import KEEPALIVES, MySQLConnection, _transport
from db.drivers.postgres import PostgresConnection, connect
from db.model.errors import Unavailable
from db.pool import systems
from tests.db.proxied import Work, World, run
from tests.plugins.drivers import drivers

pytestmark = drivers("postgres", "mysql")

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

    run(work())


@pytest.mark.parametrize("fault", FAULTS)
def test_all_work_after_idle_connections_were_lost_is_done(world: World, fault: str) -> None:
    async def work() -> None:
        async with Work(world) as ours:
            FAULTS[fault](world)
            ours.silent = fault == "half-open"
            await ours.all("after")
            ours.silent = False
            await ours.all("long after")

    run(work())


def test_all_work_after_the_server_closed_what_was_idle_is_done(world: World) -> None:
    world.close_idle()
    try:

        async def work() -> None:
            async with Work(world) as ours:
                await asyncio.sleep(2.5)
                await ours.all("after")

        run(work())
    finally:
        world.keep_idle()


@pytest.mark.parametrize("fault", FAULTS)
def test_work_under_way_is_done_once_or_is_unavailable(world: World, fault: str) -> None:
    """Each in the middle of its transaction, or of its statement."""
    sleep = "SELECT sleep({})" if world.driver == "mysql" else "SELECT pg_sleep({})"

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
                assert len(await ours.database.fetch(sleep.format(0.7))) == 1

            async def write() -> None:
                await ours.database.write(sleep.format(5))  # a slow machine does not come to its end before the fault

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

    run(work())
