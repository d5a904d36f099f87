"""HTTP as bytes on a socket, for requests that no well-behaved client sends."""

import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

_CHUNK = 65_536


@dataclass(frozen=True)
class Reply:
    """A response. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def upgrade_request(*headers: str, host: str = "node", path: str = "/api/v4/websocket") -> bytes:
    """The head of an upgrade to a WebSocket, with these headers besides."""
    head = [
        f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *headers,
    ]  # fmt: skip
    return "\r\n".join([*head, "", ""]).encode("latin-1")


class Raw:
    """A connection that sends what it is told and reads the responses one by one."""

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port), timeout=timeout_s)
        self._received = b""
        self.was_reset = False

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send bytes; the server may have closed already, then there is an answer to read."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.was_reset = True

    def read(self, *, of_head: bool = False) -> Reply:
        """The next response. `of_head`: it answers a HEAD, so it has no body. AssertionError when none comes."""
        head = self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        if of_head or status < 200 or status in (204, 304):
            return Reply(status, headers, b"")
        size = int(headers["content-length"])
        while len(self._received) < size:
            self._more()
        body, self._received = self._received[:size], self._received[size:]
        return Reply(status, headers, body)

    def rest(self) -> bytes:
        """Everything until the server ends its side; AssertionError when it resets the connection instead."""
        more = b"."
        while more:
            try:
                more = self._socket.recv(_CHUNK)
            except ConnectionResetError:
                self.was_reset = True
                break
            self._received += more
        assert not self.was_reset, f"reset after {self._received!r}"
        return self._received

    def seconds_until_closed(self) -> float:
        """How long it takes until the server closes; AssertionError when it sends something or does not close."""
        began = time.monotonic()
        try:
            more = self._received or self._socket.recv(_CHUNK)
        except ConnectionResetError:
            more = b""
        except TimeoutError as error:
            raise AssertionError("the connection is still open") from error
        assert not more, f"unexpected: {more!r}"
        return time.monotonic() - began

    def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            self._more()
        head, _, self._received = self._received.partition(end)
        return head

    def _more(self) -> None:
        try:
            more = self._socket.recv(_CHUNK)
        except ConnectionResetError:
            more = b""
        except TimeoutError as error:
            raise AssertionError(f"no answer; so far: {self._received!r}") from error
        assert more, f"closed in the middle of an answer: {self._received!r}"
        self._received += more

    def close(self) -> None:
        """Close."""
        self._socket.close()
