"""websockets, by its broadcast."""

import asyncio

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from bench.peers.wire import event, serve_lines


async def _main() -> None:
    clients: set[ServerConnection] = set()
    text = event()

    async def hold(connection: ServerConnection) -> None:
        clients.add(connection)
        await connection.wait_closed()
        clients.discard(connection)

    def send(count: int) -> None:
        for _ in range(count):
            broadcast(clients, text)

    async with serve(hold, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        serve_lines(next(iter(server.sockets)).getsockname()[1], send)
        await asyncio.Event().wait()


uvloop.run(_main())
