"""The port on which Prometheus reads the node's metrics: `GET /metrics`, and nothing else.

Every api worker accepts there; whichever does answers for all of the node. One request a connection, a few connections
at a time, and none for longer than a few seconds: who scrapes needs no more, and who does not cannot hold anything.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

from app.exposition import CONTENT_TYPE

log = logging.getLogger(__name__)

PATH = "/metrics"
MOST_CONNECTIONS = 8
LIMIT_S = 5.0
MAX_HEAD_BYTES = 8192
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class MetricsPort:
    """text: what is to be read. Use as a context manager: the port is closed at its end."""

    def __init__(self, listener: socket.socket, text: Callable[[], str]) -> None:
        self._listener = listener
        self._text = text
        self._open: set[asyncio.StreamWriter] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "MetricsPort":
        self._server = await asyncio.start_server(self._serve, sock=self._listener, limit=MAX_HEAD_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._idle.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._idle.clear()
        try:
            async with asyncio.timeout(LIMIT_S):
                writer.write(await self._answer(reader))
                await writer.drain()
                writer.write_eof()
                while await reader.read(MAX_HEAD_BYTES):  # closing with bytes unread would reset the answer
                    pass
        except (OSError, TimeoutError):
            pass  # whoever asked is gone, or too slow: there is nobody to be told
        except Exception:
            log.exception("metrics cannot be told")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._open.discard(writer)
            if not self._open:
                self._idle.set()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        if len(self._open) > MOST_CONNECTIONS:
            return _answer(503)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return _answer(400)
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        target, _, version = rest.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0"):
            return _answer(400)
        if target.partition("?")[0] != PATH:
            return _answer(404)
        if method not in ("GET", "HEAD"):
            return _answer(405, allow="GET, HEAD")
        return _answer(200, self._text(), with_body=method == "GET")


def _answer(status: int, text: str = "", *, with_body: bool = True, allow: str = "") -> bytes:
    body = (text or f"{_REASONS[status]}\n").encode()
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {CONTENT_TYPE if status == 200 else 'text/plain; charset=utf-8'}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *([f"Allow: {allow}"] if allow else []),
        "\r\n",
    ]
    return "\r\n".join(lines).encode() + (body if with_body else b"")
