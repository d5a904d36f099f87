"""Who is online: sans-I/O. Connections coming and going in, changes of status out.

One tracker per node sees what every ws worker reports, those of other nodes as `node/worker`. A user is online while
any worker holds a connection of theirs and they did something lately, away while connected but idle, offline when the
last connection has been gone for the grace time (so that a reconnect does not flicker).

    connected ──> online <── active ──> away ──(no connection for grace_s)──> offline
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from db.model.ids import UserId

ONLINE, AWAY, OFFLINE = "online", "away", "offline"


@dataclass
class _Person:
    workers: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    """Workers that held a connection of theirs, and hold none now."""
    active_at: float = 0.0
    gone_at: float | None = None
    status: str = ONLINE


class PresenceTracker:
    """Feed it reports with the current time (s, any monotonic clock); `changes` gives what to store and tell."""

    def __init__(self, *, away_after_s: float, grace_s: float = 5.0) -> None:
        self.away_after_s = away_after_s
        self.grace_s = grace_s
        self._people: dict[UserId, _Person] = {}
        self._leaving: dict[UserId, None] = {}
        self._changed: dict[UserId, str] = {}
        self._ended: dict[UserId, _Person] = {}

    def connected(self, worker: str, user_id: UserId, now: float) -> None:
        """The worker holds a connection of the user now."""
        person = self._people.get(user_id)
        if person is None:
            person = self._people[user_id] = _Person()
            self._changed[user_id] = ONLINE
        person.workers.add(worker)
        person.left.discard(worker)
        person.gone_at = None
        self._leaving.pop(user_id, None)
        self._touch(user_id, person, now)

    def disconnected(self, worker: str, user_id: UserId, now: float) -> None:
        """The worker holds no connection of the user any more."""
        person = self._people.get(user_id)
        if person is None:
            return
        person.workers.discard(worker)
        person.left.add(worker)
        if not person.workers and person.gone_at is None:
            person.gone_at = now
            self._leaving[user_id] = None

    def active(self, user_id: UserId, now: float) -> None:
        """The user did something. Somebody who is not connected stays offline."""
        person = self._people.get(user_id)
        if person is not None:
            self._touch(user_id, person, now)

    def end(self, user_id: UserId) -> None:
        """The user's account is deactivated: offline at once, without the grace time."""
        person = self._people.pop(user_id, None)
        if person is not None:
            self._leaving.pop(user_id, None)
            self._changed.pop(user_id, None)
            self._ended[user_id] = person

    def reset(self, worker: str, users: Iterable[UserId], now: float) -> None:
        """All that the worker holds, after it or this tracker started anew; what it held before is forgotten."""
        held = set(users)
        for user_id, person in self._people.items():
            if worker in person.workers and user_id not in held:
                self.disconnected(worker, user_id, now)
        for user_id in held:
            self.connected(worker, user_id, now)

    def lose_node(self, node_id: str, since: float) -> None:
        """Whatever the workers of another node held is gone since then."""
        for user_id, person in self._people.items():
            for worker in [one for one in person.workers if one.startswith(f"{node_id}/")]:
                self.disconnected(worker, user_id, since)

    def workers_of(self, user_id: UserId) -> set[str]:
        """Who holds connections of the user."""
        person = self._people.get(user_id)
        return person.workers if person is not None else set()

    def held_by(self, worker: str) -> list[UserId]:
        """Whom this worker holds."""
        return [user_id for user_id, person in self._people.items() if worker in person.workers]

    def changes(self, now: float, ours: Callable[[str], bool] = lambda _: True) -> list[tuple[UserId, str]]:
        """Changes of status since the last call, by user; of those alone whom one of `ours` holds or held.

        Two nodes whose reports crossed both say the same of a user, which does no harm; were it for the one that spoke
        last, each would leave it to the other.
        """
        changed: list[tuple[UserId, str]] = []
        for user_id in list(self._leaving):
            person = self._people[user_id]
            assert person.gone_at is not None
            if now - person.gone_at < self.grace_s:
                continue
            del self._leaving[user_id], self._people[user_id]
            self._changed.pop(user_id, None)
            if any(map(ours, person.left)):
                changed.append((user_id, OFFLINE))
        for user_id, person in self._ended.items():
            if user_id not in self._people and any(map(ours, person.workers | person.left)):
                changed.append((user_id, OFFLINE))
        self._ended.clear()
        for user_id, status in self._changed.items():
            person = self._people[user_id]
            if any(map(ours, person.workers | person.left)):
                changed.append((user_id, status))
        self._changed.clear()
        return changed

    def find_idle(self, now: float) -> None:
        """Note who has become away. Looks at everybody: call it every few seconds."""
        for user_id, person in self._people.items():
            if person.status == ONLINE and now - person.active_at >= self.away_after_s:
                person.status = AWAY
                self._changed[user_id] = AWAY

    def restate(self, users: Iterable[UserId]) -> None:
        """Those of these users who are not offline are to be stored once more."""
        for user_id in users:
            person = self._people.get(user_id)
            if person is not None:
                self._changed[user_id] = person.status

    def people(self) -> list[UserId]:
        """Everybody who is not offline."""
        return list(self._people)

    def _touch(self, user_id: UserId, person: _Person, now: float) -> None:
        person.active_at = now
        if person.status != ONLINE:
            person.status = ONLINE
            self._changed[user_id] = ONLINE
