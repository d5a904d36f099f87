"""Things that take long to start and that tests break: the next one starts, and the last one ends, while one is used."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """make: a new context manager for one. Use it as a context manager itself; all that it started has ended then.

    Its threads live as long as it does: the kernel tells servers of the death of the thread that started them.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[T]]) -> None:
        self._make = make
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="prefetch")
        self._next: Future[tuple[AbstractContextManager[T], T]] | None = None
        self._ending: list[Future[object]] = []

    def take(self, *, another: bool) -> tuple[AbstractContextManager[T], T]:
        """One that has started, with its manager for `give_back`. another: one more will be taken after it."""
        found = (self._next or self._threads.submit(self._start)).result()
        self._next = self._threads.submit(self._start) if another else None
        return found

    def _start(self) -> tuple[AbstractContextManager[T], T]:
        manager = self._make()
        return manager, manager.__enter__()

    def give_back(self, manager: AbstractContextManager[T]) -> None:
        """End one. Raises what went wrong at the end of those before it."""
        while self._ending and self._ending[0].done():
            self._ending.pop(0).result()
        self._ending.append(self._threads.submit(manager.__exit__, None, None, None))

    def __enter__(self) -> "Prefetch[T]":
        return self

    def __exit__(self, *_: object) -> None:
        if self._next is not None:
            self.give_back(self._next.result()[0])
        self._threads.shutdown()
        for one in self._ending:
            one.result()
