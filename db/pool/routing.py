"""Which server serves a read, sans-I/O.

A replica may serve a read when it is fit (found well less than 2 s ago, its lag within bounds, no failure since) and
has replayed what the read must not miss: the floor. Otherwise the master serves it. Among several the lag decides how
often each is taken. Positions are plain numbers that grow; they are compared only within one term of a master.
"""

from collections import deque
from dataclasses import dataclass

from db.model.board import Seen

MAX_ERRORS = 3
PROBE_STALE_NS = 2_000_000_000
_LAG_WEIGHT_MS = 100.0
_KEEP_S = 60.0


class LagClock:
    """How far replicas are behind, by the prober's own clock: no clock of any server is trusted.

    Remembers when the master's position was first seen at each value; a replica's lag is the age of the oldest value
    that it has not replayed.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def master(self, position: int, now: float) -> None:
        """The master's log had reached `position` at time `now` (s)."""
        if not self._seen or position > self._seen[-1][1]:
            self._seen.append((now, position))
        while len(self._seen) > 1 and now - self._seen[1][0] > _KEEP_S:
            self._seen.popleft()

    def lag_ms(self, replayed: int, now: float) -> int:
        """For how long the master has been beyond `replayed`; 0 when it is not."""
        for seen_at, position in self._seen:
            if position > replayed:
                return int((now - seen_at) * 1000)
        return 0

    def clear(self) -> None:
        """Forget everything: another master."""
        self._seen.clear()


@dataclass
class _Replica:
    """errors: failed queries in a row. broken_ns: out until a probe begun after this. credit: see `choose`."""

    errors: int = 0
    broken_ns: int = 0
    credit: float = 0.0
    served: int = 0


class Router:
    """Spreads the reads of one process. Times are nanoseconds of CLOCK_BOOTTIME, as in the board."""

    def __init__(self, replicas: int, *, lag_max_ms: float, read_from_master: bool) -> None:
        self._replicas = [_Replica() for _ in range(replicas)]
        self._lag_max_ms = lag_max_ms
        self._read_from_master = read_from_master
        self._master_credit = 0.0

    @property
    def served(self) -> list[int]:
        """How many reads each replica was given."""
        return [replica.served for replica in self._replicas]

    def failed(self, index: int, now_ns: int, *, broken: bool) -> None:
        """A query failed for a reason that is not the query's. broken: the connection is lost.

        After three failures, or one lost connection (the server may have started anew, and further back), the replica
        is out until a later probe finds it well.
        """
        replica = self._replicas[index]
        replica.errors += 1
        if broken or replica.errors >= MAX_ERRORS:
            replica.broken_ns = now_ns

    def succeeded(self, index: int) -> None:
        """A query was answered."""
        self._replicas[index].errors = 0

    def fit(self, index: int, seen: Seen, now_ns: int) -> bool:
        """Whether the replica may serve reads at all."""
        replica = self._replicas[index]
        if seen.probed_ns <= replica.broken_ns:
            return False
        return bool(seen.probed_ns) and now_ns - seen.probed_ns <= PROBE_STALE_NS and seen.lag_ms <= self._lag_max_ms

    def choose(self, floor: int, seen: list[Seen], now_ns: int) -> int | None:
        """The replica that serves a read which must see everything up to `floor`; None: the master.

        Smooth weighted round robin: everybody earns credit by weight, the richest serves and pays for all.
        """
        total = 0.0
        best: int | None = None
        most = float("-inf")
        for index, replica in enumerate(self._replicas):
            if seen[index].replayed < floor or not self.fit(index, seen[index], now_ns):
                continue
            weight = 1.0 / (1.0 + seen[index].lag_ms / _LAG_WEIGHT_MS)
            replica.credit += weight
            total += weight
            if replica.credit > most:
                best, most = index, replica.credit
        if best is None:
            return None
        if self._read_from_master:
            self._master_credit += 1.0
            total += 1.0
            if self._master_credit > most:
                self._master_credit -= total
                return None
        self._replicas[best].credit -= total
        self._replicas[best].served += 1
        return best
