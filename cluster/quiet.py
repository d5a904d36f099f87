"""Whether reads may go on without a master: only while no member can commit anything. Sans-I/O.

Every member says in its beats whether it has a master. While all of them say no, nothing that is kept can become wrong,
however old it is; one that is not heard may be committing. Times: seconds of a clock that also counts while the machine
sleeps.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cluster.membership import SLEPT_S, Liveness

HEARD_S = 1.0
"""A member that was heard longer ago may have said something else since."""
WAKE_S = 2.0
STRANGER_S = 10.0


@dataclass(frozen=True)
class Witness:
    """A peer. said_at: when its last beat came."""

    liveness: Liveness
    has_master: bool
    said_at: float


class Quiet:
    """`look` several times a second."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._looked = float("-inf")
        self._awake = float("-inf")

    def look(
        self, now: float, *, lost: bool, peers: Iterable[Witness], stranger_at: float, most_s: float
    ) -> float | None:
        """Since when at the latest nobody could commit, by what all members say; None: somebody may, or it is enough.

        lost: this node has no master. stranger_at: when somebody unknown last tried to join: a node that reaches the
        database may have enrolled there. most_s: for how long in all.
        """
        if now - self._looked >= SLEPT_S:
            self._awake = now + WAKE_S  # what peers said meanwhile may wait behind what they had said before
        self._looked = now
        if not lost:
            self._began = None
            return None
        said = [now]
        for peer in peers:
            if peer.liveness is Liveness.LEFT:
                continue
            if peer.has_master or peer.liveness is Liveness.DOWN or now - peer.said_at > HEARD_S:
                return None
            said.append(peer.said_at)
        if now < self._awake or now - stranger_at < STRANGER_S:
            return None
        if self._began is None:
            self._began = now
        return min(said) if now - self._began < most_s else None
