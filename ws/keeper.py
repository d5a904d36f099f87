"""What this worker keeps of workers that have stopped: their connections, until the clients come back. Sans-I/O.

A parcel is a connection at one moment, and stays true: a client that has read up to a number of it lacks what follows
there, what has no number in any channel (`Log`), and what its channels have beyond its positions, which the database
tells. So a copy too many, or one that is claimed late, does no harm.
"""

from collections import deque
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice

from app.events.messages import Audience, Claim, Event, Frame, Given, Parcel, Parcels
from app.events.names import BEST_EFFORT
from ws.parcels import Snapshot, opened

KEPT_S = 300.0
MAX_KEPT = 20_000
MAX_BYTES = 64 << 20
LOG_EVENTS = 1000
LOG_BYTES = 4 << 20
_HEARD_S = 2.0
"""By so much later a message may reach one worker than another one."""


class Log:
    """Events without a number in a channel, which no database tells again: the last 1,000, or 4 MiB.

    end: the number of the next one.
    """

    def __init__(self) -> None:
        self._events: deque[tuple[Event, float]] = deque()
        self._bytes = 0
        self.end = 0

    def add(self, event: Event, now: float) -> None:
        """It was told to everybody whom it is for and who is there."""
        self._events.append((event, now))
        self._bytes += _size(event)
        self.end += 1
        while len(self._events) > LOG_EVENTS or self._bytes > LOG_BYTES:
            self._bytes -= _size(self._events.popleft()[0])

    def digests(self, after: float) -> tuple[bytes, ...]:
        """Of the events of this time."""
        return tuple(_digest(event) for event, at in self._events if at >= after)

    def since(self, number: int, user_id: str, connection_id: str, told: Container[bytes]) -> list[Frame] | None:
        """What one connection is to hear from this number on, and was not told; None: that is not known any more.

        Whether its user belongs where an event is for is judged by who writes it.
        """
        begin = self.end - len(self._events)
        if number < begin:
            return None
        return [
            _frame(event)
            for event, _ in islice(self._events, number - begin, None)
            if _is_for(event.audience, user_id, connection_id) and _digest(event) not in told
        ]


def _is_for(audience: Audience, user_id: str, connection_id: str) -> bool:
    if audience.user_id not in ("", user_id) or audience.connection_id not in ("", connection_id):
        return False
    return user_id not in audience.omit_users and audience.omit_connection_id != connection_id


def _frame(event: Event) -> Frame:
    audience = event.audience
    room = "" if audience.connection_id or audience.user_id else audience.channel_id or audience.team_id
    return Frame(event.sensitive, False, room, event.frame) if event.sensitive else Frame(event.frame, False, room)


def _digest(event: Event) -> bytes:
    return blake2b(event.frame, digest_size=8).digest()


def _size(event: Event) -> int:
    return len(event.frame) + len(event.sensitive)


@dataclass(slots=True)
class _Box:
    """What came in one message; its bytes are free when its last parcel is gone."""

    parcels: Parcels
    told: frozenset[bytes]
    size: int
    left: int


@dataclass(slots=True)
class _Kept:
    box: _Box
    parcel: Parcel
    since: float
    heard: int
    """From this number of the log on."""


