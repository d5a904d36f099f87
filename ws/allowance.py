"""How much a client may make the parser do: every frame counts, whatever is in it. Sans-I/O.

    before it is known who it is   10 frames, then 2 a second: the challenge, some pings
    from then on                   80 frames, then 40 a second: 60 and 30 messages, with the pongs, pings and
                                   fragments that go with them

A read that ends within a frame counts a little, too: somebody may send a message byte by byte.
"""

from typing import NamedTuple


class Rate(NamedTuple):
    """Frames a second, and how many may come at once."""

    per_s: float
    burst: float


UNKNOWN = Rate(2.0, 10.0)
KNOWN = Rate(40.0, 80.0)
PIECE = 1 / 32
"""Of a frame, for a read that ends within one: 8 KiB come in 6 reads over a common path, in 8,192 at worst."""


class Allowance:
    """Of one connection. Times: seconds of any clock that goes on."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._left = rate.burst
        self._at = now

    def take(self, now: float, frames: float = 1.0) -> bool:
        """Count this; False: it is more than may come."""
        per_s, burst = self._rate
        left = self._left + (now - self._at) * per_s
        self._at = now
        self._left = left = (left if left < burst else burst) - frames
        return left >= 0.0

    def charge(self, frames: float) -> bool:
        """Count this besides what was taken last; False: it is more than may come."""
        self._left -= frames
        return self._left >= 0.0

    def widen(self, rate: Rate, now: float) -> None:
        """From now on so much, unless it is so already."""
        if self._rate != rate:
            self._rate, self._left, self._at = rate, rate.burst, now
