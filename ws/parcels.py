"""Connections as they are handed over by a worker that stops: many in a message, and once what they share. Sans-I/O.

Snapshot, Snapshot, … ──pack──> Part (frames, heads, parcels) ──Parcels──> opened ──> Snapshot
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from app.events.messages import Frame, Parcel

PART_BYTES = 128 * 1024
"""Of a message with several connections: half of what the bus takes."""
DEAD_BYTES = 32 * 1024
"""Of events that one connection was sent, and that no other one of its message was. The newest are taken."""
_PARCEL_BYTES, _HEAD_BYTES, _NUMBER_BYTES, _FRAME_BYTES = 120, 36, 3, 40


@dataclass(slots=True)
class Snapshot:
    """A connection at one moment.

    seq: the number of its next event, the first of `queue`. dead: the events before it, the last one at the end; None
    where one is not known. positions: how far it has each channel of its user. since: seconds of the worker's clock.
    """

    connection_id: str
    user_id: str
    session_id: str
    seq: int
    dead: Sequence[Frame | None]
    queue: Sequence[Frame]
    positions: Sequence[tuple[str, int]]
    since: float


@dataclass
class Part:
    """What goes in one message. size: bytes, about."""

    snapshots: list[Snapshot] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    heads: list[tuple[str, int]] = field(default_factory=list)
    parcels: list[Parcel] = field(default_factory=list)
    size: int = 0
    _numbers: dict[int | tuple[str, int], int] = field(default_factory=dict)

    def add(self, snapshot: Snapshot, now: float) -> None:
        """One more."""
        queue = tuple(map(self._frame, snapshot.queue))
        dead = self._dead(snapshot.dead)
        heads = tuple(map(self._head, snapshot.positions))
        self.size += _PARCEL_BYTES + _NUMBER_BYTES * (len(queue) + len(dead) + len(heads))
        self.snapshots.append(snapshot)
        self.parcels.append(
            Parcel(
                snapshot.connection_id,
                snapshot.user_id,
                snapshot.session_id,
                snapshot.seq,
                dead,
                queue,
                heads,
                now - snapshot.since,
            )
        )

    def _dead(self, dead: Sequence[Frame | None]) -> tuple[int, ...]:
        limit = self.size + DEAD_BYTES
        numbers: list[int] = []
        for frame in reversed(dead):
            if frame is not None and id(frame) not in self._numbers and self.size + _size(frame) > limit:
                break
            numbers.append(-1 if frame is None else self._frame(frame))
        return tuple(reversed(numbers))

    def _frame(self, frame: Frame) -> int:
        """By identity: a frame of an event is one object for all connections of a worker."""
        number = self._numbers.get(id(frame))
        if number is None:
            number = self._numbers[id(frame)] = len(self.frames)
            self.frames.append(frame)
            self.size += _size(frame)
        return number

    def _head(self, head: tuple[str, int]) -> int:
        number = self._numbers.get(head)
        if number is None:
            number = self._numbers[head] = len(self.heads)
            self.heads.append(head)
            self.size += _HEAD_BYTES
        return number


def _size(frame: Frame) -> int:
    return len(frame.body) + len(frame.plain) + _FRAME_BYTES


def pack(snapshots: Iterable[Snapshot], now: float) -> Iterator[Part]:
    """All of them, in messages of 128 KiB and what the last connection of each has."""
    part = Part()
    for snapshot in snapshots:
        part.add(snapshot, now)
        if part.size >= PART_BYTES:
            yield part
            part = Part()
    if part.parcels:
        yield part


def opened(parcel: Parcel, frames: Sequence[Frame], heads: Sequence[tuple[str, int]], since: float) -> Snapshot:
    """A connection out of its message. Raises IndexError for one that points at nothing."""
    return Snapshot(
        parcel.connection_id,
        parcel.user_id,
        parcel.session_id,
        parcel.seq,
        [frames[one] if one >= 0 else None for one in parcel.dead],
        [frames[one] for one in parcel.queue],
        [heads[one] for one in parcel.heads],
        since,
    )