class Keeper:
    """Times: seconds of any clock that goes on."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: dict[str, _Kept] = {}
        self._by_user: dict[str, dict[str, None]] = {}
        self._by_session: dict[str, dict[str, None]] = {}
        self._bytes = 0
        self._log = Log()
        self._leaves_at = 0.0
        self._marks: dict[str, tuple[int, float]] = {}
        """Since when what goes on is remembered for the connections of a worker that stops."""

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, connection_id: object) -> bool:
        return connection_id in self._kept

    def __iter__(self) -> Iterator[str]:
        """The ids of all that is kept."""
        return iter(list(self._kept))

    def leave(self) -> None:
        """This worker itself is about to ask who is willing."""
        self._leaves_at = self._now()

    def listen(self, leaver: str) -> None:
        """This worker stops: what has no number is remembered from now on, as its connections may come."""
        self._marks[leaver] = (self._log.end, self._now())

    def note(self, event: Event) -> None:
        """An event that goes out."""
        if not event.seq and event.name not in BEST_EFFORT:
            self._log.add(event, self._now())

    def told(self) -> tuple[bytes, ...]:
        """Of what was noted since this worker asked who is willing, and a little before, as that is heard later."""
        return self._log.digests(self._leaves_at - _HEARD_S)

    def take(self, parcels: Parcels, per_user: int) -> bool:
        """Keep these. False: their worker did not ask who is willing, or they are broken.

        per_user: as many connections of one user are kept; the oldest go first.
        """
        mark = self._marks.get(parcels.reply_to)
        if mark is None or not all(_is_whole(one, parcels) for one in parcels.parcels):
            return False
        size = sum(len(frame.body) + len(frame.plain) + 40 for frame in parcels.frames)
        size += sum(200 + 3 * len(one.dead) + 8 * (len(one.queue) + len(one.heads)) for one in parcels.parcels)
        box, now = _Box(parcels, frozenset(parcels.told), size, 0), self._now()
        for parcel in parcels.parcels:
            since, former = now - max(0.0, parcel.age_s), self._kept.get(parcel.connection_id)
            if former is not None and former.since > since:
                continue  # what we have was taken later
            self.discard(parcel.connection_id)
            self._bytes += 0 if box.left else size
            box.left += 1
            self._kept[parcel.connection_id] = _Kept(box, parcel, since, mark[0])
            self._by_session.setdefault(parcel.session_id, {})[parcel.connection_id] = None
            own = self._by_user.setdefault(parcel.user_id, {})
            own[parcel.connection_id] = None
            if len(own) > per_user:
                self.discard(next(iter(own)))
        while len(self._kept) > MAX_KEPT or (self._bytes > MAX_BYTES and self._kept):
            self.discard(next(iter(self._kept)))
        return True

    def discard(self, connection_id: str) -> None:
        """It is kept no more."""
        kept = self._kept.pop(connection_id, None)
        if kept is None:
            return
        kept.box.left -= 1
        if not kept.box.left:
            self._bytes -= kept.box.size
        for index, key in ((self._by_user, kept.parcel.user_id), (self._by_session, kept.parcel.session_id)):
            index[key].pop(connection_id)
            if not index[key]:
                del index[key]

    def end_session(self, session_id: str) -> None:
        """Nobody comes back with it."""
        for connection_id in list(self._by_session.get(session_id, ())):
            self.discard(connection_id)

    def end_all(self) -> None:
        """Nobody comes back at all."""
        for connection_id in self:
            self.discard(connection_id)

    def give(self, claim: Claim) -> Given | None:
        """Give a connection to who claims it; None: it is not here, not theirs, or has not what they lack."""
        kept = self._kept.get(claim.connection_id)
        if kept is None or (kept.parcel.user_id, kept.parcel.session_id) != (claim.user_id, claim.session_id):
            return None
        found = self.snapshot(claim.connection_id)
        self.discard(claim.connection_id)
        if found is None or not 0 <= found.seq - claim.seq <= len(found.dead):
            return None
        unread = found.dead[len(found.dead) - (found.seq - claim.seq) :]
        frames = [frame for frame in unread if frame is not None]
        if len(frames) < len(unread):
            return None
        return Given(claim.id, True, frames=(*frames, *found.queue), positions=dict(found.positions))

    def snapshot(self, connection_id: str) -> Snapshot | None:
        """A connection with all that it is to hear; None: it is not here, or that is not known any more."""
        kept = self._kept.get(connection_id)
        if kept is None:
            return None
        meanwhile = self._log.since(kept.heard, kept.parcel.user_id, connection_id, kept.box.told)
        if meanwhile is None:
            return None
        found = opened(kept.parcel, kept.box.parcels.frames, kept.box.parcels.heads, kept.since)
        found.queue = [*found.queue, *meanwhile]
        return found

    def sweep(self) -> None:
        """Forget what nobody came back for in 5 minutes."""
        before = self._now() - KEPT_S
        for connection_id in [one for one, kept in self._kept.items() if kept.since < before]:
            self.discard(connection_id)
        for leaver in [one for one, (_, since) in self._marks.items() if since < before]:
            del self._marks[leaver]


def _is_whole(parcel: Parcel, parcels: Parcels) -> bool:
    frames, heads = len(parcels.frames), len(parcels.heads)
    return (
        all(-1 <= one < frames for one in parcel.dead)
        and all(0 <= one < frames for one in parcel.queue)
        and all(0 <= one < heads for one in parcel.heads)
        and parcel.seq >= len(parcel.dead)
    )
