"""Who is in which room: the same as with sets, whatever the history, and small."""

import random
import tracemalloc

from tests.rig.scale import for_each_seed, scale
from ws.index import Index, Member


class _One(Member):
    __slots__ = ()


def _same_as_with_sets(chance: random.Random) -> None:
    index: Index[_One] = Index()
    rooms: dict[str, set[_One]] = {room: set() for room in "abcd"}
    everybody: list[_One] = []
    for _ in range(chance.randrange(60)):
        kind = chance.randrange(5)
        if kind == 0 or not everybody:
            everybody.append(_One())
        member, room = chance.choice(everybody), chance.choice("abcd")
        if kind == 1:
            everybody.remove(member)
            held = {name for name, members in rooms.items() if member in members}
            for members in rooms.values():
                members.discard(member)
            assert set(index.leave_all(member)) == {name for name in held if not rooms[name]}
        elif kind == 2:
            index.leave(member, room)
            rooms[room].discard(member)
        elif member not in rooms[room]:
            index.enter(member, room)
            rooms[room].add(member)
        for name, members in rooms.items():
            heard = [one for one in index.members(name) if not one.gone]
            assert len(heard) == len(set(heard))
            assert set(heard) == members
            assert (name in index) == bool(members)
            assert len(index.members(name)) <= 2 * len(members)
        for one in everybody:
            assert sorted(one.rooms) == sorted(name for name, members in rooms.items() if one in members)


def test_whoever_comes_and_goes_it_is_as_with_sets() -> None:
    for_each_seed(scale(1_000, 50_000), _same_as_with_sets)


def test_a_pair_takes_20_bytes_though_its_id_was_read_anew() -> None:
    index: Index[_One] = Index()
    members = [_One() for _ in range(1_000)]
    tracemalloc.start()
    try:
        for member in members:
            for number in range(100):
                index.enter(member, f"room {number}")
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / 100_000 < 24
