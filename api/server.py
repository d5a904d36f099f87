"""uvicorn on its inherited socket: strict limits on what comes in, timeouts, the upgrade, drain.

llhttp (httptools) is strict about framing: both lengths, a bad length or chunk, folded headers, a bare LF and a NUL are
400 there. What it leaves to its user is refused here: too many or too large headers, a missing Host, other versions
than 1.0 and 1.1, other codings than chunked, an upgrade with a body or behind an unanswered request.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import httptools
import uvicorn
from falcon.asgi import App, Response
from falcon.asgi import Request as HttpRequest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api import cors, paths, replies
from api.balance import Balance
from api.cycle import Cycle
from api.drain import grace_s, refuse_new
from api.throttle import Throttle, error_of, headers_of
from api.upgrade import Request, Upgrader
from app.context import Context
from app.errors import AppError

log = logging.getLogger(__name__)

MAX_HEADERS = 100
MAX_HEADER_BYTES = 16_384
MAX_TAIL_BYTES = 65_536
LINGER_S = 5.0
_SWEEP_S = 1.0
_LAST_ACCEPTS_S = 0.2
_WRITE_STUCK_S = 30.0


class Refused(Exception):
    """The request head breaks a rule of ours."""


class Connection(HttpToolsProtocol):
    """One client connection."""

    def __init__(
        self,
        upgrader: Upgrader,
        balance: Balance,
        throttle: Throttle | None,
        *,
        ctx: Context,
        adopted: bytes | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._ctx = ctx
        self._upgrader = upgrader
        self._balance = balance
        self._throttle = throttle
        self._adopted = adopted
        """What another worker had read before it passed the connection on; None: it was accepted here."""
        self._held: bytearray | None = None
        """What arrives while it is open whether the connection stays."""
        self._counted = True
        self.since = self.loop.time()
        """When it last began to wait for the client: for a request, for the rest of one, or for room to write."""
        self.in_head = False
        self.in_body = False
        self._header_bytes = 0
        self._has_host = False
        self._has_body = False
        self._last_whole: RequestResponseCycle | None = None
        self._refusal: bytes | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; it may be sent on to a worker with fewer."""
        super().connection_made(transport)
        if self._adopted is not None:  # counted when it was promised
            if self._adopted:
                self.data_received(self._adopted)
            return
        self._balance.opened()
        if self._balance.receiver() is not None:
            self._held = bytearray()
            task = self.loop.create_task(self._pass_on(transport))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _pass_on(self, transport: asyncio.Transport) -> None:
        """Give the fresh connection away with what it has said so far, or serve it after all."""
        transport.pause_reading()  # has no effect before this turn of the loop: reading starts after connection_made
        held = self._held
        assert held is not None
        fits = len(held) <= MAX_TAIL_BYTES and not transport.is_closing()
        if fits and await self._balance.pass_on(transport.get_extra_info("socket").fileno(), held):
            self._counted = False
            transport.abort()  # closes our descriptor only
            return
        self._held = None
        if not transport.is_closing():
            transport.resume_reading()
            if held:
                self.data_received(bytes(held))

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, or elsewhere."""
        if self._counted:
            self._balance.closed()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.in_head = True
        self.since = self.loop.time()
        self._header_bytes = 0
        self._has_host = self._has_body = False

    def on_url(self, url: bytes) -> None:
        """Part of the request target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._count(len(name) + len(value))
        lower = name.lower()
        self.headers.append((lower, value))
        if len(self.headers) > MAX_HEADERS:
            raise Refused("headers")
        if lower == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        if lower == b"host":
            if self._has_host:
                raise Refused("host")
            self._has_host = True
        elif lower == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise Refused("transfer-encoding")
        elif lower == b"transfer-encoding" or (lower == b"content-length" and value.strip() != b"0"):
            self._has_body = True

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise Refused("headers")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self.in_head = False
        self.in_body = True
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise Refused("version")
        if not self._has_host and version == "1.1":
            raise Refused("host")
        upgrade = self.parser.should_upgrade()
        self._fill_scope(version)
        if upgrade and self._should_upgrade():
            return
        # An upgrade to something else is answered as plain HTTP; what follows it would be of another protocol.
        self._begin_request(keep_alive=not upgrade and version == "1.1" and self.parser.should_keep_alive())

    def _fill_scope(self, version: str) -> None:
        """As in uvicorn's `on_headers_complete`."""
        url = httptools.parse_url(self.url)
        path = paths.normalise(url.path.decode(), paths.base_of(self._ctx.config.service_settings.site_url))
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"] = paths.NOWHERE if path is None else path
        self.scope["raw_path"] = url.path
        self.scope["query_string"] = url.query or b""

    def _begin_request(self, *, keep_alive: bool) -> None:
        """As in uvicorn's `on_headers_complete`, with a cycle of our own."""
        app, default_headers = self.app, self.server_state.default_headers
        if self._throttle is not None:
            app, headers = self._throttle.screen(app, self.scope)
            default_headers = [*default_headers, *headers]
        if more := cors.headers_of(self.scope, self._ctx.config):
            default_headers = [*default_headers, *more]
        before = self.cycle
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, app)
        else:  # a pipelined request waits for its turn
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, app))

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.in_body = False
        self.since = self.loop.time()
        self._last_whole = self.cycle
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is whole. As uvicorn's, without its timer: `_sweep` looks after idle connections."""
        self.since = self.loop.time()
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
        if self._refusal is not None:
            self._end()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._held is not None:
            self._held += data
            return
        if self._refusal is not None:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse_as_bad()

    def _refuse_as_bad(self) -> None:
        status = 431 if self._header_bytes > MAX_HEADER_BYTES else 400
        self._refuse(replies.raw_error(AppError("api.context.invalid_param.app_error", status, Name="request")))

    def _refuse(self, refusal: bytes) -> None:
        """Read no more. Answers stay in the order of their requests: those before get theirs first."""
        self._refusal = refusal
        self._end()

    def _end(self) -> None:
        """Send the refusal and close, once every request that came whole is answered."""
        unanswered = self._last_whole is not None and not self._last_whole.response_complete
        if self._ended or unanswered or self.transport.is_closing():
            return
        self._ended = True
        assert self._refusal is not None
        if self.cycle is None or self.cycle is self._last_whole or not self.cycle.response_started:
            self.transport.write(self._refusal)  # else the bad request has had an answer, before its body went wrong
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        # Closing with bytes of the client unread would reset the connection, and the answer would be lost with it.
        self.flow.resume_reading()
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _upgrade(self, tail: bytes) -> None:
        """Hand the connection over to the upgrader, with nothing of it left here."""
        unanswered = self.cycle is not None and not self.cycle.response_complete
        if unanswered or self._has_body or len(tail) > MAX_TAIL_BYTES or self.transport.get_write_buffer_size():
            self._refuse_as_bad()
            return
        verdict = self._throttle.check(self.scope) if self._throttle is not None else None
        if verdict is not None and not verdict.admitted:
            self._refuse(replies.raw_error(error_of(verdict), headers_of(verdict)))
            return
        self.connections.discard(self)
        self._balance.closed()
        request = Request(self.parser.get_method(), self.url, self.headers, tail)
        self._upgrader.start(self.transport, request)

    def is_overdue(self, now: float, header_s: float, body_s: float, idle_s: float) -> bool:
        """Whether the client has kept us waiting for too long."""
        waited = now - self.since
        if self.transport is None or self.transport.is_closing():
            return False
        if self.transport.get_write_buffer_size():
            return waited > max(_WRITE_STUCK_S, body_s)
        if self.in_head:
            return waited > header_s
        if self.in_body:
            return waited > body_s
        # uvicorn's own timer ends with the first byte after an answer, even if no request begins with it.
        idle = self.cycle is None or self.cycle.response_complete
        return idle and waited > idle_s


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the supervisor says when to stop."""

    def __init__(self, config: uvicorn.Config, make: Callable[..., Connection], grace: Callable[[], float]) -> None:
        super().__init__(config)
        self._make = make
        self._grace = grace
        self._ending: asyncio.Task[None] | None = None
        self.listener: socket.socket | None = None

    async def adopt(self, sock: socket.socket, received: bytes) -> None:
        """Serve a fresh connection that another worker accepted, and of which it has read `received`."""
        if self.should_exit:
            sock.close()
            return
        sock.setblocking(False)
        protocol = self._make(config=self.config, server_state=self.server_state, app_state={}, adopted=received)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, sock)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    def drain(self) -> None:
        """From now on every response ends its connection."""
        close = (b"connection", b"close")
        self.config.encoded_headers.append(close)  # what uvicorn makes the default headers of, once a second
        self.server_state.default_headers = [*self.server_state.default_headers, close]

    def stop(self, *, at_once: bool = False) -> None:
        """Serve on for the grace of a drain; then accept no more, finish what is under way, return from `serve`."""
        seconds = 0.0 if at_once else self._grace()
        if seconds:
            self._ending = asyncio.get_running_loop().create_task(self._end_after(seconds))
        else:
            self.should_exit = True

    async def _end_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self.listener is not None:
            refuse_new(self.listener)
            await asyncio.sleep(_LAST_ACCEPTS_S)
        self.should_exit = True


def create_server(
    app: App[HttpRequest, Response],
    ctx: Context,
    upgrader: Upgrader,
    balance: Balance,
    throttle: Throttle | None = None,
) -> Server:
    """A server for `serve`. throttle: None: without rate limits."""

    def make(**kwargs: Any) -> Connection:
        return Connection(upgrader, balance, throttle, ctx=ctx, **kwargs)

    config = uvicorn.Config(
        app,
        http=cast(type[asyncio.Protocol], make),
        ws=asyncio.Protocol,  # never made: `Connection` hands upgrades over itself
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=ctx.config.service_settings.idle_timeout,
        timeout_graceful_shutdown=2,
    )
    config.load()
    return Server(config, make, lambda: grace_s(ctx.config))


async def serve(server: Server, listener: socket.socket, ctx: Context) -> None:
    """Serve until `server.stop()` and its grace; then finish what is under way (at most 2 s)."""
    server.listener = listener
    sweeper = asyncio.create_task(_sweep(server, ctx))
    try:
        await server.serve(sockets=[listener])
    finally:
        sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeper


async def _sweep(server: Server, ctx: Context) -> None:
    """Cut off clients that keep us waiting (slow headers, slow bodies, slow readers)."""
    service = ctx.config.service_settings
    limits = float(service.header_timeout), float(service.read_timeout), float(service.idle_timeout)
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_S)
        now = loop.time()
        for connection in list(server.server_state.connections):
            if isinstance(connection, Connection) and connection.is_overdue(now, *limits):
                connection.transport.abort()
