"""What takes long to start and can be mended: the tests of a module use it one after another, and it is restored after each."""

from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar


class Restorable(Protocol):
    """A context manager that can be put back."""

    def restore(self) -> None:
        """As at the beginning. Raises when that cannot be had."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


T = TypeVar("T", bound=Restorable)


class Kept(Generic[T]):
    """make: a new one, for the first test and after one that could not be restored. Use as a context manager."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._one: T | None = None

    def take(self) -> T:
        """As it was at its beginning."""
        if self._one is None:
            self._one = self._make().__enter__()
        return self._one

    def give_back(self) -> None:
        """Restore it. Raises what that raised; the next one that is taken is new then."""
        assert self._one is not None
        try:
            self._one.restore()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "Kept[T]":
        return self

    def __exit__(self, *_: object) -> None:
        if self._one is not None:
            one, self._one = self._one, None
            one.__exit__()
