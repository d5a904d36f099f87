"""Every event of a channel exactly once and in its order, whatever gets lost on the way. Sans-I/O.

Recoverable events carry a number of their channel, which the database gave them. The worker keeps, for each channel
that it serves, its head: the number up to which everything was delivered.

    event  ──take──>   head + 1: deliver, and what waits behind it │ ≤ head: drop │ further on: wait, there is a gap
    poll   ──learn──>  the channel is further on than we know: the same gap
    gap    ──due──>    50 ms later: read what is missing from the database ──fill──> deliver, go on from there

So neither a lost message, nor a writer that died between commit and publish, nor a relay that died loses an event. A
connection that begins to hear of a channel elsewhere than at the head has a cursor of its own until it is level
(`Cursors`). Times: seconds of any clock that goes on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from app.events.messages import Event
from db.model.numbers import first_of_term, term_in

GAP_S = 0.05
"""How long what is missing may still be on its way."""
MAX_WAITING = 100
"""Events of a channel that wait behind a gap; those beyond are read when it is filled."""


@dataclass
class _Channel:
    """head: all up to here is delivered. known: there is an event of this number. gap_at: since when one is missing.

    asked: what was known when the database was asked last.
    """

    head: int
    known: int
    asked: int = 0
    waiting: dict[int, Event] = field(default_factory=dict)
    gap_at: float | None = None
    reading: bool = False


class Heads:
    """Of all channels that somebody in this worker hears."""

    def __init__(self) -> None:
        self._channels: dict[str, _Channel] = {}
        self._gaps: set[str] = set()
        self._early: dict[str, int] = {}
        """What came of channels that nobody hears yet, while somebody is finding out which ones they hear."""
        self._loading = 0
        self._term = 1
        self.repaired = 0
        """Events that did not come by the bus."""

    def __contains__(self, channel_id: str) -> bool:
        return channel_id in self._channels

    def __len__(self) -> int:
        return len(self._channels)

    def begin_loading(self) -> None:
        """Somebody reads from the database which channels they hear, and how far those are."""
        self._loading += 1

    def end_loading(self) -> None:
        """They have done so, and all those channels are served."""
        self._loading -= 1
        if not self._loading:
            self._early.clear()

    def begin_term(self, number: int) -> None:
        """Another master reigns. An event of an earlier one may tell of a commit that is lost: it is looked up."""
        self._term = max(self._term, number)

    def serve(self, channel_id: str, head: int, now: float) -> None:
        """Somebody hears of this channel from now on; all up to `head` is theirs by other means."""
        if channel_id not in self._channels:
            self._channels[channel_id] = _Channel(head, head)
            self.learn(channel_id, self._early.get(channel_id, 0), now)

    def forget(self, channel_id: str) -> None:
        """Nobody does any more."""
        self._channels.pop(channel_id, None)
        self._gaps.discard(channel_id)

    def head(self, channel_id: str) -> int:
        """Up to where everything was delivered. Raises KeyError for a channel that nobody hears."""
        return self._channels[channel_id].head

    def known(self, channel_id: str) -> int:
        """The highest number of which is known that there is an event. Raises KeyError, as `head`."""
        return self._channels[channel_id].known

    def channel_ids(self) -> list[str]:
        """All that are served."""
        return list(self._channels)

    def take(self, event: Event, now: float) -> Sequence[Event]:
        """An event has come; what is to be delivered now, in this order."""
        channel_id = event.audience.channel_id
        channel = self._channels.get(channel_id)
        if channel is None:
            if self._loading:
                self._early[channel_id] = max(event.seq, self._early.get(channel_id, 0))
            return ()
        if event.seq <= channel.head:
            return ()
        if term_in(event.seq) < self._term:
            self.learn(channel_id, event.seq, now)
            return ()
        if event.seq == channel.head + 1 and not channel.waiting:
            channel.head = event.seq
            self._settle(channel_id, channel, now)
            return (event,)
        channel.known = max(channel.known, event.seq)
        if len(channel.waiting) < MAX_WAITING or event.seq == channel.head + 1:
            channel.waiting[event.seq] = event
        return self._go_on(channel_id, channel, now)

    def learn(self, channel_id: str, seq: int, now: float) -> None:
        """The database says that the channel has come so far."""
        channel = self._channels.get(channel_id)
        if channel is not None and seq > channel.known:
            channel.known = seq
            self._settle(channel_id, channel, now)

    def due(self, now: float) -> list[tuple[str, int]]:
        """(channel, head) of the gaps that are to be read now: everything beyond that head."""
        found = []
        for channel_id in self._gaps:
            channel = self._channels[channel_id]
            if not channel.reading and channel.gap_at is not None and now >= channel.gap_at + GAP_S:
                channel.reading = True
                channel.asked = channel.known
                found.append((channel_id, channel.head))
        return found

    def next_due(self) -> float | None:
        """When the next gap is due; None: there is none that is not being read."""
        times = [
            channel.gap_at + GAP_S
            for channel in (self._channels[one] for one in self._gaps)
            if channel.gap_at is not None and not channel.reading
        ]
        return min(times, default=None)

    def is_lost(self, channel_id: str, seq: int, end: int) -> bool:
        """Whether no commit has this number, or may have none, as `due` was answered that the channel is at `end`.

        A failover lost it; of what is beyond the head and of an earlier term than `end` only what was found is certain.
        """
        channel = self._channels[channel_id]
        return end < seq <= channel.asked or channel.head < seq < first_of_term(end)

    def fill(self, channel_id: str, upto: int, found: Iterable[Event], now: float, *, end: int) -> Sequence[Event]:
        """What the database has beyond the head that `due` told, up to this number: what is not there is gone.

        end: how far the channel is, in the database.
        """
        channel = self._channels.get(channel_id)
        if channel is None:
            return ()
        channel.reading = False
        channel.gap_at = None
        channel.waiting = {
            seq: event for seq, event in channel.waiting.items() if not self.is_lost(channel_id, seq, end)
        }
        if end < channel.asked:
            channel.known = max([end, *channel.waiting])
        events = {event.seq: event for event in found if channel.head < event.seq <= upto}
        self.repaired += sum(seq not in channel.waiting for seq in events)
        events |= {seq: event for seq, event in channel.waiting.items() if channel.head < seq <= upto}
        ready = [events[seq] for seq in sorted(events)]
        channel.head = max(channel.head, upto)
        channel.known = max(channel.known, channel.head)
        channel.waiting = {seq: event for seq, event in channel.waiting.items() if seq > channel.head}
        ready.extend(self._go_on(channel_id, channel, now))
        return ready

    def failed(self, channel_id: str, now: float) -> None:
        """It could not be read: the gap is due again."""
        channel = self._channels.get(channel_id)
        if channel is not None:
            channel.reading = False
            if channel.gap_at is not None:
                channel.gap_at = now

    def rewind(self, channel_id: str, head: int) -> None:
        """The database lost commits: the channel's numbers go on from here. Who heard of them is to begin anew."""
        if channel_id in self._channels:
            self._channels[channel_id] = _Channel(head, head)
            self._gaps.discard(channel_id)

    def _go_on(self, channel_id: str, channel: _Channel, now: float) -> list[Event]:
        ready = []
        while (event := channel.waiting.pop(channel.head + 1, None)) is not None:
            channel.head += 1
            ready.append(event)
        self._settle(channel_id, channel, now)
        return ready

    def _settle(self, channel_id: str, channel: _Channel, now: float) -> None:
        """Whether something is missing. A gap that moved is a new one."""
        if channel.head >= channel.known:
            channel.known = channel.head
            channel.gap_at = None
            self._gaps.discard(channel_id)
        elif channel.gap_at is None:
            channel.gap_at = now
            self._gaps.add(channel_id)


