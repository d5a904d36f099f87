"""How a socket gets its connection: a new one, the one that it had here, or the one that another worker has.

session known ──┬─ its connection is here ──> goes on, no hello
                ├─ it may be elsewhere ──> registered, events held ──claim──> given: goes on, no hello
                └─ else, or not given ──> registered ──> hello

The session is known by the upgrade or by the challenge. However a socket gets its connection,
`_has_room` is asked first: a user has only so many.
"""

from dataclasses import dataclass
from typing import Generic

from app import sessions
from app.errors import AppError
from app.events import messages as events
from app.events.messages import Frame, Given
from app.permissions import Actor
from db.model import shards
from db.model.errors import DatabaseError
from db.model.ids import ChannelId, SessionId, UserId, is_id
from db.sql import channels
from ws.close import Close
from ws.fanout import SharedFrame
from ws.hub import Positions
from ws.serving import ClientT, Server, Wanted

MAX_REPLAYED = 500
"""Events of a channel that was joined while the connection was on its way from one worker to another."""
MAX_POSITIONS = 1000
MAX_BEHIND = 1000
"""Events of a channel that a client is brought up to date with; beyond, it is to fetch the channel, or all anew."""


@dataclass(frozen=True)
class Known:
    """How far a client of our own is in its channels, by the numbers that events carry. term: of the database then."""

    term: str
    positions: dict[str, int]


@dataclass(frozen=True)
class Joined:
    """What a client hears. refetch: the channels that events cannot bring up to date for it."""

    memberships: Positions
    refetch: list[str]


def known(value: object) -> Known | None:
    """What a challenge may say: {"db_gen": text, "channels": {id: number}}; None for anything else."""
    if not isinstance(value, dict):
        return None
    term, positions = value.get("db_gen"), value.get("channels")
    if not isinstance(term, str) or not isinstance(positions, dict) or len(positions) > MAX_POSITIONS:
        return None
    if not all(is_id(one) and type(seq) is int and 0 <= seq < 1 << 62 for one, seq in positions.items()):
        return None
    return Known(term, positions)


