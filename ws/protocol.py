"""The WebSocket protocol, sans-I/O: handshake, frames, requests, limits.

Bytes in, outputs out; nothing here waits or writes. wsproto keeps the RFC (`frames.py`); on top of it come Mattermost's
requests (`{"seq":n,"action":A,"data":{}}`) and our limits: 8 KiB a message, so many frames (`allowance.py`), text only.

    HANDSHAKE ──accepted──> OPEN ──close from either side──> CLOSED
        └────────refused───────────────────────────────────────┘
"""

import contextlib
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import msgspec
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from db.model.ids import is_id
from ws.allowance import KNOWN, UNKNOWN, Allowance
from ws.close import Close
from ws.frames import Excess, Frames

MAX_MESSAGE_BYTES = 8192
MAX_HEAD_BYTES = 32_768
_END_OF_HEAD = b"\r\n\r\n"


class State(Enum):
    """Where a connection is in its life."""

    HANDSHAKE = "waiting for a whole upgrade request"
    OPEN = "frames go both ways"
    CLOSED = "over; whatever still arrives is ignored"


@dataclass(frozen=True)
class Write:
    """Bytes to send as they are."""

    data: bytes


@dataclass(frozen=True)
class Opened:
    """The handshake is done. connection_id, sequence: what the client wants to resume ('' and None: nothing).

    acknowledges: it says of which posts it has notified its user.
    """

    connection_id: str
    sequence: int | None
    acknowledges: bool = False


@dataclass(frozen=True)
class Asked:
    """A request of the client. data: without what is null, which is as if it were not given, as in REST."""

    seq: int
    action: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """Close the transport, after what was written has gone."""

    reason: str


@dataclass(frozen=True)
class PongReceived:
    """The client is alive."""


Output = Write | Opened | Asked | Ended | PongReceived


class _Request(msgspec.Struct):
    seq: int = 0
    action: str = ""
    data: dict[str, Any] | None = None


_decode_request = msgspec.json.Decoder(_Request).decode


