"""The sockets between nodes: encrypted by CURVE, open to members only.

    PUB  reliable lane    listen port         every peer's SUB connects
    PUB  lossy lane       listen port + 1     the same SUB
    ROUTER                listen port + 2     every peer's DEALER connects; we only read it

A SUB hears one peer alone, because it connects to that peer's key; who speaks by the ROUTER is told by ZAP. So no peer
can speak for another. Sends never block; what a full queue loses is found by the numbers.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import zmq

from cluster.bus.envelope import MAX_BODY_BYTES, BadEnvelope, Envelope, unpack
from cluster.bus.inbox import Inbox
from cluster.peers.zap import KeyPair, as_client, as_server
from cluster.sockets.listen import AddressInUse

log = logging.getLogger(__name__)

TOPIC = b"*"
_RELIABLE_HWM, _LOSSY_HWM = 100_000, 1_000
_BIND_TRIES, _BIND_EVERY_S = 100, 0.02
# Plain numbers: pyzmq's flags make a new enum member with every `|`.
_LAST, _MORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)

Handler = Callable[[str, Envelope, bytes], None]


@dataclass
class _Remote:
    """Our two sockets to a peer."""

    address: tuple[str, int]
    key: str
    sub: Inbox
    dealer: "zmq.Socket[bytes]"
    dropped: int = 0


class Links:
    """on_broadcast, on_direct: (peer, envelope, body); after: called when a socket has been read empty."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        keys: KeyPair,
        listen: tuple[str, int],
        *,
        on_broadcast: Handler,
        on_direct: Handler,
        after: Callable[[], None],
    ) -> None:
        self._context = context
        self._keys = keys
        self._listen = listen
        self._on_broadcast = on_broadcast
        self._on_direct = on_direct
        self._after = after
        self._remotes: dict[str, _Remote] = {}
        self.dropped = 0
        self._open()
        try:
            self._bind()
        except zmq.ZMQError as error:
            raise AddressInUse(f"ClusterSettings.InterNodeListenAddress = {listen[0]}:{listen[1]}: {error}") from error

    def _open(self) -> None:
        self._reliable = self._context.socket(zmq.PUB)
        self._lossy = self._context.socket(zmq.PUB)
        self._router = self._context.socket(zmq.ROUTER)
        self._direct = Inbox(self._router, self._take_direct, self._after, copy=False)

    def _bind(self) -> None:
        host, port = self._listen
        for socket, number, high_water in (
            (self._reliable, port, _RELIABLE_HWM),
            (self._lossy, port + 1, _LOSSY_HWM),
            (self._router, port + 2, _RELIABLE_HWM),
        ):
            _set_up(socket, high_water)
            as_server(socket, self._keys)
            socket.bind(_endpoint(host or "*", number))
        self._direct.start()

    async def rebind(self) -> None:
        """End all connections that others have to us: a member was removed, and ZAP looks at new ones only.

        What is sent until the ports are ours again is lost, and repaired.
        """
        self._unbind()
        self._open()
        for _ in range(_BIND_TRIES):
            try:
                self._bind()
                return
            except zmq.ZMQError as error:
                if error.errno != zmq.EADDRINUSE:
                    raise
                self._unbind()
                self._open()
                await asyncio.sleep(_BIND_EVERY_S)
        self._bind()

    def connect(self, peer: str, address: tuple[str, int], key: str) -> None:
        """Hear this peer and speak to it, by this address and key; anew when either has changed."""
        remote = self._remotes.get(peer)
        if remote is not None:
            if (remote.address, remote.key) == (address, key):
                return
            self.disconnect(peer)
        host, port = address
        sub = self._client(zmq.SUB, key)
        sub.set(zmq.SUBSCRIBE, TOPIC)
        sub.connect(_endpoint(host, port))
        sub.connect(_endpoint(host, port + 1))
        dealer = self._client(zmq.DEALER, key)
        dealer.set(zmq.IMMEDIATE, 1)
        dealer.connect(_endpoint(host, port + 2))
        broadcasts = Inbox(sub, partial(self._take_broadcast, peer), self._after)
        self._remotes[peer] = _Remote(address, key, broadcasts, dealer)
        broadcasts.start()

    def _client(self, kind: int, server_key: str) -> "zmq.Socket[bytes]":
        socket = self._context.socket(kind)
        _set_up(socket, _RELIABLE_HWM)
        as_client(socket, self._keys, server_key)
        return socket

    def disconnect(self, peer: str) -> None:
        """Hear and speak to it no more."""
        remote = self._remotes.pop(peer, None)
        if remote is not None:
            remote.sub.close()
            remote.dealer.close()

    def peers(self) -> list[str]:
        """Whom we are connected to, or try to be."""
        return list(self._remotes)

    def broadcast(self, header: bytes, body: bytes, *, lossy: bool) -> None:
        """To all."""
        socket = self._lossy if lossy else self._reliable
        try:
            socket.send(TOPIC, _MORE)
            socket.send(header, _MORE)
            socket.send(body, _LAST)
        except zmq.Again:
            self.dropped += 1

    def direct(self, peer: str, header: bytes, body: bytes) -> None:
        """To one; lost when it is not connected."""
        remote = self._remotes.get(peer)
        if remote is None:
            return
        try:
            remote.dealer.send(header, _MORE)
            remote.dealer.send(body, _LAST)
        except zmq.Again:
            remote.dropped += 1

    def close(self) -> None:
        """Close everything; the context is the caller's."""
        for peer in list(self._remotes):
            self.disconnect(peer)
        self._unbind()

    def _unbind(self) -> None:
        self._direct.close()
        for socket in (self._reliable, self._lossy):
            socket.close()

    # What comes ----------------------------------------------------------------------------------------------------

    def _take_broadcast(self, peer: str, frames: list[bytes]) -> None:
        if len(frames) == 3:
            self._hand(self._on_broadcast, peer, frames[1], frames[2])
        else:
            log.warning("a node sent something that is no message", extra={"node": peer})

    def _take_direct(self, frames: list[zmq.Frame]) -> None:
        if len(frames) == 3:
            self._hand(self._on_direct, _user_of(frames[2]), frames[1].bytes, frames[2].bytes)
        else:
            log.warning("a node sent something that is no message")

    def _hand(self, handler: Handler, peer: str, header: bytes, body: bytes) -> None:
        try:
            envelope = unpack(header)
        except BadEnvelope as error:
            log.warning("a node sent something that is no envelope", extra={"node": peer, "reason": str(error)})
            return
        if len(body) > MAX_BODY_BYTES:
            log.warning("a node sent too large a message", extra={"node": peer, "bytes": len(body)})
            return
        handler(peer, envelope, body)


def _user_of(frame: zmq.Frame) -> str:
    """The node that ZAP found to own the key of the connection."""
    return str(frame.get("User-Id"))


def _set_up(socket: "zmq.Socket[bytes]", high_water: int) -> None:
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SNDHWM, high_water)
    socket.set(zmq.RCVHWM, high_water)
    socket.set(zmq.MAXMSGSIZE, 1 << 20)
    socket.set(zmq.IPV6, 1)
    socket.set(zmq.HEARTBEAT_IVL, 500)
    socket.set(zmq.HEARTBEAT_TIMEOUT, 1500)
    socket.set(zmq.RECONNECT_IVL, 100)
    socket.set(zmq.RECONNECT_IVL_MAX, 1000)
    # What began while nothing got through would wait for the kernel's next SYN: 16 s after a cut of 15.
    socket.set(zmq.CONNECT_TIMEOUT, 2000)


def _endpoint(host: str, port: int) -> str:
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
