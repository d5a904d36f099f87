"""Rate limits by GCRA, sans-I/O: one number for each key, and what other workers have admitted counts too.

The number is the time until which all that was admitted would have taken at the even rate (the theoretical arrival
time). A request moves it on by one interval, and is admitted unless it would then lie more than the burst ahead.

    admit:  ours, counted in `take` for the others     apply:  what others admitted, whether it was too much or not

So all workers spend one budget. What several admit before they hear of each other may be more than the burst; it is
owed then, and nothing is admitted until the even rate has made up for it. The owed is at most another burst.
"""

from typing import NamedTuple

_SECOND_NS = 1_000_000_000
_SHARE_UNTOLD = 16
_MOST_UNTOLD = 1000


class Verdict(NamedTuple):
    """What became of a request. limit: how many may come at once, of which `remaining` are left.

    reset_ns: until all are. retry_ns: until one is, 0 when this one was admitted.
    """

    admitted: bool
    limit: int
    remaining: int
    reset_ns: int
    retry_ns: int


class RateLimiter:
    """per_s: the even rate. burst: how many more than one may come at once. keys: how many are remembered.

    Times are ns of any clock that only goes forward. Of more keys the one that was used longest ago is forgotten.
    """

    def __init__(self, per_s: int, burst: int, keys: int) -> None:
        self.limit = burst + 1
        self._interval = _SECOND_NS // per_s
        self._tolerance = self._interval * self.limit
        self._keys = keys
        self._arrivals: dict[bytes, int] = {}
        self._untold: dict[bytes, int] = {}
        self._most_untold = max(1, self.limit // _SHARE_UNTOLD)
        self.urgent = False
        """So much was admitted that others should hear of it before the next round."""

    def admit(self, key: bytes, now_ns: int) -> Verdict:
        """Decide on a request."""
        arrival = self._arrivals.pop(key, 0)
        if arrival < now_ns:
            arrival = now_ns
        after = arrival + self._interval
        retry_ns = after - self._tolerance - now_ns
        if retry_ns > 0:
            self._arrivals[key] = arrival
            return Verdict(False, self.limit, 0, arrival - now_ns, retry_ns)
        self._remember(key, after)
        self._untold[key] = untold = self._untold.get(key, 0) + 1
        if untold >= self._most_untold or len(self._untold) >= _MOST_UNTOLD:
            self.urgent = True
        return Verdict(True, self.limit, -retry_ns // self._interval, after - now_ns, 0)

    def look(self, key: bytes, now_ns: int) -> Verdict:
        """What `admit` would decide, without counting."""
        arrival = max(self._arrivals.get(key, 0), now_ns)
        left = (self._tolerance - (arrival - now_ns)) // self._interval
        wait_ns = max(0, arrival + self._interval - self._tolerance - now_ns)
        return Verdict(not wait_ns, self.limit, max(0, left), arrival - now_ns, wait_ns)

    def apply(self, key: bytes, number: int, now_ns: int) -> None:
        """Count in what another worker admitted."""
        arrival = max(self._arrivals.pop(key, 0), now_ns) + number * self._interval
        self._remember(key, min(arrival, now_ns + 2 * self._tolerance))

    def take(self) -> dict[bytes, int]:
        """What was admitted here since the last call, by key, to tell the others."""
        untold, self._untold = self._untold, {}
        self.urgent = False
        return untold

    def __len__(self) -> int:
        return len(self._arrivals)

    def _remember(self, key: bytes, arrival: int) -> None:
        self._arrivals[key] = arrival  # last in the order of the dictionary
        if len(self._arrivals) > self._keys:
            del self._arrivals[next(iter(self._arrivals))]
