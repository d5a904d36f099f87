"""A queue that is fair to sources."""

import random

import pytest

from app.turns import FairQueue, Placed
from tests.rig.scale import for_each_seed, scale


def _fill(queue: FairQueue[str], source: str, times: int) -> int:
    return sum(queue.put(source, f"{source}{number}").taken for number in range(times))


def test_sources_take_turns() -> None:
    queue = FairQueue[str](30, 8)
    _fill(queue, "a", 3)
    _fill(queue, "b", 2)
    assert [queue.take() for _ in range(6)] == ["a0", "b0", "a1", "b1", "a2", None]


def test_a_source_has_so_many_places_and_no_more() -> None:
    queue = FairQueue[str](30, 8)
    assert _fill(queue, "a", 40) == 8
    assert queue.put("b", "b0") == Placed(True)


def test_a_full_queue_makes_room_for_who_has_fewer() -> None:
    queue = FairQueue[str](8, 8)
    assert _fill(queue, "a", 8) == 8
    assert queue.put("b", "b0") == Placed(True, "a7")
    assert queue.put("b", "b1") == Placed(True, "a6")
    assert len(queue) == 8


def test_who_has_as_many_as_anybody_gets_none() -> None:
    queue = FairQueue[str](4, 8)
    for source in "abcd":
        _fill(queue, source, 1)
    assert queue.put("e", "e0") == Placed(False)
    assert queue.put("a", "a1") == Placed(False)


@pytest.mark.parametrize("most", [0, -2])
def test_without_places_nobody_waits(most: int) -> None:
    assert FairQueue[str](most, 8).put("a", "a0") == Placed(False)


def test_a_place_can_be_given_up() -> None:
    queue = FairQueue[str](4, 8)
    _fill(queue, "a", 2)
    assert queue.remove("a", "a0")
    assert not queue.remove("a", "a0")
    assert not queue.remove("b", "b0")
    assert queue.take() == "a1"
    assert len(queue) == 0


def test_whatever_a_flood_does_the_next_of_a_quiet_source_waits_for_one_of_each_other() -> None:
    def simulate(rng: random.Random) -> None:
        queue = FairQueue[str](rng.randrange(4, 40), rng.randrange(1, 10))
        waiting: dict[str, int] = {}
        waited: dict[str, int] = {}
        number = 0
        for _ in range(500):
            if rng.random() < 0.7:
                source = rng.choice(["flood", "flood", "flood", *"abc"])
                number += 1
                placed = queue.put(source, f"{source}/{number}")
                if placed.taken:
                    waiting[source] = waiting.get(source, 0) + 1
                    waited.setdefault(source, 0)
                if placed.displaced is not None:
                    loser = placed.displaced.partition("/")[0]
                    assert waiting[loser] > waiting[source] - 1
                    waiting[loser] -= 1
            else:
                item = queue.take()
                assert (item is None) == (sum(waiting.values()) == 0)
                if item is not None:
                    source = item.partition("/")[0]
                    waiting[source] -= 1
                    for other in waited:
                        waited[other] += waiting.get(other, 0) > 0
                    waited[source] = 0
            assert len(queue) == sum(waiting.values())
            assert all(turns <= 4 for source, turns in waited.items() if waiting.get(source))

    for_each_seed(scale(100, 3000), simulate)
