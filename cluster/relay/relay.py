"""The node's post office: takes what workers publish, hands it to those that need it here and to the other nodes.

One ROUTER over ipc. Each worker gets a numbered stream of its own; a message that its queue cannot take is lost and
leaves a hole in the numbers, which the worker notices. The relay is the only writer of the node page. With high
availability on, `interlink.py` takes what is for other nodes, and hands in what comes from them.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import zmq

from app.events import messages as events
from app.events.messages import Message, Presence
from cluster.bus import addresses
from cluster.bus.bus import BEAT_S, class_of, kind_of, send
from cluster.bus.changes import Learner
from cluster.bus.envelope import BadEnvelope, Class, Envelope, Kind, pack, unpack
from cluster.bus.inbox import Inbox
from cluster.bus.sequence import Reader, Stamp, Verdict
from cluster.peers import masters
from cluster.peers.interlink import Interlink
from cluster.peers.membership import DOWN_S, Liveness
from cluster.peers.membership import Change as Move
from cluster.relay.presence import PresenceKeeper
from cluster.shm.page import Page
from db.model.ids import UserId
from db.model.tables import OF_SOCKETS, Namespace
from db.pool.pool import Database
from db.sql.outbox import Poll

log = logging.getLogger(__name__)

_HIGH_WATER = 100_000
_EARLY_S = 2.0
_EARLY_BYTES = 16 << 20
_GONE_S = 3.0
_LATE_S = 1.0
_START_S = 5.0
_PAIRS = 1000
_TOLD_S = 5.0
"""Longer than a node takes to know and to tell that it has no master: so nothing is left out that it did not poll."""
_READERS: dict[str, str] = {Kind.MESSAGE: "ws", Kind.API_MESSAGE: "api"}
"""Which workers get the bundles of a kind."""
Operate = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass
class Link:
    """A worker that this relay serves."""

    routing_id: bytes
    incarnation: int
    last_heard: float
    stamp: Stamp = field(default_factory=Stamp)
    reader: Reader = field(default_factory=Reader)
    lost: int = 0


class Relay:
    """`serve` runs until cancelled."""

    def __init__(
        self,
        address: str,
        page: Page,
        db: Database,
        *,
        node_id: str,
        incarnation: int,
        away_after_s: float,
        workers: Collection[str] = (),
        operate: Operate | None = None,
        poll_now: Callable[[], None] = lambda: None,
        distrust: Callable[[], None] = lambda: None,
    ) -> None:
        """workers: who should be there. operate: does what a peer asks of this node.

        poll_now: the outbox may have something to tell. distrust: only the outbox knows what changed.
        """
        self._operate = operate
        self._workers = frozenset(workers)
        self._poll_now = poll_now
        self._distrust = distrust
        self._page = page
        self._db = db
        self._learner = Learner(db, self._forgotten)
        self._node_id = node_id
        self._incarnation = incarnation
        self._links: dict[str, Link] = {}
        self._presence = PresenceKeeper(db, self._publish, self._is_ours, away_after_s)
        self.interlink: Interlink | None = None
        self.relayed = 0
        self.dropped = 0
        self.late_turns = 0
        """How often the loop of this process, or that of a worker, stood still for a second."""
        self.restarts = incarnation - 1
        """Of this relay, and of the workers while it ran."""
        self._began = asyncio.get_running_loop().time()
        self._loop = asyncio.get_running_loop()
        self._early: deque[tuple[bytes, str]] = deque()
        self._early_bytes = 0
        """What came while workers were still finding this relay: they get it when they do."""
        self._early_until = self._loop.time() + _EARLY_S
        self._turn = 0
        self._moved: deque[tuple[float, tuple[tuple[str, int], ...]]] = deque()
        """What the last polls found of heads: for nodes that cannot poll."""
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.set(zmq.ROUTER_MANDATORY, 1)
        self._socket.set(zmq.ROUTER_HANDOVER, 1)
        self._socket.set(zmq.SNDHWM, _HIGH_WATER)
        self._socket.set(zmq.RCVHWM, _HIGH_WATER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.MAXMSGSIZE, 1 << 20)
        self._socket.bind(address)
        self._inbox = Inbox(self._socket, self._receive, lambda: page.advance(self.relayed))
        page.take_over(incarnation)

    async def serve(self) -> None:
        """Relay, beat and keep presence until cancelled."""
        self._inbox.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat_for_ever())
                group.create_task(self._presence.keep_for_ever())
                group.create_task(self._presence.end_forgotten())
        finally:
            self._inbox.close()
            self._context.term()

    def set_away_after(self, seconds: float) -> None:
        """Idle for so long means away, from now on."""
        self._presence.set_away_after(seconds)

    def _receive(self, frames: list[bytes]) -> None:
        try:
            routing_id, header, body = frames
            envelope = unpack(header)
        except (ValueError, BadEnvelope):
            log.warning("a worker sent something that is no envelope")
            return
        link = self._link(routing_id, envelope)
        if link is None:
            return
        now = self._loop.time()
        self.late_turns += now - link.last_heard >= BEAT_S + _LATE_S
        link.last_heard = now
        if envelope.kind == Kind.BEAT:
            if link.reader.see_tail(envelope.incarnation, envelope.seq) is Verdict.GAP:
                self._count_loss(envelope.worker, link)
            return
        verdict = link.reader.see(envelope.incarnation, envelope.seq)
        if verdict is Verdict.DUPLICATE:
            return
        if verdict is Verdict.GAP:
            self._count_loss(envelope.worker, link)
        if envelope.kind == Kind.PRESENCE:
            self._presence.take(envelope.worker, body)
            if self.interlink is not None:
                self.interlink.publish(Kind.PRESENCE, envelope.kind_class, body, worker=envelope.worker)
        elif envelope.kind in _READERS:
            self._hand_out(envelope.kind, body, envelope.kind_class, sender=envelope.worker)
            if self.interlink is not None:
                self.interlink.publish(Kind(envelope.kind), envelope.kind_class, body)
        elif envelope.kind == Kind.TO_WORKER:
            self._pass_on(envelope.request_id, body, sender=envelope.worker)
        elif envelope.kind == Kind.TO_ELSEWHERE:
            if self.interlink is not None:
                self.interlink.ask_elsewhere(body)
        elif envelope.kind == Kind.CHANGED:
            if self.interlink is not None:
                self.interlink.changed(envelope, body)
            else:
                self.through(f"{envelope.worker}/{envelope.incarnation}", envelope.seq)

    def _link(self, routing_id: bytes, envelope: Envelope) -> Link | None:
        """The link this came by, made anew for a worker that is new; None for one of an earlier incarnation."""
        link = self._links.get(envelope.worker)
        if link is not None and envelope.incarnation < link.incarnation:
            return None
        if link is None or envelope.incarnation > link.incarnation:
            self.restarts += link is not None
            link = Link(routing_id, envelope.incarnation, self._loop.time())
            # Nothing says what an earlier relay had from this worker; what it sends from here on is whole.
            before = envelope.seq if envelope.kind == Kind.BEAT else envelope.seq - 1
            link.reader.start(envelope.incarnation, before)
            self._links[envelope.worker] = link
            self._presence.lose_worker(envelope.worker)
            self._send(envelope.worker, link, Kind.WELCOME, Class.CONTROL, link.stamp.last, b"")
            if envelope.worker.startswith("ws"):
                for body, kind_class in self._early:
                    self._send(envelope.worker, link, Kind.MESSAGE, kind_class, link.stamp.next(), body)
        return link

    def _count_loss(self, worker: str, link: Link) -> None:
        link.lost += 1
        log.warning("messages of a worker were lost", extra={"worker": worker, "times": link.lost})

    def _hand_out(self, kind: str, body: bytes, kind_class: str, sender: str = "") -> None:
        """To all workers here that read it. What an api worker tells the others does not come back to it."""
        self.relayed += 1
        if kind == Kind.MESSAGE:
            self._keep_early(body, kind_class)
        for worker, link in self._links.items():
            if worker.startswith(_READERS[kind]) and (kind == Kind.MESSAGE or worker != sender):
                self._send(worker, link, kind, kind_class, link.stamp.next(), body)

    def _pass_on(self, address: str, body: bytes, sender: str = "") -> None:
        """To the one worker it is for, here or on another node. What cannot go there comes back to its sender."""
        worker = addresses.worker_at(address, self._node_id)
        if worker is None and sender and self.interlink is not None and self.interlink.send_to(address, body):
            return
        name = worker if worker is not None and worker in self._links else sender
        link = self._links.get(name)
        if link is not None:
            self._send(name, link, Kind.TO_WORKER, Class.RELIABLE, link.stamp.next(), body)

    def _hand_to_one(self, body: bytes) -> None:
        """To one of the ws workers here, to each in its turn."""
        workers = sorted(worker for worker in self._links if worker.startswith("ws"))
        if workers:
            self._turn = (self._turn + 1) % len(workers)
            link = self._links[workers[self._turn]]
            self._send(workers[self._turn], link, Kind.TO_WORKER, Class.RELIABLE, link.stamp.next(), body)

    def _keep_early(self, body: bytes, kind_class: str) -> None:
        if self._loop.time() >= self._early_until:
            self._early.clear()
            return
        self._early.append((body, kind_class))
        self._early_bytes += len(body)
        while self._early_bytes > _EARLY_BYTES:
            self._early_bytes -= len(self._early.popleft()[0])

    def _publish(self, message: Message) -> None:
        """To the workers here only."""
        self._hand_out(kind_of(message), events.bundle([events.encode(message)]), class_of(message))
        self._inbox.look_soon()

    def publish(self, message: Message) -> None:
        """See `app.ports.Publisher`: what this process itself has to tell."""
        if isinstance(message, Presence):
            self._presence.restate(message)
        else:
            self._publish(message)
        if self.interlink is not None:
            self.interlink.publish(kind_of(message), class_of(message), events.bundle([events.encode(message)]))

    def is_a_worker_missing(self) -> bool:
        """Whether some worker has not been heard of for a while."""
        return self._loop.time() - self._began >= _START_S and not self._workers <= self._links.keys()

    # What comes from other nodes: `interlink.Sink` --------------------------------------------------------------------

    def deliver(self, envelope: Envelope, body: bytes) -> None:
        """See `Sink`."""
        self._inbox.look_soon()
        match envelope.kind:
            case Kind.MESSAGE | Kind.API_MESSAGE:
                self._hand_out(envelope.kind, body, envelope.kind_class)
            case Kind.PRESENCE:
                self._presence.take(f"{envelope.origin}/{envelope.worker}", body)
            case Kind.TO_WORKER:
                self._pass_on(envelope.request_id, body)
            case Kind.TO_ELSEWHERE:
                self._hand_to_one(body)
            case _:
                self._learner.take(envelope, body)

    def lost(self, node_id: str, reason: str) -> None:
        """See `Sink`."""
        self._learner.forget(f"{node_id}: {reason}")

    def _forgotten(self) -> None:
        """No copy counts any more: every ws worker reads anew."""
        self._leave_holes()
        self._distrust()

    def note_changes(self, poll: Poll | None) -> None:
        """What a poll of the outbox found: sockets depend on some of it. None: anything may have changed."""
        if poll is None:
            self._leave_holes()
            return
        for at in range(0, len(poll.heads), _PAIRS):
            self._publish(events.Moved(tuple(poll.heads[at : at + _PAIRS])))
        self._moved.append((self._loop.time(), tuple(poll.heads)))
        self.tell_who_has_no_master()
        pairs = [change for change in poll.changes if change[0] in OF_SOCKETS]
        for at in range(0, len(pairs), _PAIRS):
            self._publish(events.Changed(tuple(pairs[at : at + _PAIRS])))
        users = [UserId(key) for namespace, key in poll.changes if namespace == Namespace.STATUS]
        if users and self.interlink is not None and self.interlink.is_disturbed():
            self._presence.restate_held_here(users)

    def tell_who_has_no_master(self) -> None:
        """See `Sink`. Nobody else tells them of a channel's last event, if that is what they lack."""
        while self._moved and self._loop.time() - self._moved[0][0] > _TOLD_S:
            self._moved.popleft()
        if self.interlink is None or not masters.is_lost_by_a_peer(self.interlink.mesh):
            return
        heads: dict[str, int] = {}
        for _, found in self._moved:
            heads.update(found)
        pairs = list(heads.items())
        for at in range(0, len(pairs), _PAIRS):
            body = events.bundle([events.encode(events.Moved(tuple(pairs[at : at + _PAIRS])))])
            self.interlink.publish(Kind.MESSAGE, Class.RELIABLE, body)

    def _is_ours(self, worker: str) -> bool:
        """Whether it is for this node to store what this worker's reports lead to."""
        node_id, of_peer, _ = worker.partition("/")
        return not of_peer or (self.interlink is not None and self.interlink.is_heir_of(node_id))

    def _leave_holes(self) -> None:
        """A number that is never sent, in the stream of each ws worker: it reads anew what its sockets depend on."""
        for worker, link in self._links.items():
            if worker.startswith("ws"):
                link.stamp.next()
                self._send(worker, link, Kind.BEAT, Class.CONTROL, link.stamp.last, b"")

    def through(self, worker: str, ticket: int) -> None:
        """See `Sink`. A ticket of a worker's earlier life says nothing about those of its successor."""
        name, _, incarnation = worker.rpartition("/")
        link = self._links.get(name)
        if link is not None and str(link.incarnation) == incarnation:
            self._send(name, link, Kind.ACK, Class.CONTROL, ticket, b"")
            self._inbox.look_soon()

    async def asked(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """See `Sink`."""
        if self._operate is None:
            return {"ok": False, "error": "this node does nothing for others"}
        return await self._operate(command, arguments)

    def met(self, _node_id: str) -> None:
        """See `Sink`. Who begins to hear us is told whom our workers hold."""
        assert self.interlink is not None
        for worker in self._links:
            if worker.startswith("ws"):
                body = events.bundle([events.encode(self._presence.held_by(worker))])
                self.interlink.publish(Kind.PRESENCE, Class.RELIABLE, body, worker=worker)

    def joined(self) -> None:
        """See `Sink`. What the others committed before they heard of us, they did not tell."""
        self._distrust()

    def moved(self, change: Move) -> None:
        """See `Sink`. Whom a dead node held has no connection there any more."""
        if change.after in (Liveness.DOWN, Liveness.LEFT):
            gone_s = DOWN_S + 2 * BEAT_S if change.after is Liveness.DOWN else 0.0
            self._presence.lose_node(change.node_id, gone_s)
            self._poll_now()

    def _send(self, worker: str, link: Link, kind: str, kind_class: str, seq: int, body: bytes) -> None:
        if self._socket.closed:  # the node stops, and its peers go on talking
            return
        envelope = Envelope("", self._node_id, self._incarnation, seq, kind, kind_class, worker=worker)
        try:
            send(self._socket, link.routing_id, pack(envelope), body)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise
            self.dropped += 1

    async def _beat_for_ever(self) -> None:
        turned = self._loop.time()
        while True:
            self._page.beat()
            now = self._loop.time()
            self.late_turns += now - turned >= BEAT_S + _LATE_S
            turned = now
            for worker, link in list(self._links.items()):
                if now - link.last_heard > _GONE_S:
                    del self._links[worker]
                    self.late_turns += 1
                    self._presence.lose_worker(worker)
                else:
                    self._send(worker, link, Kind.BEAT, Class.CONTROL, link.stamp.last, b"")
            self._inbox.look()
            await asyncio.sleep(BEAT_S)
