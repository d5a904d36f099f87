"""What one connection is sent, numbered as it is written, and kept for a while in case it was not read. Sans-I/O.

    add ──> queue (256 events, 1 MiB; best-effort ones are shed from half on) ──take──> written, numbered
                                                                     the last 128 events: the dead queue

A client whose socket breaks comes back with its connection id and the number that it expects next. If the dead queue
reaches back that far, it gets what it lacks under the old numbers, then what was queued meanwhile, and no hello.
Whatever was written once, or comes from elsewhere, is queued by a `View` only: as its user may know it by now.
"""

from collections.abc import Callable, Iterable

from ws.fanout import SharedFrame, View

MAX_QUEUED_EVENTS = 256
MAX_QUEUED_BYTES = 1 << 20
DEAD_QUEUE = 128


class Stream:
    """Of one connection id. seq: the number of the event that is written next.

    Lists, because an empty deque takes ten times the memory, and there is one of each for every socket. The dead queue
    is a ring once it is full: event `seq` is at `seq % DEAD_QUEUE`; None is in the place of one that is not known.
    """

    __slots__ = ("_dead", "_queue", "_queued_bytes", "seq")

    def __init__(self) -> None:
        self._queue: list[SharedFrame | bytes] = []
        self._queued_bytes = 0
        self._dead: list[SharedFrame | None] = []
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
        self._queued_bytes = size + frame.size
        return True

    def number(self, frame: SharedFrame) -> bytes:
        """An event as it is to be written now, kept in the dead queue."""
        seq = self.seq
        self.seq = seq + 1
        dead = self._dead
        if len(dead) < DEAD_QUEUE:
            dead.append(frame)
        else:
            dead[seq % DEAD_QUEUE] = frame
        return frame.numbered(seq)

    def add_bytes(self, data: bytes) -> None:
        """Queue something without a number, in its place between the events."""
        self._queue.append(data)
        self._queued_bytes += len(data)

    def clear(self) -> None:
        """Give up what is queued."""
        self._queue.clear()
        self._queued_bytes = 0

    def take(self) -> bytes:
        """All that is queued, as it is to be written now."""
        parts = [self.number(item) if isinstance(item, SharedFrame) else item for item in self._queue]
        self._queue.clear()
        self._queued_bytes = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def detach(self) -> None:
        """The socket is gone: what was for it alone goes with it."""
        self._queue = [item for item in self._queue if not isinstance(item, bytes)]
        self._queued_bytes = _size(self._queue)

    def events(self) -> list[SharedFrame]:
        """The events that are queued."""
        return [item for item in self._queue if not isinstance(item, bytes)]

    def written(self) -> list[SharedFrame | None]:
        """The dead queue, its last event at the end; None where one is not known."""
        return [self._dead[one % DEAD_QUEUE] for one in range(self.seq - len(self._dead), self.seq)]

    def sift(self, view: View) -> None:
        """Of what is queued, leave what the user may know."""
        queue = [item if isinstance(item, bytes) else view.of(item) for item in self._queue]
        self._queue = [item for item in queue if item is not None]
        self._queued_bytes = _size(self._queue)

    def put_first(self, frame: SharedFrame) -> None:
        """Queue an event before all others."""
        self._queue.insert(0, frame)
        self._queued_bytes += frame.size

    def take_over(
        self, seq: int, frames: Iterable[SharedFrame], view: View, keep: Callable[[SharedFrame], bool]
    ) -> None:
        """Go on as a connection of elsewhere, with these events from this number on; what is queued here follows."""
        self._queue = [*view.among(frames), *(item for item in self._queue if isinstance(item, bytes) or keep(item))]
        self._queued_bytes = _size(self._queue)
        self._dead = [None] * min(seq, DEAD_QUEUE)
        self.seq = seq

    def resume(self, seq: int, view: View) -> bool:
        """Go on with the event of this number, if it is known still: what was written from there on is queued again.

        What the user may not know any more has no number then: those that follow get it.
        """
        if not 0 <= self.seq - seq <= len(self._dead):
            return False
        unread = [self._dead[one % DEAD_QUEUE] for one in range(seq, self.seq)]
        again = [frame for frame in unread if frame is not None]
        if len(again) < len(unread):
            return False
        for one in range(seq, self.seq):
            self._dead[one % DEAD_QUEUE] = None
        del self._dead[seq:]
        self._queue[:0] = again
        self.sift(view)
        self.seq = seq
        return True


def _size(queue: list[SharedFrame | bytes]) -> int:
    return sum(len(item) if isinstance(item, bytes) else item.size for item in queue)
