"""Answers that wait for their readers: how much a worker keeps of them, and whom it gives up.

A connection has at most one answer waiting (`Connection.takes_more`). A client that takes less than `LEAST_BYTES` in
`STUCK_S` is stuck and is cut off. When all of them together are more than `MAX_BYTES`, those go first that keep most:
by the address that they come from, of that the one which has stood still for longest. The last one is never cut for its
size.
"""

import fcntl
import struct
import termios
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

MAX_BYTES = 64 << 20
STUCK_S = 30.0
LEAST_BYTES = 64 * 1024
"""About 2 KiB/s: slower than any line that a client could work with."""


class Transport(Protocol):
    """What is needed of asyncio's."""

    def get_write_buffer_size(self) -> int:
        """How many bytes wait."""

    def abort(self) -> None:
        """Close at once."""

    def get_extra_info(self, name: str) -> object:
        """`socket`."""


class Reader(Protocol):
    """A connection. peer: the address that it comes from."""

    @property
    def transport(self) -> Transport:
        """Its transport."""

    @property
    def peer(self) -> str:
        """See the class."""


@dataclass
class _Waiting:
    """Bytes that it had not taken at `at`, and that wait here."""

    left: int
    at: float
    here: int


class Readers:
    """now: seconds of any monotonic clock. shares: whether connections from an address are different clients'."""

    def __init__(self, now: Callable[[], float], shares: Callable[[str], bool], max_bytes: int = MAX_BYTES) -> None:
        self._now = now
        self._shares = shares
        self._max_bytes = max_bytes
        self._waiting: dict[Reader, _Waiting] = {}
        self._bytes = 0
        """At most what waits; counted anew before anybody is cut for it."""
        self.cut = 0

    def wait_for(self, reader: Reader) -> None:
        """The kernel has not taken all of its answer."""
        here = reader.transport.get_write_buffer_size()
        self._waiting[reader] = _Waiting(here + _in_kernel(reader.transport), self._now(), here)
        self._bytes += here
        if self._bytes > self._max_bytes:
            self._count()
            self._cut_worst()

    def forget(self, reader: Reader) -> None:
        """It has taken all, or is gone."""
        waiting = self._waiting.pop(reader, None)
        if waiting is not None:
            self._bytes -= waiting.here

    def sweep(self) -> None:
        """Cut off who is stuck; once a second."""
        now = self._now()
        self._count()
        for reader, waiting in list(self._waiting.items()):
            left = waiting.here + _in_kernel(reader.transport)
            if waiting.left - left >= LEAST_BYTES:
                waiting.left, waiting.at = left, now
            elif now - waiting.at > STUCK_S:
                self._cut(reader)

    def _count(self) -> None:
        for reader, waiting in self._waiting.items():
            waiting.here = reader.transport.get_write_buffer_size()
        self._bytes = sum(waiting.here for waiting in self._waiting.values())

    def _cut_worst(self) -> None:
        sources: Counter[object] = Counter()
        for reader, waiting in self._waiting.items():
            sources[self._source(reader)] += waiting.here
        while self._bytes > self._max_bytes and len(self._waiting) > 1:
            source, _ = sources.most_common(1)[0]
            found = min((one for one in self._waiting if self._source(one) == source), key=self._age)
            sources[source] -= self._waiting[found].here
            self._cut(found)

    def _age(self, reader: Reader) -> tuple[float, int]:
        waiting = self._waiting[reader]
        return waiting.at, -waiting.here

    def _source(self, reader: Reader) -> object:
        return id(reader) if self._shares(reader.peer) else reader.peer

    def _cut(self, reader: Reader) -> None:
        self.cut += 1
        self.forget(reader)
        reader.transport.abort()

    def __len__(self) -> int:
        return len(self._waiting)


def _in_kernel(transport: Transport) -> int:
    """Bytes that the peer has not acknowledged: it may hold megabytes, and a slow reader's first progress is there."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return 0
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")  # type: ignore[attr-defined]
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("=i", answer)[0])
