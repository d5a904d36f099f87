"""One client connection: uvicorn's protocol with strict limits, one request at a time, and an end that loses no answer.

llhttp (httptools) is strict about framing: both lengths, a bad length or chunk, folded headers, a bare LF and a NUL are
400 there. What it leaves to its user is refused here: too many or too large headers, a missing Host, other versions
than 1.0 and 1.1, other codings than chunked, an upgrade with a body or behind an unanswered request.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from api.http import cors, paths
from api.http.answers import Answers
from api.http.balance import Balance
from api.http.cycle import Cycle
from api.http.intake import DISCARD_BYTES, Flow, Intake
from api.http.measures import Measures
from api.http.readers import Readers
from api.http.senders import Senders
from api.http.throttle import Throttle, error_of, headers_of
from api.http.upgrade import Request, Upgrader
from api.proxies import Trust
from app.context import Context
from app.errors import AppError

MAX_HEADERS = 100
MAX_HEADER_BYTES = 16_384
MAX_TAIL_BYTES = 65_536
LINGER_S = 30.0
LINGER_SILENT_S = 5.0
"""nginx's lingering_time and lingering_timeout."""


class Refused(Exception):
    """The request head breaks a rule of ours."""


@dataclass(frozen=True)
class Worker:
    """What the connections of a worker share. buffer: `Intake`'s. throttle: None: without rate limits."""

    upgrader: Upgrader
    balance: Balance
    throttle: Throttle | None
    answers: Answers
    measures: Measures
    readers: Readers
    senders: Senders
    trust: Trust
    buffer: memoryview
    ctx: Context


