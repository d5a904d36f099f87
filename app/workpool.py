"""Work that would hold up the loop, in threads: what uses the processor and lets go of the interpreter meanwhile
(argon2, zlib, hashlib, Pillow), or waits for a disk.

`Turns` says who may begin (bounded, and fair to sources: `turns.py`), `Threads` do it. What waits and is cancelled is
not begun; what is under way keeps its turn until it has ended, so there is never more work than threads.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import TypeVar

from app.errors import AppError
from app.turns import FairQueue

T = TypeVar("T")

THREADS = 2
MAX_WAITING = 64
MAX_PER_SOURCE = 8


def too_many() -> AppError:
    """429: as for any other client that asks for too much."""
    return AppError("api.context.rate_limit.app_error", 429, retry_after_s=1)


class Turns:
    """Who may begin: `at_once` at a time, `most` more wait, of whom one source has at most `per_source`.

    lanes: queues that have every other turn each, so that who fills one keeps nobody of another waiting for long.
    """

    def __init__(
        self, at_once: int, most: int, per_source: int, *, lanes: int = 1, refuse: Callable[[], Exception] = too_many
    ) -> None:
        self._at_once = at_once
        self._refuse = refuse
        self._lanes = [FairQueue["asyncio.Future[None]"](most, per_source) for _ in range(lanes)]
        self._in_turn = list(self._lanes)
        self._busy = 0

    @property
    def waiting(self) -> int:
        """How many have a place: in a queue, or already their turn."""
        return self._busy + sum(map(len, self._lanes))

    async def take(self, source: str, lane: int = 0) -> None:
        """Wait for a turn, which `give_back` ends. Raises what `refuse` makes (AppError 429) when too many wait."""
        if self._busy < self._at_once:
            self._busy += 1
            return
        queued = self._lanes[lane]
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        placed = queued.put(source, place)
        if placed.displaced is not None:
            placed.displaced.set_exception(self._refuse())
        if not placed.taken:
            raise self._refuse()
        try:
            await place
        except asyncio.CancelledError:
            given = not queued.remove(source, place) and not place.cancelled() and place.exception() is None
            if given:
                self.give_back()
            raise

    def give_back(self) -> None:
        """A turn is over, or came to somebody who has gone."""
        while (following := self._next()) is not None:
            if not following.done():
                following.set_result(None)
                return
        self._busy -= 1

    @contextlib.asynccontextmanager
    async def turn(self, source: str, lane: int = 0) -> AsyncIterator[None]:
        """A block in one's turn. Raises as `take`."""
        await self.take(source, lane)
        try:
            yield
        finally:
            self.give_back()

    def _next(self) -> "asyncio.Future[None] | None":
        for _ in self._in_turn:
            self._in_turn.append(self._in_turn.pop(0))
            if (found := self._in_turn[0].take()) is not None:
                return found
        return None


class Threads:
    """`number` threads, which begin with the first work and never outlive the process."""

    def __init__(self, number: int, name: str) -> None:
        self._number = number
        self._name = name
        self._work: queue.SimpleQueue[tuple[Future[object], Callable[[], object]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def begin(self, work: Callable[[], T]) -> "Future[T]":
        """Its result or error, later. A future that is cancelled before a thread is free is not begun."""
        if self._closed:
            raise RuntimeError(f"the threads for {self._name} have ended")
        if not self._threads:
            names = [f"{self._name}-{one}" for one in range(self._number)]
            self._threads = [threading.Thread(target=self._run, name=one, daemon=True) for one in names]
            for thread in self._threads:
                thread.start()
        future: Future[T] = Future()
        self._work.put((future, work))  # type: ignore[arg-type]
        return future

    async def run(self, work: Callable[[], T]) -> T:
        """Its result; raises what it raises."""
        return await asyncio.wrap_future(self.begin(work))

    def close(self, limit_s: float) -> None:
        """End; what is under way has so long, what has not begun is cancelled."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while (waiting := self._work.get_nowait()) is not None:
                waiting[0].cancel()
        for _ in self._threads:
            self._work.put(None)
        deadline = time.monotonic() + limit_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while (found := self._work.get()) is not None:
            future, work = found
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            del found, future, work  # a thread that waits keeps nothing of what it did last


class WorkPool:
    """See the module. name: of its threads. One loop uses it."""

    def __init__(
        self,
        name: str = "work",
        *,
        threads: int = THREADS,
        max_waiting: int = MAX_WAITING,
        max_per_source: int = MAX_PER_SOURCE,
        refuse: Callable[[], Exception] = too_many,
    ) -> None:
        self._turns = Turns(threads, max_waiting, max_per_source, refuse=refuse)
        self._threads = Threads(threads, name)

    @property
    def waiting(self) -> int:
        """How many works there are: under way or waiting."""
        return self._turns.waiting

    async def run(self, source: str, work: Callable[[], T]) -> T:
        """The result of `work()`, in a thread; raises what it raises. source: for whom, '' for nobody known.

        Raises AppError 429 when too many wait: then nothing was begun.
        """
        await self._turns.take(source)
        try:
            future = self._threads.begin(work)
        except BaseException:
            self._turns.give_back()
            raise
        try:
            return await asyncio.wrap_future(future)
        finally:
            if future.done():
                self._turns.give_back()
            else:
                loop = asyncio.get_running_loop()
                future.add_done_callback(lambda _: self._give_back_from_thread(loop))

    def begin(self, work: Callable[[], T]) -> "Future[T]":
        """Without a turn: for what cleans up after work, and must not be refused."""
        return self._threads.begin(work)

    def _give_back_from_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it everybody's turn
            loop.call_soon_threadsafe(self._turns.give_back)

    def close(self, limit_s: float = 1.0) -> None:
        """End the threads; what is under way has so long."""
        self._threads.close(limit_s)
