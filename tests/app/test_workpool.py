"""Work in threads: bounded, fair to sources, not begun when nobody waits for it, ended in time."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from app.errors import AppError
from app.workpool import Threads, Turns, WorkPool


class Work:
    """Work that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self.let_go = threading.Event()

    def of(self, source: str) -> Callable[[], str]:
        def work() -> str:
            with self._lock:
                self.begun.append(source)
                self._now += 1
                self.most = max(self.most, self._now)
            self.let_go.wait(30)
            with self._lock:
                self._now -= 1
            return source

        return work


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.let_go.set()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_results_and_errors_come_back() -> None:
    pool = WorkPool()
    assert await pool.run("a", lambda: threading.current_thread().name) in ("work-0", "work-1")
    with pytest.raises(ZeroDivisionError):
        await pool.run("a", lambda: 1 // 0)
    assert pool.waiting == 0
    pool.close()


async def test_the_loop_goes_on_meanwhile_and_no_more_runs_than_there_are_threads(work: Work) -> None:
    pool = WorkPool(threads=2, max_waiting=20, max_per_source=20)
    tasks = [asyncio.create_task(pool.run("a", work.of("a"))) for _ in range(12)]
    await _until(lambda: len(work.begun) == 2)
    await asyncio.sleep(0.05)
    assert (len(work.begun), pool.waiting) == (2, 12)
    work.let_go.set()
    await asyncio.gather(*tasks)
    assert (work.most, pool.waiting) == (2, 0)
    pool.close()


async def test_beyond_what_may_wait_it_is_429_and_nothing_is_begun(work: Work) -> None:
    pool = WorkPool(threads=1, max_waiting=3, max_per_source=3)
    tasks = [asyncio.create_task(pool.run("a", work.of("a"))) for _ in range(4)]
    await _until(lambda: pool.waiting == 4)
    with pytest.raises(AppError) as refused:
        await pool.run("a", work.of("late"))
    assert (refused.value.id, refused.value.status) == ("api.context.rate_limit.app_error", 429)
    assert refused.value.retry_after_s == 1
    work.let_go.set()
    await asyncio.gather(*tasks)
    assert "late" not in work.begun
    pool.close()


async def test_who_sends_without_end_waits_for_themselves_alone(work: Work) -> None:
    pool = WorkPool(threads=1, max_waiting=8, max_per_source=8)
    flood = [asyncio.create_task(pool.run("flood", work.of("flood"))) for _ in range(100)]
    await _until(lambda: len(work.begun) == 1)
    home = asyncio.create_task(pool.run("home", work.of("home")))
    await asyncio.sleep(0)
    work.let_go.set()
    assert await home == "home"
    assert work.begun.index("home") <= 2
    done = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(one, AppError) for one in done) >= 90
    pool.close()


async def test_what_is_cancelled_before_its_turn_is_not_begun(work: Work) -> None:
    pool = WorkPool(threads=1)
    first = asyncio.create_task(pool.run("a", work.of("first")))
    await _until(lambda: work.begun == ["first"])
    gone, stays = (asyncio.create_task(pool.run("a", work.of(name))) for name in ("gone", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    work.let_go.set()
    assert [await first, await stays] == ["first", "stays"]
    assert work.begun == ["first", "stays"]
    assert pool.waiting == 0
    pool.close()


async def test_work_that_goes_on_after_its_caller_has_gone_keeps_its_turn(work: Work) -> None:
    pool = WorkPool(threads=1)
    gone = asyncio.create_task(pool.run("a", work.of("gone")))
    await _until(lambda: work.begun == ["gone"])
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    following = asyncio.create_task(pool.run("a", work.of("following")))
    await asyncio.sleep(0.02)
    assert (pool.waiting, work.begun) == (2, ["gone"])
    work.let_go.set()
    assert await following == "following"
    assert pool.waiting == 0
    pool.close()


async def test_its_end_waits_for_what_is_under_way_but_not_for_ever(work: Work) -> None:
    pool = WorkPool(threads=1)
    held = asyncio.create_task(pool.run("a", work.of("held")))
    waits = asyncio.create_task(pool.run("a", work.of("waits")))
    await _until(lambda: work.begun == ["held"])
    began = time.monotonic()
    pool.close(0.1)
    assert time.monotonic() - began < 5
    work.let_go.set()
    assert await held == "held"
    with pytest.raises(RuntimeError, match="ended"):
        await waits
    with pytest.raises(RuntimeError, match="ended"):
        await pool.run("a", work.of("later"))
    assert (work.begun, pool.waiting) == (["held"], 0)


async def test_threads_keep_nothing_of_what_they_did_last() -> None:
    class Large:
        gone = threading.Event()

        def __del__(self) -> None:
            self.gone.set()

    threads = Threads(1, "test")

    def begin() -> None:
        large = Large()
        threads.begin(lambda: large).result(10)

    begin()
    assert Large.gone.wait(10)
    threads.close(1)


def test_what_is_cancelled_before_a_thread_is_free_is_not_begun(work: Work) -> None:
    threads = Threads(1, "test")
    held = threads.begin(work.of("held"))
    gone, stays = threads.begin(work.of("gone")), threads.begin(work.of("stays"))
    assert gone.cancel()
    work.let_go.set()
    assert (held.result(10), stays.result(10)) == ("held", "stays")
    assert work.begun == ["held", "stays"]
    threads.close(1)


async def test_lanes_have_every_other_turn() -> None:
    turns = Turns(1, 20, 20, lanes=2)
    order: list[int] = []

    async def one(lane: int) -> None:
        async with turns.turn("a", lane):
            order.append(lane)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(0) for _ in range(8)), *(one(1) for _ in range(3)))
    assert sorted(order) == [0] * 8 + [1] * 3
    assert order[1:7] in ([0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0])
    assert turns.waiting == 0
