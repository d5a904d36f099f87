"""One socket: the shell around `protocol.py` and `stream.py`.

A client's life: handshake -> (session known at the upgrade, or the authentication challenge within 5 s) -> registered
with the hub -> session checked again -> hello -> events and requests, until one side closes. When the socket breaks,
the client stays with the hub for a while, without one: who comes back with its id goes on where it stopped, without a
hello.
"""

import asyncio
import logging
import socket
from collections.abc import Coroutine
from typing import Any, Protocol, cast

from app import events, sessions
from app.context import Context
from app.errors import AppError
from app.permissions import Actor, can
from app.ports import Upgrade
from db.errors import DatabaseError
from db.ids import SessionId, TeamId, UserId
from ws import actions, protocol
from ws.claims import Claims
from ws.close import Close
from ws.detached import Detached
from ws.entry import Entry, Wanted, known
from ws.fanout import Fanout, SharedFrame, text_frame
from ws.heads import Cursors
from ws.hub import Hub, Positions
from ws.repairs import Repairs
from ws.stream import MAX_QUEUED_EVENTS, Stream

log = logging.getLogger(__name__)

AUTHENTICATION_S = 5.0
ENTRY_S = 30.0
"""A storm is over by then; clients do not wait for their hello as long."""
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
    claims: Claims
    loop: asyncio.AbstractEventLoop
    clients: "set[Client]"
    tasks: set[asyncio.Task[None]]
    entering: int
    turnstile: asyncio.Semaphore

    def find(self, connection_id: str) -> "Client | None":
        """The client of this id."""

    async def read_memberships(self, user_id: str) -> tuple[Positions, list[TeamId]]:
        """Where a user belongs, and how far those channels are. Raises DatabaseError."""


