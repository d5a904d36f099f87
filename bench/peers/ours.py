"""`ws/` as a ws worker runs it, with sockets that are joined to a channel without a database."""

import asyncio
import socket
from types import SimpleNamespace
from typing import cast

import uvloop

from app.context import Context
from app.events import messages as events
from app.events.messages import Audience, Event
from app.ports import Upgrade
from bench.peers.wire import BODY, serve_lines
from db.model.board import LocalBoard
from db.model.ids import new_id
from ws.server import WebSocketServer

_CHANNEL = new_id()


class Worker:
    """A `WebSocketServer`, and the bus that it hears: `publish` is what comes over it."""

    def __init__(self) -> None:
        bus = SimpleNamespace(publish=lambda _message: None)
        self.server = WebSocketServer(
            cast(Context, SimpleNamespace(bus=bus, db=SimpleNamespace(board=LocalBoard()))), "bench000"
        )
        self._seq = 0

    async def accept_for_ever(self, listener: socket.socket) -> None:
        """Take the sockets of a listener."""
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(listener)
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += await loop.sock_recv(sock, 65536)
            await self._join(sock, request)

    async def _join(self, sock: socket.socket, request: bytes) -> None:
        known = set(self.server.clients)
        await self.server.adopt(sock, Upgrade("", "", "", request, b""))
        (client,) = self.server.clients - known
        hub = self.server.hub
        client.user_id, client.connection_id, client.session_id = new_id(), new_id(), new_id()
        client.attached = True
        listener = hub.begin_loading(client.user_id)
        hub.join(listener, client)
        hub.end_loading(listener, ({_CHANNEL: (1, self._seq)}, ()), client)

    def publish(self, count: int, _numbered: bool) -> None:
        """So many posts of the channel, in one message of the bus; always numbered."""
        posts = []
        for _ in range(count):
            self._seq += 1
            posts.append(events.encode(Event("posted", Audience(channel_id=_CHANNEL), self._seq, BODY)))
        self.server.take(events.unbundle(events.bundle(posts)))


async def _main() -> None:
    worker = Worker()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    serve_lines(listener.getsockname()[1], worker.publish)
    await worker.accept_for_ever(listener)


uvloop.run(_main())
