"""Numbered streams, sans-I/O: the sender stamps, the reader says deliver, duplicate or gap.

A stream is (sender, incarnation, topic). Its numbers start at 1 and have no holes, so a jump IS a loss.
"""

from enum import Enum


class Verdict(Enum):
    """What a reader is to do with a message."""

    DELIVER = "the next one"
    DUPLICATE = "seen before, or of an earlier incarnation: drop it"
    GAP = "something before it was lost: repair, then deliver"


class Stamp:
    """The sender's end."""

    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        """The number of the next message."""
        self.last += 1
        return self.last


class Reader:
    """The reader's end of one stream. Before `start` everything is a gap."""

    def __init__(self) -> None:
        self.incarnation = 0
        self._last: int | None = None

    def start(self, incarnation: int, last: int) -> None:
        """The sender said where its stream stands: what comes after `last` is new."""
        self.incarnation = incarnation
        self._last = last

    def see(self, incarnation: int, seq: int) -> Verdict:
        """Judge a message that arrived."""
        if incarnation < self.incarnation:
            return Verdict.DUPLICATE
        if incarnation > self.incarnation or self._last is None:
            self.start(incarnation, seq)
            return Verdict.GAP
        if seq <= self._last:
            return Verdict.DUPLICATE
        verdict = Verdict.DELIVER if seq == self._last + 1 else Verdict.GAP
        self._last = seq
        return verdict

    def see_tail(self, incarnation: int, last: int) -> Verdict:
        """Judge the sender's word on what it sent last (finds a lost LAST message)."""
        if incarnation == self.incarnation and self._last is not None and last <= self._last:
            return Verdict.DUPLICATE
        if incarnation < self.incarnation:
            return Verdict.DUPLICATE
        self.start(incarnation, last)
        return Verdict.GAP
