"""One socket: the shell around `protocol.py` and `stream.py`.

A client's life: handshake -> (session known at the upgrade, or the authentication challenge within 5 s) -> registered
with the hub -> session checked again -> hello -> events and requests, until one side closes. When the socket breaks,
the client stays with the hub for a while, without one: who comes back with its id goes on where it stopped, without a
hello.
"""

import asyncio
import fcntl
import logging
import socket
import sys
import termios
from collections.abc import Callable, Coroutine
from typing import Any, cast

from app import sessions
from app.errors import AppError
from app.events import messages as events
from app.events.messages import Frame
from app.permissions import Actor, can
from app.ports import Upgrade
from db.model.errors import DatabaseError
from db.model.ids import SessionId
from ws import dialogue, protocol
from ws.close import Close
from ws.entry import Entry
from ws.fanout import SharedFrame
from ws.heads import Cursors
from ws.looking import Looking
from ws.outlet import Outlet
from ws.parcels import Snapshot
from ws.serving import Server, Wanted

log = logging.getLogger(__name__)

AUTHENTICATION_S = 5.0
ENTRY_S = 30.0
"""A storm is over by then; clients do not wait for their hello as long."""
PING_EVERY_S = 25.0
"""Proxies cut what is idle for 50 s (haproxy as packaged) or 60 s (nginx, load balancers of clouds)."""
SILENT_S = 4 * PING_EVERY_S
"""Three pings without an answer, and time for the answer to the third."""
STUCK_S = 10.0
LINGER_S = 5.0
LINGER_BYTES = 1 << 20
"""Of a client that sends on after it was told why its socket is closed."""
MAX_WAITING_REQUESTS = 32
_WRITE_BUFFER_BYTES = 65_536
_PROXY_BYTES = 8192


def unacknowledged(sock: socket.socket) -> int:
    """Bytes that the peer's kernel has not confirmed (tcp(7), SIOCOUTQ)."""
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:  # it is closed
        return 0


