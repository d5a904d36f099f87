"""A worker's end of the bus: one DEALER to its node's relay, over ipc.

Fast path only: a send never blocks, a full queue loses the message and counts it. What the relay sends is numbered; a
gap, a new relay or a silent one means that something may be lost, and `on_loss` is told so.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec
import zmq

from app import events
from app.events import Event, Message, Presence, SessionClosed
from cluster.envelope import MAX_BODY_BYTES, BadEnvelope, Class, Envelope, Kind, pack, unpack
from cluster.sequence import Reader, Stamp, Verdict

log = logging.getLogger(__name__)

BEAT_S = 0.5
_HIGH_WATER = 100_000
_MAX_PER_TURN = 512


def class_of(message: Message) -> Class:
    """How much a message matters."""
    if isinstance(message, SessionClosed):
        return Class.SECURITY
    if isinstance(message, Event) and message.name in events.BEST_EFFORT:
        return Class.BEST_EFFORT
    return Class.RELIABLE


class BusEnd:
    """Fulfils `app.ports.Bus`."""

    def __init__(
        self,
        address: str,
        *,
        node_id: str,
        worker: str,
        incarnation: int,
        on_message: Callable[[Message], None],
        on_loss: Callable[[], None],
    ) -> None:
        self._node_id = node_id
        self._worker = worker
        self._incarnation = incarnation
        self._on_message = on_message
        self._on_loss = on_loss
        self._stamp = Stamp()
        self._reader = Reader()
        self._welcomed = False
        self._look_due = False
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
        self._loop.add_reader(self._socket.FD, self._drain)
        self._beater = self._loop.call_soon(self._beat)

    def publish(self, message: Message) -> None:
        """See `app.ports.Bus`."""
        body = events.encode(message)
        if len(body) > MAX_BODY_BYTES:
            log.warning("a message is too large for the bus", extra={"bytes": len(body)})
            self.dropped += 1
            return
        kind = Kind.PRESENCE if isinstance(message, Presence) else Kind.MESSAGE
        self._send(kind, class_of(message), self._stamp.next(), body)

    def close(self) -> None:
        """Send no more; what waits is given up."""
        self._beater.cancel()
        self._loop.remove_reader(self._socket.FD)
        self._socket.close()
        self._context.term()

    def _send(self, kind: Kind, kind_class: Class, seq: int, body: bytes) -> None:
        envelope = Envelope("", self._node_id, self._incarnation, seq, kind, kind_class, worker=self._worker)
        try:
            self._socket.send_multipart([pack(envelope), body], zmq.DONTWAIT, copy=True)
        except zmq.Again:
            self.dropped += 1
            return
        if not self._look_due:  # the descriptor is edge-triggered and a send may have eaten the edge
            self._look_due = True
            self._loop.call_soon(self._drain)

    def _beat(self) -> None:
        self._send(Kind.BEAT, Class.CONTROL, self._stamp.last, b"")
        self._beater = self._loop.call_later(BEAT_S, self._beat)

    def _drain(self) -> None:
        self._look_due = False
        for _ in range(_MAX_PER_TURN):
            if self._socket.closed:
                return
            try:
                frames = self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            self._receive(frames)
        self._loop.call_soon(self._drain)

    def _receive(self, frames: list[bytes]) -> None:
        try:
            header, body = frames
            envelope = unpack(header)
        except (ValueError, BadEnvelope):
            log.warning("the bus brought something that is no envelope")
            return
        if envelope.kind == Kind.WELCOME:
            again = self._welcomed
            self._welcomed = True
            self._reader.start(envelope.incarnation, envelope.seq)
            if again:
                self._on_loss()
        elif envelope.kind == Kind.BEAT:
            if self._reader.see_tail(envelope.incarnation, envelope.seq) is Verdict.GAP:
                self._on_loss()
        elif envelope.kind == Kind.MESSAGE:
            verdict = self._reader.see(envelope.incarnation, envelope.seq)
            if verdict is Verdict.DUPLICATE:
                return
            if verdict is Verdict.GAP:
                self._on_loss()
            try:
                message = events.decode(body)
            except msgspec.MsgspecError:
                log.warning("the bus brought a message that cannot be read")
                return
            self._on_message(message)
