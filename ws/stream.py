"""What one connection is sent, numbered as it is written, and kept for a while in case it was not read. Sans-I/O.

    add ──> queue (256 events, 1 MiB; best-effort ones are shed from half on) ──take──> written, numbered
                                                                     the last 128 events: the dead queue

A client whose socket breaks comes back with its connection id and the number that it expects next. If the dead queue
reaches back that far, it gets what it lacks under the old numbers, then what was queued meanwhile, and no hello.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from ws.fanout import SharedFrame

MAX_QUEUED_EVENTS = 256
MAX_QUEUED_BYTES = 1 << 20
DEAD_QUEUE = 128


class Stream:
    """Of one connection id. seq: the number of the event that is written next."""

    __slots__ = ("_dead", "_queue", "_queued_bytes", "seq")

    def __init__(self) -> None:
        self._queue: deque[SharedFrame | bytes] = deque()
        self._queued_bytes = 0
        self._dead: deque[SharedFrame] | None = None
        self.seq = 0

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, frame: SharedFrame) -> bool:
        """Queue an event, or shed it; False: the queue is full."""
        count, size = len(self._queue), self._queued_bytes
        if count >= MAX_QUEUED_EVENTS // 2 or size >= MAX_QUEUED_BYTES // 2:
            if frame.best_effort:
                return True
            if count >= MAX_QUEUED_EVENTS or size >= MAX_QUEUED_BYTES:
                return False
        self._queue.append(frame)
        self._queued_bytes += len(frame.body)
        return True

    def add_bytes(self, data: bytes) -> None:
        """Queue something without a number, in its place between the events."""
        self._queue.append(data)
        self._queued_bytes += len(data)

    def clear(self) -> None:
        """Give up what is queued."""
        self._queue.clear()
        self._queued_bytes = 0

    def take(self) -> list[bytes]:
        """All that is queued, as it is to be written now."""
        if self._dead is None:
            self._dead = deque(maxlen=DEAD_QUEUE)
        parts: list[bytes] = []
        for item in self._queue:
            if isinstance(item, bytes):
                parts.append(item)
            else:
                parts.append(item.numbered(self.seq))
                self._dead.append(item)
                self.seq += 1
        self.clear()
        return parts

    def detach(self) -> None:
        """The socket is gone: what was for it alone goes with it."""
        events = self.events()
        self._queue = deque(events)
        self._queued_bytes = sum(len(event.body) for event in events)

    def events(self) -> list[SharedFrame]:
        """The events that are queued."""
        return [item for item in self._queue if not isinstance(item, bytes)]

    def put_first(self, frame: SharedFrame) -> None:
        """Queue an event before all others."""
        self._queue.appendleft(frame)
        self._queued_bytes += len(frame.body)

    def take_over(self, seq: int, frames: Sequence[SharedFrame], keep: Callable[[SharedFrame], bool]) -> None:
        """Go on as a connection of elsewhere, with these events from this number on; what is queued here follows."""
        here = [item for item in self._queue if isinstance(item, bytes) or keep(item)]
        self._queue = deque([*frames, *here])
        self._queued_bytes = sum(len(one) if isinstance(one, bytes) else len(one.body) for one in self._queue)
        self._dead = None
        self.seq = seq

    def resume(self, seq: int) -> bool:
        """Go on with the event of this number, if it is known still: what was written from there on is queued again."""
        dead = self._dead or deque()
        back = self.seq - seq
        if not 0 <= back <= len(dead):
            return False
        again = list(islice(dead, len(dead) - back, None))
        for _ in again:
            dead.pop()
        self._queue.extendleft(reversed(again))
        self._queued_bytes += sum(len(event.body) for event in again)
        self.seq = seq
        return True