@dataclass
class _Cursor:
    """behind: what lies between the cursor and the head is being read for this connection alone."""

    seq: int
    behind: bool


class Cursors:
    """Where a connection stands in the channels in which it is not level with the head of the worker."""

    __slots__ = ("_cursors",)

    def __init__(self) -> None:
        self._cursors: dict[str, _Cursor] = {}

    def begin(self, channel_id: str, seq: int, head: int) -> bool:
        """The connection is to hear all beyond `seq`; whether something of that is delivered to others already."""
        if seq == head:
            self._cursors.pop(channel_id, None)
            return False
        self._cursors[channel_id] = _Cursor(seq, behind=seq < head)
        return seq < head

    def admits(self, channel_id: str, seq: int) -> bool:
        """Whether the connection gets this event, which all that are level get now."""
        cursor = self._cursors.get(channel_id)
        if cursor is None:
            return True
        if cursor.behind:
            return False
        if seq >= cursor.seq:
            del self._cursors[channel_id]
        return seq > cursor.seq

    def behind(self, channel_id: str) -> int | None:
        """From where on the connection lacks what others have; None: it does not."""
        cursor = self._cursors.get(channel_id)
        return cursor.seq if cursor is not None and cursor.behind else None

    def ahead(self, channel_id: str) -> int | None:
        """Up to where the connection knows what others have not heard yet; None: it does not."""
        cursor = self._cursors.get(channel_id)
        return cursor.seq if cursor is not None and not cursor.behind else None

    def catch_up(self, channel_id: str, after: int, upto: int, found: Iterable[Event], head: int) -> list[Event]:
        """What was read for it beyond `after`, up to this number; what is to be delivered to it now."""
        cursor = self._cursors.get(channel_id)
        if cursor is None or not cursor.behind or cursor.seq < after:  # it was set back while that was read
            return []
        reach = min(upto, head)
        ready = [event for event in found if cursor.seq < event.seq <= reach]
        if reach >= head:
            del self._cursors[channel_id]
        else:
            cursor.seq = max(cursor.seq, reach)
        return ready

    def positions(self) -> dict[str, int]:
        """Up to where it has these channels."""
        return {channel_id: cursor.seq for channel_id, cursor in self._cursors.items()}

    def end(self, channel_id: str) -> None:
        """It hears of this channel no more."""
        self._cursors.pop(channel_id, None)

    def __len__(self) -> int:
        return len(self._cursors)
