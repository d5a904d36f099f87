"""Who hears what: an index channel, team, user -> clients, kept up to date by what comes over the bus.

An event finds its sockets through the users of its channel, never by a walk over all connections. Membership is judged
at delivery: a user just removed does not get the event that follows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from socket import socket
from typing import Protocol

from app.events.messages import (
    Audience,
    ChannelMembership,
    Event,
    EverySessionClosed,
    Message,
    SessionClosed,
    TeamMembership,
)
from app.events.names import SCOPED
from ws import acks
from ws.close import Close
from ws.fanout import BATCH, Copies, SharedFrame, View, Write, write_all
from ws.heads import Cursors, Heads
from ws.index import Index, Member
from ws.stream import Stream

Positions = Mapping[str, tuple[int, int]]
"""Of the channels that a user hears: (the number with which they joined, the head now)."""


AT_ONCE = 1024
"""Sockets that are written to without a pause: about 8 ms in which nothing else happens."""


class Client(Protocol):
    """What the hub needs of a connection."""

    user_id: str
    session_id: str
    connection_id: str
    attached: bool
    acknowledges: bool
    administrator: bool
    cursors: Cursors | None
    direct: socket | None
    stream: Stream
    """Numbers what is written to `direct`."""

    def looks_at(self, channel_id: str) -> bool:
        """Whether the user may see a channel at this moment."""

    def send(self, frame: SharedFrame) -> None:
        """Queue an event."""

    def finish_write(self, rest: bytes) -> None:
        """What `direct` did not take."""

    def has_room(self) -> bool:
        """Whether many events may be queued at once."""

    def close(self, code: Close) -> None:
        """Close the socket."""

    def send_away(self) -> None:
        """Close the socket with 1012 and keep the connection: its client goes on with it on another node."""


class Listener(Member):
    """A user with clients in this worker, and where they belong: `rooms` are their channels."""

    __slots__ = ("clients", "loading", "seen", "teams", "user_id")

    def __init__(self, user_id: str) -> None:
        super().__init__()
        self.user_id = user_id
        self.clients: tuple[Client, ...] = ()
        self.teams: frozenset[str] = frozenset()
        self.loading = 0
        self.seen: tuple[ChannelMembership | TeamMembership, ...] = ()
        """Changes that came while memberships were being read: they hold over what was read."""


class Hub:
    """All clients of one ws worker."""

    def __init__(self, heads: Heads, now: Callable[[], float], on_behind: Callable[[Client, str], None]) -> None:
        """on_behind: this client lacks what others have of this channel already."""
        self._heads = heads
        self._now = now
        self._on_behind = on_behind
        self._listeners: dict[str, Listener] = {}
        self._channels: Index[Listener] = Index()
        self._heard: dict[str, tuple[Client, ...]] = {}
        """The clients in a channel, from its first event until they change: fewer objects to touch at each delivery."""
        self._by_team: dict[str, set[Listener]] = {}
        self._by_session: dict[str, list[Client]] = {}
        self._by_connection: dict[str, Client] = {}
        self.acknowledging = False
        """Whether there ever was a client here that says of which posts it has notified its user."""

    def __len__(self) -> int:
        return len(self._by_connection)

    def users(self) -> list[str]:
        """Everybody with a client here."""
        return [user_id for user_id, listener in self._listeners.items() if listener.clients]

    def clients(self) -> list[Client]:
        """All of them."""
        return list(self._by_connection.values())

    def attached(self, user_id: str) -> int:
        """How many clients of the user have a socket here."""
        listener = self._listeners.get(user_id)
        return sum(client.attached for client in listener.clients) if listener is not None else 0

    def of_connection(self, connection_id: str) -> Client | None:
        """The client of this id."""
        return self._by_connection.get(connection_id)

    def replace(self, old: Client, new: Client) -> None:
        """The new client goes on as the old one, under its id."""
        listener = self._listeners[old.user_id]
        self.acknowledging = self.acknowledging or new.acknowledges
        self._set_clients(listener, tuple(new if one is old else one for one in listener.clients))
        self._by_connection[new.connection_id] = new
        self.watch_session(new)
        self._unwatch(old)
        if old.cursors is not None:
            for channel_id, seq in old.cursors.positions().items():
                old.cursors.end(channel_id)  # what is being read for it is not for this stream any more
                self.begin(new, channel_id, seq)

    def rename(self, client: Client, old_id: str) -> None:
        """The client has another connection id."""
        del self._by_connection[old_id]
        self._by_connection[client.connection_id] = client

    def positions_of(self, client: Client) -> dict[str, int]:
        """How far a client has the channels that its user hears, by what was delivered to it."""
        listener = self._listeners.get(client.user_id)
        if listener is None:
            return {}
        positions = {one: self._heads.head(one) for one in listener.rooms}
        return positions if client.cursors is None else positions | client.cursors.positions()

    def unheard(self, positions: Positions) -> list[str]:
        """The channels of which something may be committed that nobody here has heard of."""
        return [one for one, (_, head) in positions.items() if one not in self._heads or self._heads.head(one) < head]

    def begin(self, client: Client, channel_id: str, seq: int) -> None:
        """The client has all of a channel up to `seq`, whatever it was sent here: go on from there."""
        if channel_id in self._listeners[client.user_id].rooms:
            self._begin(client, channel_id, seq)

    def watch_session(self, client: Client) -> None:
        """Close this client when its session ends, from now on. `leave` undoes it."""
        watching = self._by_session.setdefault(client.session_id, [])
        if client not in watching:
            watching.append(client)

    def of_session(self, session_id: str) -> list[Client]:
        """The clients of a session."""
        return list(self._by_session.get(session_id, ()))

    def of_user(self, user_id: str) -> list[Client]:
        """The clients of a user."""
        listener = self._listeners.get(user_id)
        return list(listener.clients) if listener is not None else []

    def view_of(self, client: Client) -> View:
        """What the client may be told now of what was kept for it, by where its user belongs."""
        listener = self._listeners.get(client.user_id)
        rooms = (*listener.rooms, *listener.teams) if listener is not None else ()
        return View(rooms, administrator=client.administrator)

    def _sift(self, listener: Listener) -> None:
        """The user may know less than before: of what is not written yet, leave the rest."""
        for client in listener.clients:
            if client.stream:
                client.stream.sift(self.view_of(client))

    def begin_loading(self, user_id: str) -> Listener:
        """Remember changes of the user's memberships while they are being read."""
        listener = self._listeners.get(user_id)
        if listener is None:
            listener = self._listeners[user_id] = Listener(user_id)
        listener.loading += 1
        self._heads.begin_loading()
        return listener

    def end_loading(
        self, listener: Listener, read: tuple[Positions, Iterable[str]] | None, newcomer: Client | None = None
    ) -> None:
        """Take over what was read (channels, team ids); None: reading failed.

        newcomer: a client of theirs that has just joined: it hears what comes after what was read.
        """
        listener.loading -= 1
        if read is not None:
            self._place(listener, read[0], read[1], newcomer)
            for change in listener.seen:
                self._apply(listener, change)
        self._heads.end_loading()
        if not listener.loading:
            listener.seen = ()
            self._forget_if_empty(listener)

    def join(self, listener: Listener, client: Client) -> None:
        """The client gets events from now on."""
        self._set_clients(listener, (*listener.clients, client))
        self.acknowledging = self.acknowledging or client.acknowledges
        self._by_connection[client.connection_id] = client

    def leave(self, client: Client) -> None:
        """The client is gone."""
        self._unwatch(client)
        if self._by_connection.get(client.connection_id) is not client:
            return
        del self._by_connection[client.connection_id]
        listener = self._listeners[client.user_id]
        self._set_clients(listener, tuple(one for one in listener.clients if one is not client))
        self._forget_if_empty(listener)

    def _set_clients(self, listener: Listener, clients: tuple[Client, ...]) -> None:
        listener.clients = clients
        for channel_id in listener.rooms:
            self._heard.pop(channel_id, None)

    def _unwatch(self, client: Client) -> None:
        watching = self._by_session.get(client.session_id)
        if watching is not None and client in watching:
            watching.remove(client)
            if not watching:
                del self._by_session[client.session_id]

    def handle(self, message: Message, *, alone: bool = False) -> None:
        """What came over the bus. alone: no event comes with it."""
        match message:
            case Event() if message.seq and message.audience.channel_id:
                ready = self._heads.take(message, self._now())
                for event in ready:
                    self.deliver(event, alone=alone and len(ready) == 1)
            case Event():
                self.deliver(message, alone=alone)
            case ChannelMembership() | TeamMembership():
                listener = self._listeners.get(message.user_id)
                if listener is not None:
                    if listener.loading:
                        listener.seen += (message,)
                    self._apply(listener, message)
            case EverySessionClosed():
                for clients in list(self._by_session.values()):
                    for client in list(clients):
                        client.close(Close.SESSION_ENDED)
            case SessionClosed():
                for client in self.of_session(message.session_id):
                    client.close(Close.SESSION_ENDED)

    def deliver(self, event: Event, *, alone: bool = False) -> None:
        """Send an event to everybody it is meant for.

        Events that coincide are queued, so that each socket gets one write with them all. One that is alone is written
        at once: to queue it, and to come back for each socket's data when others have driven it out of the cache, costs
        a quarter more.
        """
        clients = self._audience(event.audience)
        if event.name in SCOPED:
            clients = [one for one in clients if one.looks_at(event.audience.channel_id)]
        if self.acknowledging:
            asking, ids = acks.asking(event)
            asked: list[Client] = []
            others: list[Client] = []
            for one in clients if ids else ():
                (asked if one.acknowledges and one.user_id.encode() in ids else others).append(one)
            if asked:
                self._send(asking, asked, alone=alone)
                clients = others
        self._send(event, clients, alone=alone)

    def _send(self, event: Event, clients: Sequence[Client], *, alone: bool) -> None:
        audience = event.audience
        numbered = audience.channel_id if event.seq else ""
        copies = Copies(event)
        frame, sensitive = copies.frame, copies.sensitive
        but, omitted = audience.omit_connection_id, audience.omit_users
        left = AT_ONCE if alone else 0
        batch: list[Write] = []
        for client in clients:
            if (omitted and client.user_id in omitted) or (but and client.connection_id == but):
                continue
            if numbered and client.cursors is not None and not client.cursors.admits(numbered, event.seq):
                continue
            copy = sensitive if client.administrator else frame
            if left and client.direct is not None:
                left -= 1
                batch.append((client, client.direct, client.stream.number(copy)))
                if len(batch) == BATCH:
                    write_all(batch)
                    batch.clear()
            else:
                client.send(copy)
        write_all(batch)

    def _audience(self, audience: Audience) -> Sequence[Client]:
        """By the first of connection, user, channel, team that is set; else everybody."""
        if audience.connection_id:
            client = self._by_connection.get(audience.connection_id)
            return () if client is None else (client,)
        if audience.user_id:
            listener = self._listeners.get(audience.user_id)
            return () if listener is None else listener.clients
        if audience.channel_id:
            return self.clients_in(audience.channel_id)
        if audience.team_id:
            return _clients_of(self._by_team.get(audience.team_id, ()))
        return tuple(self._by_connection.values())

    def clients_in(self, channel_id: str) -> tuple[Client, ...]:
        """Who hears of the channel."""
        clients = self._heard.get(channel_id)
        if clients is None:
            clients = _clients_of(self._channels.members(channel_id))
            if clients:
                self._heard[channel_id] = clients
        return clients

    def _place(self, listener: Listener, channels: Positions, teams: Iterable[str], newcomer: Client | None) -> None:
        before = set(listener.rooms)
        for gone in before - channels.keys():
            self._leave_channel(listener, gone)
        for channel_id, (join_seq, head) in channels.items():
            if channel_id not in before:
                self._enter_channel(listener, channel_id, join_seq - 1, head, newcomer)
            self._heads.learn(channel_id, head, self._now())
            if newcomer is not None:
                self._begin(newcomer, channel_id, head)
        self._enter_teams(listener, frozenset(teams))

    def _enter_teams(self, listener: Listener, teams: frozenset[str]) -> None:
        """These teams and no others."""
        for gone in listener.teams - teams:
            listeners = self._by_team[gone]
            listeners.discard(listener)
            if not listeners:
                del self._by_team[gone]
        for new in teams - listener.teams:
            self._by_team.setdefault(new, set()).add(listener)
        left, listener.teams = listener.teams - teams, teams
        if left:
            self._sift(listener)

    def _enter_channel(
        self, listener: Listener, channel_id: str, seq: int, head: int, newcomer: Client | None = None
    ) -> None:
        """The user's clients hear of the channel: a newcomer what comes after the head, others what comes after seq."""
        others = [client for client in listener.clients if client is not newcomer]
        self._heads.serve(channel_id, seq if others else head, self._now())
        self._channels.enter(listener, channel_id)
        self._heard.pop(channel_id, None)
        for client in others:
            self._begin(client, channel_id, seq)

    def _begin(self, client: Client, channel_id: str, seq: int) -> None:
        head = self._heads.head(channel_id)
        if client.cursors is None:
            if seq == head:
                return
            client.cursors = Cursors()
        if client.cursors.begin(channel_id, seq, head):
            self._on_behind(client, channel_id)

    def _leave_channel(self, listener: Listener, channel_id: str) -> None:
        self._channels.leave(listener, channel_id)
        self._heard.pop(channel_id, None)
        if channel_id not in self._channels:
            self._heads.forget(channel_id)
        for client in listener.clients:
            if client.cursors is not None:
                client.cursors.end(channel_id)
        self._sift(listener)

    def _apply(self, listener: Listener, change: ChannelMembership | TeamMembership) -> None:
        if isinstance(change, ChannelMembership):
            if not change.joined:
                self._leave_channel(listener, change.channel_id)
            elif change.channel_id not in listener.rooms:
                self._enter_channel(listener, change.channel_id, change.seq, change.seq)
        elif change.joined:
            self._enter_teams(listener, listener.teams | {change.team_id})
        else:
            self._enter_teams(listener, listener.teams - {change.team_id})

    def _forget_if_empty(self, listener: Listener) -> None:
        if not listener.clients and not listener.loading and not listener.gone:
            for channel_id in self._channels.leave_all(listener):
                self._heads.forget(channel_id)
            self._enter_teams(listener, frozenset())
            self._listeners.pop(listener.user_id, None)


def _clients_of(listeners: Iterable[Listener]) -> tuple[Client, ...]:
    return tuple([client for listener in listeners for client in listener.clients])
