"""Messages between the supervisor and a worker, over a socket pair: a line of JSON each.

    supervisor -> worker   start (configuration), reload, status, stop
    worker -> supervisor   beat, ready, answer

The end of the stream means that the other side is dead.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec

_LIMIT = 4 << 20

Body = dict[str, Any]


class Message(msgspec.Struct, omit_defaults=True):
    """kind: see above. id: of the request that an answer answers."""

    kind: str
    id: int = 0
    body: Body = {}


_decode = msgspec.json.Decoder(Message).decode


class Channel:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> "Channel":
        """Wrap one end of a socket pair."""
        reader, writer = await asyncio.open_connection(sock=end, limit=_LIMIT)
        return cls(reader, writer)

    def send(self, message: Message) -> None:
        """Queue a message; lost when the other side is dead."""
        if not self._writer.is_closing():
            self._writer.write(msgspec.json.encode(message) + b"\n")

    async def messages(self) -> AsyncIterator[Message]:
        """What the other side sends, until it ends."""
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            yield _decode(line)

    def close(self) -> None:
        """Close this end."""
        self._writer.close()
