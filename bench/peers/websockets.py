"""websockets, by its broadcast."""

import asyncio

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from bench.peers.wire import Numbers, numbered, serve_lines


async def _main() -> None:
    clients: set[ServerConnection] = set()
    numbers = Numbers()
    same = numbered(123).decode()

    async def hold(connection: ServerConnection) -> None:
        clients.add(connection)
        await connection.wait_closed()
        clients.discard(connection)

    def send(count: int, with_number: bool) -> None:
        for _ in range(count):
            if with_number:
                for client in clients:
                    broadcast((client,), numbered(numbers.take(client)).decode())
            else:
                broadcast(clients, same)

    async with serve(hold, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        serve_lines(next(iter(server.sockets)).getsockname()[1], send)
        await asyncio.Event().wait()


uvloop.run(_main())
