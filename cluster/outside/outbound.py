"""HTTP requests to elsewhere (hooks, previews): one client, bounded in everything. Fulfils `app.ports.Outbound`.

    URL ─> name resolved once ─> each address judged (outboundguard.py) ─> connected to that address ─> HTTP/1.1 by h11
      ^                                                                                                    │
      └────────────────────── a redirect: from the beginning, without what was secret ─────────────────────┘

The name is never resolved again, so no answer of its DNS that changes meanwhile leads elsewhere. One request a
connection; no proxy of the environment, no cookies, no credentials of ours.
"""

import asyncio
import logging
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urljoin

import h11

from app.ports import Failed, Limits, Reply
from app.version import VERSION
from app.workpool import Turns, WorkPool
from cluster.outside.outboundguard import Address, Guard, Target

log = logging.getLogger(__name__)

AT_ONCE = 32
MAX_WAITING = 128
MAX_PER_HOST = 32
MAX_HEAD_BYTES = 32_768
_MAX_ADDRESSES = 4
_MAX_INTERIM = 8
_READ_BYTES = 16_384
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CARRIED = frozenset({"accept", "accept-language", "content-type", "user-agent"})
"""Headers of the caller that go on to another server; all others may hold what is not for it."""
_OURS = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "expect", "upgrade"})
_AUTO = 32 + zlib.MAX_WBITS
"""gzip or zlib, by the first bytes."""

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


@dataclass(frozen=True)
class _Request:
    method: str
    target: Target
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class HttpOutbound:
    """allowed: what AllowedUntrustedInternalConnections says now. resolve, guard: for tests."""

    def __init__(
        self,
        allowed: Callable[[], str],
        *,
        resolve: Resolve | None = None,
        guard: Callable[[str], Guard] = Guard,
        trusted: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = allowed
        self._make_guard = guard
        self._guard = ("", guard(""))
        self._names = WorkPool("names", threads=4, refuse=_busy)
        self._resolve = resolve or self._look_up
        self._turns = Turns(AT_ONCE, MAX_WAITING, MAX_PER_HOST, refuse=_busy)
        self._trusted = trusted

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        limits: Limits | None = None,
    ) -> Reply:
        """See `app.ports.Outbound`."""
        limits = limits or Limits()
        given = {name.lower(): value for name, value in (headers or {}).items()}
        if _OURS & given.keys():
            raise ValueError(f"these headers are the client's own: {sorted(_OURS & given.keys())}")
        request = _Request(method, _target(url), {"user-agent": f"mmnode/{VERSION}", "accept": "*/*", **given}, body)
        try:
            async with asyncio.timeout(limits.total_s), self._turns.turn(request.target.host):
                for _ in range(limits.redirects + 1):
                    reply = await self._ask(request, limits)
                    where = reply.headers.get("location") if reply.status in _REDIRECTS else None
                    if where is None or not limits.redirects:
                        return reply
                    request = _redirected(request, reply.status, where)
                raise Failed("redirects", "it redirects too often")
        except TimeoutError as error:
            raise Failed("timeout", "it took too long") from error

    def close(self) -> None:
        """End the threads that look up names."""
        self._names.close()

    async def _ask(self, request: _Request, limits: Limits) -> Reply:
        target = request.target
        try:
            async with asyncio.timeout(limits.connect_s):
                reader, writer = await self._connect(target)
        except TimeoutError as error:
            raise Failed("timeout", "it cannot be reached in time") from error
        try:
            return await _Exchange(reader, writer, request, limits).run()
        except (h11.RemoteProtocolError, zlib.error) as error:
            raise Failed("protocol", f"its answer is no HTTP: {error}") from error
        except OSError as error:
            raise Failed("unreachable", f"the connection broke: {error.strerror or type(error).__name__}") from error
        finally:
            writer.transport.abort()

    async def _connect(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the first of its addresses that is allowed and answers."""
        allowed = self._allowed()
        if allowed != self._guard[0]:
            self._guard = (allowed, self._make_guard(allowed))
        found = await self._resolve(target.host, target.port)
        good = [one for one in found if self._guard[1].allows(target.host, one)]
        if found and not good:
            log.warning("a request to an address inside is refused", extra={"host": target.host})
            raise Failed("forbidden", "its address is inside (ServiceSettings.AllowedUntrustedInternalConnections)")
        secure = self._secure() if target.scheme == "https" else None
        last: Exception = OSError("there is no such host")
        for address in good[:_MAX_ADDRESSES]:
            try:
                return await asyncio.open_connection(
                    str(address), target.port, ssl=secure, server_hostname=target.host if secure else None
                )
            except ssl.SSLError as error:
                raise Failed("tls", f"its certificate or TLS cannot be used: {error.reason}") from error
            except OSError as error:
                last = error
        raise Failed("unreachable", f"it cannot be reached: {getattr(last, 'strerror', None) or last}") from last

    def _secure(self) -> ssl.SSLContext:
        if self._trusted is None:
            self._trusted = ssl.create_default_context()
        return self._trusted

    async def _look_up(self, host: str, port: int) -> Sequence[Address]:
        try:
            found = await self._names.run(host, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            raise Failed("unreachable", "its name is not known") from error
        return [ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]


class _Exchange:
    """One request and its answer on a connection of its own."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: _Request, limits: Limits
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._request = request
        self._limits = limits
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)

    async def run(self) -> Reply:
        await self._send()
        head = await self._head()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        body = _Body(headers.get("content-encoding", ""), self._limits.max_bytes)
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                body.add(bytes(event.data))
            else:
                break
            if body.overflows:
                if not self._limits.cut:
                    raise Failed("too_large", f"its answer is larger than {self._limits.max_bytes} bytes")
                break
        bodiless = self._request.method == "HEAD" or head.status_code in (204, 304)
        return Reply(head.status_code, headers, b"" if bodiless else body.whole(), self._request.target.url)

    async def _send(self) -> None:
        request = self._request
        headers = [("Host", request.target.authority), ("Connection", "close"), ("Accept-Encoding", "gzip, deflate")]
        headers += request.headers.items()
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            headers.append(("Content-Length", str(len(request.body))))
        try:
            head = self._http.send(h11.Request(method=request.method, target=request.target.path, headers=headers))
        except h11.LocalProtocolError as error:
            raise ValueError(f"no such request can be made: {error}") from error
        self._writer.write(
            (head or b"")
            + (self._http.send(h11.Data(data=request.body)) or b"")
            + (self._http.send(h11.EndOfMessage()) or b"")
        )

    async def _head(self) -> h11.Response:
        for _ in range(_MAX_INTERIM):
            event = await self._next()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                break
        raise Failed("protocol", "its answer is no HTTP: it does not begin")

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            try:
                async with asyncio.timeout(self._limits.read_s):
                    self._http.receive_data(await self._reader.read(_READ_BYTES))
            except TimeoutError as error:
                raise Failed("timeout", "it says nothing more") from error
        return event