class Client(Outlet):
    """One socket. Slots: there are many, and each event touches them all."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_expires_at_ms",
        "_last_heard",
        "_lingering",
        "_next_ping",
        "_requests",
        "_server",
        "_upgrade",
        "_wanted",
        "_working",
        "acknowledges",
        "administrator",
        "attached",
        "connection_id",
        "cursors",
        "last_active",
        "looking",
        "session_id",
        "user_id",
    )

    def __init__(self, server: "Server[Client]", upgrade: Upgrade, sock: socket.socket) -> None:
        """sock: what the transport will own; it takes the descriptor out of it when it closes."""
        super().__init__(sock)
        self._server: Server[Client] = server
        self._upgrade: Upgrade | None = upgrade
        now = server.loop.time()
        self._connection = protocol.Connection(now)
        self._lingering = LINGER_BYTES
        self._wanted: Wanted | None = None
        """The connection that the upgrade asked for, until it is known who asks."""
        self._requests: list[protocol.Asked] = []
        self._working = False
        self._deadline: float | None = now + AUTHENTICATION_S
        self._expires_at_ms = 0
        self._last_heard = now
        self._next_ping = now + 1 + len(server.clients) % PING_EVERY_S  # those of a storm are not due all at once
        self.last_active = 0.0
        """When its user was last said to be active."""
        self.user_id = ""
        self.session_id = ""
        self.connection_id = ""
        self.attached = False
        """Whether there is a socket; without one, events wait for the client to come back."""
        self.administrator = False
        """Whether the user gets the copies of events that are for system administrators."""
        self.cursors: Cursors | None = None
        self.acknowledges = False
        """Whether it says of which posts it has notified its user, when it is asked to."""
        self.looking: Looking | None = None
        """Where its user looks, once it has said so."""

    # Transport -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self._server.clients.add(self)
        assert self._upgrade is not None
        if self._upgrade.session_id:
            self._connection.know(self._server.loop.time())
        else:
            oldest = self._server.strangers.add(self)
            if oldest is not None:
                oldest.abort()
        self._receive(self._upgrade.request + self._upgrade.tail)  # now, before anything is read from the socket

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where to read to. It is emptied at once, so that one is enough for all sockets."""
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes of the client. If there may be more they are read in the next turn of the loop, after all others'.

        Without that uvloop would read a socket 32 times before anybody else has a turn.
        """
        buffer = self._server.buffer
        if nbytes == len(buffer) and self._transport is not None:
            self._transport.pause_reading()
            self._server.loop.call_soon(self._read_on)
        if self._ending:
            self._discard(nbytes)
        else:
            self._receive(bytes(buffer[:nbytes]))

    def _read_on(self) -> None:
        if self._transport is not None and len(self._requests) < MAX_WAITING_REQUESTS:
            self._transport.resume_reading()

    def _discard(self, nbytes: int) -> None:
        self._lingering -= nbytes
        if self._lingering < 0:
            self.abort()

    def eof_received(self) -> bool:
        """The client will send no more: a WebSocket is of no use then."""
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        """The socket is gone."""
        self._server.clients.discard(self)
        self._server.strangers.discard(self)
        self._transport = None
        self.direct = None
        self._requests.clear()
        self._detach()

    def _detach(self) -> None:
        """The socket is gone: keep what a client that comes back goes on with, unless it has no business here."""
        if self.session_id and not self.connection_id:
            self._server.hub.leave(self)  # it never got so far
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
        self.acknowledges = opened.acknowledges
        if opened.sequence is not None:
            self._wanted = Wanted(opened.connection_id, opened.sequence)
        if upgrade.session_id:
            entry = Entry(self._server, self)
            self._run(entry.begin(SessionId(upgrade.session_id), upgrade.user_id, self.take_wanted()))

    def take_wanted(self) -> Wanted | None:
        """The connection that the upgrade asked for; once."""
        wanted, self._wanted = self._wanted, None
        return wanted

    def surrender(self, user_id: str, session_id: str, seq: int, actor: Actor | None = None) -> bool:
        """Whether the connection may go on with another socket from this number on. It has none here any more then.

        actor: the user as they are now, if that was just read.
        """
        if self.user_id != user_id or self.final or (self.attached and self.session_id != session_id):
            return False
        if actor is not None:
            self._judge(actor)
        if self.attached:
            self.give_way()
        self._server.detached.discard(self)
        if not self.stream.resume(seq, self._server.hub.view_of(self)):
            self.forget()
            return False
        return True

    def is_entering(self) -> bool:
        """Whether it is about to have its connection."""
        return not self.final and (self._holding or (bool(self.session_id) and not self.connection_id))

    def pack(self, frame_of: Callable[[SharedFrame], Frame]) -> Snapshot | None:
        """The connection as another worker may go on with it; None: there is none. Its socket gets no more events then.

        frame_of: an event as it crosses the bus, the same object for the same event.
        """
        if not self.connection_id or self.final or self._holding:
            return None
        if self.attached:
            self.hold()
        written = self._unread() if self.attached else self.stream.written()
        return Snapshot(
            self.connection_id,
            self.user_id,
            self.session_id,
            self.stream.seq,
            [None if one is None else frame_of(one) for one in written],
            list(map(frame_of, self.stream.events())),
            list(self._server.hub.positions_of(self).items()),
            self._server.loop.time(),
        )

    def _unread(self) -> list[SharedFrame | None]:
        """What the client may not have read: it is here or in the kernel, or within 8 KiB of that, as in a proxy."""
        written, left = self.stream.written(), _PROXY_BYTES
        if self._transport is not None:
            left += self._transport.get_write_buffer_size() + unacknowledged(self._socket)
        at = len(written)
        while at and left > 0:
            at -= 1
            one = written[at]
            left -= one.size if one is not None else 0
        return written[at:]

    def part(self, *, kept: bool) -> None:
        """This worker stops. kept: another one has the connection, and what this one did not write yet."""
        if kept:
            self.stream.clear()
        self.close(Close.SERVICE_RESTART)

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
        self._server.tasks.start(self._guard(work))

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
            await self._answer_all()
        except Exception:
            log.exception("a socket's request failed")
            self.abort()
        finally:
            self._working = False
            self._read_on()

    async def _answer_all(self) -> None:
        while self._requests:
            await dialogue.answer(self._server, self, self._requests.pop(0))

    def charge(self, frames: float) -> bool:
        """Count a request as so many frames more; False: the socket is closed for it."""
        affordable = self._connection.charge(frames)
        if not affordable:
            self.close(Close.POLICY_VIOLATION)
        return affordable

    def enter(self) -> None:
        """It is known who this is: from now on it is us whom they wait for."""
        now = self._server.loop.time()
        self._deadline = now + ENTRY_S
        self._connection.know(now)

    def admit(self, connection_id: str, actor: Actor) -> None:
        """The session is good: events may come."""
        self.connection_id = connection_id
        self.attached = True
        self._deadline = None
        self._judge(actor)

    def _judge(self, actor: Actor) -> None:
        """What the session and the user's roles say of this client."""
        self._expires_at_ms = actor.session.expires_at
        was, self.administrator = self.administrator, can(actor, "manage_system")
        if was and not self.administrator:
            self.stream.sift(self._server.hub.view_of(self))

    async def recheck(self) -> None:
        """The session or the user has changed: close the socket if the session has ended, else judge anew."""
        if not self.connection_id:
            return
        try:
            recheck = sessions.recheck(self._server.ctx, SessionId(self.session_id))
            self._judge(await self._server.repairs.patience.bounded(recheck))
        except AppError:
            self.close(Close.SESSION_ENDED)
        except DatabaseError:
            self.close(Close.TRY_AGAIN_LATER)

    def looks_at(self, channel_id: str) -> bool:
        """Whether the user may see a channel at this moment, as far as that is known and counts."""
        if self.looking is None or not self._server.ctx.config.service_settings.enable_web_socket_event_scope:
            return True
        return channel_id in self.looking

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

    def send_away(self) -> None:
        """Close with 1012 and keep the connection, so that the client goes on with it on another node."""
        if self.attached and not self.is_over():
            self._enqueue(self._connection.close(Close.SERVICE_RESTART))
            self._finish()

    def _overflow(self) -> None:
        """A client that does not read loses best-effort events first, then the connection."""
        if self.attached:
            self._drop_slow("its queue is full")
        else:
            self.final = True
            self._server.detached.discard(self)
            self._server.loop.call_soon(self.forget)  # whoever delivers to us is walking over all clients

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
        self._server.loop.call_soon(self._read_on)
        self._transport.write_eof()
        self._server.loop.call_later(LINGER_S, self.abort)

    def abort(self) -> None:
        """Close at once, without a word."""
        self.direct = None
        if self._transport is not None:
            self._transport.abort()
