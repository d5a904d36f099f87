"""The stamps in shared memory: no copy that is older than an acknowledged write ever counts, however writers race."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.shm import stamps
from cluster.shm.stamps import MAX_PROCESSES, SharedStamps
from db.model.shards import SLOTS, LocalStamps, Stamps, shard
from tests.rig.scale import for_each_seed, scale

ONE, OTHER = shard("user", "one"), shard("user", "other")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    stamps.create(tmp_path / "stamps")
    return tmp_path / "stamps"


@pytest.fixture(params=["shared", "local"])
def pair(request: pytest.FixtureRequest, path: Path) -> tuple[Stamps, Stamps]:
    """Those of two processes; or the local ones twice."""
    if request.param == "local":
        local = LocalStamps()
        return local, local
    return SharedStamps(path, 1), SharedStamps(path, 2)


def test_what_one_process_changes_holds_for_no_other_any_more(pair: tuple[Stamps, Stamps]) -> None:
    one, other = pair
    tokens = other.take([ONE, OTHER])
    assert other.hold([ONE, OTHER], tokens)
    one.write([OTHER])
    assert not other.hold([ONE, OTHER], tokens)
    assert other.hold([ONE], tokens[:2])


def test_a_change_of_everything_is_one_of_each(pair: tuple[Stamps, Stamps]) -> None:
    one, other = pair
    tokens, nothing = other.take([ONE]), other.take([])
    one.write_all()
    assert not other.hold([ONE], tokens)
    assert not other.hold([], nothing)


@pytest.mark.parametrize("slot", [0, SLOTS - 1])
def test_the_first_and_the_last_slot_are_slots_of_their_own(path: Path, slot: int) -> None:
    one = SharedStamps(path, 0)
    everything, tokens = one.take([]), one.take([slot])
    one.write([slot])
    assert one.hold([], everything)
    assert not one.hold([slot], tokens)


def test_no_value_is_ever_written_twice(path: Path) -> None:
    clock = [5_000_000]
    first, second = (SharedStamps(path, process, lambda: clock[0]) for process in (0, MAX_PROCESSES - 1))
    seen = set()
    for tick in range(1000):
        clock[0] += tick % 3 * 700  # the clock stands still for several writes
        for one in (first, second):
            one.write([ONE])
            seen.add(one.take([ONE])[1])
    again = SharedStamps(path, 0, lambda: clock[0] + 2_000_000)  # a process takes longer than that to start
    again.write([ONE])
    seen.add(again.take([ONE])[1])
    assert len(seen) == 2001


def test_there_are_not_more_processes_than_numbers(path: Path) -> None:
    with pytest.raises(ValueError, match="too many"):
        SharedStamps(path, MAX_PROCESSES)


class ByClock:
    """What was rejected: one stamp that says when, and copies that are good while it is earlier than their question."""

    def __init__(self, cell: list[int], now_ns: Callable[[], int]) -> None:
        self._cell = cell
        self._now_ns = now_ns

    def take(self, _: list[int]) -> tuple[int, ...]:
        return (self._now_ns(),)

    def hold(self, _: list[int], tokens: tuple[int, ...]) -> bool:
        return self._cell[0] < tokens[0]

    def write(self, _: list[int]) -> None:
        self._cell[0] = self._now_ns()


class Race:
    """Writers and readers of one object in several processes, each step of which may be the last for a long time."""

    def __init__(self, chance: random.Random, make: Callable[[int, Callable[[], int]], Stamps | ByClock]) -> None:
        self.chance = chance
        self.clock = 1_000_000
        self.truth = 0
        self.acknowledged = 0
        self.hits = 0
        stamps_of = [make(process, self._now_ns) for process in range(6)]
        self.actors = [self._write(one) for one in stamps_of[:3]] + [self._read(one) for one in stamps_of[3:]]
        self._acting: set[int] = set()

    def _now_ns(self) -> int:
        """A process may be stopped between reading the clock and storing what it made of it."""
        self.clock += 1024
        found = self.clock
        while self.chance.random() < 0.5:
            self.act()
        return found

    def act(self) -> None:
        idle = [place for place in range(len(self.actors)) if place not in self._acting]
        if idle:
            place = self.chance.choice(idle)
            self._acting.add(place)
            next(self.actors[place])
            self._acting.remove(place)

    def _write(self, own: Stamps | ByClock) -> Iterator[None]:
        while True:
            self.truth += 1
            mine = self.truth
            yield
            own.write([ONE])
            self.acknowledged = max(self.acknowledged, mine)
            yield

    def _read(self, own: Stamps | ByClock) -> Iterator[None]:
        while True:
            tokens = own.take([ONE])
            yield
            copy = self.truth
            yield
            while own.hold([ONE], tokens):
                assert copy >= self.acknowledged, "a stale copy"
                self.hits += 1
                yield
            yield


def _race(chance: random.Random, make: Callable[[int, Callable[[], int]], Stamps | ByClock]) -> int:
    race = Race(chance, make)
    for _ in range(300):
        race.act()
    return race.hits


def test_however_writers_race_no_copy_is_older_than_what_was_acknowledged(path: Path) -> None:
    def run(chance: random.Random) -> int:
        own = path.with_suffix(f".{os.getpid()}")
        stamps.create(own)
        return _race(chance, lambda process, now_ns: SharedStamps(own, process, now_ns))

    hits = sum(for_each_seed(scale(100, 10_000), run))
    assert hits > scale(1000, 100_000)


def test_stamps_that_are_compared_by_time_would_let_stale_copies_pass() -> None:
    with pytest.raises(AssertionError, match="a stale copy"):
        for_each_seed(100, lambda chance: _race_by_clock(chance, [0]))


def _race_by_clock(chance: random.Random, cell: list[int]) -> None:
    _race(chance, lambda _, now_ns: ByClock(cell, now_ns))
