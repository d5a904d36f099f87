"""The frames of one open WebSocket, sans-I/O.

Nearly all that clients send is whole masked text frames, and pongs: these take a short path. Everything else is for
wsproto, which exists only while it is in the middle of something:

    bytes ──> allowed? ──yes──> a whole text or pong, nothing begun? ──yes──> text or pong
                └──no──> Excess          └──no──> wsproto, to the end of the frame, or of the message that it begins

The allowance is asked for each frame before anything else is done with it, because wsproto takes 10 to 30 µs for any,
an empty one too (decision 0022).
"""

from collections.abc import Iterator

from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection, Event, Message, Pong
from wsproto.frame_protocol import CloseReason

from ws.allowance import PIECE, Allowance

SHORT_BYTES = 4096
"""Longer messages go to wsproto, which hands them out piece by piece."""
MAX_CONTROL_BYTES = 125
"""RFC 6455 §5.5."""
_FINAL_TEXT = 0x81
_FINAL_PONG = 0x8A
_MASKED = 0x80
_LENGTH = 0x7F
_TWO_BYTES = 126
_EIGHT_BYTES = 127


class Excess:
    """The client sends more than it may; the last that is read of it."""


class Frames:
    """What a client sends, and frames to send it."""

    __slots__ = ("_in_message", "_missing", "_rest", "_wsproto", "allowance")

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self._wsproto: Connection | None = None
        self._rest = b""
        """The beginning of a frame's head."""
        self._missing = 0
        """How much of a frame that wsproto has begun is still to come."""
        self._in_message = False

    def receive(self, data: bytes, now: float) -> Iterator[str | Event | Excess]:
        """Whole texts, and what wsproto makes of the rest. What breaks the RFC is a CloseConnection, and the last."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, size = 0, len(data)
        while at < size:
            if not self._missing:
                start, length = _measure(data, at)
                if not start:
                    self._rest = data[at:]
                    break
                if not self.allowance.take(now):
                    yield Excess()
                    return
                end = start + length
                if length <= SHORT_BYTES and end <= size and self._wsproto is None and _is_plain(data[at + 1], length):
                    first = data[at]
                    if first == _FINAL_TEXT:
                        yield _text(_unmask(data[start - 4 : start], data[start:end]))
                        at = end
                        continue
                    if first == _FINAL_PONG and length <= MAX_CONTROL_BYTES:
                        yield Pong(_unmask(data[start - 4 : start], data[start:end]))
                        at = end
                        continue
                self._missing = end - at
            part = data[at : at + self._missing]
            at += len(part)
            self._missing -= len(part)
            yield from self._parse(part)
        if (self._missing or self._rest) and not self.allowance.take(now, PIECE):
            yield Excess()

    def _parse(self, part: bytes) -> Iterator[Event]:
        if self._wsproto is None:
            self._wsproto = Connection(ConnectionType.SERVER)
        self._wsproto.receive_data(part)
        for event in self._wsproto.events():
            if isinstance(event, Message):
                self._in_message = not event.message_finished
            yield event
        if not self._missing and not self._in_message:
            self._wsproto = None

    def send(self, event: Event) -> bytes:
        """The bytes of a control frame. Raises LocalProtocolError when the connection is closed."""
        return bytes((self._wsproto or Connection(ConnectionType.SERVER)).send(event))


def _measure(data: bytes, at: int) -> tuple[int, int]:
    """(where the payload begins, its length) of the frame that begins here; (0, 0): its head is not whole."""
    if len(data) < at + 2:
        return 0, 0
    length = data[at + 1] & _LENGTH
    extended = 0 if length < _TWO_BYTES else 2 if length == _TWO_BYTES else 8
    start = at + 2 + extended + (4 if data[at + 1] & _MASKED else 0)
    if len(data) < start:
        return 0, 0
    if extended:
        length = int.from_bytes(data[at + 2 : at + 2 + extended], "big")
    return start, length


def _is_plain(second: int, length: int) -> bool:
    """Whether the second byte of a frame's head says that it is masked, and of this length in the shortest way."""
    return second & _MASKED != 0 and second & _LENGTH == min(length, _TWO_BYTES)


def _text(payload: bytes) -> str | CloseConnection:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        return CloseConnection(CloseReason.INVALID_FRAME_PAYLOAD_DATA, error.reason)


def _unmask(key: bytes, payload: bytes) -> bytes:
    """As numbers: faster than anything that looks at single bytes."""
    length = len(payload)
    mask = (key * ((length + 3) // 4))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(length, "little")
