"""picows."""

import asyncio

import uvloop
from picows import WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from bench.peers.wire import Numbers, numbered, serve_lines

_clients: set[WSTransport] = set()


class _Listener(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        _clients.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        _clients.discard(transport)


def _listen(_request: WSUpgradeRequest) -> WSListener:
    return _Listener()


async def _main() -> None:
    numbers = Numbers()
    same = numbered(123)

    def send(count: int, with_number: bool) -> None:
        for _ in range(count):
            for client in _clients:
                client.send(WSMsgType.TEXT, numbered(numbers.take(client)) if with_number else same)

    server = await ws_create_server(_listen, "127.0.0.1", 0)
    serve_lines(server.sockets[0].getsockname()[1], send)
    await asyncio.Event().wait()


uvloop.run(_main())