class Client(asyncio.Protocol):
    """One socket. Slots: there are many, and each event touches them all."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_ending",
        "_expires_at_ms",
        "_holding",
        "_last_active",
        "_last_heard",
        "_marked",
        "_next_ping",
        "_paused_at",
        "_requests",
        "_server",
        "_socket",
        "_transport",
        "_upgrade",
        "_working",
        "administrator",
        "attached",
        "connection_id",
        "cursors",
        "direct",
        "final",
        "session_id",
        "stream",
        "user_id",
    )

    def __init__(self, server: Server, upgrade: Upgrade, sock: socket.socket) -> None:
        """sock: what the transport will own; it takes the descriptor out of it when it closes."""
        self._server = server
        self._upgrade: Upgrade | None = upgrade
        now = server.loop.time()
        self._connection = protocol.Connection(now)
        self._transport: asyncio.Transport | None = None
        self._socket = sock
        self.direct: socket.socket | None = None
        """Where an event may be written past the transport, as nothing waits before it; None: it is to be queued."""
        self.stream = Stream()
        self._marked = False
        self._holding = False
        self._paused_at: float | None = None
        self._ending = False
        self.final = False
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
        self.administrator = False
        """Whether the user gets the copies of events that are for system administrators."""
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
        self.direct = None
        self._requests.clear()
        self._detach()

    def _detach(self) -> None:
        """The socket is gone: keep what a client that comes back goes on with, unless it has no business here."""
        if not self.session_id or not self.attached:
            return
        self.attached = False
        hub = self._server.hub
        if self.connection_id and not self.final:
            self.stream.detach()
            self._server.detached.add(self, self._server.loop.time())
        else:
            self.stream.clear()
            hub.leave(self)
        if self.connection_id and not hub.attached(self.user_id):
            self._server.ctx.bus.publish(events.Presence("disconnected", (self.user_id,)))

    def forget(self) -> None:
        """Nobody came back in time."""
        self.stream.clear()
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
            wanted = Wanted(opened.connection_id, opened.sequence) if opened.sequence is not None else None
            self._run(Entry(self._server, self).begin(SessionId(upgrade.session_id), upgrade.user_id, wanted))

    def surrender(self, user_id: str, session_id: str, seq: int) -> bool:
        """Whether the connection may go on with another socket from this number on. It has none here any more then."""
        if self.user_id != user_id or self.final or (self.attached and self.session_id != session_id):
            return False
        if self.attached:
            self.give_way()
        self._server.detached.discard(self)
        if self.cursors or not self.stream.resume(seq):
            self.forget()
            return False
        return True

    def give_way(self) -> None:
        """The client has another socket: this one was broken and nobody had noticed."""
        transport, self._transport = self._transport, None
        self.direct = None
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
            self.abort()
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
            self.abort()
            return
        try:
            actor = await sessions.authenticate(self._server.ctx, token)
        except (AppError, DatabaseError):
            self.abort()
            return
        entry, positions = Entry(self._server, self), known(request.data.get("positions"))
        await entry.register(actor.session.id, actor.user_id, known=positions)
        if self.connection_id:
            self._reply(actions.ok(request.seq))

    def enter(self) -> None:
        """It is known who this is: from now on it is us whom they wait for."""
        self._deadline = self._server.loop.time() + ENTRY_S

    def admit(self, connection_id: str, actor: Actor) -> None:
        """The session is good: events may come."""
        self.connection_id = connection_id
        self.attached = True
        self._deadline = None
        self._judge(actor)

    def go_on(self, stream: Stream) -> None:
        """Send what a connection was to be sent, after the replies that wait."""
        replies, self.stream = self.stream.take(), stream
        if self._transport is not None and replies:
            self._transport.write(replies)
        self._mark()

    def hold(self) -> None:
        """Write no events until `release`."""
        self._write()
        self._holding = True
        self.direct = None

    def release(self, first: SharedFrame | None) -> None:
        """Write events, this one before all others."""
        self._holding = False
        if first is not None:
            self.stream.put_first(first)
        self._mark()

    def _judge(self, actor: Actor) -> None:
        """What the session and the user's roles say of this client."""
        self._expires_at_ms = actor.session.expires_at
        self.administrator = can(actor, "manage_system")

    async def recheck(self) -> None:
        """The session or the user has changed: close the socket if the session has ended, else judge anew."""
        if not self.connection_id:
            return
        try:
            self._judge(await sessions.recheck(self._server.ctx, SessionId(self.session_id)))
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
        if self.final:
            return
        added = self.stream.add(frame)
        if not added and self._may_write():  # very many in one turn of the loop
            self._write()
            added = self.stream.add(frame)
        if added:
            if not self._marked:
                self._mark()
        elif self.attached:
            self._drop_slow("its queue is full")
        else:
            self.final = True
            self._server.detached.discard(self)
            self._server.loop.call_soon(self.forget)  # whoever delivers to us is walking over all clients

    def finish_write(self, rest: bytes) -> None:
        """What `direct` did not take, because it is full or broken: the transport finds out which."""
        self.direct = None
        if self._transport is not None:
            self._transport.write(rest)

    def _reply(self, payload: bytes) -> None:
        self._enqueue(text_frame(payload))

    def _enqueue(self, data: bytes) -> None:
        """Bytes that stay in order with the events."""
        if self._ending:
            return
        self.stream.add_bytes(data)
        self._mark()

    def _mark(self) -> None:
        self.direct = None
        if not self._marked and self._may_write():
            self._marked = True
            self._server.fanout.mark(self)

    def flush(self) -> None:
        """Write everything that waits, in one write, unless the client has to read first. Events get numbers now."""
        self._marked = False
        if self._may_write():
            self._write()

    def _may_write(self) -> bool:
        return self._transport is not None and self._paused_at is None and not self._holding

    def has_room(self) -> bool:
        """Whether many events may be queued at once."""
        return self._may_write() and len(self.stream) < MAX_QUEUED_EVENTS // 4

    def _write(self) -> None:
        transport = self._transport
        if transport is not None and not self._ending and not transport.is_closing():
            data = self.stream.take()
            if data:
                transport.write(data)
            self.direct = None if self._marked or transport.get_write_buffer_size() else self._socket

    # Ending --------------------------------------------------------------------------------------------------------

    def check(self, now: float, now_ms: int) -> None:
        """Once a second: time-outs and the ping that clients depend on."""
        if self._deadline is not None and now >= self._deadline:
            self.abort()
        elif self._expires_at_ms and now_ms >= self._expires_at_ms:
            self.close(Close.SESSION_ENDED)
        elif now - self._last_heard >= SILENT_S:
            self.abort()
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
        self.final = True
        self._enqueue(self._connection.close(code))
        self._finish()

    def _drop_slow(self, reason: str) -> None:
        log.info("slow client closed", extra={"connection": self.connection_id, "reason": reason})
        self.stream.clear()  # a close frame behind what the transport holds is the best that can be done
        self.close(Close.TRY_AGAIN_LATER)

    def _finish(self) -> None:
        """Write what was queued, then nothing more, and wait for the client to close.

        Closing with bytes of the client unread would reset the connection, and the close code would be lost with it.
        """
        if self._transport is None or self.is_over():
            return
        self._write()
        self._ending = True
        self.direct = None
        if self.final:
            self.stream.clear()
        self._requests.clear()
        self._transport.resume_reading()
        self._transport.write_eof()
        self._server.loop.call_later(LINGER_S, self.abort)

    def is_gone(self) -> bool:
        """Whether there is no socket."""
        return self._transport is None

    def is_over(self) -> bool:
        """Whether nothing can be written any more."""
        return self._ending or self._transport is None or self._transport.is_closing()

    def abort(self) -> None:
        """Close at once, without a word."""
        self.direct = None
        if self._transport is not None:
            self._transport.abort()
