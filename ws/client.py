"""One socket: the shell around `protocol.py` and `stream.py`.

A client's life: handshake -> (session known at the upgrade, or the authentication challenge within 5 s) -> registered
with the hub -> session checked again -> hello -> events and requests, until one side closes. When the socket breaks,
the client stays with the hub for a while, without one: who comes back with its id goes on where it stopped, without a
hello.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Protocol, cast

from app import events, sessions
from app.context import Context
from app.errors import AppError
from app.permissions import Actor
from app.ports import Upgrade
from db.errors import DatabaseError
from db.ids import SessionId, TeamId, UserId, new_id
from ws import actions, protocol
from ws.close import Close
from ws.detached import Detached
from ws.fanout import Fanout, SharedFrame, text_frame
from ws.heads import Cursors
from ws.hub import Hub, Positions
from ws.repairs import Repairs
from ws.stream import Stream

log = logging.getLogger(__name__)

AUTHENTICATION_S = 5.0
PING_EVERY_S = 60.0
SILENT_S = 100.0
STUCK_S = 10.0
LINGER_S = 5.0
MAX_WAITING_REQUESTS = 32
ACTIVITY_EVERY_S = 20.0
_WRITE_BUFFER_BYTES = 65_536


class Server(Protocol):
    """What a client needs of its worker."""

    ctx: Context
    hub: Hub
    fanout: Fanout
    repairs: Repairs
    detached: "Detached[Client]"
    loop: asyncio.AbstractEventLoop
    clients: "set[Client]"
    tasks: set[asyncio.Task[None]]

    async def read_memberships(self, user_id: str) -> tuple[Positions, list[TeamId]]:
        """Where a user belongs, and how far those channels are. Raises DatabaseError."""


class Client(asyncio.Protocol):
    """One socket. Slots: there are many, and each event touches them all."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_ending",
        "_expires_at_ms",
        "_final",
        "_last_active",
        "_last_heard",
        "_marked",
        "_next_ping",
        "_paused_at",
        "_requests",
        "_server",
        "_stream",
        "_transport",
        "_upgrade",
        "_working",
        "attached",
        "connection_id",
        "cursors",
        "session_id",
        "user_id",
    )

    def __init__(self, server: Server, upgrade: Upgrade) -> None:
        self._server = server
        self._upgrade: Upgrade | None = upgrade
        now = server.loop.time()
        self._connection = protocol.Connection(now)
        self._transport: asyncio.Transport | None = None
        self._stream = Stream()
        self._marked = False
        self._paused_at: float | None = None
        self._ending = False
        self._final = False
        """Whether it was we who closed: nobody comes back to that."""
        self._requests: list[protocol.Asked] = []
        self._working = False
        self._deadline: float | None = now + AUTHENTICATION_S
        self._expires_at_ms = 0
        self._last_heard = now
        self._next_ping = now + PING_EVERY_S
        self._last_active = 0.0
        self.user_id = ""
        self.session_id = ""
        self.connection_id = ""
        self.attached = False
        """Whether there is a socket; without one, events wait for the client to come back."""
        self.cursors: Cursors | None = None

    # Transport -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self._server.clients.add(self)
        assert self._upgrade is not None
        self._receive(self._upgrade.request + self._upgrade.tail)  # now, before anything is read from the socket

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        self._receive(data)

    def eof_received(self) -> bool:
        """The client will send no more: a WebSocket is of no use then."""
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        """The socket is gone."""
        self._server.clients.discard(self)
        self._transport = None
        self._requests.clear()
        self._detach()

    def _detach(self) -> None:
        """The socket is gone: keep what a client that comes back goes on with, unless it has no business here."""
        if not self.session_id or not self.attached:
            return
        self.attached = False
        hub = self._server.hub
        if self.connection_id and not self._final:
            self._stream.detach()
            self._server.detached.add(self, self._server.loop.time())
        else:
            self._stream.clear()
            hub.leave(self)
        if self.connection_id and not hub.attached(self.user_id):
            self._server.ctx.bus.publish(events.Presence("disconnected", (self.user_id,)))

    def forget(self) -> None:
        """Nobody came back in time."""
        self._stream.clear()
        self._server.hub.leave(self)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._paused_at = self._server.loop.time()

    def resume_writing(self) -> None:
        """There is room again."""
        self._paused_at = None
        self._mark()

    # Protocol ------------------------------------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        self._last_heard = now = self._server.loop.time()
        for output in self._connection.receive(data, now):
            match output:
                case protocol.Write():
                    self._enqueue(output.data)
                case protocol.Opened():
                    self._opened(output)
                case protocol.Asked():
                    self._ask(output)
                case protocol.PongReceived():
                    pass
                case protocol.Ended():
                    self._finish()

    def _opened(self, opened: protocol.Opened) -> None:
        upgrade, self._upgrade = self._upgrade, None
        assert upgrade is not None
        if upgrade.session_id:
            self._run(self._begin(SessionId(upgrade.session_id), upgrade.user_id, opened))

    async def _begin(self, session_id: SessionId, user_id: str, opened: protocol.Opened) -> None:
        if not await self._resume(session_id, user_id, opened):
            await self._authenticate(session_id, user_id)

    async def _resume(self, session_id: SessionId, user_id: str, opened: protocol.Opened) -> bool:
        """Go on as the connection that the client had, if that is possible; True as well when the socket is over."""
        if opened.sequence is None or not opened.connection_id:
            return False
        try:
            actor = await sessions.recheck(self._server.ctx, session_id)
        except (AppError, DatabaseError):
            self._abort()
            return True
        hub = self._server.hub
        old = hub.of_connection(opened.connection_id)
        if self._is_over() or not isinstance(old, Client) or old.user_id != user_id or old._final:
            return self._is_over()
        if old.attached:
            if old.session_id != session_id:
                return False
            old.give_way()
        self._server.detached.discard(old)
        if old.cursors or not old._stream.resume(opened.sequence):
            old.forget()
            return False
        first = not hub.attached(user_id)
        self.session_id, self.user_id, self.connection_id = session_id, user_id, old.connection_id
        self.attached = True
        self._deadline = None
        self._expires_at_ms = actor.session.expires_at
        replies, self._stream = self._stream.take(), old._stream
        if self._transport is not None and replies:
            self._transport.write(replies)  # the handshake
        hub.replace(old, self)
        self._mark()
        if first:
            self._server.ctx.bus.publish(events.Presence("connected", (user_id,)))
        return True

    def give_way(self) -> None:
        """The client has another socket: this one was broken and nobody had noticed."""
        transport, self._transport = self._transport, None
        self._server.clients.discard(self)
        self._requests.clear()
        self._detach()
        if transport is not None:
            transport.abort()

    def _ask(self, request: protocol.Asked) -> None:
        self._requests.append(request)
        if len(self._requests) >= MAX_WAITING_REQUESTS and self._transport is not None:
            self._transport.pause_reading()
        if not self._working:
            self._run(self._answer_all())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Requests and authentication of one client never overlap."""
        self._working = True
        task: asyncio.Task[None] = self._server.loop.create_task(self._guard(work))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
            await self._answer_all()
        except Exception:
            log.exception("a socket's request failed")
            self._abort()
        finally:
            self._working = False
            if self._transport is not None:
                self._transport.resume_reading()

    async def _answer_all(self) -> None:
        while self._requests:
            request = self._requests.pop(0)
            await self._answer(request)

    async def _answer(self, request: protocol.Asked) -> None:
        if request.action == "authentication_challenge":
            if not self.connection_id:
                await self._challenge(request)
            return
        refusal = actions.router_error(request.seq, request.action, authenticated=bool(self.connection_id))
        if refusal is not None:
            self._reply(actions.fail(request.seq, refusal))
            return
        self._note_activity(request.action)
        session_id = SessionId(self.session_id)
        self._reply(await actions.run(self._server.ctx, session_id, request.seq, request.action, request.data))

    async def _challenge(self, request: protocol.Asked) -> None:
        token = request.data.get("token")
        if not isinstance(token, str):
            self._abort()
            return
        try:
            actor = await sessions.authenticate(self._server.ctx, token)
        except (AppError, DatabaseError):
            self._abort()
            return
        await self._authenticate(actor.session.id, actor.user_id)
        if self.connection_id:
            self._reply(actions.ok(request.seq))

    async def _authenticate(self, session_id: SessionId, user_id: str) -> None:
        """Register, check the session (again), say hello."""
        hub, ctx = self._server.hub, self._server.ctx
        self.session_id, self.user_id = session_id, user_id
        hub.watch_session(self)
        if self._transport is None:  # it closed while its token was looked up
            hub.leave(self)
            return
        listener = hub.begin_loading(user_id)
        memberships = newcomer = None
        try:
            memberships = await self._server.read_memberships(user_id)
            actor: Actor = await sessions.recheck(ctx, session_id)
            if self._is_over():
                return
            if hub.attached(user_id) >= ctx.config.service_settings.maximum_web_sockets_per_user:
                self.close(Close.POLICY_VIOLATION)
                return
            self._deadline = None
            self._expires_at_ms = actor.session.expires_at
            self.connection_id = new_id()
            self.attached = True
            hub.join(listener, self)
            first = hub.attached(user_id) == 1
            newcomer = self
        except (AppError, DatabaseError):
            self._abort()
            return
        finally:
            hub.end_loading(listener, memberships, newcomer)
            self._server.repairs.look()
        hello = events.hello(UserId(user_id), self.connection_id, ctx.client_config.version_id)
        self.send(SharedFrame(hello.frame, best_effort=False))
        if first:
            ctx.bus.publish(events.Presence("connected", (user_id,)))

    async def recheck(self) -> None:
        """Close the socket if its session has ended meanwhile."""
        if not self.connection_id:
            return
        try:
            await sessions.recheck(self._server.ctx, SessionId(self.session_id))
        except AppError:
            self.close(Close.SESSION_ENDED)
        except DatabaseError:
            self.close(Close.TRY_AGAIN_LATER)

    def _note_activity(self, action: str) -> None:
        now = self._server.loop.time()
        if action != "ping" and now - self._last_active >= ACTIVITY_EVERY_S:
            self._last_active = now
            self._server.ctx.bus.publish(events.active(UserId(self.user_id)))

    # Sending -------------------------------------------------------------------------------------------------------

    def send(self, frame: SharedFrame) -> None:
        """Queue an event. A client that does not read loses best-effort events first, then the connection."""
        if self._final:
            return
        if self._stream.add(frame):
            if not self._marked:
                self._mark()
        elif self.attached:
            self._drop_slow("its queue is full")
        else:
            self._final = True
            self._server.detached.discard(self)
            self._server.loop.call_soon(self.forget)  # whoever delivers to us is walking over all clients

    def _reply(self, payload: bytes) -> None:
        self._enqueue(text_frame(payload))

    def _enqueue(self, data: bytes) -> None:
        """Bytes that stay in order with the events."""
        if self._ending:
            return
        self._stream.add_bytes(data)
        self._mark()

    def _mark(self) -> None:
        if not self._marked and self._paused_at is None and self._transport is not None:
            self._marked = True
            self._server.fanout.mark(self)

    def flush(self) -> None:
        """Write everything that waits, in one write, unless the client has to read first. Events get numbers now."""
        self._marked = False
        transport = self._transport
        if self._paused_at is None and transport is not None and not self._ending and not transport.is_closing():
            data = self._stream.take()
            if data:
                transport.write(data)

    # Ending --------------------------------------------------------------------------------------------------------

    def check(self, now: float, now_ms: int) -> None:
        """Once a second: time-outs and the ping that clients depend on."""
        if self._deadline is not None and now >= self._deadline:
            self._abort()
        elif self._expires_at_ms and now_ms >= self._expires_at_ms:
            self.close(Close.SESSION_ENDED)
        elif now - self._last_heard >= SILENT_S:
            self._abort()
        elif self._paused_at is not None and now - self._paused_at >= STUCK_S:
            self._drop_slow("it does not read")
        elif now >= self._next_ping:
            self._next_ping = now + PING_EVERY_S
            self._enqueue(self._connection.ping())

    def close(self, code: Close) -> None:
        """Say why and close."""
        if self.connection_id and not self.attached:
            self._server.detached.discard(self)
            self.forget()
            return
        self._final = True
        self._enqueue(self._connection.close(code))
        self._finish()

    def _drop_slow(self, reason: str) -> None:
        log.info("slow client closed", extra={"connection": self.connection_id, "reason": reason})
        self._stream.clear()  # a close frame behind what the transport holds is the best that can be done
        self.close(Close.TRY_AGAIN_LATER)

    def _finish(self) -> None:
        """Write what was queued, then nothing more, and wait for the client to close.

        Closing with bytes of the client unread would reset the connection, and the close code would be lost with it.
        """
        if self._transport is None or self._is_over():
            return
        self._paused_at = None
        self.flush()
        self._ending = True
        if self._final:
            self._stream.clear()
        self._requests.clear()
        self._transport.resume_reading()
        self._transport.write_eof()
        self._server.loop.call_later(LINGER_S, self._abort)

    def _is_over(self) -> bool:
        """Whether nothing can be written any more."""
        return self._ending or self._transport is None or self._transport.is_closing()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