class _Body:
    """The body of an answer as it comes, unpacked, up to `most` bytes and one."""

    def __init__(self, encoding: str, most: int) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0
        encoding = encoding.strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise Failed("protocol", "its answer is packed in a way that was not asked for")
        self._packed = encoding not in ("", "identity")
        self._unpack = zlib.decompressobj(_AUTO) if self._packed else None
        self._began = False

    @property
    def overflows(self) -> bool:
        return self._size > self._most

    def add(self, data: bytes) -> None:
        """What does not fit is not unpacked."""
        while data and not self.overflows:
            room = self._most + 1 - self._size
            if self._unpack is None:
                self._keep(data[:room])
                return
            if self._unpack.eof:  # gzip may have several members
                self._unpack = zlib.decompressobj(_AUTO)
            self._began = True
            self._keep(self._unpack.decompress(data, room))
            data = self._unpack.unconsumed_tail or self._unpack.unused_data

    def _keep(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)

    def whole(self) -> bytes:
        """All that there is, at most `most` bytes. Raises Failed when the rest of what was packed is missing."""
        if self._began and self._unpack is not None and not self._unpack.eof and not self.overflows:
            raise Failed("protocol", "its answer breaks off")
        return b"".join(self._parts)[: self._most]


def _target(url: str) -> Target:
    try:
        return Target(url)
    except ValueError as error:
        raise Failed("url", str(error)) from error


def _redirected(request: _Request, status: int, where: str) -> _Request:
    """The request that follows. To another server goes no header that may be a secret, and no body."""
    try:
        target = Target(urljoin(request.target.url, where))
    except ValueError as error:
        raise Failed("url", f"it redirects to what cannot be asked: {error}") from error
    if request.target.scheme == "https" and target.scheme == "http":
        raise Failed("forbidden", "it redirects from https to http")
    method, body, headers = request.method, request.body, request.headers
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", b""
        headers = {name: value for name, value in headers.items() if name != "content-type"}
    if target.origin != request.target.origin:
        if body:
            raise Failed("forbidden", "it redirects what was sent to another server")
        headers = {name: value for name, value in headers.items() if name in _CARRIED}
    return _Request(method, target, headers, body)


def _busy() -> Failed:
    return Failed("busy", "too many requests to elsewhere wait")
