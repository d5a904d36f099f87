"""Connections without a socket, kept for a while for clients that come back. Sans-I/O."""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

KEPT_S = 300.0
MAX_KEPT = 20_000

T = TypeVar("T")


class Detached(Generic[T]):
    """In the order in which they lost their sockets. Times: seconds of any clock that goes on."""

    def __init__(self) -> None:
        self._since: dict[T, float] = {}

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._since))

    def __len__(self) -> int:
        return len(self._since)

    def add(self, connection: T, now: float) -> None:
        """It has no socket any more."""
        self._since[connection] = now

    def discard(self, connection: T) -> None:
        """It has one again, or is forgotten."""
        self._since.pop(connection, None)

    def oldest(self, among: Iterable[T], count: int) -> list[T]:
        """So many of these connections, those whose sockets went first; they are no more kept."""
        kept = sorted((one for one in among if one in self._since), key=self._since.__getitem__)[:count]
        for connection in kept:
            del self._since[connection]
        return kept

    def overdue(self, now: float) -> list[T]:
        """Those nobody came back for in 5 minutes, and the oldest beyond 20,000; they are no more kept."""
        found: list[T] = []
        for connection, since in self._since.items():
            if now - since < KEPT_S and len(self._since) - len(found) <= MAX_KEPT:
                break
            found.append(connection)
        for connection in found:
            del self._since[connection]
        return found
