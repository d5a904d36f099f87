"""The protocol between nodes, sans-I/O: streams, greetings, repairs, acknowledgements, who lives.

    publish ──Broadcast──> every peer's `heard`          a numbered stream, kept in a ring for repairs
    Direct  ──────────────> one peer's `told`            HELLO, WELCOME, ACK, REPAIR, GONE, PROBE, requests

Whatever is lost is found: by a hole in the numbers, or by the tail in the next beat. What cannot be repaired is told of
as Lost, and its reader forgets all copies. Feed it what arrives and the time (s, of a clock that also counts while the
machine sleeps); take what it wants done from `out`.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from cluster.bus.envelope import Class, Envelope, Kind, pack
from cluster.bus.sequence import Stamp
from cluster.peers import bodies
from cluster.peers.barrier import Barrier
from cluster.peers.bodies import Answer, BadBody, Beat, Hole, Request
from cluster.peers.intake import Intake
from cluster.peers.membership import DOWN_S, SLEPT_S, SUSPECT_S, Liveness, Membership
from cluster.peers.outputs import (
    Answered,
    Asked,
    Broadcast,
    Deliver,
    Direct,
    Lost,
    Met,
    Moved,
    Output,
    Refused,
    Through,
)
from cluster.peers.ring import Ring
from cluster.peers.terms import WAKE_S, Terms
from db.model.board import Term

BEAT_S = 0.5
HELLO_S = 0.3
REPAIR_S = 0.2
REPAIR_TRIES = 25
JOIN_S = 10.0
_LATE_S = 0.5


@dataclass
class Peer:
    """What we have with another node."""

    intake: Intake[Deliver] = field(default_factory=Intake)
    whole_at: float = float("inf")
    """Since when we have all that it tells in its present life: what it told before, only the outbox tells."""
    beat: Beat | None = None
    beat_at: float = 0.0
    skew_ms: int = 0
    greeted: int = 0
    """Its incarnation when it said hello: it hears us, and what it acknowledges counts."""
    acked: int = 0
    ack_due: bool = False
    hello_at: float = -1e9
    probe_at: float = -1e9
    hole: tuple[int, int] | None = None
    repair_at: float = 0.0
    repair_tries: int = 0
    repairs: int = 0
    lost: int = 0

    @property
    def hears_us(self) -> bool:
        """Whether it said hello in its life of now."""
        return self.greeted > 0 and self.greeted >= self.intake.incarnation


class Mesh:
    """One node's side. beat: what it says of itself (state, tails and ages are filled in here)."""

    def __init__(self, node_id: str, cluster: str, incarnation: int, now: float, beat: Beat | None = None) -> None:
        self.node_id = node_id
        self.cluster = cluster
        self.incarnation = incarnation
        self.about = beat or Beat(state="joining")
        self.members = Membership()
        self.peers: dict[str, Peer] = {}
        self.out: deque[Output] = deque()
        self.joined = False
        self.joined_at = now
        self.ready = False
        self.draining = False
        self.ring = Ring()
        self.barrier = Barrier()
        self.terms = Terms()
        self._stamp = Stamp()
        self._lossy = Stamp()
        self._began = now
        self._beat_due = now
        self._ticked = now
        self._woke_at = float("-inf")

    # Ourselves -----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """What our beats say."""
        return "draining" if self.draining else "up" if self.ready else "joining"

    @property
    def tail(self) -> int:
        """What we sent last."""
        return self._stamp.last

    def may_serve(self, polled_at: float) -> bool:
        """Whether nothing that any peer was answered for can be missing here. polled_at: when the last applied poll of
        the outbox was sent: what they committed before they heard of us, no message tells.
        """
        self.ready = self.ready or (self.joined and polled_at >= self.joined_at)
        return self.ready

    def set_members(self, node_ids: Iterable[str], now: float) -> None:
        """Who belongs to the cluster, ourselves left out."""
        wanted = set(node_ids) - {self.node_id}
        self.members.set_members(wanted, now)
        for gone in self.peers.keys() - wanted:
            del self.peers[gone]
            self.terms.forget(gone)
        for new in sorted(wanted - self.peers.keys()):
            self.peers[new] = Peer()
        self._look_around(now)

    def publish(
        self,
        kind: Kind,
        kind_class: str,
        body: bytes,
        now: float,
        *,
        db_gen: str = "",
        position: str = "",
        worker: str = "",
    ) -> int:
        """Send to every peer; the number of the message. Best-effort ones go by the lane of their own."""
        lossy = kind_class == Class.BEST_EFFORT
        seq = (self._lossy if lossy else self._stamp).next()
        header = self._header(kind, kind_class, seq, db_gen=db_gen, position=position, worker=worker)
        if not lossy:
            self.ring.add(seq, (header, body), now)
        self.out.append(Broadcast(lossy, header, body))
        return seq

    def wait_for_all(self, seq: int, worker: str, ticket: int, now: float) -> None:
        """Tell by Through when every peer that serves has acknowledged `seq`."""
        self._wake(now)
        self.barrier.add(seq, worker, ticket)
        self._release(now)

    def request(self, peer: str, request_id: str, command: str, arguments: dict[str, object]) -> None:
        """Ask a peer to do something; its answers come as Answered."""
        body = bodies.pack(Request(command=command, arguments=arguments))
        self._send(peer, Kind.REQUEST, 0, body, request_id)

    def answer(self, peer: str, request_id: str, answer: Answer) -> None:
        """Answer what was Asked."""
        self._send(peer, Kind.ANSWER, 0, bodies.pack(answer), request_id)

    def tell(self, peer: str, kind: Kind, body: bytes, to: str) -> None:
        """Say something to one peer that may be lost."""
        self._send(peer, kind, 0, body, to)

    def leave(self) -> None:
        """Say good-bye."""
        self.out.append(Broadcast(False, self._header(Kind.LEAVE, Class.CONTROL, self._stamp.last), b""))

    def tick(self, now: float) -> None:
        """Beats, greetings, repairs, who lives. Call it every 50 to 100 ms."""
        self._wake(now)
        self._ticked = now
        if now >= self._beat_due:
            self._beat_due = now + BEAT_S
            self.beat(now)
        for node_id, peer in self.peers.items():
            if self.members.own_silence_s(node_id, now) < SUSPECT_S:
                if not peer.intake.synced and peer.beat is not None and now - peer.hello_at >= HELLO_S:
                    peer.hello_at = now
                    self._send(node_id, Kind.HELLO, self._stamp.last)
            elif now - peer.probe_at >= BEAT_S:
                peer.probe_at = now
                self._send(node_id, Kind.PROBE, 0)
            self._mend(node_id, peer, now)
        self._look_around(now)

    def beat(self, now: float) -> None:
        """Say that we live."""
        self.about.state = self.state
        self.about.lossy_tail = self._lossy.last
        self.about.knows = [peer for peer in self.peers if self.terms.said(peer) >= self.terms.known]
        self.about.heard_ms = {peer: max(0, round(age_s * 1000)) for peer, age_s in self.members.ages_s(now).items()}
        header = self._header(Kind.BEAT, Class.CONTROL, self._stamp.last)
        self.out.append(Broadcast(False, header, bodies.pack(self.about)))

    def acknowledge(self) -> None:
        """Tell peers how far we have come with what they sent since the last call: once for each turn of the loop."""
        for node_id, peer in self.peers.items():
            if peer.ack_due:
                peer.ack_due = False
                self._send(node_id, Kind.ACK, peer.intake.last, request_id=str(peer.intake.incarnation))

    # What comes ----------------------------------------------------------------------------------------------------

    def heard(self, peer_id: str, envelope: Envelope, body: bytes, now: float) -> None:
        """A broadcast of this peer."""
        peer = self._peer(peer_id, envelope, now)
        if peer is None:
            return
        if envelope.incarnation > peer.intake.incarnation:
            peer.intake.restart(envelope.incarnation)
            peer.hole, peer.whole_at = None, float("inf")
            self.terms.forget(peer_id)
        self.members.sign_of_life(peer_id, now)
        self.terms.hear(peer_id, Term.read(envelope.db_gen))
        if envelope.kind == Kind.BEAT:
            self._see_beat(peer_id, peer, envelope, body, now)
        elif envelope.kind == Kind.LEAVE:
            self.members.leaves(peer_id)
            self._look_around(now)
        elif envelope.kind_class == Class.BEST_EFFORT:
            self.out.append(Deliver(envelope, body))
        elif envelope.seq:
            self._take(peer_id, peer, envelope, body, now)

    def told(self, peer_id: str, envelope: Envelope, body: bytes, now: float) -> None:
        """Something this peer sent to us alone."""
        peer = self._peer(peer_id, envelope, now)
        if peer is None:
            return
        self.members.sign_of_life(peer_id, now)
        self.terms.hear(peer_id, Term.read(envelope.db_gen))
        match envelope.kind:
            case Kind.HELLO:
                peer.greeted = envelope.incarnation
                peer.acked = self._stamp.last
                self._send(peer_id, Kind.WELCOME, self._stamp.last, request_id=str(envelope.incarnation))
                self.out.append(Met(peer_id))
            case Kind.WELCOME if envelope.request_id == str(self.incarnation):  # not of an earlier life of ours
                if envelope.incarnation >= peer.intake.incarnation and not peer.intake.synced:
                    peer.whole_at = now
                    self._deliver(peer, peer.intake.start(envelope.incarnation, envelope.seq))
                    self._look_around(now)
            case Kind.ACK if envelope.request_id == str(self.incarnation):
                peer.acked = max(peer.acked, min(envelope.seq, self._stamp.last))
                self._release(now)
            case Kind.REPAIR:
                self._repair(peer_id, body)
            case Kind.GONE:
                hole = peer.intake.missing()
                if hole is not None and envelope.seq >= hole[0]:
                    self._give_up(peer_id, peer, envelope.seq, "the peer keeps them no more")
            case Kind.PROBE:
                self._send(peer_id, Kind.ALIVE, 0)
            case Kind.ALIVE | Kind.ACK | Kind.WELCOME:
                pass
            case Kind.REQUEST | Kind.ANSWER:
                self._converse(peer_id, envelope, body)
            case Kind.TO_WORKER | Kind.TO_ELSEWHERE:
                self.out.append(Deliver(envelope, body))
            case _ if envelope.seq:
                self._take(peer_id, peer, envelope, body, now)

    def _wake(self, now: float) -> None:
        """If we slept, nobody else is to blame for it, and what they said meanwhile may still wait to be read."""
        late_s = now - self._ticked
        if late_s > _LATE_S:
            self.members.excuse(late_s, now)
            self._ticked = now
        if late_s >= SLEPT_S:
            self._woke_at = now

    def _peer(self, peer_id: str, envelope: Envelope, now: float) -> Peer | None:
        """Who this is, unless it is from nobody we know, another cluster, or an earlier life of the peer."""
        self._wake(now)
        peer = self.peers.get(peer_id)
        if peer is None:
            return None
        if envelope.origin != peer_id or envelope.cluster != self.cluster:
            self.out.append(Refused(peer_id, "it speaks for another node or cluster"))
            return None
        if envelope.incarnation < peer.intake.incarnation:
            return None
        return peer

    def _see_beat(self, peer_id: str, peer: Peer, envelope: Envelope, body: bytes, now: float) -> None:
        try:
            beat = bodies.unpack(body, Beat)
        except BadBody as error:
            self.out.append(Refused(peer_id, f"a beat that cannot be read: {error}"))
            return
        peer.beat, peer.beat_at = beat, now
        self.terms.hear(peer_id, Term.of(*beat.term))
        for other in beat.knows:
            if other in self.peers:
                self.terms.hear(other, Term.read(envelope.db_gen))
        ages_s = {other: age_ms / 1000 for other, age_ms in beat.heard_ms.items()}
        self.members.heard(peer_id, beat.state, ages_s, now)
        peer.intake.see_tail(envelope.incarnation, envelope.seq)
        self._mend(peer_id, peer, now)
        if not peer.intake.synced and now - peer.hello_at >= HELLO_S:
            peer.hello_at = now
            self._send(peer_id, Kind.HELLO, self._stamp.last)

    def _take(self, peer_id: str, peer: Peer, envelope: Envelope, body: bytes, now: float) -> None:
        self._deliver(peer, peer.intake.take(envelope.incarnation, envelope.seq, Deliver(envelope, body)))
        self._mend(peer_id, peer, now)

    def _deliver(self, peer: Peer, ready: list[Deliver]) -> None:
        if ready:
            peer.ack_due = True
            self.out.extend(ready)

    def _mend(self, peer_id: str, peer: Peer, now: float) -> None:
        """Ask for what is missing; give up when it does not come."""
        hole = peer.intake.missing()
        if hole is None:
            peer.hole = None
            return
        if self.members.own_silence_s(peer_id, now) >= SUSPECT_S:
            peer.hole = None  # nobody is there to answer; when it is heard again, its tail says what is missing
            return
        if peer.hole is None or peer.hole[0] != hole[0]:
            peer.repair_at, peer.repair_tries = now, 0
        elif now - peer.repair_at < REPAIR_S:
            return
        peer.hole = hole
        if peer.repair_tries >= REPAIR_TRIES:
            self._give_up(peer_id, peer, hole[1], "they were asked for in vain")
            return
        peer.repair_at = now
        peer.repair_tries += 1
        peer.repairs += 1
        self._send(peer_id, Kind.REPAIR, 0, bodies.pack(Hole(first=hole[0], last=hole[1])))

    def _give_up(self, peer_id: str, peer: Peer, last: int, reason: str) -> None:
        first = peer.intake.last + 1
        peer.hole = None
        peer.lost += 1
        ready = peer.intake.give_up(last)
        self.out.append(Lost(peer_id, f"messages {first} to {min(last, peer.intake.last)} are lost: {reason}"))
        self._deliver(peer, ready)

    def _repair(self, peer_id: str, body: bytes) -> None:
        try:
            hole = bodies.unpack(body, Hole)
        except BadBody as error:
            self.out.append(Refused(peer_id, f"a repair that cannot be read: {error}"))
            return
        first = max(hole.first, self.ring.oldest)
        if first > hole.first:
            self._send(peer_id, Kind.GONE, min(first - 1, hole.last))
        self.out.extend(Direct(peer_id, header, kept) for header, kept in self.ring.get(first, hole.last))

    def _converse(self, peer_id: str, envelope: Envelope, body: bytes) -> None:
        try:
            if envelope.kind == Kind.REQUEST:
                self.out.append(Asked(peer_id, envelope.request_id, bodies.unpack(body, Request)))
            else:
                self.out.append(Answered(peer_id, envelope.request_id, bodies.unpack(body, Answer)))
        except BadBody as error:
            self.out.append(Refused(peer_id, f"a {envelope.kind} that cannot be read: {error}"))

    def may_serve_peers(self) -> list[str]:
        """Peers that may be serving: all but those that are down or have left. One that is joining may have joined."""
        return [one for one in self.peers if self.members.liveness(one) not in (Liveness.DOWN, Liveness.LEFT)]

    def tells(self) -> dict[str, str]:
        """What the peers that may be serving would tell clients."""
        beats = {one: self.peers[one].beat for one in self.may_serve_peers()}
        return {one: beat.tells for one, beat in beats.items() if beat is not None}

    def listens(self, now: float) -> bool:
        """Whether we hear the peers, and have read what they said while we slept."""
        self._wake(now)
        return self.joined and now - self._woke_at >= WAKE_S

    # Who counts ----------------------------------------------------------------------------------------------------

    def _look_around(self, now: float) -> None:
        self.out.extend(Moved(change) for change in self.members.tick(now))
        if not self.joined and (now - self._began >= JOIN_S or all(self._is_met(one) for one in self.peers)):
            self.joined = True
            self.joined_at = self._beat_due = now
        self._release(now)

    def unmet(self) -> list[str]:
        """Whom this node waits for before it has joined."""
        return [one for one in self.peers if not self._is_met(one)]

    def _is_met(self, node_id: str) -> bool:
        """Whether we hear all that this peer says from now on, and it hears us; or it is not there."""
        peer = self.peers[node_id]
        met = peer.intake.synced and peer.hears_us
        return met or self.members.liveness(node_id) in (Liveness.DOWN, Liveness.LEFT)

    def _release(self, now: float) -> None:
        if not len(self.barrier):
            return
        acked = (
            peer.acked
            for node_id, peer in self.peers.items()
            if peer.hears_us
            and self.members.liveness(node_id) not in (Liveness.DOWN, Liveness.LEFT)
            and self.members.own_silence_s(node_id, now) < DOWN_S
        )
        for worker, ticket in self.barrier.release(acked).items():
            self.out.append(Through(worker, ticket))

    def _send(self, peer: str, kind: Kind, seq: int, body: bytes = b"", request_id: str = "") -> None:
        self.out.append(Direct(peer, self._header(kind, Class.CONTROL, seq, request_id=request_id), body))

    def _header(
        self,
        kind: Kind,
        kind_class: str,
        seq: int,
        *,
        db_gen: str = "",
        position: str = "",
        worker: str = "",
        request_id: str = "",
    ) -> bytes:
        return pack(
            Envelope(
                self.cluster,
                self.node_id,
                self.incarnation,
                seq,
                kind,
                kind_class,
                db_gen=db_gen or str(self.terms.known),
                position=position,
                worker=worker,
                request_id=request_id,
            )
        )
