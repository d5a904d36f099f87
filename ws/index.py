"""Who is in which room, both ways, in little memory. Sans-I/O.

Ten thousand users of a hundred channels are a million pairs: 200 bytes each in sets, 20 in lists. So a room has a list
of its members. Who leaves everything stays in the lists, as `gone`, until half of a list is; to leave one room alone,
which is rare, takes a walk through its list.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar


class Member:
    """Somebody who can be in rooms. One that is gone hears nothing, and never comes back."""

    __slots__ = ("gone", "rooms")

    def __init__(self) -> None:
        self.rooms: list[str] = []
        """Their ids, the same objects for all members."""
        self.gone = False


M = TypeVar("M", bound=Member)


class _Room(Generic[M]):
    """gone: how many of its members are."""

    __slots__ = ("gone", "id", "members")

    def __init__(self, room_id: str) -> None:
        self.id = room_id
        self.members: list[M] = []
        self.gone = 0


class Index(Generic[M]):
    """All rooms with somebody in them."""

    def __init__(self) -> None:
        self._rooms: dict[str, _Room[M]] = {}

    def __contains__(self, room_id: str) -> bool:
        return room_id in self._rooms

    def members(self, room_id: str) -> Sequence[M]:
        """Who is there, and some who are gone."""
        room = self._rooms.get(room_id)
        return () if room is None else room.members

    def enter(self, member: M, room_id: str) -> None:
        """Come into a room in which one is not yet."""
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = _Room(room_id)
        room.members.append(member)
        member.rooms.append(room.id)

    def leave(self, member: M, room_id: str) -> None:
        """Leave a room, if one is in it."""
        if room_id in member.rooms:
            member.rooms.remove(room_id)
            room = self._rooms[room_id]
            room.members.remove(member)
            self._tidy(room)

    def leave_all(self, member: M) -> list[str]:
        """Leave for good; the rooms that are empty now."""
        member.gone = True
        rooms, member.rooms = member.rooms, []
        for room_id in rooms:
            room = self._rooms[room_id]
            room.gone += 1
            self._tidy(room)
        return [room_id for room_id in rooms if room_id not in self._rooms]

    def _tidy(self, room: _Room[M]) -> None:
        if room.gone == len(room.members):
            del self._rooms[room.id]
        elif 2 * room.gone > len(room.members):
            room.members = [member for member in room.members if not member.gone]
            room.gone = 0
