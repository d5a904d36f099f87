"""What the node's prober found out about the servers, readable in every process of the node.

One writer (the relay), many readers. Times are nanoseconds of CLOCK_BOOTTIME, taken when a probe began.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

MAX_REPLICAS = 8


@dataclass(frozen=True)
class Seen:
    """The last good probe of a replica. probed_ns: 0 when there was none."""

    replayed: int = 0
    lag_ms: int = 0
    probed_ns: int = 0


@dataclass(frozen=True, order=True)
class Term:
    """The reign of one master: a later one is greater. number: counted in the database. timeline: by the server."""

    number: int = 0
    timeline: int = 0

    def __str__(self) -> str:
        return f"{self.number}/{self.timeline}"


class Board(Protocol):
    """See above."""

    def term(self) -> Term:
        """The highest term that any process of the node has seen."""

    def servers(self) -> int:
        """`fingerprint` of the replicas that the entries are about; 0: of none."""

    def replica(self, index: int) -> Seen:
        """What is known of a replica."""

    def set_term(self, term: Term) -> None:
        """Only the prober: another master."""

    def set_servers(self, fingerprint: int) -> None:
        """Only the prober: other replicas; their entries are empty."""

    def set_replica(self, index: int, seen: Seen) -> None:
        """Only the prober: a probe was good."""


class LocalBoard:
    """A `Board` of one process alone."""

    def __init__(self) -> None:
        self._term = Term()
        self._servers = 0
        self._replicas = [Seen()] * MAX_REPLICAS

    def term(self) -> Term:
        """See `Board`."""
        return self._term

    def servers(self) -> int:
        """See `Board`."""
        return self._servers

    def replica(self, index: int) -> Seen:
        """See `Board`."""
        return self._replicas[index]

    def set_term(self, term: Term) -> None:
        """See `Board`."""
        self._term = term

    def set_servers(self, fingerprint: int) -> None:
        """See `Board`."""
        self._servers = fingerprint
        self._replicas = [Seen()] * MAX_REPLICAS

    def set_replica(self, index: int, seen: Seen) -> None:
        """See `Board`."""
        self._replicas[index] = seen


def fingerprint(replicas: Sequence[str]) -> int:
    """Tells lists of connection strings apart; 0 for an empty one."""
    return crc32("\0".join(replicas).encode()) + 1 if replicas else 0


def boottime_ns() -> int:
    """Nanoseconds since boot, suspended time included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
