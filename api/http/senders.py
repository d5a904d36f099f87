"""Bodies that wait for the rest of themselves: how much a worker keeps of them, and whom it gives up.

One is no larger than `MaximumPayloadSizeBytes`, but there may be as many as connections. When all of them together are
more than `MAX_BYTES`, those go that come from where most is kept, the oldest first, until a quarter is free. The last
one is never cut.
"""

import heapq
from collections.abc import Callable
from typing import Protocol

from api.http.readers import Transport

MAX_BYTES = 16 << 20


class Sender(Protocol):
    """A connection. peer: the address that it comes from."""

    @property
    def transport(self) -> Transport:
        """Its transport."""

    @property
    def peer(self) -> str:
        """See the class."""


class Senders:
    """shares: whether connections from an address are different clients'."""

    def __init__(self, shares: Callable[[str], bool], max_bytes: int = MAX_BYTES) -> None:
        self._shares = shares
        self._max_bytes = max_bytes
        self._kept: dict[Sender, int] = {}
        """By connection, in the order in which their bodies began."""
        self._bytes = 0
        self.cut = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, sender: Sender, size: int) -> None:
        """So much more of its body has come."""
        self._kept[sender] = self._kept.get(sender, 0) + size
        self._bytes += size
        if self._bytes > self._max_bytes:
            self._make_room()

    def forget(self, sender: Sender) -> None:
        """Its body is whole, or nobody waits for it."""
        self._bytes -= self._kept.pop(sender, 0)

    def _make_room(self) -> None:
        lines: dict[object, list[Sender]] = {}
        for sender in reversed(self._kept):
            lines.setdefault(id(sender) if self._shares(sender.peer) else sender.peer, []).append(sender)
        most = [(-sum(self._kept[one] for one in line), number, line) for number, line in enumerate(lines.values())]
        heapq.heapify(most)
        while self._bytes > self._max_bytes * 3 // 4 and len(self._kept) > 1:
            kept, number, line = most[0]
            oldest = line.pop()
            kept += self._kept[oldest]
            self.cut += 1
            self.forget(oldest)
            oldest.transport.abort()
            if line:
                heapq.heapreplace(most, (kept, number, line))
            else:
                heapq.heappop(most)
