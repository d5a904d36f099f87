"""Names of what a statement reads or changes, as numbers: the slots of floors and stamps (design §6).

A write raises the floor of its shards to the position of its commit; a read of those shards is served only by a server
that has come that far. A copy is good while the stamps of its shards are what they were before it was read. Two names
may share a slot: that costs a read on the master, never a stale answer.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol
from zlib import crc32

from db.model.tables import Namespace

SLOTS = 65_536
UNKNOWN = (1 << 63) - 1
"""A position beyond all: committed, but nobody could ask how far."""

Shard = int
Tokens = tuple[int, ...]
"""What stamps showed: that of everything, then those of some shards in their order."""


def shard(namespace: str, key: str) -> Shard:
    """The slot of an object that the outbox told of, perhaps by a word of another version."""
    return crc32(f"{namespace}:{key}".encode()) % SLOTS


_BEGINNINGS = {one: crc32(f"{one.value}:".encode()) for one in Namespace}


def of(namespace: Namespace, key: str) -> Shard:
    """The same of a namespace that is known."""
    return crc32(key.encode(), _BEGINNINGS[namespace]) % SLOTS


def user(user_id: str) -> Shard:
    """A row of `users`."""
    return of(Namespace.USER, user_id)


def session(session_id: str) -> Shard:
    """A row of `sessions`."""
    return of(Namespace.SESSION, session_id)


def status(user_id: str) -> Shard:
    """A row of `statuses`."""
    return of(Namespace.STATUS, user_id)


def preferences(user_id: str) -> Shard:
    """All preferences of a user."""
    return of(Namespace.PREFERENCES, user_id)


def sidebar(user_id: str) -> Shard:
    """The categories of a user's sidebar, in all teams."""
    return of(Namespace.SIDEBAR, user_id)


def mention_keys(kind: str) -> Shard:
    """By which words of a kind, beyond their names, any users are mentioned."""
    return of(Namespace.MENTION_KEYS, kind)


def team(team_id: str) -> Shard:
    """A row of `teams`."""
    return of(Namespace.TEAM, team_id)


def team_channels(team_id: str) -> Shard:
    """Which channels a team has."""
    return of(Namespace.TEAM_CHANNELS, team_id)


def team_members(team_id: str) -> Shard:
    """Who is a member of a team, and as what."""
    return of(Namespace.TEAM_MEMBERS, team_id)


def user_teams(user_id: str) -> Shard:
    """Of which teams a user is a member, and as what."""
    return of(Namespace.USER_TEAMS, user_id)


def channel(channel_id: str) -> Shard:
    """A row of `channels`."""
    return of(Namespace.CHANNEL, channel_id)


def channel_members(channel_id: str) -> Shard:
    """Who is a member of a channel, and as what."""
    return of(Namespace.CHANNEL_MEMBERS, channel_id)


def user_channels(user_id: str) -> Shard:
    """Of which channels a user is a member, and as what."""
    return of(Namespace.USER_CHANNELS, user_id)


def viewed(channel_id: str, user_id: str) -> Shard:
    """How far a member has read a channel."""
    return of(Namespace.VIEWED, channel_id + user_id)


def posts(channel_id: str) -> Shard:
    """The posts of a channel and its head (the row of `channel_heads`)."""
    return of(Namespace.POSTS, channel_id)


class Floors(Protocol):
    """For every shard the position that a server must have reached to be read."""

    def floor(self, shards: Iterable[Shard]) -> int:
        """The highest floor of these shards."""

    def raise_to(self, shards: Iterable[Shard], position: int) -> None:
        """These shards changed at `position`."""

    def settle(self, shards: Iterable[Shard], position: int) -> None:
        """What this process said of these shards is now known: `position`."""

    def raise_all(self, position: int) -> None:
        """Anything may have changed up to `position`."""

    def take_over(self, position: int) -> None:
        """Whatever this process, or its predecessor, said before is covered by `position`, now the floor of all."""


class LocalFloors:
    """`Floors` of one process alone."""

    def __init__(self) -> None:
        self._all = 0
        self._floors: dict[Shard, int] = {}

    def floor(self, shards: Iterable[Shard]) -> int:
        """See `Floors`."""
        return max((self._floors.get(one, self._all) for one in shards), default=self._all)

    def raise_to(self, shards: Iterable[Shard], position: int) -> None:
        """See `Floors`."""
        for one in shards:
            self._floors[one] = max(position, self._floors.get(one, 0), self._all)

    def settle(self, shards: Iterable[Shard], position: int) -> None:
        """See `Floors`."""
        for one in shards:
            self._floors[one] = max(position, self._all)

    def raise_all(self, position: int) -> None:
        """See `Floors`."""
        self._all = max(self._all, position)
        self._floors = {one: floor for one, floor in self._floors.items() if floor > self._all}

    def take_over(self, position: int) -> None:
        """See `Floors`."""
        self._all = position
        self._floors = {}


class Stamps(Protocol):
    """For everything and for every shard a number that each change replaces by one that was never there before.

    Whoever committed a change raises its floors, then stamps it, then answers.
    """

    def take(self, shards: Sequence[Shard]) -> Tokens:
        """What they show now; to be taken before the read is sent that makes a copy."""

    def hold(self, shards: Sequence[Shard], tokens: Tokens) -> bool:
        """Whether they still show what was taken for these shards: then nothing of them has changed."""

    def write(self, shards: Iterable[Shard]) -> None:
        """These shards changed."""

    def write_all(self) -> None:
        """Anything may have changed."""


class LocalStamps:
    """`Stamps` of one process alone."""

    def __init__(self) -> None:
        self._number = 0
        self._all = 0
        self._stamps: dict[Shard, int] = {}

    def take(self, shards: Sequence[Shard]) -> Tokens:
        """See `Stamps`."""
        return (self._all, *(self._stamps.get(one, 0) for one in shards))

    def hold(self, shards: Sequence[Shard], tokens: Tokens) -> bool:
        """See `Stamps`."""
        return self.take(shards) == tokens

    def write(self, shards: Iterable[Shard]) -> None:
        """See `Stamps`."""
        self._number += 1
        for one in shards:
            self._stamps[one] = self._number

    def write_all(self) -> None:
        """See `Stamps`."""
        self._number += 1
        self._all = self._number
