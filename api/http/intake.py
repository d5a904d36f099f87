"""What a connection has said and nobody has parsed yet: at most one read, and one read a turn of the loop.

    transport ──READ_BYTES a turn──> Intake ──a piece──> Connection.parse     pieces end where a head or a body ends

Two rules bound what a client can make the worker hold and do, whatever it sends:

- it reads on only when nothing is left of what was read; what it did not read waits in the kernel and slows the client;
- it parses on only while the connection can take it: no request begins before the one before it is answered, no body
  grows beyond what is read of it, nothing new begins for a client that does not read its answers.

uvloop calls a protocol up to 32 times in a row while reads fill its buffer, before anything else has a turn. Pausing
from within the call ends that, so a read that filled the buffer is the last one of its turn.
"""

import asyncio
from typing import Protocol, cast

from uvicorn.protocols.http.flow_control import FlowControl

READ_BYTES = 16_384
"""The dearest bytes (chunks of one byte) cost 0.2 µs each: 3 ms a turn."""
DISCARD_BYTES = 50 << 20
"""So much of a body that nobody wants is read after its answer: what the balancers' samples let through."""
_END = b"\r\n\r\n"


class Parser(Protocol):
    """Who the pieces are for: `connection.py`, which knows where its requests end and when it takes no more."""

    loop: asyncio.AbstractEventLoop
    body_left: int | None
    """How much of a body is to come; None: unknown, or there is none."""

    @property
    def is_answering(self) -> bool:
        """Whether a request that came whole is not answered yet."""

    def takes_more(self) -> bool:
        """Whether bytes of the client can be parsed now."""

    def parse(self, data: bytes) -> None:
        """Bytes of the client, of one request only."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """See asyncio, as the next three."""

    def connection_lost(self, exc: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class Intake(asyncio.BufferedProtocol):
    """What the transport speaks to. buffer: of `READ_BYTES`; one for all connections, as each read is taken at once."""

    def __init__(self, connection: Parser, buffer: memoryview) -> None:
        self._connection = connection
        self._buffer = buffer
        self._loop = connection.loop
        self._transport: asyncio.Transport
        self._rest = b""
        self._at = 0
        """How much of `_rest` is parsed."""
        self._seam = b""
        """The last bytes that were parsed, when the end of a head may begin with them."""
        self._turn_is_over = False
        self._scheduled = False
        self.ahead = False
        """Something was sent before the request before it was answered."""
        self.discarding = False
        self.discarded = 0
        self.heard_at = 0.0
        """When the last bytes came that were thrown away."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._connection.connection_made(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._rest = b""
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """See asyncio."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio."""
        self._connection.resume_writing()

    def get_buffer(self, _sizehint: int) -> memoryview:
        """See asyncio."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio."""
        if self.discarding:
            self._discard(nbytes)
            return
        self._turn_is_over = nbytes == len(self._buffer)
        self.take(bytes(self._buffer[:nbytes]))

    def take(self, data: bytes) -> None:
        """Bytes of the client, behind those that are there already."""
        self._rest = self._rest[self._at :] + data if self.left else data
        self._at = 0
        self._parse()

    @property
    def left(self) -> int:
        """How many bytes are not parsed yet."""
        return len(self._rest) - self._at

    def take_rest(self) -> bytes:
        """Those bytes; they are somebody else's now."""
        rest, self._rest, self._at = self._rest[self._at :], b"", 0
        return rest

    def discard(self) -> None:
        """Throw away what is there and what comes."""
        self.take_rest()
        self.discarding = True
        self.heard_at = self._loop.time()
        self._turn_is_over = False
        self._transport.resume_reading()

    def go_on(self) -> None:
        """The connection may be able to take more: in the next turn, so that a pipeline is no client's turn alone."""
        if (self.left or self._turn_is_over) and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._scheduled = self._turn_is_over = False
        if not self.discarding:
            self._parse()

    def _parse(self) -> None:
        while self.left and self._connection.takes_more():
            end = self._end_of_piece()
            piece = self._rest[self._at : end]
            self._seam = b"" if piece.endswith(_END) else (self._seam + piece[-3:])[-3:]
            self._at = end
            self._connection.parse(piece)
        if self.discarding or self._transport.is_closing():
            return
        if self.left:
            self.ahead = self.ahead or self._connection.is_answering
            self._transport.pause_reading()
        elif self._turn_is_over:
            self._transport.pause_reading()
            self.go_on()
        else:
            self._rest, self._at = b"", 0
            self._transport.resume_reading()

    def _end_of_piece(self) -> int:
        """So that no piece holds the end of one request and any of the next."""
        size = len(self._rest)
        body = self._connection.body_left
        if body:
            return min(size, self._at + body)
        if self._seam:
            found = (self._seam + self._rest[self._at : self._at + 3]).find(_END)
            if found >= 0:
                return self._at + found + len(_END) - len(self._seam)
        found = self._rest.find(_END, self._at)
        return size if found < 0 else found + len(_END)

    def _discard(self, size: int) -> None:
        self.discarded += size
        self.heard_at = self._loop.time()
        if self.discarded > DISCARD_BYTES:
            self._transport.abort()


class Flow(FlowControl):
    """uvicorn's, of which only the writing counts: when to read is the intake's to say."""

    def __init__(self, transport: asyncio.Transport, intake: Intake) -> None:
        super().__init__(transport)
        self._intake = intake

    def pause_reading(self) -> None:
        """The intake looks at the body by itself."""

    def resume_reading(self) -> None:
        """Somebody waits for the body."""
        self._intake.go_on()
