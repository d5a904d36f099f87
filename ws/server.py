"""Sockets received from api workers, and their timers: the shell around `protocol.py`.

A client's life: handshake -> (session known at the upgrade, or the authentication challenge within 5 s) -> registered
with the hub -> session checked again -> hello -> events and requests, until one side closes.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Coroutine
from typing import Any, cast

from app import events, sessions
from app.context import Context
from app.errors import AppError
from app.events import Changed, Message, Moved
from app.permissions import Actor
from app.ports import Upgrade
from db import channels, teams
from db.errors import DatabaseError
from db.ids import SessionId, TeamId, UserId, new_id
from ws import actions, protocol
from ws.close import Close
from ws.fanout import Fanout, SharedFrame, text_frame
from ws.heads import Cursors
from ws.hub import Positions
from ws.repairs import Repairs

log = logging.getLogger(__name__)

AUTHENTICATION_S = 5.0
PING_EVERY_S = 60.0
SILENT_S = 100.0
STUCK_S = 10.0
LINGER_S = 5.0
MAX_QUEUED_EVENTS = 256
MAX_QUEUED_BYTES = 1 << 20
MAX_WAITING_REQUESTS = 32
ACTIVITY_EVERY_S = 20.0
_DRAIN_S = 1.0
_SWEEP_S = 1.0
_RETRY_S = 0.2
_WRITE_BUFFER_BYTES = 65_536


class WebSocketServer:
    """All sockets of one ws worker. `adopt` takes them, `handle` takes what the bus brings."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.repairs = Repairs(ctx)
        self.hub = self.repairs.hub
        self.fanout = Fanout()
        self.loop = asyncio.get_running_loop()
        self.clients: set[Client] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._draining = False

    def handle(self, message: Message) -> None:
        """A message of the bus."""
        if isinstance(message, Changed):
            self._look_again(message)
        elif isinstance(message, Moved):
            self.repairs.learn(message)
        else:
            self.hub.handle(message)
            self.repairs.look()

    def _look_again(self, changed: Changed) -> None:
        """Rows that sockets depend on were changed, by us or behind our back: read them again."""
        clients: set[Client] = set()
        users: set[str] = set()
        for namespace, key in changed.pairs:
            if namespace == "session":
                clients.update(cast(list[Client], self.hub.of_session(key)))
            elif namespace == "user":
                clients.update(cast(list[Client], self.hub.of_user(key)))
            elif self.hub.of_user(key):
                users.add(key)
        if clients or users:
            task = self.loop.create_task(self._read_again(clients, users))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _read_again(self, clients: "set[Client]", users: set[str]) -> None:
        for client in clients:
            await client.recheck()
        for user_id in users:
            await self._until_read(user_id)

    async def adopt(self, sock: socket.socket, upgrade: Upgrade) -> None:
        """Serve a connected socket whose upgrade request is still unanswered."""
        if self._draining:
            sock.close()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self.loop.connect_accepted_socket(lambda: Client(self, upgrade), sock)

    async def reload(self) -> None:
        """Messages of the bus were lost: read again where everybody belongs and whether their sessions live."""
        for user_id in self.hub.users():
            await self._until_read(user_id)
        for client in list(self.clients):
            await client.recheck()
        while True:
            try:
                return await self.repairs.compare()
            except DatabaseError:
                await asyncio.sleep(_RETRY_S)

    async def _until_read(self, user_id: str) -> None:
        listener = self.hub.begin_loading(user_id)
        memberships = None
        try:
            while memberships is None:
                try:
                    memberships = await self.read_memberships(user_id)
                except DatabaseError:
                    await asyncio.sleep(_RETRY_S)
        finally:
            self.hub.end_loading(listener, memberships)
            self.repairs.look()

    async def read_memberships(self, user_id: str) -> tuple[Positions, list[TeamId]]:
        """Where a user belongs, and how far those channels are. Raises DatabaseError."""
        db = self.ctx.db
        return (
            cast(Positions, await channels.find_positions(db, UserId(user_id))),
            await teams.find_ids_of_user(db, UserId(user_id)),
        )

    def held(self) -> events.Presence:
        """Everybody with a socket here, for a relay that has started anew."""
        return events.Presence("held", tuple(self.hub.users()))

    async def sweep_for_ever(self) -> None:
        """Timers of all sockets in one walk a second: cheaper than a timer each."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self.loop.time()
            now_ms = self.ctx.now_ms()
            for client in list(self.clients):
                client.check(now, now_ms)

    async def drain(self) -> None:
        """Take no more sockets, close those here with 1012 and give the clients a second to hear of it."""
        self._draining = True
        for client in list(self.clients):
            client.close(Close.SERVICE_RESTART)
        deadline = self.loop.time() + _DRAIN_S
        while self.clients and self.loop.time() < deadline:
            await asyncio.sleep(0.02)


class Client(asyncio.Protocol):
    """One socket."""

    def __init__(self, server: WebSocketServer, upgrade: Upgrade) -> None:
        self._server = server
        self._upgrade: Upgrade | None = upgrade
        now = server.loop.time()
        self._connection = protocol.Connection(now)
        self._transport: asyncio.Transport | None = None
        self._queue: deque[SharedFrame | bytes] = deque()
        self._queued_bytes = 0
        self._marked = False
        self._paused_at: float | None = None
        self._ending = False
        self._seq = 0
        self._requests: deque[protocol.Asked] = deque()
        self._working = False
        self._deadline: float | None = now + AUTHENTICATION_S
        self._expires_at_ms = 0
        self._last_heard = now
        self._next_ping = now + PING_EVERY_S
        self._last_active = 0.0
        self.user_id = ""
        self.session_id = ""
        self.connection_id = ""
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
        if self.session_id and self._server.hub.leave(self):
            self._server.ctx.bus.publish(events.Presence("disconnected", (self.user_id,)))
        self._transport = None
        self._queue.clear()
        self._requests.clear()

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
                    self._opened()
                case protocol.Asked():
                    self._ask(output)
                case protocol.PongReceived():
                    pass
                case protocol.Ended():
                    self._finish()

    def _opened(self) -> None:
        upgrade, self._upgrade = self._upgrade, None
        assert upgrade is not None
        if upgrade.session_id:
            self._run(self._authenticate(SessionId(upgrade.session_id), upgrade.user_id))

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
            request = self._requests.popleft()
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
            if hub.clients_of(user_id) >= ctx.config.service_settings.maximum_web_sockets_per_user:
                self.close(Close.POLICY_VIOLATION)
                return
            self._deadline = None
            self._expires_at_ms = actor.session.expires_at
            self.connection_id = new_id()
            first = hub.join(listener, self)
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
        if self._ending:
            return
        count, size = len(self._queue), self._queued_bytes
        if count >= MAX_QUEUED_EVENTS // 2 or size >= MAX_QUEUED_BYTES // 2:
            if frame.best_effort:
                return
            if count >= MAX_QUEUED_EVENTS or size >= MAX_QUEUED_BYTES:
                self._drop_slow("its queue is full")
                return
        self._queue.append(frame)
        self._queued_bytes += len(frame.body)
        self._mark()

    def _reply(self, payload: bytes) -> None:
        self._enqueue(text_frame(payload))

    def _enqueue(self, data: bytes) -> None:
        """Bytes that stay in order with the events."""
        if self._ending:
            return
        self._queue.append(data)
        self._queued_bytes += len(data)
        self._mark()

    def _mark(self) -> None:
        if not self._marked and self._queue and self._paused_at is None:
            self._marked = True
            self._server.fanout.mark(self)

    def flush(self) -> None:
        """Write everything that waits, in one write, unless the client has to read first."""
        self._marked = False
        if self._paused_at is None:
            self._write()

    def _write(self) -> None:
        """Events get their numbers now."""
        if not self._queue or self._transport is None or self._is_over():
            return
        parts: list[bytes] = []
        for item in self._queue:
            if isinstance(item, bytes):
                parts.append(item)
            else:
                parts.append(item.numbered(self._seq))
                self._seq += 1
        self._queue.clear()
        self._queued_bytes = 0
        self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

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
        self._enqueue(self._connection.close(code))
        self._finish()

    def _drop_slow(self, reason: str) -> None:
        log.info("slow client closed", extra={"connection": self.connection_id, "reason": reason})
        self._queue.clear()  # a close frame behind what the transport holds is the best that can be done
        self.close(Close.TRY_AGAIN_LATER)

    def _finish(self) -> None:
        """Write what was queued, then nothing more, and wait for the client to close.

        Closing with bytes of the client unread would reset the connection, and the close code would be lost with it.
        """
        if self._transport is None or self._is_over():
            return
        self._write()
        self._ending = True
        self._queue.clear()
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
