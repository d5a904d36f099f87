"""What a node sent last, kept for peers that missed some of it. Sans-I/O."""

from collections import deque

MAX_MESSAGES = 8192
MAX_BYTES = 16 << 20
MAX_AGE_S = 60.0

Frames = tuple[bytes, bytes]
"""(header, body)."""


class Ring:
    """The newest messages of a stream, gapless. now: seconds of any monotonic clock."""

    def __init__(
        self, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES, max_age_s: float = MAX_AGE_S
    ) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._kept: deque[tuple[float, Frames]] = deque()
        self._bytes = 0
        self._next = 1

    def add(self, seq: int, frames: Frames, now: float) -> None:
        """Keep a message that was sent; numbers come one after the other."""
        if seq != self._next:
            raise ValueError(f"number {seq} does not follow {self._next - 1}")
        self._next = seq + 1
        self._kept.append((now, frames))
        self._bytes += len(frames[0]) + len(frames[1])
        self.trim(now)

    def trim(self, now: float) -> None:
        """Forget what is beyond the limits."""
        kept = self._kept
        while kept and (
            len(kept) > self._max_messages or self._bytes > self._max_bytes or kept[0][0] < now - self._max_age_s
        ):
            _, (header, body) = kept.popleft()
            self._bytes -= len(header) + len(body)

    @property
    def oldest(self) -> int:
        """The number of the oldest one kept; of the next one while there is none."""
        return self._next - len(self._kept)

    def get(self, first: int, last: int) -> list[Frames]:
        """Those kept of the messages from `first` to `last`, both included."""
        oldest = self.oldest
        return [self._kept[seq - oldest][1] for seq in range(max(first, oldest), min(last, self._next - 1) + 1)]