class Connection(HttpToolsProtocol):
    """`intake` is what the transport speaks to."""

    cycle: Cycle | None  # type: ignore[assignment]

    def __init__(self, worker: Worker, *, adopted: bytes | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._worker = worker
        self._adopted = adopted
        """What another worker had read before it passed the connection on; None: it was accepted here."""
        self.intake = Intake(self, worker.buffer)
        self._is_held = False
        """It is open whether the connection stays."""
        self._counted = True
        self.since = self.loop.time()
        """When it last began to wait for the client: for a request or for the rest of one."""
        self.in_head = False
        self.in_body = False
        self.body_left: int | None = None
        """How much of a body is to come; None: unknown, or there is none."""
        self._header_bytes = self._header_count = 0
        self._length = b""
        self._has_host = self._has_body = self._is_upgrade = self._came_ahead = self._is_forwarded = False
        self._discarding_since: float | None = None
        """When a request was answered whose body is not here yet."""
        self._ignored = 0

    # The transport ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; it may be sent on to a worker with fewer."""
        self.connections.add(self)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)  # what the kernel does not take at once is somebody who does not read
        self.flow = Flow(transport, self.intake)
        self.server, self.client = get_local_addr(transport), get_remote_addr(transport)
        self.scheme = "http"
        if self._adopted is not None:  # counted when it was promised
            if self._adopted:
                self.intake.take(self._adopted)
            return
        self._worker.balance.opened()
        if self._worker.balance.receiver() is not None:
            self._is_held = True
            task = self.loop.create_task(self._pass_on(transport))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _pass_on(self, transport: asyncio.Transport) -> None:
        """Give the fresh connection away with what it has said so far, or serve it after all."""
        transport.pause_reading()  # has no effect before this turn of the loop: reading starts after connection_made
        held = self.intake.take_rest()
        if not transport.is_closing() and await self._worker.balance.pass_on(
            transport.get_extra_info("socket").fileno(), held
        ):
            self._counted = False
            transport.abort()  # closes our descriptor only
            return
        self._is_held = False
        if not transport.is_closing():
            self.intake.take(held)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, or elsewhere."""
        self._worker.readers.forget(self)
        self._worker.senders.forget(self)
        if self._counted:
            self._worker.balance.closed()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client has not read all of its answer."""
        super().pause_writing()
        self._worker.readers.wait_for(self)

    def resume_writing(self) -> None:
        """It has."""
        super().resume_writing()
        self._worker.readers.forget(self)
        self.since = self.loop.time()
        self.intake.go_on()

    @property
    def peer(self) -> str:
        """The address of whoever is at the other end; '' when there is none."""
        return self.client[0] if self.client is not None else ""

    @property
    def is_answering(self) -> bool:
        """Whether a request that came whole is not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete and not self.in_body

    def takes_more(self) -> bool:
        """Whether bytes of the client can be parsed now."""
        if self._is_held or self.transport.is_closing():
            return False
        if self.in_body and self.cycle is not None:
            return self.cycle.response_complete or len(self.cycle.body) <= HIGH_WATER_LIMIT
        return not self.is_answering and not self.flow.write_paused

    def parse(self, data: bytes) -> None:
        """Bytes of the client, of one request only."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._is_upgrade:
                self._upgrade(data[upgrade.args[0] :] + self.intake.take_rest())
        except httptools.HttpParserError:
            self._refuse_as_bad()

    # The parser ------------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.in_head = True
        self.in_body = False
        self.since = self.loop.time()
        self._header_bytes = self._header_count = 0
        self._length = b""
        self._has_host = self._has_body = self._is_upgrade = self._is_forwarded = False
        self._came_ahead, self.intake.ahead = self.intake.ahead, False

    def on_url(self, url: bytes) -> None:
        """Part of the request target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. A field of a trailer says nothing here: no proxy has looked at it (RFC 9110, 6.5)."""
        self._count(len(name) + len(value))
        self._header_count += 1
        if self._header_count > MAX_HEADERS:
            raise Refused("headers")
        lower = name.lower()
        if not self.in_body:
            self.headers.append((lower, value))
        if lower == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        if lower == b"host":
            if self._has_host:
                raise Refused("host")
            self._has_host = True
        elif lower == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise Refused("transfer-encoding")
        elif lower == b"transfer-encoding":
            self._has_body = True
        elif lower == b"content-length":
            self._length = value.strip()
            self._has_body = self._has_body or self._length != b"0"
        elif lower in self._worker.trust.names:
            self._is_forwarded = True

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise Refused("headers")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise Refused("version")
        if not self._has_host and version == "1.1":
            raise Refused("host")
        upgrade = self.parser.should_upgrade()
        if upgrade and self._has_body:  # of whatever protocol: the parser leaves the body to that
            raise Refused("upgrade")
        if version == "1.0":
            self.expect_100_continue = False  # it has no 1xx (RFC 9110, 10.1.1)
        self._fill_scope(version)
        # Of HTTP/1.0, too, against RFC 9110 §7.8: nginx sends it so without `proxy_http_version 1.1`, as in the sample
        # of Mattermost's document, and Mattermost takes it.
        self._is_upgrade = upgrade and self._should_upgrade()
        if self._is_forwarded:
            self._worker.trust.note(self.peer)
        if self._is_upgrade:
            return
        self.in_head = False
        self.in_body = True
        self.body_left = int(self._length) if self._length else None
        # An upgrade to something else is answered as plain HTTP; what follows it would be of another protocol.
        self._begin_request(keep_alive=not upgrade and version == "1.1" and self.parser.should_keep_alive())

    def _fill_scope(self, version: str) -> None:
        """As in uvicorn's `on_headers_complete`."""
        url = httptools.parse_url(self.url)
        raw_path = url.path or b"/"
        if url.host is not None:  # absolute-form: the host is that of the target (RFC 9112 §3.2.2)
            authority = paths.authority_of(self.url)
            self.headers[:] = [(name, authority if name == b"host" else value) for name, value in self.headers]
        path = paths.normalise(raw_path.decode(), paths.base_of(self._worker.ctx.config.service_settings.site_url))
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"] = paths.NOWHERE if path is None else path
        self.scope["raw_path"] = raw_path
        self.scope["query_string"] = url.query or b""

    def _begin_request(self, *, keep_alive: bool) -> None:
        """As in uvicorn's `on_headers_complete`, with a cycle of our own; the one before is answered (`takes_more`)."""
        app, default_headers = self.app, self.server_state.default_headers
        if self._worker.throttle is not None:
            app, headers = self._worker.throttle.screen(app, self.scope)
            default_headers = [*default_headers, *headers]
        if more := cors.headers_of(self.scope, self._worker.ctx.config, self._worker.trust):
            default_headers = [*default_headers, *more]
        self._ignored = 0
        self.cycle = Cycle(
            answers=self._worker.answers,
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
        self._start_asgi_task(self.cycle, app)

    def on_body(self, body: bytes) -> None:
        """Part of the body."""
        cycle = self.cycle
        if self._is_upgrade or cycle is None:
            return
        if self.body_left is not None:
            self.body_left -= len(body)
        if cycle.response_complete:
            self._ignored += len(body)
            if self._ignored > DISCARD_BYTES:
                self.transport.abort()
            return
        self._worker.senders.add(self, len(body))
        cycle.body += body
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.body_left = None
        self._worker.senders.forget(self)
        if self._is_upgrade:
            return
        self.in_body = False
        self._discarding_since = None
        self.since = self.loop.time()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()

    # Answers, and the end --------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """The answer is whole. As uvicorn's, without its timer: `_sweep` looks after idle connections."""
        self.since = self.loop.time()
        self._worker.senders.forget(self)
        self.server_state.total_requests += 1
        assert self.cycle is not None
        self._worker.measures.answered(self.scope["method"], self.scope["path"], self.cycle.status)
        if self.transport.is_closing():
            return
        if self.cycle.keep_alive:
            self._discarding_since = self.since if self.in_body else None
            self.intake.go_on()
        elif self.in_body or self.intake.left:
            self._linger()
        else:
            self.transport.close()

    def _refuse_as_bad(self) -> None:
        status = 431 if self._header_bytes > MAX_HEADER_BYTES else 400
        self._refuse(AppError("api.context.invalid_param.app_error", status, Name="request"))

    def _refuse(self, error: AppError, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        """Answer that what comes now is not served, and read no more. All that came before it is answered."""
        if self.transport.is_closing() or self.intake.discarding:
            return
        cycle = self.cycle if self.in_body else None
        if cycle is None or not cycle.response_started:  # else the request has an answer, and its body went wrong
            self.transport.write(self._worker.answers.raw(error, headers or ()))
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self._linger()

    def _linger(self) -> None:
        """Close, once the client has sent all or goes itself (RFC 9112 §9.6).

        Closing with bytes of the client unread would reset the connection, and the answer would be lost with it: a
        proxy that is still sending takes that for a dead server, and its clients get 502.
        """
        self._discarding_since = self.loop.time()
        self._worker.senders.forget(self)
        self.transport.write_eof()
        self.intake.discard()

    def _upgrade(self, tail: bytes) -> None:
        """Hand the connection over to the upgrader, with nothing of it left here."""
        if self._came_ahead or len(tail) > MAX_TAIL_BYTES or self.flow.write_paused:
            self._refuse_as_bad()
            return
        throttle = self._worker.throttle
        verdict = throttle.check(self.scope) if throttle is not None else None
        if verdict is not None and not verdict.admitted:
            self._refuse(error_of(verdict), headers_of(verdict))
            return
        self.connections.discard(self)
        self._worker.balance.closed()
        scope = self.scope
        request = Request(self.parser.get_method(), self.url, scope["path"], scope["query_string"], self.headers, tail)
        self._worker.upgrader.start(self.transport, request, self._refuse_upgrade)

    def _refuse_upgrade(self, error: AppError) -> None:
        """The connection is ours again, until it ends."""
        if self.transport.is_closing():
            return
        self.connections.add(self)
        self._worker.balance.opened()
        self.transport.set_protocol(self.intake)
        self._refuse(error)

    def is_overdue(self, now: float, header_s: float, body_s: float, idle_s: float) -> bool:
        """Whether the client has kept us waiting for too long. What it does not read is `readers.py`'s."""
        if self.transport is None or self.flow.write_paused or self.transport.is_closing():
            return False
        waited = now - self.since
        if self.intake.discarding and now - self.intake.heard_at > LINGER_SILENT_S:
            return True
        if self._discarding_since is not None:
            return now - self._discarding_since > LINGER_S
        if self.in_head:
            return waited > header_s
        if self.in_body:
            return waited > body_s
        return self.is_idle and waited > idle_s

    @property
    def is_idle(self) -> bool:
        """Whether the client has all of its answers and has not begun to ask anew."""
        if self.in_head or self.in_body or self.intake.discarding or self.flow is None or self.flow.write_paused:
            return False
        return self.cycle is None or self.cycle.response_complete
