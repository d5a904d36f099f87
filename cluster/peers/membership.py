"""Who lives: what every node finds out of every other one by its beats. Sans-I/O.

    joining ──> up ──silent 1.5 s──> suspect ──silent 3 s, for everybody──> down
                │ <──heard again, by us or by a peer that lives──┘            │
                └──> draining ──> left                                <──beat─┘

Silence is the time since we heard the node ourselves, or since a peer that we hear heard it: a cut between two nodes
makes neither of them down while a third one hears both. A loop of our own that was late is patient by as much.
Times: seconds of a clock that also counts while the machine sleeps.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SUSPECT_S = 1.5
DOWN_S = 3.0
SLEPT_S = 1.0


class Liveness(StrEnum):
    """The life of a node as its peers see it."""

    JOINING = "joining"
    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    DRAINING = "draining"
    LEFT = "left"
    REMOVED = "removed"
    """It was taken out, and still runs."""


_SAYS = {"joining": Liveness.JOINING, "up": Liveness.UP, "draining": Liveness.DRAINING, "left": Liveness.LEFT}


@dataclass
class Peer:
    """What is known of a node. heard_at: by ourselves. second_hand: peer -> when that peer heard it."""

    liveness: Liveness
    since: float
    heard_at: float
    said: Liveness = Liveness.JOINING
    second_hand: dict[str, float] = field(default_factory=dict)
    ever: bool = False


@dataclass(frozen=True)
class Change:
    """A node went from one state to another, and why."""

    node_id: str
    before: Liveness
    after: Liveness
    reason: str


class Membership:
    """Of all peers of a node (not of itself)."""

    def __init__(self) -> None:
        self._peers: dict[str, Peer] = {}

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._peers

    def set_members(self, node_ids: Iterable[str], now: float) -> None:
        """Who belongs to the cluster now. One that is new counts as heard at this moment."""
        wanted = set(node_ids)
        for gone in self._peers.keys() - wanted:
            del self._peers[gone]
        for new in sorted(wanted - self._peers.keys()):
            self._peers[new] = Peer(Liveness.JOINING, now, now)

    def heard(self, node_id: str, says: str, heard_ages_s: Mapping[str, float], now: float) -> None:
        """A beat. says: joining, up or draining. heard_ages_s: how long ago it heard each of the others."""
        peer = self._peers.get(node_id)
        if peer is None:
            return
        peer.heard_at, peer.ever = now, True
        peer.said = _SAYS.get(says, Liveness.UP)
        for other, age_s in heard_ages_s.items():
            if other in self._peers and age_s >= 0:
                second_hand = self._peers[other].second_hand
                second_hand[node_id] = max(second_hand.get(node_id, 0.0), now - age_s)

    def sign_of_life(self, node_id: str, now: float) -> None:
        """Anything else that came from it."""
        peer = self._peers.get(node_id)
        if peer is not None:
            peer.heard_at, peer.ever = now, True

    def leaves(self, node_id: str) -> None:
        """It said good-bye."""
        peer = self._peers.get(node_id)
        if peer is not None:
            peer.said = Liveness.LEFT

    def excuse(self, late_s: float, now: float) -> None:
        """Our own loop was late by so much: nobody is blamed for what we did not read.

        After a longer sleep everybody begins anew, because what they said meanwhile may wait behind what others said.
        """
        for peer in self._peers.values():
            peer.heard_at = now if late_s >= SLEPT_S else min(now, peer.heard_at + late_s)
            if late_s >= SLEPT_S and peer.liveness is Liveness.DOWN:
                peer.liveness, peer.heard_at = Liveness.SUSPECT, now - SUSPECT_S
            peer.second_hand = {by: min(now, at + late_s) for by, at in peer.second_hand.items()}

    def own_silence_s(self, node_id: str, now: float) -> float:
        """How long we have not heard it ourselves."""
        return now - self._peers[node_id].heard_at

    def silence_s(self, node_id: str, now: float) -> float:
        """How long nobody whom we hear has heard it."""
        peer = self._peers[node_id]
        others = (
            at
            for by, at in peer.second_hand.items()
            if by in self._peers and now - self._peers[by].heard_at < SUSPECT_S
        )
        return now - max([peer.heard_at, *others])

    def ages_s(self, now: float) -> dict[str, float]:
        """For our own beat: how long ago we heard each of those that we ever heard."""
        return {node_id: now - peer.heard_at for node_id, peer in self._peers.items() if peer.ever}

    def tick(self, now: float) -> list[Change]:
        """What has changed."""
        changes = []
        for node_id, peer in self._peers.items():
            after, reason = self._judge(node_id, peer, now)
            if after is not peer.liveness:
                changes.append(Change(node_id, peer.liveness, after, reason))
                peer.liveness, peer.since = after, now
        return changes

    def _judge(self, node_id: str, peer: Peer, now: float) -> tuple[Liveness, str]:
        if peer.said is Liveness.LEFT:
            return Liveness.LEFT, "it said good-bye"
        silence_s = self.silence_s(node_id, now)
        if silence_s >= DOWN_S:
            return Liveness.DOWN, f"nobody heard it for {silence_s:.1f} s"
        if silence_s >= SUSPECT_S:
            if peer.liveness is Liveness.DOWN:
                return Liveness.DOWN, "still silent"
            return Liveness.SUSPECT, f"not heard for {silence_s:.1f} s"
        return peer.said, "it is heard" if self.own_silence_s(node_id, now) < SUSPECT_S else "a peer hears it"

    def liveness(self, node_id: str) -> Liveness:
        """As the last tick found it."""
        return self._peers[node_id].liveness

    def since(self, node_id: str) -> float:
        """When it entered that state."""
        return self._peers[node_id].since

    def node_ids(self) -> list[str]:
        """All peers."""
        return list(self._peers)
