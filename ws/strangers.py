"""Sockets of which nobody knows yet who is at their other end. Sans-I/O."""

from typing import Generic, TypeVar

MAX_STRANGERS = 1000
"""In a worker. An honest client says who it is within a second: it takes a thousand more a second to push one out."""

T = TypeVar("T")


class Strangers(Generic[T]):
    """In the order in which they came. A thousand may be there; of more, who has been silent for longest goes."""

    def __init__(self, most: int = MAX_STRANGERS) -> None:
        self._most = most
        self._there: dict[T, None] = {}

    def __len__(self) -> int:
        return len(self._there)

    def add(self, stranger: T) -> T | None:
        """One more; who has to go for it."""
        self._there[stranger] = None
        if len(self._there) <= self._most:
            return None
        oldest = next(iter(self._there))
        del self._there[oldest]
        return oldest

    def discard(self, stranger: T) -> None:
        """It is known who it is, or it is gone."""
        self._there.pop(stranger, None)
