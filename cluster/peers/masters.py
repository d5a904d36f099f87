"""Who has a master, by the beats of all: whom to ask for what this node cannot read, and whom to tell. Sans-I/O.

A word such as "I have a master" is up to two seconds old, and so are all of them when everybody loses theirs. Beats say
when the master answered last: a peer whose master answered clearly later than ours has one that we have lost.
"""

from cluster.peers.membership import SUSPECT_S, Liveness
from cluster.peers.mesh import Mesh, Peer

SILENT_S = 0.75
"""Three probes of a master, and more than nodes that lose the same one at the same moment differ by."""
FRESH_S = 1.5
_GONE = (Liveness.DOWN, Liveness.LEFT)


def with_one(mesh: Mesh, now: float) -> list[str]:
    """The peers that say that they have a master, of a term that is not behind any that is known."""
    said = {
        one: peer.beat.term
        for one, peer in mesh.peers.items()
        if peer.beat is not None
        and peer.beat.has_master
        and now - peer.beat_at < SUSPECT_S
        and mesh.members.liveness(one) not in _GONE
    }
    highest = max([mesh.about.term, *said.values()])
    return sorted(one for one, term in said.items() if term == highest)


def is_elsewhere(mesh: Mesh, heard_at: float, now: float) -> bool:
    """Whether our master is silent and that of a peer is not. heard_at: when ours answered last."""
    answered = max((_heard_at(mesh.peers[one]) for one in with_one(mesh, now)), default=0.0)
    return now - answered < FRESH_S and answered - heard_at > SILENT_S


def is_lost_by_a_peer(mesh: Mesh) -> bool:
    """Whether a peer has not heard its master for a while: it polls no outbox."""
    return any(peer.beat is not None and peer.beat.master_ms > SILENT_S * 1000 for peer in mesh.peers.values())


def _heard_at(peer: Peer) -> float:
    return peer.beat_at - peer.beat.master_ms / 1000 if peer.beat is not None else 0.0
