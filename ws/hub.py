"""Who hears what: an index channel, team, user -> clients, kept up to date by what comes over the bus.

An event finds its sockets through the users of its channel, never by a walk over all connections. Membership is judged
at delivery: a user just removed does not get the event that follows.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from app import events
from app.events import Audience, ChannelMembership, Event, EverySessionClosed, Message, SessionClosed, TeamMembership
from ws.close import Close
from ws.fanout import SharedFrame


class Client(Protocol):
    """What the hub needs of a connection."""

    user_id: str
    session_id: str
    connection_id: str

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

    def __init__(self) -> None:
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

    def clients_of(self, user_id: str) -> int:
        """How many clients of the user are here."""
        listener = self._listeners.get(user_id)
        return len(listener.clients) if listener is not None else 0

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
        return listener

    def end_loading(self, listener: Listener, read: tuple[Iterable[str], Iterable[str]] | None) -> None:
        """Take over what was read (channel ids, team ids); None: reading failed."""
        listener.loading -= 1
        if read is not None:
            self._place(listener, set(read[0]), set(read[1]))
            for change in listener.seen:
                self._apply(listener, change)
        if not listener.loading:
            listener.seen.clear()
            self._forget_if_empty(listener)

    def join(self, listener: Listener, client: Client) -> bool:
        """The client gets events from now on; whether it is the first of its user here."""
        listener.clients.append(client)
        self._by_connection[client.connection_id] = client
        return len(listener.clients) == 1

    def leave(self, client: Client) -> bool:
        """The client is gone; whether it was the last of its user here."""
        watching = self._by_session.get(client.session_id)
        if watching is not None and client in watching:
            watching.remove(client)
            if not watching:
                del self._by_session[client.session_id]
        if self._by_connection.get(client.connection_id) is not client:
            return False
        del self._by_connection[client.connection_id]
        listener = self._listeners[client.user_id]
        listener.clients.remove(client)
        last = not listener.clients
        self._forget_if_empty(listener)
        return last

    def handle(self, message: Message) -> None:
        """What came over the bus."""
        match message:
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
        frame = SharedFrame(event.frame, best_effort=event.name in events.BEST_EFFORT)
        audience = event.audience
        for client in self._audience(audience):
            if client.user_id not in audience.omit_users and (
                not audience.omit_connection_id or client.connection_id != audience.omit_connection_id
            ):
                client.send(frame)

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

    def _place(self, listener: Listener, channels: set[str], teams: set[str]) -> None:
        for index, before, after in (
            (self._by_channel, listener.channels, channels),
            (self._by_team, listener.teams, teams),
        ):
            for gone in before - after:
                _discard(index, gone, listener)
            for new in after - before:
                index.setdefault(new, set()).add(listener)
        listener.channels, listener.teams = channels, teams

    def _apply(self, listener: Listener, change: ChannelMembership | TeamMembership) -> None:
        if isinstance(change, ChannelMembership):
            index, held, key = self._by_channel, listener.channels, change.channel_id
        else:
            index, held, key = self._by_team, listener.teams, change.team_id
        if change.joined:
            held.add(key)
            index.setdefault(key, set()).add(listener)
        else:
            held.discard(key)
            _discard(index, key, listener)

    def _forget_if_empty(self, listener: Listener) -> None:
        if not listener.clients and not listener.loading:
            self._place(listener, set(), set())
            self._listeners.pop(listener.user_id, None)


def _discard(index: dict[str, set[Listener]], key: str, listener: Listener) -> None:
    listeners = index.get(key)
    if listeners is not None:
        listeners.discard(listener)
        if not listeners:
            del index[key]
