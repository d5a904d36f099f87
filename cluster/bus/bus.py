"""A worker's end of the bus: one DEALER to its node's relay, over ipc.

Fast path only: a send never blocks, a full queue loses the message and counts it. The first message of a turn of the
loop goes at once, the others of that turn together, as one bundle for each class. What the relay sends is numbered; a
gap, a new relay or a silent one means that something may be lost, and `on_loss` is told so. With high availability on
it also tells of commits, and waits until the other nodes know of them.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

import msgspec
import zmq

from app.events import messages as events
from app.events import names
from app.events.messages import Admitted, Event, EverySessionClosed, Message, Presence, SessionClosed
from cluster.bus.changes import Teller
from cluster.bus.envelope import MAX_BODY_BYTES, BadEnvelope, Class, Envelope, Kind, pack, unpack
from cluster.bus.inbox import Inbox
from cluster.bus.sequence import Reader, Stamp, Verdict
from db.model.board import Term
from db.model.shards import Shard

log = logging.getLogger(__name__)

BEAT_S = 0.5
# Plain numbers: pyzmq's flags make a new enum member with every `|`, which costs more than the send.
_LAST, _MORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)
_HIGH_WATER = 100_000
_BUNDLE_HEAD_BYTES = 3


def class_of(message: Message) -> Class:
    """How much a message matters."""
    if isinstance(message, (SessionClosed, EverySessionClosed)):
        return Class.SECURITY
    if isinstance(message, Admitted) or (isinstance(message, Event) and message.name in names.BEST_EFFORT):
        return Class.BEST_EFFORT
    return Class.RELIABLE


def kind_of(message: Message) -> Kind:
    """For whom it is."""
    if isinstance(message, Admitted):
        return Kind.API_MESSAGE
    return Kind.PRESENCE if isinstance(message, Presence) else Kind.MESSAGE


def send(socket: "zmq.Socket[bytes]", *frames: bytes) -> None:
    """Send one message of several frames. Raises zmq.Again when the queue is full."""
    for frame in frames[:-1]:
        socket.send(frame, _MORE)
    socket.send(frames[-1], _LAST)


class Outgoing:
    """What was published in this turn of the loop, as bundles. Sans-I/O.

    Messages of a kind and class keep their order, and no bundle is larger than a body may be.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[Kind, Class], list[bytes]] = {}
        self._size = 0

    def add(self, kind: Kind, kind_class: Class, message: bytes) -> bool:
        """Take an encoded message along; False when there is no more room: `take` first."""
        size = self._size + len(message)
        if self._open and size > MAX_BODY_BYTES - _BUNDLE_HEAD_BYTES:
            return False
        self._size = size
        self._open.setdefault((kind, kind_class), []).append(message)
        return True

    def take(self) -> list[tuple[Kind, Class, int, bytes]]:
        """(kind, class, how many messages, body) of each bundle; those that began first come first."""
        taken = [(*key, len(messages), events.bundle(messages)) for key, messages in self._open.items()]
        self._open.clear()
        self._size = 0
        return taken


