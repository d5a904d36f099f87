"""The write barrier: who wrote is answered when every node that serves knows of it (design §6). Sans-I/O."""

from collections import deque
from collections.abc import Iterable, Mapping


class Barrier:
    """Tickets wait for their number to be acknowledged by all that count when they look."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, str, int]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, seq: int, worker: str, ticket: int) -> None:
        """A worker wants to know when `seq` of our stream has reached everybody. Numbers never fall."""
        self._waiting.append((seq, worker, ticket))

    def release(self, acked: Iterable[int]) -> Mapping[str, int]:
        """acked: what each peer that counts has acknowledged. The highest ticket of each worker that is through."""
        reached = min(acked, default=None)
        through: dict[str, int] = {}
        while self._waiting and (reached is None or self._waiting[0][0] <= reached):
            _, worker, ticket = self._waiting.popleft()
            through[worker] = ticket
        return through
