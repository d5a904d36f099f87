"""Who may connect to this node's sockets: CURVE keys, and the ZAP 1.0 handler that admits or refuses them (RFC 27).

    libzmq (its I/O thread) ── inproc://zeromq.zap.01 ──> Gate: a key of a member? ──> 200 and the node's id, or 300

Facts of libzmq 4.3.5 that this file stands on (measured):

- A CURVE server without a handler admits every key. So a `Gate` is made before any socket, refuses to start without
  CURVE, and every server socket insists on one (ZAP_ENFORCE_DOMAIN).
- A client that is answered 400 never connects again; one that is answered 300 tries again when its own handshake times
  out. A joining node is often here before its row was read, so an unknown key is answered 300, and clients set
  HANDSHAKE_IVL to 1 s (30 s by default).
- An admitted connection stays when its key is taken back: publishers have to bind anew.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import zmq
import zmq.utils.z85

from cluster.bus.inbox import Inbox
from cluster.peers.keyring import fingerprint

log = logging.getLogger(__name__)

DOMAIN = b"cluster"
HANDSHAKE_MS = 1000
_ADDRESS = "inproc://zeromq.zap.01"
_SAY_SO_EVERY_S = 10.0
_NEW_S = 5.0
_MAX_UNKNOWN = 1000
_MAX_PER_TURN = 64
_KEY_BYTES = 32
# RFC 27: a request of CURVE has 6 frames and the key; behind ROUTER's routing id and the empty delimiter.
_FRAMES = 9


class NoCurve(Exception):
    """This libzmq cannot encrypt: a node of a cluster must not run with it."""


@dataclass(frozen=True)
class KeyPair:
    """Of CURVE, Z85; fresh at every start of a supervisor. The secret half is never shown."""

    public: str
    secret: str = field(repr=False)

    @staticmethod
    def fresh() -> "KeyPair":
        """A new pair. Raises NoCurve."""
        _check_curve()
        public, secret = zmq.curve_keypair()
        return KeyPair(public.decode(), secret.decode())


class Gate:
    """The ZAP handler of one context. Make it before the first socket that binds; close it after the last.

    on_unknown: a key was refused that no member has: the table is to be read again (the caller limits how often).
    """

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", on_unknown: Callable[[], None]) -> None:
        _check_curve()
        self._on_unknown = on_unknown
        self._node_of: dict[str, str] = {}
        self._loop = asyncio.get_running_loop()
        self._said_at = -_SAY_SO_EVERY_S
        self._unsaid = 0
        self._unknown_since: dict[str, float] = {}
        """When each unknown key first came. One that has just registered is known a moment later."""
        self.admitted = 0
        self.refused = 0
        self._socket = context.socket(zmq.ROUTER)
        self._socket.set(zmq.LINGER, 0)
        try:
            self._socket.bind(_ADDRESS)
        except zmq.ZMQError:
            self._socket.close()
            raise
        self._inbox = Inbox(self._socket, self._answer, per_turn=_MAX_PER_TURN)
        self._inbox.start()

    def allow(self, node_of_key: Mapping[str, str]) -> None:
        """From now on admit exactly these public keys (Z85), each as the node of this id."""
        self._node_of = dict(node_of_key)
        for key in node_of_key:
            self._unknown_since.pop(key, None)

    def close(self) -> None:
        """Answer no more; sockets of the context admit nobody then."""
        self._inbox.close()

    def _answer(self, frames: list[bytes]) -> None:
        if len(frames) < _FRAMES - 1 or frames[2] != b"1.0":
            return  # no request of libzmq's: it would not understand an answer
        asker, number, domain, address, mechanism = frames[0], frames[3], frames[4], frames[5], frames[7]
        status, text, node_id, key = b"400", b"not allowed", "", ""
        if domain == DOMAIN and mechanism == b"CURVE" and len(frames) == _FRAMES and len(frames[8]) == _KEY_BYTES:
            key = zmq.utils.z85.encode(frames[8]).decode()
            node_id = self._node_of.get(key, "")
            status, text = (b"200", b"member") if node_id else (b"300", b"unknown key")
        if node_id:
            self.admitted += 1
        else:
            self._refuse(address, mechanism, key)
        try:
            self._socket.send_multipart([asker, b"", b"1.0", number, status, text, node_id.encode(), b""], zmq.DONTWAIT)
        except zmq.Again:
            log.warning("the answer to a connecting peer was lost; it will try again")

    def _refuse(self, address: bytes, mechanism: bytes, key: str) -> None:
        self.refused += 1
        self._unsaid += 1
        now = self._loop.time()
        since = self._unknown_since.setdefault(key, now) if key else float("-inf")
        if len(self._unknown_since) > _MAX_UNKNOWN:
            del self._unknown_since[next(iter(self._unknown_since))]
        if now - since >= _NEW_S and now - self._said_at >= _SAY_SO_EVERY_S:
            log.warning(
                "a connection to the cluster's port is refused: no registered member has this key, so it is a node that"
                " was taken out, that others do not list, or that has another ClusterSettings.Secret, or somebody else",
                extra={
                    "address": address.decode("ascii", "replace"),
                    "mechanism": mechanism.decode("ascii", "replace"),
                    "key": fingerprint(key) if key else "-",
                    "refused_since_last_said": self._unsaid,
                },
            )
            self._said_at, self._unsaid = now, 0
        if key:
            self._on_unknown()


def as_server(socket: "zmq.Socket[bytes]", keys: KeyPair) -> None:
    """Let only members connect to this socket, encrypted. Before `bind`; its context needs a `Gate`."""
    socket.set(zmq.CURVE_SERVER, 1)
    socket.set(zmq.CURVE_SECRETKEY, keys.secret.encode())
    socket.set(zmq.ZAP_DOMAIN, DOMAIN)
    socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
    socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)


def as_client(socket: "zmq.Socket[bytes]", keys: KeyPair, server_key: str) -> None:
    """Connect encrypted, and only to the one who has the secret half of `server_key` (Z85). Before `connect`.

    The options hold for the connections that follow: call it again before connecting to another peer.
    """
    socket.set(zmq.CURVE_SERVERKEY, server_key.encode())
    socket.set(zmq.CURVE_PUBLICKEY, keys.public.encode())
    socket.set(zmq.CURVE_SECRETKEY, keys.secret.encode())
    socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)


def _check_curve() -> None:
    if not zmq.has("curve"):
        raise NoCurve("this libzmq was built without CURVE (libsodium): nodes cannot prove to each other who they are")
