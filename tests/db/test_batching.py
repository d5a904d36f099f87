"""The lanes of natural batching, whatever is batched."""

import asyncio
import time
from pathlib import Path

from db.pool.batching import Lanes

ROOT = Path(__file__).parents[2]


class Line:
    """A connection that counts."""

    opened = 0

    def __init__(self) -> None:
        type(self).opened += 1
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Work:
    """Numbers that are done in batches of at most three."""

    def __init__(self, number: int) -> None:
        Line.opened = 0
        self.queue: list[int] = []
        self.done: list[list[int]] = []
        self.begun: list[list[int]] = []
        self.failed: list[tuple[list[int], str]] = []
        self.go_on = asyncio.Event()
        self.lanes: Lanes[list[int], Line] = Lanes(self._connect, number, self._take, self._run, self._failed)

    async def _connect(self) -> Line:
        return Line()

    async def checkout(self) -> Line:
        return self.lanes.idle() or await self.lanes.connect()

    def add(self, *numbers: int) -> None:
        for one in numbers:
            self.queue.append(one)
            self.lanes.kick()

    def _take(self) -> list[int] | None:
        batch, self.queue = self.queue[:3], self.queue[3:]
        return batch or None

    async def _run(self, batch: list[int]) -> None:
        self.begun.append(batch)
        line = await self.checkout()
        await self.go_on.wait()
        if 13 in batch:
            raise ValueError("of this test")
        self.lanes.check_in(line)
        self.done.append(batch)

    def _failed(self, batch: list[int], error: Exception) -> None:
        self.failed.append((batch, str(error)))


async def test_what_comes_in_one_turn_goes_together_and_what_comes_meanwhile_as_the_next() -> None:
    work = Work(1)
    work.add(1, 2)
    assert work.begun == []
    await asyncio.sleep(0.01)
    work.add(3, 4, 5, 6, 7)
    await asyncio.sleep(0.01)
    assert work.begun == [[1, 2]]
    work.go_on.set()
    await work.lanes.close()
    assert work.done == [[1, 2], [3, 4, 5], [6, 7]]
    assert Line.opened == 1


async def test_no_more_batches_at_once_than_there_are_lanes() -> None:
    work = Work(2)
    work.add(*range(12))
    await asyncio.sleep(0.01)
    assert (work.begun, Line.opened) == ([[0, 1, 2], [3, 4, 5]], 2)
    work.go_on.set()
    await work.lanes.close()
    assert sorted(work.done) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert Line.opened == 2


async def test_a_batch_that_fails_frees_its_lane_and_is_said_so() -> None:
    work = Work(1)
    work.go_on.set()
    work.add(13)
    await asyncio.sleep(0.01)
    work.add(1)
    await asyncio.sleep(0.01)
    await work.lanes.close()
    assert work.done == [[1]]
    assert work.failed == [([13], "of this test")]


async def test_closed_connections_are_replaced_and_idle_ones_closed_at_the_end() -> None:
    work = Work(1)
    first = await work.checkout()
    work.lanes.check_in(first)
    assert await work.checkout() is first
    first.close()
    work.lanes.check_in(first)
    second = await work.checkout()
    assert second is not first
    work.lanes.check_in(second)
    second.close()
    work.lanes.renew()
    third = await work.checkout()
    assert third not in (first, second)
    work.lanes.check_in(third)
    await work.lanes.close()
    assert third.closed


async def test_the_end_does_not_wait_for_ever_when_it_is_told_not_to() -> None:
    work = Work(1)
    work.add(1)
    await asyncio.sleep(0.01)
    began = time.monotonic()
    await work.lanes.close(0.05)
    assert time.monotonic() - began < 5
    assert work.done == []
    work.go_on.set()
    await work.lanes.close()


def test_lanes_are_counted_in_one_place() -> None:
    found = [path.name for path in (ROOT / "db").rglob("*.py") if "idle_lanes" in path.read_text()]
    assert found == []
