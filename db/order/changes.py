"""A change in a channel: its number and time, and the row by which a missed event is told again.

Whoever changes something that clients see locks the channel's head first (`begin`), then reads and writes, then moves
the head (`record`), all in one transaction: the order of the numbers is that of the commits, and an event is recorded
if and only if what it tells of was done.
"""

from dataclasses import dataclass
from typing import ClassVar

import msgspec

from db.model import shards
from db.model.ids import ChannelId
from db.model.numbers import BEFORE
from db.model.settings import Dialect
from db.model.tables import CHANNEL_EVENTS
from db.order import locks
from db.order.clock import NOW_MS
from db.pool.queryable import Transaction

_MOVED: dict[Dialect, str] = {
    "postgres": "changed_xid = pg_current_xact_id()",
    "mysql": f"changed_at = {NOW_MS['mysql']}",
}


@dataclass(frozen=True)
class Place:
    """Of a change in its channel. at: its time, beyond that of any change before it."""

    channel_id: ChannelId
    seq: int
    at: int


class Change(msgspec.Struct, frozen=True):
    """What is stored of a change: a row of `channel_events`. `app/events/kinds.py` has all kinds, with their events.

    kind: the word of its class, of at most 32 letters. ref: the id that it is about; all other fields are its payload.
    """

    kind: ClassVar[str]
    ref: str

    def payload(self) -> str:
        """The JSON of all fields but `ref`, in their order."""
        fields = msgspec.structs.asdict(self)
        del fields["ref"]
        return msgspec.json.encode(fields).decode()


async def begin(tx: Transaction, channel_id: ChannelId) -> Place | None:
    """Lock the head and take the next number; None when there is no such channel."""
    locks.head(tx, channel_id)
    row = await tx.fetch_one(
        f"SELECT greatest(seq, {BEFORE[tx.dialect]}) + 1, greatest({NOW_MS[tx.dialect]}, last_update_at + 1)"  # noqa: S608 (constants)
        f" FROM channel_heads WHERE channel_id = %s {locks.ALONE[tx.dialect]}",
        (channel_id,),
    )
    return Place(channel_id, int(row[0]), int(row[1])) if row else None


async def record(tx: Transaction, place: Place, change: Change) -> None:
    """Move the head to this change, and leave what `app/replay.py` builds its event of."""
    await tx.execute(
        f"UPDATE channel_heads SET seq = %s, last_update_at = %s, {_MOVED[tx.dialect]} WHERE channel_id = %s",  # noqa: S608
        (place.seq, place.at, place.channel_id),
        changes=(shards.posts(place.channel_id),),
    )
    await tx.execute(
        CHANNEL_EVENTS.insert,
        (place.channel_id, place.seq, place.at, str(change.kind), change.ref, change.payload()),
    )
