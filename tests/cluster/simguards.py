"""What the processes of a simulated node share, and the same with one of the guards of the caches left out."""

from collections.abc import Iterable, Sequence

from db.model.board import LocalBoard
from db.model.shards import LocalFloors, LocalStamps, Shard, Tokens
from db.sql.outbox import Follower
from tests.cluster.simdb import now_ns

OLD, OWN, ANYWHERE = "older than the truth", "same node acknowledged", "another node acknowledged"
GUARDS = {
    "token": OWN,
    "floor": OWN,
    "outbox": OLD,
    "unseen": OLD,
    "fence": OLD,
    "begin": OLD,
    "term": OLD,
    "barrier": ANYWHERE,
    "joining": ANYWHERE,
    "left": OLD,
    "quiet": OLD,
    "whole": OLD,
}
"""What is read when it is left out. token, floor, fence: see `db/pool/cache.py`. outbox: what changed without being told.
unseen: what changed without a row of the outbox.
begin: whatever a first poll cannot know. term: who the master is. barrier: waiting for the other nodes. joining: no
traffic before a poll that was sent when the others were met. left: that who left may have come back where the database is.
quiet: that who is not heard may be committing. whole: that who is heard again may have been committing.
"""


class Column(LocalFloors):
    """What one process says of floors; it sees what all processes of the node say, as in `cluster/shm/floors.py`."""

    def __init__(self, columns: list["Column"]) -> None:
        super().__init__()
        self._columns = columns
        columns.append(self)

    def floor(self, shards: Iterable[Shard]) -> int:
        """See `Floors`."""
        shards = list(shards)
        return max(LocalFloors.floor(one, shards) for one in self._columns)


class NoFloors(Column):
    """Leaves out the floors."""

    def floor(self, shards: Iterable[Shard]) -> int:
        """See `Floors`."""
        return 0


class Late(tuple[int, ...]):
    """Tokens that are taken when they are first compared: after the read."""

    seen: Tokens | None = None


class LateStamps(LocalStamps):
    """Leaves out the token."""

    def take(self, shards: Sequence[Shard]) -> Tokens:
        """See `Stamps`."""
        return Late(super().take(shards))

    def hold(self, shards: Sequence[Shard], tokens: Tokens) -> bool:
        """See `Stamps`."""
        assert isinstance(tokens, Late)
        if tokens.seen is None:
            tokens.seen = super().take(shards)
        return super().take(shards) == tokens.seen


class OpenBoard(LocalBoard):
    """Leaves out the fence."""

    def polled_ns(self) -> int:
        """See `Board`."""
        return now_ns()


class HastyFollower(Follower):
    """Leaves out that after a first poll nobody knows what changed before it."""

    async def _begin(self) -> None:
        pass


class Shared:
    """Memory of a node: it outlives every process, and begins anew with the node."""

    def __init__(self, without: frozenset[str]) -> None:
        self._without = without
        self.stamps: LocalStamps = LateStamps() if "token" in without else LocalStamps()
        self.board: LocalBoard = OpenBoard() if "fence" in without else LocalBoard()
        self.columns: list[Column] = []

    def column(self, number: int) -> Column:
        """The floors of this process, with what its predecessor left in them."""
        while len(self.columns) <= number:
            (NoFloors if "floor" in self._without else Column)(self.columns)
        return self.columns[number]
