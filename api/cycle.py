"""One request and its answer on a connection, where uvicorn's own way costs more than the rest of the request.

An answer whose length is known goes out in one write: uvicorn writes head and body apart, which are two packets and two
wake-ups of the client. Everything else (streams, HEAD, 304) goes uvicorn's way.
"""

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent


class Cycle(RequestResponseCycle):
    """See the module."""

    _head: bytes | None = None

    async def send(self, message: "ASGISendEvent") -> None:
        """ASGI's send."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start" and not self.response_started:
            self._head = self._head_of(message)
            if self._head is not None:
                return
        elif self._head is not None and message["type"] == "http.response.body":
            head, self._head = self._head, None
            body = message.get("body", b"")
            if len(body) == self.expected_content_length and not message.get("more_body", False):
                self.transport.write(head + body)
                self._complete()
                return
            self.transport.write(head)
        await super().send(message)

    def _head_of(self, message: "HTTPResponseStartEvent") -> bytes | None:
        """The head, and the state that goes with it; None when the answer's length is not known."""
        parts = [STATUS_LINE[message["status"]]]
        lines = 2
        length = close = None
        for headers in (self.default_headers, message.get("headers", ())):
            for name, value in headers:
                if name == b"content-length":
                    length = value
                elif name in (b"transfer-encoding", b"connection"):
                    close = value
                parts += (name, b": ", value, b"\r\n")
                lines += 1
        if length is None or self.scope["method"] == "HEAD" or close not in (None, b"close"):
            return None
        if close is not None:
            self.keep_alive = False
        elif not self.keep_alive:
            parts.append(b"connection: close\r\n")
            lines += 1
        parts.append(b"\r\n")
        head = b"".join(parts)
        if head.count(b"\n") != lines or head.count(b"\r") != lines:
            raise RuntimeError("a header holds a line break")
        self.response_started = True
        self.waiting_for_100_continue = False
        self.chunked_encoding = False
        self.expected_content_length = int(length)
        return head

    def _complete(self) -> None:
        self.expected_content_length = 0
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