class BusEnd:
    """Fulfils `app.ports.Bus`."""

    def __init__(
        self,
        address: str,
        *,
        node_id: str,
        worker: str,
        incarnation: int,
        on_messages: Callable[[Sequence[Message]], None],
        on_loss: Callable[[], None],
    ) -> None:
        self._node_id = node_id
        self._worker = worker
        self._incarnation = incarnation
        self._on_messages = on_messages
        self._on_loss = on_loss
        self._outgoing = Outgoing()
        self._in_turn = False
        self._unknown: set[str] = set()
        self._stamp = Stamp()
        self._reader = Reader()
        self._welcomed = False
        self.teller = Teller(self._tell)
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.ROUTING_ID, f"{worker}/{incarnation}".encode())
        self._socket.set(zmq.SNDHWM, _HIGH_WATER)
        self._socket.set(zmq.RCVHWM, _HIGH_WATER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.RECONNECT_IVL, 20)
        self._socket.set(zmq.RECONNECT_IVL_MAX, 200)
        self._socket.connect(address)
        self._came: list[Message] = []
        self._inbox = Inbox(self._socket, self._take, self._hand_over)
        self._inbox.start()
        self._beater = self._loop.call_soon(self._beat)

    def publish(self, message: Message) -> None:
        """See `app.ports.Bus`."""
        encoded = events.encode(message)
        if len(encoded) > MAX_BODY_BYTES - _BUNDLE_HEAD_BYTES:
            log.warning("a message is too large for the bus", extra={"bytes": len(encoded)})
            self.dropped += 1
            return
        kind, kind_class = kind_of(message), class_of(message)
        if not self._outgoing.add(kind, kind_class, encoded):
            self._flush()
            self._outgoing.add(kind, kind_class, encoded)
        first = not self._in_turn
        if first:
            self._in_turn = True
            self._loop.call_soon(self._end_turn)
        # A lone message is on its way before its answer; so is, always, who belongs where: what follows may come by
        # another worker.
        if first or not isinstance(message, (Event, Presence)):
            self._flush()

    def send_to(self, address: str, message: Message) -> bool:
        """See `app.ports.Bus`."""
        body = events.bundle([events.encode(message)])
        if len(body) > MAX_BODY_BYTES:
            return False
        self._flush()  # what was published before goes first
        self._send(Kind.TO_WORKER, Class.RELIABLE, self._stamp.next(), body, 1, request_id=address)
        return True

    def ask_elsewhere(self, message: Message) -> None:
        """See `app.ports.Bus`."""
        body = events.bundle([events.encode(message)])
        self._send(Kind.TO_ELSEWHERE, Class.RELIABLE, self._stamp.next(), body, 1)

    @property
    def wants_position(self) -> bool:
        """See `db.pool.queryable.Commits`."""
        return self.teller.wants_position

    async def committed(self, changed: Collection[Shard], position: int, term: Term) -> None:
        """See `db.pool.queryable.Commits`."""
        self._flush()
        await self.teller.committed(changed, position, term)

    def _tell(self, body: bytes, db_gen: str, position: str) -> int:
        seq = self._stamp.next()
        self._send(Kind.CHANGED, Class.RELIABLE, seq, body, db_gen=db_gen, position=position)
        return seq

    def close(self) -> None:
        """Send no more; what waits is given up."""
        self._beater.cancel()
        self._inbox.close()
        self._context.term()

    def _end_turn(self) -> None:
        self._in_turn = False
        self._flush()

    def _flush(self) -> None:
        if self._socket.closed:
            return
        for kind, kind_class, number, body in self._outgoing.take():
            self._send(kind, kind_class, self._stamp.next(), body, number)

    def _send(
        self,
        kind: Kind,
        kind_class: Class,
        seq: int,
        body: bytes,
        number: int = 0,
        *,
        db_gen: str = "",
        position: str = "",
        request_id: str = "",
    ) -> None:
        envelope = Envelope(
            "", self._node_id, self._incarnation, seq, kind, kind_class, db_gen, position, self._worker, request_id
        )
        try:
            send(self._socket, pack(envelope), body)
        except zmq.Again:
            self.dropped += number
            return
        self._inbox.look_soon()

    def _beat(self) -> None:
        self._send(Kind.BEAT, Class.CONTROL, self._stamp.last, b"")
        self._beater = self._loop.call_later(BEAT_S, self._beat)

    def _take(self, frames: list[bytes]) -> None:
        self._came.extend(self._receive(frames))

    def _hand_over(self) -> None:
        if self._came:
            messages, self._came = self._came, []
            self._on_messages(messages)

    def _receive(self, frames: list[bytes]) -> Sequence[Message]:
        """What it says to us."""
        try:
            header, body = frames
            envelope = unpack(header)
        except (ValueError, BadEnvelope):
            log.warning("the bus brought something that is no envelope")
            return ()
        if envelope.kind == Kind.WELCOME:
            again = self._welcomed
            self._welcomed = True
            self._reader.start(envelope.incarnation, envelope.seq)
            if again:
                self._on_loss()
        elif envelope.kind == Kind.BEAT:
            if self._reader.see_tail(envelope.incarnation, envelope.seq) is Verdict.GAP:
                self._on_loss()
        elif envelope.kind == Kind.ACK:
            self.teller.through(envelope.seq)
        elif envelope.kind in (Kind.MESSAGE, Kind.API_MESSAGE, Kind.TO_WORKER):
            verdict = self._reader.see(envelope.incarnation, envelope.seq)
            if verdict is Verdict.DUPLICATE:
                return ()
            if verdict is Verdict.GAP:
                self._on_loss()
            return self._read(body, envelope.kind_class)
        return ()

    def _read(self, body: bytes, kind_class: str) -> Sequence[Message]:
        """What this version understands. What a later one has besides is none of ours, unless it is about security."""
        try:
            messages, unread = events.read(body)
        except msgspec.MsgspecError:
            messages, unread = [], [""]
        if any(kind in events.TAGS or not kind for kind in unread) or (unread and kind_class == Class.SECURITY):
            log.warning("the bus brought messages that cannot be read", extra={"kinds": ", ".join(unread)})
            self._on_loss()
        for kind in set(unread) - self._unknown - events.TAGS - {""}:
            self._unknown.add(kind)
            log.warning("messages of a kind are left out: a later version has it", extra={"kind": kind})
        return messages
