"""What comes from a peer, in its order and whole: sans-I/O.

The numbers of a peer's stream have no holes, so a hole is a loss. What follows it waits here while the missing ones are
asked for; who cannot get them gives up, and then everything that the stream could have told of counts as changed.

    (not synced) ──start(tail)──> in order ──hole──> waiting ──the missing ones, or give_up()──> in order
"""

from typing import Generic, TypeVar

MAX_WAITING = 8192

Item = TypeVar("Item")


class Intake(Generic[Item]):
    """One stream: (peer, incarnation). `last`: what came so far without a hole."""

    def __init__(self) -> None:
        self.incarnation = 0
        self.last = 0
        self.synced = False
        self._tail = 0
        self._waiting: dict[int, Item] = {}

    def restart(self, incarnation: int) -> None:
        """The peer began anew: nobody knows yet where its stream stands."""
        self.incarnation = incarnation
        self.synced = False
        self.last = self._tail = 0
        self._waiting.clear()

    def start(self, incarnation: int, tail: int) -> list[Item]:
        """The peer said that it had sent `tail` when it learned of us; what waited and comes after that."""
        if incarnation != self.incarnation:
            self.restart(incarnation)
        self.synced = True
        self.last = max(self.last, tail)
        self._tail = max(self._tail, tail)
        for seq in [seq for seq in self._waiting if seq <= self.last]:
            del self._waiting[seq]
        return self._ready()

    def take(self, incarnation: int, seq: int, item: Item) -> list[Item]:
        """A message has come; those that are in order now. Copies and what an earlier life sent are dropped."""
        if incarnation != self.incarnation or seq <= self.last or seq in self._waiting:
            return []
        self._tail = max(self._tail, seq)
        if len(self._waiting) < MAX_WAITING:
            self._waiting[seq] = item
        return self._ready() if self.synced else []

    def see_tail(self, incarnation: int, tail: int) -> None:
        """The peer said what it sent last (this finds a lost last message)."""
        if incarnation == self.incarnation:
            self._tail = max(self._tail, tail)

    def missing(self) -> tuple[int, int] | None:
        """The first hole: numbers from and to, both included. None while there is none."""
        if not self.synced or self._tail <= self.last:
            return None
        return self.last + 1, min(self._waiting, default=self._tail + 1) - 1

    def give_up(self, last: int) -> list[Item]:
        """What is missing up to `last` stays so: skip it; what waited behind it."""
        hole = self.missing()
        if hole is not None:
            self.last = max(self.last, min(last, hole[1]))
        return self._ready()

    def _ready(self) -> list[Item]:
        ready = []
        while (item := self._waiting.pop(self.last + 1, None)) is not None:
            self.last += 1
            ready.append(item)
        return ready
