"""The product's WebSocket with another thing to do: it echoes every message, text and binary, of any size."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from wsproto.events import BytesMessage, TextMessage

from ws.allowance import Allowance, Rate
from ws.fanout import text_frame
from ws.frames import Frames
from ws.protocol import Connection, Ended, Output, Write


class Echo(Connection):
    """`ws/protocol.py` up to where a message is one of Mattermost's requests, and as many frames as one likes."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self._frames = Frames(Allowance(Rate(0.0, 1e9), 0.0))
        self._parts: list[bytes] = []

    def _ask(self, text: str, outputs: list[Output]) -> None:
        outputs.append(Write(text_frame(text.encode())))

    def _take(self, event: TextMessage | BytesMessage, outputs: list[Output]) -> None:
        self._parts.append(event.data.encode() if isinstance(event, TextMessage) else bytes(event.data))
        if event.message_finished:
            frame = text_frame(b"".join(self._parts))
            self._parts.clear()
            outputs.append(Write(frame if isinstance(event, TextMessage) else b"\x82" + frame[1:]))


class _Shell(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._echo = Echo()

    def data_received(self, data: bytes) -> None:
        for output in self._echo.receive(data, 0.0):
            if isinstance(output, Write):
                self._transport.write(output.data)
            elif isinstance(output, Ended) and self._transport.can_write_eof():
                self._transport.write_eof()  # and read on: what is closed with bytes unread is reset

    def eof_received(self) -> bool:
        return False


@contextmanager
def echo_server() -> Iterator[tuple[str, int]]:
    """An echo server on a port of its own, in a thread; its address."""
    loop = asyncio.new_event_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    server = loop.run_until_complete(loop.create_server(_Shell, sock=listener))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(server.wait_closed())
        loop.close()
