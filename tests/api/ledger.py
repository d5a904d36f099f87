"""Tests that may change nothing: looked at once a module, and case by case only when something has changed."""

import contextlib
from collections.abc import Callable
from typing import Generic, TypeVar

import pytest

T = TypeVar("T")
_FAILURES = (Exception, pytest.fail.Exception, pytest.skip.Exception)


class Ledger(Generic[T]):
    """Cases that have run since `state()` was last seen, and how to run each again."""

    def __init__(self, state: Callable[[], T]) -> None:
        self._state = state
        self._before = state()
        self._cases: list[tuple[str, Callable[[], object]]] = []

    def enter(self, name: str, again: Callable[[], object]) -> None:
        """A case has run."""
        self._cases.append((name, again))

    def settle(self) -> None:
        """Fail, with the names of the cases that changed something, unless all is as it was."""
        after = self._state()
        if after == self._before:
            return
        found = [name for name, again in self._cases if self._changes(again)]
        who = "\n".join(found) or (
            f"none of {len(self._cases)} cases does it again: a fixture that is made for each test (`ann`, `bob`), or a"
            " test of this module that may write, has done it (docs/testing.md)"
        )
        pytest.fail(f"what may change nothing did: {self._before} before, {after} after; by\n{who}", pytrace=False)

    def _changes(self, again: Callable[[], object]) -> bool:
        before = self._state()
        with contextlib.suppress(*_FAILURES):  # that it fails was said before; here counts what it leaves behind
            again()
        return self._state() != before
