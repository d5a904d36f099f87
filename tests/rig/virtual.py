"""An event loop without a real clock: when nothing is ready, time jumps to the next timer. For simulations."""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class _Handle:
    """What is to be called. As asyncio's, without what only its debug mode needs: most of a simulation is handles."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None) -> None:
        self._callback = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        """See asyncio."""
        self._cancelled = True
        self._args = ()

    def cancelled(self) -> bool:
        """See asyncio."""
        return self._cancelled


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual, in seconds, beginning at 1000. Timers of one moment run in the order in which they were set.

    It knows no sockets and no threads, so a turn of it is what asyncio's is without them, and costs less.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0
        self._timers: list[tuple[float, int, _Handle]] = []
        self._order = itertools.count()

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        """See asyncio."""
        handle = _Handle(callback, args, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        """See asyncio."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        """See asyncio."""
        timer = _Handle(callback, args, context)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers  # type: ignore[attr-defined]
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            if not timers:
                raise RuntimeError("everybody waits and no timer runs")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                self._call(handle)

    def _call(self, handle: _Handle) -> None:
        try:
            handle._context.run(handle._callback, *handle._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            what = f"Exception in callback {handle._callback}"
            self.call_exception_handler({"message": what, "exception": error})


_running: VirtualLoop | None = None


def running() -> VirtualLoop:
    """The loop of `run`. asyncio's own question makes a system call each time."""
    assert _running is not None
    return _running


def now() -> float:
    """Virtual seconds of the loop of `run`."""
    return running()._now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in virtual time, then cancel whatever it has left."""
    global _running
    loop = _running = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(_end())
        loop.close()
        _running = None


async def _end() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
