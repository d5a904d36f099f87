"""All sockets of a ws worker: received from api workers, watched once a second, told what the bus brings."""

import asyncio
import logging
import math
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import cast

from app.context import Context
from app.events import messages as events
from app.events import names
from app.events.messages import (
    Changed,
    Claim,
    Event,
    EverySessionClosed,
    Frame,
    Given,
    Kept,
    Lack,
    Leaving,
    Lent,
    Message,
    Moved,
    Parcels,
    SessionClosed,
    Void,
    Willing,
)
from app.ports import Upgrade
from db.model.errors import DatabaseError
from db.model.ids import TeamId, UserId
from db.model.tables import OF_SOCKETS, Namespace
from db.model.tasks import Tasks
from db.sql import channels, teams
from db.sql.outbox import Poll
from ws.claims import Claims
from ws.client import Client
from ws.detached import Detached
from ws.fanout import Fanout, SharedFrame
from ws.farewell import Farewell
from ws.hub import Client as HubClient
from ws.hub import Positions
from ws.keeper import Keeper
from ws.parcels import Snapshot
from ws.repairs import Repairs
from ws.strangers import Strangers

log = logging.getLogger(__name__)

MAX_ENTERING = 1000
ENTRIES = 16
"""That ask the database at a time."""
_CLOSES_EVERY_S = 0.02
CLOSES_S = 0.8
_CLOSES_LEAST = 20
_DRAIN_S = 0.8
_ENTERING_S = 0.5
"""For those who are about to get a connection when the worker stops."""
_SWEEP_S = 1.0
_RETRY_S = 0.2
READ_BYTES = 16_384
"""Of one socket in one turn of the loop: a message of the largest size, and what comes with it."""
TURN_S = 0.05
"""Of messages of the bus, before others have their turn."""
MAX_BEHIND = 1000
"""Messages that wait for their turn; beyond, nobody is told who types."""
_AT_ONCE = (SessionClosed, EverySessionClosed, Claim, Given, Leaving, Willing, Parcels, Kept, Void, Lack, Lent)
"""What waits for nothing that is behind already: it is urgent, and true at any moment."""
_UNSENT_BYTES = 65_536
"""In the kernel, of one socket; by itself it takes 2.6 MB before it tells us that a client does not read."""


