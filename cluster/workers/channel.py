"""One end of the channel between the supervisor and a worker: a socket pair, a line of JSON a message.

What goes by it: `cluster/commands/of_worker.py`. The end of the stream means that the other side is dead.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar

import msgspec

from cluster.commands.of_node import why
from cluster.commands.of_worker import Message, ToSupervisor, ToWorker

log = logging.getLogger(__name__)

_LIMIT = 4 << 20

Heard = TypeVar("Heard")


class Channel(Generic[Heard]):
    """One end. heard: the union of what the other side says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._decode = msgspec.json.Decoder(heard).decode

    def send(self, message: Message) -> None:
        """Queue a message; lost when the other side is dead."""
        if not self._writer.is_closing():
            self._writer.write(msgspec.json.encode(message) + b"\n")

    async def messages(self) -> AsyncIterator[Heard]:
        """What the other side sends, until it ends. What is no message is logged, without what it holds."""
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            try:
                yield self._decode(line)
            except msgspec.ValidationError as error:
                log.error("a message between supervisor and worker is none", extra={"reason": why(error)})
            except msgspec.DecodeError:
                log.error("a message between supervisor and worker is none", extra={"reason": "not JSON"})

    def close(self) -> None:
        """Close this end."""
        self._writer.close()


async def to_worker(end: socket.socket) -> Channel[ToSupervisor]:
    """The supervisor's end of a socket pair."""
    return Channel(*await asyncio.open_connection(sock=end, limit=_LIMIT), ToSupervisor)


async def to_supervisor(end: socket.socket) -> Channel[ToWorker]:
    """A worker's end of a socket pair."""
    return Channel(*await asyncio.open_connection(sock=end, limit=_LIMIT), ToWorker)
