"""Whether reads may go on without a master: only while no node can commit anything. Sans-I/O.

Every node says in its beats whether it has a master. While all of them say no, nothing that is kept can become wrong,
however old it is; one that is not heard may be committing. That is true of all that ever registered, also of one that
left: it may have started again where the database is, and nobody here could know. Only an operator says that a node
will never come again, by removing it. And what is kept must have been true when the last of them lost its master: what
a node committed before we heard it, or heard it again, only a poll tells, so one must have been sent after that.

Times: seconds of a clock that also counts while the machine sleeps.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cluster.peers.membership import SLEPT_S, Liveness
from cluster.peers.mesh import Mesh

HEARD_S = 1.0
"""A member that was heard longer ago may have said something else since."""
WAKE_S = 2.0
STRANGER_S = 10.0
_UNHEARD = (Liveness.DOWN, Liveness.LEFT)


@dataclass(frozen=True)
class Witness:
    """Another node. said_at: when its last beat came. whole_at: since when all that it tells comes here."""

    liveness: Liveness
    has_master: bool
    said_at: float
    node_id: str = ""
    whole_at: float = 0.0


def witnesses(mesh: Mesh, registered: Iterable[str]) -> list[Witness]:
    """What each node last said of its master. registered: all that ever did, but for those that were removed."""
    found = []
    for node_id in sorted({*registered, *mesh.peers} - {mesh.node_id}):
        peer = mesh.peers.get(node_id)
        if peer is None:
            found.append(Witness(Liveness.LEFT, True, 0.0, node_id))
        else:
            says = peer.beat is None or peer.beat.has_master
            found.append(Witness(mesh.members.liveness(node_id), says, peer.beat_at, node_id, peer.whole_at))
    return found


class Quiet:
    """`look` several times a second."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._looked = float("-inf")
        self._awake = float("-inf")
        self.doubted: tuple[str, ...] = ()
        """Who may be committing, by the last look; () also when that does not matter."""

    def look(
        self,
        now: float,
        *,
        lost: bool,
        polled_at: float,
        peers: Iterable[Witness],
        stranger_at: float,
        most_s: float,
    ) -> float | None:
        """Since when at the latest nobody could commit, by what all nodes say; None: somebody may, or it is enough.

        lost: this node has no master. polled_at: when the last applied poll of the outbox was sent. stranger_at: when
        somebody unknown last tried to join: a node that reaches the database may have enrolled there. most_s: for how
        long in all.
        """
        if now - self._looked >= SLEPT_S:
            self._awake = now + WAKE_S  # what peers said meanwhile may wait behind what they had said before
        self._looked = now
        self.doubted = ()
        if not lost:
            self._began = None
            return None
        peers = list(peers)
        self.doubted = tuple(one.node_id for one in peers if _may_commit(one, now))
        untold = any(one.whole_at > polled_at for one in peers)
        if self.doubted or untold or now < self._awake or now - stranger_at < STRANGER_S:
            return None
        if self._began is None:
            self._began = now
        return min([now, *(one.said_at for one in peers)]) if now - self._began < most_s else None


def _may_commit(peer: Witness, now: float) -> bool:
    return peer.has_master or peer.liveness in _UNHEARD or now - peer.said_at > HEARD_S
