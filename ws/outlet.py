"""What one socket is written: events, replies and control frames in their order, in one write a turn of the loop."""

import asyncio
import socket
from typing import Protocol

from ws.fanout import Fanout, SharedFrame, text_frame
from ws.stream import MAX_QUEUED_EVENTS, Stream


class Worker(Protocol):
    """What writing takes of the worker."""

    fanout: Fanout
    loop: asyncio.AbstractEventLoop


class Outlet(asyncio.BufferedProtocol):
    """The writing side of `ws/client.py`; the transport is there, or is no more."""

    __slots__ = ("_ending", "_holding", "_marked", "_paused_at", "_socket", "_transport", "direct", "final", "stream")

    _server: Worker

    def __init__(self, sock: socket.socket) -> None:
        """sock: what the transport will own."""
        self._transport: asyncio.Transport | None = None
        self._socket = sock
        self.direct: socket.socket | None = None
        """Where an event may be written past the transport, as nothing waits before it; None: it is to be queued."""
        self.stream = Stream()
        self._marked = False
        self._holding = False
        self._paused_at: float | None = None
        self._ending = False
        self.final = False
        """Whether it was we who closed: nobody comes back to that."""

    def _overflow(self) -> None:
        """An event has no room."""
        raise NotImplementedError

    def send(self, frame: SharedFrame) -> None:
        """Queue an event; one for which there is no room ends in `_overflow`."""
        if self.final:
            return
        added = self.stream.add(frame)
        if not added and self._may_write():  # very many in one turn of the loop
            self._write()
            added = self.stream.add(frame)
        if added:
            if not self._marked:
                self._mark()
        else:
            self._overflow()

    def _enqueue(self, data: bytes) -> None:
        """Bytes that stay in order with the events."""
        if self._ending:
            return
        self.stream.add_bytes(data)
        self._mark()

    def reply(self, payload: bytes) -> None:
        """Answer a request, in its place between the events."""
        self._enqueue(text_frame(payload))

    def finish_write(self, rest: bytes) -> None:
        """What `direct` did not take, because it is full or broken: the transport finds out which."""
        self.direct = None
        if self._transport is not None:
            self._transport.write(rest)

    def flush(self) -> None:
        """Write everything that waits, in one write, unless the client has to read first. Events get numbers now."""
        self._marked = False
        if self._may_write():
            self._write()

    def _mark(self) -> None:
        self.direct = None
        if not self._marked and self._may_write():
            self._marked = True
            self._server.fanout.mark(self)

    def _may_write(self) -> bool:
        return self._transport is not None and self._paused_at is None and not self._holding

    def has_room(self) -> bool:
        """Whether many events may be queued at once."""
        return self._may_write() and len(self.stream) < MAX_QUEUED_EVENTS // 4

    def _write(self) -> None:
        transport = self._transport
        if transport is not None and not self._ending and not transport.is_closing():
            data = self.stream.take()
            if data:
                transport.write(data)
            self.direct = None if self._marked or transport.get_write_buffer_size() else self._socket

    def hold(self) -> None:
        """Write no events until `release`."""
        self._write()
        self._holding = True
        self.direct = None

    def release(self, first: SharedFrame | None) -> None:
        """Write events, this one before all others."""
        self._holding = False
        if first is not None:
            self.stream.put_first(first)
        self._mark()

    def go_on(self, stream: Stream) -> None:
        """Send what a connection was to be sent, after the replies that wait."""
        replies, self.stream = self.stream.take(), stream
        if self._transport is not None and replies:
            self._transport.write(replies)
        self._mark()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._paused_at = self._server.loop.time()

    def resume_writing(self) -> None:
        """There is room again."""
        self._paused_at = None
        self._mark()

    def is_gone(self) -> bool:
        """Whether there is no socket."""
        return self._transport is None

    def is_over(self) -> bool:
        """Whether nothing can be written any more."""
        return self._ending or self._transport is None or self._transport.is_closing()
