"""One request and its answer on a connection: what uvicorn's does, in one write, and with what every answer carries.

The head is made when the first part of the body is there. So an answer that is whole by then leaves in one packet with
its head (uvicorn's way would be two, and two wake-ups of the client), and can be packed (`answers.py`).
"""

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from api.http.answers import Answers
from app.errors import AppError

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent, HTTPResponseStartEvent

_BODILESS = frozenset({204, 304})


class Cycle(RequestResponseCycle):
    """See the module. `on_response` is told when the answer is whole; to close the connection is the connection's."""

    def __init__(self, *, answers: Answers, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._answers = answers
        self._start: HTTPResponseStartEvent | None = None
        self._is_asked_for = False
        """The application has the first event."""

    @property
    def status(self) -> int:
        """Of the answer, once there is one."""
        return self._start["status"] if self._start is not None else 0

    async def receive(self) -> "ASGIReceiveEvent":
        """ASGI's receive. The first event waits for no body, and tells no client to send one.

        Falcon asks for it before it looks at the head. So what the head alone condemns (no session, no such path, too
        large) is refused by the head alone.

        Raises AppError where the rest of a body is missing: Falcon would take what came of it for the whole.
        """
        if self._is_asked_for:
            event = await super().receive()
            if event["type"] == "http.disconnect" and self.more_body and not self.response_complete:
                raise AppError("api.context.invalid_param.app_error", 400, Name="request")
            return event
        self._is_asked_for = True
        if self.more_body and not self.body and not self.disconnected:
            return {"type": "http.request", "body": b"", "more_body": True}
        return await super().receive()

    async def send(self, message: "ASGISendEvent") -> None:
        """ASGI's send."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start" and not self.response_started:
            self._start = message  # of two the last: uvicorn's 500, when the application fails before its body
        elif message["type"] == "http.response.body" and self._start is not None and not self.response_complete:
            body, more = message.get("body", b""), message.get("more_body", False)
            if self.response_started:
                self._write(b"", body, more=more)
                return
            packed = None if more else await self._answers.packed(self.scope, self._start, body)
            if not self.disconnected:
                self._begin(self._start, body, packed, more=more)
        else:
            raise RuntimeError(f"ASGI message {message['type']!r} is out of turn")

    def _begin(self, start: "HTTPResponseStartEvent", body: bytes, packed: bytes | None, *, more: bool) -> None:
        """Write the head and what there is of the body. packed: the body as it is sent, when it is gzip."""
        given: dict[bytes, bytes] = {}
        lines = [STATUS_LINE[start["status"]]]
        for headers in (self.default_headers, start.get("headers", ())):
            for name, value in headers:
                given[name] = value
                if packed is not None and name == b"content-length":
                    value = b"%d" % len(packed)
                lines.append(b"%b: %b\r\n" % (name, value))
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise RuntimeError("a header holds a line break")
        head += self._answers.standing(self.scope, given)
        length = given.get(b"content-length")
        if packed is not None:
            body = packed
            head += b"content-encoding: gzip\r\n"
            length = b"%d" % len(packed)
        if self.waiting_for_100_continue and self.more_body:
            self.keep_alive = (
                False  # whether the body comes after all is the client's to choose: no next request is sure
            )
        if b"close" in given.get(b"connection", b""):
            self.keep_alive = False
        elif not self.keep_alive:
            head += b"connection: close\r\n"
        bodiless = self.scope["method"] == "HEAD" or start["status"] in _BODILESS
        self.chunked_encoding = length is None and not bodiless
        self.expected_content_length = 0 if bodiless else int(length or 0)
        if self.chunked_encoding:
            head += b"transfer-encoding: chunked\r\n"
        self.response_started = True
        self.waiting_for_100_continue = False
        self._write(head + b"\r\n", body, more=more)

    def _write(self, head: bytes, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (self.expected_content_length and not more):
                raise RuntimeError("the answer is not as long as its Content-Length says")
        self.transport.write(head + body)
        if not more:
            self.response_complete = True
            self.message_event.set()
            self.on_response()
