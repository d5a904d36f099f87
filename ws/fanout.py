"""Shared frames, the dirty list, one write per socket and turn of the loop.

An event's body is shared by all sockets; only the frame header's length and the tail `,"seq":N}` differ. Sockets with
something to send are put on a list once, and at the end of the turn each gets one write with all its frames. An event
that comes alone is written at once (`write_all`).
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from socket import socket
from typing import Protocol

from app.events.messages import Event
from app.events.names import BEST_EFFORT

_YIELD_EVERY = 256
BATCH = 32
"""Writes that are prepared together: their data stays in the cache of one core."""


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
    """An event on its way to many sockets.

    best_effort: dropped first when a client is slow. channel_id: of the channel that numbers it, '' when none does.
    room: the channel or team whose members it is for, '' when it is for others. plain: what those get who are no
    administrators; None: the same. size: bytes, about. Header and body are joined once for each length of the tail;
    mostly there is one.
    """

    __slots__ = ("_framed", "_others", "_start", "_tail_length", "best_effort", "channel_id", "plain", "room", "size")

    def __init__(
        self,
        body: bytes,
        *,
        best_effort: bool,
        channel_id: str = "",
        room: str = "",
        plain: "SharedFrame | None" = None,
    ) -> None:
        self.best_effort = best_effort
        self.channel_id = channel_id
        self.room = room
        self.plain = plain
        self.size = len(body)
        self._framed = body
        self._start = 0
        self._tail_length = 0
        self._others: dict[int, bytes] | None = None

    @property
    def body(self) -> bytes:
        """The event without its number."""
        return self._framed[self._start :]

    def numbered(self, seq: int) -> bytes:
        """The frame with its sequence number."""
        tail = b',"seq":%d}' % seq
        if len(tail) == self._tail_length:
            return self._framed + tail
        return self._frame(len(tail)) + tail

    def _frame(self, tail_length: int) -> bytes:
        """Header and body for another length of the tail than that of the last one."""
        header = frame_header(self.size + tail_length)
        if not self._tail_length:
            self._framed = header + self._framed
            self._start = len(header)
            self._tail_length = tail_length
            return self._framed
        if self._others is None:
            self._others = {}
        framed = self._others.get(tail_length)
        if framed is None:
            framed = self._others[tail_length] = header + self.body
        return framed


class Copies:
    """The two frames of an event, which are one and the same unless administrators get more than others."""

    __slots__ = ("frame", "sensitive")

    def __init__(self, event: Event) -> None:
        self.frame = self.sensitive = _shared(event, event.frame)
        if event.sensitive:
            self.sensitive = _shared(event, event.sensitive, self.frame)


def _shared(event: Event, body: bytes, plain: SharedFrame | None = None) -> SharedFrame:
    audience = event.audience
    channel_id = audience.channel_id if event.seq else ""
    room = "" if audience.connection_id or audience.user_id else audience.channel_id or audience.team_id
    best_effort = event.name in BEST_EFFORT
    return SharedFrame(body, best_effort=best_effort, channel_id=channel_id, room=room, plain=plain)


class View:
    """What of events that were kept for a connection its user may know at this moment.

    rooms: the channels and teams that the user belongs to. administrator: whether it gets what is for administrators.
    """

    __slots__ = ("_administrator", "_rooms")

    def __init__(self, rooms: Iterable[str], *, administrator: bool) -> None:
        self._rooms = {"", *rooms}
        self._administrator = administrator

    def of(self, frame: SharedFrame) -> SharedFrame | None:
        """The event as the user may know it; None: not at all."""
        if frame.room not in self._rooms:
            return None
        return frame if frame.plain is None or self._administrator else frame.plain

    def among(self, frames: Iterable[SharedFrame]) -> list[SharedFrame]:
        """All that the user may know, as they may."""
        return [seen for frame in frames if (seen := self.of(frame)) is not None]


class Unfinished(Protocol):
    """A socket that may not take all."""

    def finish_write(self, rest: bytes) -> None:
        """Write this when there is room."""


Write = tuple[Unfinished, socket, bytes]
"""Bytes for a socket to which nothing else waits to be written."""


def write_all(batch: Sequence[Write]) -> None:
    """Write at once.

    In batches, because what the kernel does for one write drives the interpreter's code and data out of the cache: what
    is done for many sockets between the writes costs less than what is done for each.
    """
    for client, sock, data in batch:
        try:
            written = sock.send(data)
        except OSError:
            written = 0
        if written < len(data):
            client.finish_write(data[written:])


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
