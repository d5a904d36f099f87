"""What the node's prober and follower found out about the servers, readable in every process of the node.

One writer (the relay), many readers; but of terms each process says which it has met. Times are nanoseconds of
CLOCK_BOOTTIME, taken when a probe began.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from zlib import crc32

MAX_REPLICAS = 8
_LIMIT = 1 << 32
FENCE_NS = 2_000_000_000
"""A copy counts only if the last applied poll of the outbox was sent less than this ago (design §6)."""


@dataclass(frozen=True)
class Seen:
    """The last good probe of a replica. probed_ns: 0 when there was none."""

    replayed: int = 0
    lag_ms: int = 0
    probed_ns: int = 0


class Term(NamedTuple):
    """The reign of one master: a later one is greater.

    number: counted in the database. timeline: by the server (PostgreSQL), else what tells servers apart. Both fit into
    32 bits.
    """

    number: int = 0
    timeline: int = 0

    def __str__(self) -> str:
        return f"{self.number}/{self.timeline}"

    @classmethod
    def read(cls, text: str) -> "Term":
        """The inverse of `str`; of anything else the lowest term, which says nothing."""
        number, _, timeline = text.partition("/")
        try:
            return cls.of(int(number), int(timeline))
        except ValueError:
            return cls()

    @classmethod
    def of(cls, number: int, timeline: int) -> "Term":
        """What a peer says, or the lowest term when that can be none."""
        return cls(number, timeline) if 0 <= number < _LIMIT and 0 <= timeline < _LIMIT else cls()


class Board(Protocol):
    """See above."""

    def term(self) -> Term:
        """The highest term that any process of the node has met, or a peer told of."""

    def met(self) -> Term:
        """The term of the master that the prober met last: what replicas are compared with."""

    def agreed(self) -> Term:
        """The highest term that every node knows that may be serving."""

    def listened_ns(self) -> int:
        """When the relay last had heard all that peers told it; 0 while it has not."""

    def servers(self) -> int:
        """`fingerprint` of the replicas that the entries are about; 0: of none."""

    def replica(self, index: int) -> Seen:
        """What is known of a replica."""

    def polled_ns(self) -> int:
        """When the last poll of the outbox that was applied had been sent; 0: there was none.

        Without a master: when no member of the cluster could have committed anything that such a poll would tell of.
        """

    def master_lost(self) -> bool:
        """Whether the master did not answer the last probe."""

    def master_elsewhere(self) -> bool:
        """Whether the master has been silent here while another node of the cluster heard its own."""

    def set_master_lost(self, lost: bool) -> None:
        """Only the prober."""

    def set_master_elsewhere(self, elsewhere: bool) -> None:
        """Only the relay."""

    def synchronous(self) -> bool:
        """Whether commits on the master wait for a copy of it; True until that is known."""

    def set_synchronous(self, synchronous: bool) -> None:
        """Only the prober."""

    def set_polled(self, sent_ns: int) -> None:
        """Only the relay: floors and stamps of what that poll told of are written, or there was nothing to tell."""

    def raise_term(self, term: Term) -> None:
        """Any process: there is a master of this term. Lower ones change nothing."""

    def set_term(self, term: Term) -> None:
        """Only the prober: it met this master."""

    def set_agreement(self, agreed: Term, listened_ns: int) -> None:
        """Only the relay."""

    def set_servers(self, fingerprint: int) -> None:
        """Only the prober: other replicas; their entries are empty."""

    def set_replica(self, index: int, seen: Seen) -> None:
        """Only the prober: a probe was good."""


class LocalBoard:
    """A `Board` of one process alone."""

    def __init__(self) -> None:
        self._term = self._met = self._agreed = Term()
        self._listened_ns = 0
        self._servers = 0
        self._replicas = [Seen()] * MAX_REPLICAS
        self._polled_ns = 0
        self._master_lost = False
        self._master_elsewhere = False
        self._synchronous = True

    def term(self) -> Term:
        """See `Board`."""
        return self._term

    def met(self) -> Term:
        """See `Board`."""
        return self._met

    def agreed(self) -> Term:
        """See `Board`."""
        return self._agreed

    def listened_ns(self) -> int:
        """See `Board`."""
        return self._listened_ns

    def polled_ns(self) -> int:
        """See `Board`."""
        return self._polled_ns

    def master_lost(self) -> bool:
        """See `Board`."""
        return self._master_lost

    def set_master_lost(self, lost: bool) -> None:
        """See `Board`."""
        self._master_lost = lost

    def master_elsewhere(self) -> bool:
        """See `Board`."""
        return self._master_elsewhere

    def set_master_elsewhere(self, elsewhere: bool) -> None:
        """See `Board`."""
        self._master_elsewhere = elsewhere

    def synchronous(self) -> bool:
        """See `Board`."""
        return self._synchronous

    def set_synchronous(self, synchronous: bool) -> None:
        """See `Board`."""
        self._synchronous = synchronous

    def set_polled(self, sent_ns: int) -> None:
        """See `Board`."""
        self._polled_ns = sent_ns

    def servers(self) -> int:
        """See `Board`."""
        return self._servers

    def replica(self, index: int) -> Seen:
        """See `Board`."""
        return self._replicas[index]

    def raise_term(self, term: Term) -> None:
        """See `Board`."""
        self._term = max(self._term, term)

    def set_term(self, term: Term) -> None:
        """See `Board`."""
        self._met = term
        self.raise_term(term)

    def set_agreement(self, agreed: Term, listened_ns: int) -> None:
        """See `Board`."""
        self._agreed, self._listened_ns = agreed, listened_ns

    def set_servers(self, fingerprint: int) -> None:
        """See `Board`."""
        self._servers = fingerprint
        self._replicas = [Seen()] * MAX_REPLICAS

    def set_replica(self, index: int, seen: Seen) -> None:
        """See `Board`."""
        self._replicas[index] = seen


def fence_open(polled_ns: int, now_ns: int) -> bool:
    """Whether what others changed is known well enough for copies and replicas to be read. polled_ns: see `Board`."""
    return polled_ns != 0 and now_ns - polled_ns < FENCE_NS


def fingerprint(replicas: Sequence[str]) -> int:
    """Tells lists of connection strings apart; 0 for an empty one."""
    return crc32("\0".join(replicas).encode()) + 1 if replicas else 0


def boottime_ns() -> int:
    """Nanoseconds since boot, suspended time included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
