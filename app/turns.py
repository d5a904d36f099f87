"""Whose turn it is: a bounded queue that is fair to sources, sans-I/O.

Sources take turns, so that one which sends without end waits for itself alone. It has at most `per_source` places; when
all are taken, a source that has fewer gets one of whoever has most, which then goes away empty-handed.
"""

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Placed(Generic[T]):
    """Whether there was a place, and who lost theirs for it."""

    taken: bool
    displaced: T | None = None


class FairQueue(Generic[T]):
    """most: places in all. per_source: for one source."""

    def __init__(self, most: int, per_source: int) -> None:
        self._most = most
        self._per_source = per_source
        self._lines: dict[str, deque[T]] = {}
        """By source, in the order of their turns; none is empty."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, source: str, item: T) -> Placed[T]:
        """Take a place at the end of the source's line."""
        own = len(self._lines.get(source, ()))
        if own >= self._per_source or self._most <= 0:
            return Placed(False)
        displaced = None
        if self._size >= self._most:
            longest = max(self._lines, key=lambda one: len(self._lines[one]))
            if len(self._lines[longest]) <= own + 1:
                return Placed(False)
            displaced = self._lines[longest].pop()
            self._size -= 1
        self._lines.setdefault(source, deque()).append(item)
        self._size += 1
        return Placed(True, displaced)

    def take(self) -> T | None:
        """The next one; None when nobody waits."""
        if not self._lines:
            return None
        source = next(iter(self._lines))
        line = self._lines.pop(source)
        item = line.popleft()
        self._size -= 1
        if line:
            self._lines[source] = line  # at the end: now the others
        return item

    def remove(self, source: str, item: T) -> bool:
        """Give a place up; whether there was one."""
        line = self._lines.get(source)
        if line is None or item not in line:
            return False
        line.remove(item)
        self._size -= 1
        if not line:
            del self._lines[source]
        return True
