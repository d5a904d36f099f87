"""Shared frames, the dirty list, one write per socket and turn of the loop.

An event's body is shared by all sockets; only the frame header's length and the tail `,"seq":N}` differ. Sockets with
something to send are put on a list once, and at the end of the turn each gets one write with all its frames.
"""

import asyncio
from collections import deque
from typing import Protocol

from app.events import BEST_EFFORT, Event

_YIELD_EVERY = 256


def frame_header(length: int) -> bytes:
    """The header of an unmasked, final text frame (RFC 6455 §5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


def text_frame(payload: bytes) -> bytes:
    """A whole frame."""
    return frame_header(len(payload)) + payload


class SharedFrame:
    """An event on its way to many sockets. best_effort: dropped first when a client is slow."""

    __slots__ = ("_by_tail_length", "best_effort", "body")

    def __init__(self, body: bytes, *, best_effort: bool) -> None:
        self.body = body
        self.best_effort = best_effort
        self._by_tail_length: dict[int, bytes] = {}

    def numbered(self, seq: int) -> bytes:
        """The frame with its sequence number."""
        tail = b',"seq":%d}' % seq
        length = len(tail)
        shared = self._by_tail_length.get(length)
        if shared is None:
            shared = self._by_tail_length[length] = frame_header(len(self.body) + length) + self.body
        return shared + tail


class Copies:
    """The two frames of an event, which are one and the same unless administrators get more than others."""

    __slots__ = ("_frame", "_sensitive")

    def __init__(self, event: Event) -> None:
        best_effort = event.name in BEST_EFFORT
        self._frame = SharedFrame(event.frame, best_effort=best_effort)
        self._sensitive = SharedFrame(event.sensitive, best_effort=best_effort) if event.sensitive else self._frame

    def of(self, *, administrator: bool) -> SharedFrame:
        """The one that somebody gets."""
        return self._sensitive if administrator else self._frame


class Flushable(Protocol):
    """A socket that can have something to send."""

    def flush(self) -> None:
        """Write all that waits, in one write."""


class Fanout:
    """Writes to every socket that was marked during a turn of the loop, once, at its end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._dirty: deque[Flushable] = deque()
        self._due = False

    def mark(self, socket: Flushable) -> None:
        """This socket has something to send. Mark it once until it is flushed."""
        self._dirty.append(socket)
        if not self._due:
            self._due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        for _ in range(min(_YIELD_EVERY, len(self._dirty))):
            self._dirty.popleft().flush()
        self._due = bool(self._dirty)
        if self._due:
            self._loop.call_soon(self._flush)