class WebSocketServer:
    """All sockets of one ws worker. `adopt` takes them, `take` takes what the bus brings."""

    def __init__(self, ctx: Context, address: str, *, alone: bool = False) -> None:
        """address: of this worker, in the ids of its connections. alone: there are no other ws workers."""
        self.ctx = ctx
        self.repairs = Repairs(ctx, address)
        self.hub = self.repairs.hub
        self.fanout = Fanout()
        self.loop = asyncio.get_running_loop()
        self.clients: set[Client] = set()
        self.detached: Detached[Client] = Detached()
        self.strangers: Strangers[Client] = Strangers()
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.claims = Claims(ctx.bus, address, self._give_away, self.loop.time, alone=alone)
        self.keeper = Keeper(self.loop.time)
        self.farewell = Farewell(ctx.bus, address, self.loop.time)
        self.tasks = Tasks()
        self.entering = 0
        """Clients that wait for their connection: for the database, most of the time."""
        self.turnstile = asyncio.Semaphore(ENTRIES)
        self._behind: deque[Message] = deque()
        """What the bus brought and there was no time for yet."""
        self._draining = False
        self._reloading: asyncio.Task[None] | None = None

    def take(self, messages: Sequence[Message]) -> None:
        """What the bus brought in one turn of the loop. What takes too long is done in the next ones, in its order."""
        behind, waiting = self._behind, bool(self._behind)
        for message in messages:
            if waiting and isinstance(message, _AT_ONCE):
                self.handle(message)
            elif len(behind) < MAX_BEHIND or not (isinstance(message, Event) and message.name in names.BEST_EFFORT):
                behind.append(message)
        if not waiting:
            self._work_off(alone=sum(isinstance(message, Event) for message in messages) == 1)

    def _work_off(self, *, alone: bool = False) -> None:
        behind, ends = self._behind, time.monotonic() + TURN_S  # the loop's own clock stands still within a turn
        try:
            while behind:
                self.handle(behind.popleft(), alone=alone)
                if behind and time.monotonic() >= ends:
                    break
        finally:
            if behind:
                self.loop.call_soon(self._work_off)

    def handle(self, message: Message, *, alone: bool = False) -> None:
        """A message of the bus. alone: no event comes with it."""
        if isinstance(message, Changed):
            self._look_again(message)
        elif isinstance(message, Moved):
            self.repairs.learn(message)
        elif isinstance(message, Claim | Given):
            self.claims.handle(message)
        elif isinstance(message, Lack | Lent):
            self.repairs.lenders.handle(message)
        elif isinstance(message, Leaving | Willing | Parcels | Kept | Void):
            self._hear_of_stop(message)
        else:
            self._note(message)
            self.hub.handle(message, alone=alone)
            self.repairs.look()

    def note(self, poll: Poll | None) -> None:
        """What a poll of our own found; None: anything may have changed."""
        if poll is None:
            self.reload_soon()
            return
        self.handle(Changed(tuple(change for change in poll.changes if change[0] in OF_SOCKETS)))
        self.handle(Moved(tuple(poll.heads)))

    def find(self, connection_id: str) -> Client | None:
        """The client of this id."""
        return cast(Client | None, self.hub.of_connection(connection_id))

    def _note(self, message: Message) -> None:
        """What concerns connections that are kept for workers that have stopped."""
        match message:
            case Event():
                self.keeper.note(message)
            case SessionClosed():
                self.keeper.end_session(message.session_id)
            case EverySessionClosed():
                self.keeper.end_all()

    def _hear_of_stop(self, message: Leaving | Willing | Parcels | Kept | Void) -> None:
        """Of another worker, or what is answered to this one."""
        match message:
            case Leaving():
                self.claims.note_leaving()
                if self.farewell.is_asked(message):
                    self.keeper.listen(message.reply_to)
                    self.ctx.bus.send_to(message.reply_to, Willing(self.claims.address))
            case Parcels():
                most = self.ctx.config.service_settings.maximum_web_sockets_per_user
                kept = not self.farewell.begun and self.keeper.take(message, most)
                self.ctx.bus.send_to(message.reply_to, Kept(message.id, kept))
            case Void():
                for connection_id in message.connection_ids:
                    self.keeper.discard(connection_id)
            case Willing() | Kept():
                self.farewell.handle(message)

    def _give_away(self, claim: Claim) -> Given | None:
        """Let another worker go on with a connection."""
        old = self.find(claim.connection_id)
        if old is None:
            return self.keeper.give(claim)
        if not old.surrender(claim.user_id, claim.session_id, claim.seq):
            return None
        frames = tuple(map(_frame, old.stream.events()))
        given = Given(claim.id, True, frames=frames, positions=self.hub.positions_of(old))
        old.forget()
        return given

    def _look_again(self, changed: Changed) -> None:
        """Rows that sockets depend on were changed, by us or behind our back: read them again."""
        clients: set[Client] = set()
        users: set[str] = set()
        for namespace, key in changed.pairs:
            if namespace == Namespace.SESSION:
                clients.update(cast(list[Client], self.hub.of_session(key)))
            elif namespace == Namespace.USER:
                clients.update(cast(list[Client], self.hub.of_user(key)))
            elif self.hub.of_user(key):
                users.add(key)
        if clients or users:
            self.tasks.start(self._read_again(clients, users))

    async def _read_again(self, clients: "set[Client]", users: set[str]) -> None:
        for client in clients:
            await client.recheck()
        for user_id in users:
            await self._until_read(user_id)

    def has_room(self) -> bool:
        """Whether one more client may wait for its connection."""
        return self.entering < MAX_ENTERING

    async def adopt(self, sock: socket.socket, upgrade: Upgrade) -> None:
        """Serve a connected socket whose upgrade request is still unanswered."""
        if self._draining:
            sock.close()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        await self.loop.connect_accepted_socket(lambda: Client(self, upgrade, sock), sock)

    def bound_kept(self, user_id: str) -> None:
        """The user has one connection more: those without a socket give way to it, the oldest first.

        So one user can neither push out those of others nor have us queue events for very many.
        """
        clients = cast(list[Client], self.hub.of_user(user_id))
        beyond = len(clients) - self.ctx.config.service_settings.maximum_web_sockets_per_user
        if beyond > 0:
            for client in self.detached.oldest(clients, beyond):
                client.forget()

    def reload_soon(self) -> None:
        """Messages of the bus were lost: read anew what sockets depend on, unless that is under way."""
        if self._reloading is None or self._reloading.done():
            self._reloading = self.loop.create_task(self._reload())

    async def _reload(self) -> None:
        """Where everybody belongs, whether their sessions live, how far their channels are."""
        for user_id in self.hub.users():
            await self._until_read(user_id, of_all=True)
        for client in (*self.clients, *self.detached):
            await client.recheck()
        while True:
            try:
                return await self.repairs.patience.bounded(self.repairs.compare())
            except DatabaseError:
                self._send_away(self.hub.clients())
                await asyncio.sleep(_RETRY_S)

    def _send_away(self, clients: "list[HubClient]") -> None:
        """What they are to hear cannot be known here; they go to another node if it is known there."""
        if self.repairs.patience.over:
            for client in clients:
                client.send_away()

    async def _until_read(self, user_id: str, *, of_all: bool = False) -> None:
        """of_all: what everybody is to hear is not known before."""
        listener = self.hub.begin_loading(user_id)
        memberships = None
        try:
            while memberships is None:
                try:
                    memberships = await self.read_memberships(user_id)
                except DatabaseError:
                    self._send_away(self.hub.clients() if of_all else self.hub.of_user(user_id))
                    await asyncio.sleep(_RETRY_S)
        finally:
            self.hub.end_loading(listener, memberships)
            self.repairs.look()

    async def read_memberships(self, user_id: str) -> tuple[Positions, list[TeamId]]:
        """Where a user belongs, and how far those channels are. Raises DatabaseError."""
        return await self.repairs.patience.bounded(self._read_memberships(user_id))

    async def _read_memberships(self, user_id: str) -> tuple[Positions, list[TeamId]]:
        db = self.ctx.db
        return (
            cast(Positions, await channels.find_positions(db, UserId(user_id))),
            await teams.find_ids_of_user(db, UserId(user_id)),
        )

    def held(self) -> events.Presence:
        """Everybody with a socket here, for a relay that has started anew."""
        return events.Presence("held", tuple(user_id for user_id in self.hub.users() if self.hub.attached(user_id)))

    async def sweep_for_ever(self) -> None:
        """Timers of all sockets in one walk a second: cheaper than a timer each."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self.loop.time()
            now_ms = self.ctx.now_ms()
            for client in list(self.clients):
                client.check(now, now_ms)
            for client in self.detached.overdue(now):
                client.forget()
            self.keeper.sweep()

    async def drain(self, seconds: float = CLOSES_S, *, node: str | None = None) -> None:
        """Take no more sockets, close those here with 1012 and give the clients a second to hear of it.

        node: other workers than those whose addresses begin so ('' for all others) are given the connections before;
        None: nobody is. Many are closed by and by, within so many seconds, as they all come back somewhere else.
        """
        self._draining = self.farewell.begun = True
        handing = node is not None and bool(self.clients or self.detached or self.keeper)
        if handing and node is not None:
            self.keeper.leave()
            handing = await self.farewell.ask(node)
        late = self.loop.time() + _ENTERING_S if handing else 0.0
        ready = [client for client in self.clients if not (handing and client.is_entering())]
        kept = [one for one in self.keeper if self.find(one) is None]
        await self._part([*ready, *self.detached, *kept], seconds, handing=handing)
        while self.loop.time() < late and any(client.is_entering() for client in self.clients):
            await asyncio.sleep(_CLOSES_EVERY_S)
        await self._part([client for client in self.clients if not client.final], seconds, handing=handing)
        deadline = self.loop.time() + _DRAIN_S
        while self.clients and self.loop.time() < deadline:
            await asyncio.sleep(0.02)

    async def _part(self, connections: "Sequence[Client | str]", seconds: float, *, handing: bool) -> None:
        """Let go of these, some at a time. By its id: one that is kept here for another worker."""
        slice_ = max(_CLOSES_LEAST, math.ceil(len(connections) * _CLOSES_EVERY_S / seconds))
        async with asyncio.TaskGroup() as group:
            for at in range(0, len(connections), slice_):
                if at:
                    await asyncio.sleep(_CLOSES_EVERY_S)
                group.create_task(self._let_go(connections[at : at + slice_], handing=handing))

    async def _let_go(self, connections: "Sequence[Client | str]", *, handing: bool) -> None:
        """Give them to a worker that stays, then close those that have a socket."""
        frames: dict[SharedFrame, Frame] = {}

        def frame_of(shared: SharedFrame) -> Frame:
            return frames.get(shared) or frames.setdefault(shared, _frame(shared))

        heirs: dict[str, str] = {}
        if handing:
            packed = (self.keeper.snapshot(one) if isinstance(one, str) else one.pack(frame_of) for one in connections)
            snapshots: list[Snapshot] = [one for one in packed if one is not None]
            heirs = await self.farewell.hand_over(snapshots, self.keeper.told())
        for one in connections:
            connection_id = one if isinstance(one, str) else one.connection_id
            here = one in self.keeper if isinstance(one, str) else self.find(connection_id) is one
            if connection_id in heirs and here:
                self.claims.moved(connection_id, heirs[connection_id])
            elif connection_id in heirs:  # it was claimed meanwhile
                self.farewell.void(heirs[connection_id], [connection_id])
            if isinstance(one, str):
                self.keeper.discard(one)
            elif here or not connection_id:
                one.part(kept=connection_id in heirs)


def _frame(shared: SharedFrame) -> Frame:
    plain = shared.plain.body if shared.plain is not None else b""
    return Frame(shared.body, shared.best_effort, shared.room, plain)
