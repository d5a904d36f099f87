"""Who hears what: an index channel, team, user -> clients, kept up to date by what comes over the bus.

An event finds its sockets through the users of its channel, never by a walk over all connections. Membership is judged
at delivery: a user just removed does not get the event that follows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from app.events import Audience, ChannelMembership, Event, EverySessionClosed, Message, SessionClosed, TeamMembership
from ws.close import Close
from ws.fanout import Copies, SharedFrame
from ws.heads import Cursors, Heads

Positions = Mapping[str, tuple[int, int]]
"""Of the channels that a user hears: (the number with which they joined, the head now)."""


class Client(Protocol):
    """What the hub needs of a connection."""

    user_id: str
    session_id: str
    connection_id: str
    attached: bool
    administrator: bool
    cursors: Cursors | None

    def send(self, frame: SharedFrame) -> None:
        """Queue an event."""

    def close(self, code: Close) -> None:
        """Close the socket."""


class Listener:
    """A user with clients in this worker, and where they belong."""

    __slots__ = ("channels", "clients", "loading", "seen", "teams", "user_id")

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.clients: list[Client] = []
        self.channels: set[str] = set()
        self.teams: set[str] = set()
        self.loading = 0
        self.seen: list[ChannelMembership | TeamMembership] = []
        """Changes that came while memberships were being read: they hold over what was read."""


class Hub:
    """All clients of one ws worker."""

    def __init__(self, heads: Heads, now: Callable[[], float], on_behind: Callable[[Client, str], None]) -> None:
        """on_behind: this client lacks what others have of this channel already."""
        self._heads = heads
        self._now = now
        self._on_behind = on_behind
        self._listeners: dict[str, Listener] = {}
        self._by_channel: dict[str, set[Listener]] = {}
        self._by_team: dict[str, set[Listener]] = {}
        self._by_session: dict[str, list[Client]] = {}
        self._by_connection: dict[str, Client] = {}

    def __len__(self) -> int:
        return len(self._by_connection)

    def users(self) -> list[str]:
        """Everybody with a client here."""
        return [user_id for user_id, listener in self._listeners.items() if listener.clients]

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
        listener.clients[listener.clients.index(old)] = new
        self._by_connection[new.connection_id] = new
        self.watch_session(new)
        self._unwatch(old)

    def watch_session(self, client: Client) -> None:
        """Close this client when its session ends, from now on. `leave` undoes it."""
        self._by_session.setdefault(client.session_id, []).append(client)

    def of_session(self, session_id: str) -> list[Client]:
        """The clients of a session."""
        return list(self._by_session.get(session_id, ()))

    def of_user(self, user_id: str) -> list[Client]:
        """The clients of a user."""
        listener = self._listeners.get(user_id)
        return list(listener.clients) if listener is not None else []

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
            self._place(listener, read[0], set(read[1]), newcomer)
            for change in listener.seen:
                self._apply(listener, change)
        self._heads.end_loading()
        if not listener.loading:
            listener.seen.clear()
            self._forget_if_empty(listener)

    def join(self, listener: Listener, client: Client) -> None:
        """The client gets events from now on."""
        listener.clients.append(client)
        self._by_connection[client.connection_id] = client

    def leave(self, client: Client) -> None:
        """The client is gone."""
        self._unwatch(client)
        if self._by_connection.get(client.connection_id) is not client:
            return
        del self._by_connection[client.connection_id]
        listener = self._listeners[client.user_id]
        listener.clients.remove(client)
        self._forget_if_empty(listener)

    def _unwatch(self, client: Client) -> None:
        watching = self._by_session.get(client.session_id)
        if watching is not None and client in watching:
            watching.remove(client)
            if not watching:
                del self._by_session[client.session_id]

    def handle(self, message: Message) -> None:
        """What came over the bus."""
        match message:
            case Event() if message.seq and message.audience.channel_id:
                for event in self._heads.take(message, self._now()):
                    self.deliver(event)
            case Event():
                self.deliver(message)
            case ChannelMembership() | TeamMembership():
                listener = self._listeners.get(message.user_id)
                if listener is not None:
                    if listener.loading:
                        listener.seen.append(message)
                    self._apply(listener, message)
            case EverySessionClosed():
                for clients in list(self._by_session.values()):
                    for client in list(clients):
                        client.close(Close.SESSION_ENDED)
            case SessionClosed():
                for client in self.of_session(message.session_id):
                    client.close(Close.SESSION_ENDED)

    def deliver(self, event: Event) -> None:
        """Queue an event for everybody it is meant for."""
        copies = Copies(event)
        audience = event.audience
        numbered = audience.channel_id if event.seq else ""
        for client in self._audience(audience):
            if numbered and client.cursors is not None and not client.cursors.admits(numbered, event.seq):
                continue
            if client.user_id not in audience.omit_users and (
                not audience.omit_connection_id or client.connection_id != audience.omit_connection_id
            ):
                client.send(copies.of(administrator=client.administrator))

    def _audience(self, audience: Audience) -> Iterator[Client]:
        """By the first of connection, user, channel, team that is set; else everybody."""
        if audience.connection_id:
            client = self._by_connection.get(audience.connection_id)
            if client is not None:
                yield client
            return
        listeners: Iterable[Listener]
        if audience.user_id:
            one = self._listeners.get(audience.user_id)
            listeners = () if one is None else (one,)
        elif audience.channel_id:
            listeners = self._by_channel.get(audience.channel_id, ())
        elif audience.team_id:
            listeners = self._by_team.get(audience.team_id, ())
        else:
            listeners = self._listeners.values()
        for listener in listeners:
            yield from listener.clients

    def clients_in(self, channel_id: str) -> list[Client]:
        """Who hears of the channel."""
        return [client for listener in self._by_channel.get(channel_id, ()) for client in listener.clients]

    def _place(self, listener: Listener, channels: Positions, teams: set[str], newcomer: Client | None = None) -> None:
        for gone in listener.channels - channels.keys():
            self._leave_channel(listener, gone)
        for channel_id, (join_seq, head) in channels.items():
            if channel_id not in listener.channels:
                self._enter_channel(listener, channel_id, join_seq - 1, head, newcomer)
            self._heads.learn(channel_id, head, self._now())
            if newcomer is not None:
                self._begin(newcomer, channel_id, head)
        for gone in listener.teams - teams:
            _discard(self._by_team, gone, listener)
        for new in teams - listener.teams:
            self._by_team.setdefault(new, set()).add(listener)
        listener.teams = teams

    def _enter_channel(
        self, listener: Listener, channel_id: str, seq: int, head: int, newcomer: Client | None = None
    ) -> None:
        """The user's clients hear of the channel: a newcomer what comes after the head, others what comes after seq."""
        others = [client for client in listener.clients if client is not newcomer]
        self._heads.serve(channel_id, seq if others else head, self._now())
        listener.channels.add(channel_id)
        self._by_channel.setdefault(channel_id, set()).add(listener)
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
        listener.channels.discard(channel_id)
        _discard(self._by_channel, channel_id, listener)
        if channel_id not in self._by_channel:
            self._heads.forget(channel_id)
        for client in listener.clients:
            if client.cursors is not None:
                client.cursors.end(channel_id)

    def _apply(self, listener: Listener, change: ChannelMembership | TeamMembership) -> None:
        if isinstance(change, ChannelMembership):
            if not change.joined:
                self._leave_channel(listener, change.channel_id)
            elif change.channel_id not in listener.channels:
                self._enter_channel(listener, change.channel_id, change.seq, change.seq)
        elif change.joined:
            listener.teams.add(change.team_id)
            self._by_team.setdefault(change.team_id, set()).add(listener)
        else:
            listener.teams.discard(change.team_id)
            _discard(self._by_team, change.team_id, listener)

    def _forget_if_empty(self, listener: Listener) -> None:
        if not listener.clients and not listener.loading:
            self._place(listener, {}, set())
            self._listeners.pop(listener.user_id, None)


def _discard(index: dict[str, set[Listener]], key: str, listener: Listener) -> None:
    listeners = index.get(key)
    if listeners is not None:
        listeners.discard(listener)
        if not listeners:
            del index[key]