class Entry(Generic[ClientT]):
    """Of one socket."""

    def __init__(self, server: Server[ClientT], client: ClientT) -> None:
        self._server = server
        self._client = client

    async def begin(
        self, session_id: SessionId, user_id: str, wanted: Wanted | None, *, known: Known | None = None
    ) -> None:
        """The session is known: go on as the connection wanted if that is possible, else as a new one."""
        client, claims = self._client, self._server.claims
        if wanted is not None:
            old = self._server.hub.of_connection(wanted.connection_id)
            if old is not None:
                if await self._resume(session_id, user_id, wanted):
                    return
                wanted = None
            elif not claims.may_be_elsewhere(wanted.connection_id):
                wanted = None
        if not client.is_over():
            await self._register(session_id, user_id, wanted, known)

    async def _resume(self, session_id: SessionId, user_id: str, wanted: Wanted) -> bool:
        """Go on as the connection that is here, if that is possible; True as well when the socket is over."""
        client, server = self._client, self._server
        client.session_id, client.user_id = session_id, user_id
        server.hub.watch_session(client)  # before it is looked at: its end may be told meanwhile
        try:
            actor = await server.repairs.patience.bounded(sessions.recheck(server.ctx, session_id))
        except (AppError, DatabaseError):
            client.abort()
            return True
        old = server.find(wanted.connection_id)
        if client.is_over() or old is None:
            return client.is_over()
        if not self._has_room(user_id, instead_of=old):
            return True
        if not old.surrender(user_id, session_id, wanted.seq, actor):
            return False
        first = not server.hub.attached(user_id)
        client.admit(old.connection_id, actor)
        client.go_on(old.stream)
        server.hub.replace(old, client)
        if first:
            server.ctx.bus.publish(events.Presence("connected", (user_id,)))
        return True

    def _has_room(self, user_id: str, instead_of: ClientT | None = None) -> bool:
        """Whether the user may have one more socket; else this one is closed."""
        hub, client = self._server.hub, self._client
        most = self._server.ctx.config.service_settings.maximum_web_sockets_per_user
        replaced = instead_of is not None and instead_of.attached and instead_of.user_id == user_id
        if hub.attached(user_id) - replaced < most:
            return True
        client.close(Close.POLICY_VIOLATION)
        return False

    async def _register(self, session_id: SessionId, user_id: str, wanted: Wanted | None, known: Known | None) -> None:
        """Register with the hub, check the session (again), then go on as the connection wanted, or say hello."""
        client, server = self._client, self._server
        client.enter()
        server.entering += 1
        try:
            async with server.turnstile:
                joined = await self._join(session_id, user_id, known)
        finally:
            server.entering -= 1
        if joined is None:
            return
        if server.hub.attached(user_id) == 1:
            server.ctx.bus.publish(events.Presence("connected", (user_id,)))
        if wanted is not None and await self._take_over(wanted, joined.memberships):
            return
        if known is not None:
            for channel_id in known.positions.keys() - set(joined.refetch):
                server.hub.begin(client, channel_id, known.positions[channel_id])
        self._say_hello(joined.refetch if known is not None else None)

    async def _join(self, session_id: SessionId, user_id: str, known: Known | None) -> Joined | None:
        """The client hears what comes from now on. None: its socket is over, or closed."""
        client, server = self._client, self._server
        hub, ctx = server.hub, server.ctx
        client.session_id, client.user_id = session_id, user_id
        hub.watch_session(client)
        if client.is_gone():  # it closed while its token was looked up
            hub.leave(client)
            return None
        listener = hub.begin_loading(user_id)
        memberships = newcomer = None
        refetch: list[str] = []
        try:
            memberships = await server.read_memberships(user_id)
            # What the client fetches after its hello may not be older than that: no event brings it what lies between.
            ctx.db.landed({shards.posts(ChannelId(one)) for one in hub.unheard(memberships[0])}, None)
            if known is not None:
                refetch = await self._too_far_back(known, memberships[0])
            actor: Actor = await server.repairs.patience.bounded(sessions.recheck(ctx, session_id))
            if client.is_over():
                return None
            if not self._has_room(user_id):
                return None
            client.admit(server.claims.new_connection_id(), actor)
            hub.join(listener, client)
            server.bound_kept(user_id)
            newcomer = client
            return Joined(memberships[0], refetch)
        except (AppError, DatabaseError):
            client.abort()
            return None
        finally:
            hub.end_loading(listener, memberships, newcomer)
            server.repairs.look()

    def _say_hello(self, refetch: list[str] | None) -> None:
        ctx, client = self._server.ctx, self._client
        term = str(ctx.db.board.term()) if refetch is not None else ""
        version = ctx.client_config.version_id
        where = ctx.hostname
        hello = events.hello(UserId(client.user_id), client.connection_id, version, where, db_gen=term, refetch=refetch)
        client.release(SharedFrame(hello.frame, best_effort=False))

    async def _take_over(self, wanted: Wanted, memberships: Positions) -> bool:
        """Go on as a connection of another worker. What comes meanwhile is held, and follows what that one had."""
        client, server = self._client, self._server
        client.hold()
        given = await server.claims.ask(wanted.connection_id, client.user_id, client.session_id, wanted.seq)
        if client.final:
            return True
        begins = self._begins(given, memberships) if given is not None else None
        if given is None or begins is None:
            if not client.attached:  # nobody knows the id by which it could be asked for
                server.detached.discard(client)
                client.forget()
            return not client.attached
        old_id, client.connection_id = client.connection_id, wanted.connection_id
        server.hub.rename(client, old_id)
        again = {frame.body for frame in given.frames}
        client.stream.take_over(
            wanted.seq,
            map(_shared, given.frames),
            server.hub.view_of(client),
            lambda frame: frame.channel_id not in begins and frame.body not in again,
        )
        for channel_id, seq in begins.items():
            server.hub.begin(client, channel_id, seq)
        client.release(None)
        return True

    def _begins(self, given: Given, memberships: Positions) -> dict[str, int] | None:
        """From where on the connection is to hear its channels; None: too much happened meanwhile."""
        begins = dict(given.positions)
        for channel_id, (join_seq, head) in memberships.items():
            at = given.positions.get(channel_id)
            if at is None or at < join_seq - 1:  # joined meanwhile, or anew
                if head - join_seq > MAX_REPLAYED:
                    return None
                begins[channel_id] = join_seq - 1
            elif head - at > MAX_BEHIND:
                return None
        return begins

    async def _too_far_back(self, known: Known, memberships: Positions) -> list[str]:
        """The channels that events cannot bring up to date: the client is to fetch them anew. Raises DatabaseError."""
        ctx = self._server.ctx
        if known.term != str(ctx.db.board.term()):
            return sorted(known.positions)
        wanted = [ChannelId(one) for one in known.positions if one in memberships]
        seqs = await channels.find_seqs(ctx.db, wanted) if wanted else {}
        return sorted(
            one
            for one, seq in known.positions.items()
            if (found := seqs.get(ChannelId(one))) is None
            or not max(found[1], found[0] - MAX_BEHIND) <= seq <= found[0]
        )


def _shared(frame: Frame) -> SharedFrame:
    plain = SharedFrame(frame.plain, best_effort=frame.best_effort, room=frame.room) if frame.plain else None
    return SharedFrame(frame.body, best_effort=frame.best_effort, room=frame.room, plain=plain)