class Connection:
    """The server's end of one WebSocket."""

    __slots__ = (
        "_frames", "_head", "_message", "_message_bytes", "_upgrade", "state",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.state = State.HANDSHAKE
        self._upgrade: WSConnection | None = WSConnection(ConnectionType.SERVER)
        self._frames = Frames(Allowance(UNKNOWN, now))
        self._head = b""
        self._message: list[str] = []
        self._message_bytes = 0

    def know(self, now: float) -> None:
        """It is known who the client is: it may send more from now on."""
        self._frames.allowance.widen(KNOWN, now)

    def charge(self, frames: float) -> bool:
        """Count a request as so many frames more; False: it is more than the client may send."""
        return self._frames.allowance.charge(frames)

    def receive(self, data: bytes, now: float) -> list[Output]:
        """Bytes of the client at time `now` (s, monotonic); what is to be done, in order."""
        outputs: list[Output] = []
        if self._upgrade is not None:
            data = self._handshake(self._upgrade, data, outputs)
        if data and self.state is State.OPEN:
            self._feed(data, outputs, now)
        return outputs

    def _handshake(self, upgrade: WSConnection, data: bytes, outputs: list[Output]) -> bytes:
        """Complete the handshake if its request is whole; what follows it, which wsproto would drop."""
        self._head += data
        end = self._head.find(_END_OF_HEAD)
        if end < 0 and len(self._head) <= MAX_HEAD_BYTES:
            return b""
        end = len(self._head) if end < 0 else end + len(_END_OF_HEAD)
        head, rest = self._head[:end], self._head[end:]
        self._head = b""
        self._upgrade = None
        try:
            upgrade.receive_data(head)
            request = next(upgrade.events(), None)
        except (RemoteProtocolError, UnicodeError) as error:  # the latter: not ASCII, or no name of a host
            self._reject(outputs, getattr(error, "event_hint", None))
            return b""
        if isinstance(request, Request):
            self._open(upgrade, request, outputs)
        else:
            self._reject(outputs, None)
        return rest

    def _feed(self, data: bytes, outputs: list[Output], now: float) -> None:
        for event in self._frames.receive(data, now):
            self._handle(event, outputs)
            if self._over():
                return

    def _over(self) -> bool:
        return self.state is State.CLOSED

    def ping(self) -> bytes:
        """A ping to send; b'' when the connection is not open."""
        return self._frames.send(Ping(b"")) if self.state is State.OPEN else b""

    def close(self, code: Close) -> bytes:
        """A close frame to send before the transport is closed; b'' when the connection is not open."""
        outputs: list[Output] = []
        if self.state is State.OPEN:
            self._close(outputs, code, "")
        return b"".join(output.data for output in outputs if isinstance(output, Write))

    def _handle(self, event: object, outputs: list[Output]) -> None:
        match event:
            case str():
                self._ask(event, outputs)
            case TextMessage() | BytesMessage():
                self._take(event, outputs)
            case Ping():
                outputs.append(Write(self._frames.send(event.response())))
            case Pong():
                outputs.append(PongReceived())
            case Excess():
                self._close(outputs, Close.POLICY_VIOLATION, "too many frames")
            case CloseConnection():  # the client's, or wsproto's because the client broke the RFC
                self.state = State.CLOSED
                outputs.append(Write(self._frames.send(event.response())))
                outputs.append(Ended("closed by the client, or for what it sent"))

    def _open(self, upgrade: WSConnection, request: Request, outputs: list[Output]) -> None:
        query = parse_qs(request.target.partition("?")[2].partition("#")[0], keep_blank_values=True)
        connection_id = query.get("connection_id", [""])[0]
        number = query.get("sequence_number", [""])[0]
        outputs.append(Write(upgrade.send(AcceptConnection())))
        if connection_id and (not is_id(connection_id) or not number.isdecimal() or not number.isascii()):
            # websocket.md, reliable reconnect, case 2: closed without a frame.
            self.state = State.CLOSED
            outputs.append(Ended("connection_id or sequence_number is malformed"))
            return
        self.state = State.OPEN
        acknowledges = query.get("posted_ack", [""])[0] == "true"
        outputs.append(Opened(connection_id, int(number[:18]) if connection_id else None, acknowledges))

    def _reject(self, outputs: list[Output], hint: object) -> None:
        hint = hint if isinstance(hint, RejectConnection) else RejectConnection()
        status, connection = HTTPStatus(hint.status_code), b"close"
        headers = list(hint.headers)
        if status is HTTPStatus.UPGRADE_REQUIRED:  # it says to what (RFC 9110 §15.5.22)
            headers.append((b"Upgrade", b"websocket"))
            connection = b"close, Upgrade"
        headers += [(b"Content-Length", b"0"), (b"Connection", connection)]
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), *(b"%b: %b" % header for header in headers)]
        self.state = State.CLOSED
        outputs.append(Write(b"\r\n".join([*lines, b"", b""])))
        outputs.append(Ended("not a WebSocket handshake"))

    def _take(self, event: TextMessage | BytesMessage, outputs: list[Output]) -> None:
        """A message or a part of one."""
        if isinstance(event, BytesMessage):
            self._close(outputs, Close.UNSUPPORTED_DATA, "binary message")
            return
        if event.data:  # empty fragments are in no limit of bytes, so they are not kept
            self._message.append(event.data)
        self._message_bytes += len(event.data.encode())
        if self._message_bytes > MAX_MESSAGE_BYTES:
            self._close(outputs, Close.MESSAGE_TOO_BIG, "message too big")
            return
        if not event.message_finished:
            return
        text = "".join(self._message)
        self._message.clear()
        self._message_bytes = 0
        self._ask(text, outputs)

    def _ask(self, text: str, outputs: list[Output]) -> None:
        """A whole message."""
        try:
            request = _decode_request(text)
        except (msgspec.MsgspecError, RecursionError):
            self._close(outputs, Close.UNSUPPORTED_DATA, "not a request")
            return
        data = request.data or {}
        if None in data.values():
            data = {name: value for name, value in data.items() if value is not None}
        outputs.append(Asked(request.seq, request.action, data))

    def _close(self, outputs: list[Output], code: int, reason: str) -> None:
        with contextlib.suppress(LocalProtocolError):  # the client has closed already
            outputs.append(Write(self._frames.send(CloseConnection(code))))
        self.state = State.CLOSED
        outputs.append(Ended(reason))
