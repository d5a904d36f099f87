"""Things that are made while another one is used: each ends once, and what goes wrong is heard of."""

import contextlib
import itertools
import threading
from collections.abc import Iterator

import pytest

from tests.rig.prefetch import Prefetch
from tests.rig.wait import until


class Made:
    """Counts what is made and what has ended."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.ended: list[int] = []
        self._numbers = itertools.count()

    @contextlib.contextmanager
    def make(self) -> Iterator[int]:
        number = next(self._numbers)
        self.began.append(number)
        yield number
        self.ended.append(number)


def test_the_next_one_is_made_while_one_is_used_and_only_if_it_will_be() -> None:
    made = Made()
    with Prefetch(made.make) as prefetch:
        manager, first = prefetch.take(another=True)
        until(lambda: made.began == [0, 1])
        prefetch.give_back(manager)
        manager, second = prefetch.take(another=False)
        prefetch.give_back(manager)
        assert (first, second) == (0, 1)
    assert made.began == [0, 1]
    assert sorted(made.ended) == [0, 1]


def test_one_that_was_made_and_never_taken_ends_too() -> None:
    made = Made()
    with Prefetch(made.make) as prefetch:
        prefetch.take(another=True)  # broken by its test, so never given back
    assert made.began == [0, 1]
    assert made.ended == [1]


def test_what_goes_wrong_at_an_end_is_raised_later() -> None:
    @contextlib.contextmanager
    def make() -> Iterator[None]:
        yield
        raise RuntimeError("it would not end")

    prefetch = Prefetch(make)
    manager, _ = prefetch.take(another=False)
    prefetch.give_back(manager)
    with pytest.raises(RuntimeError, match="it would not end"):
        prefetch.__exit__()


def test_what_goes_wrong_at_a_start_is_raised_to_who_takes_it_and_the_next_is_tried() -> None:
    fails = iter([True, False])

    @contextlib.contextmanager
    def make() -> Iterator[int]:
        if next(fails):
            raise RuntimeError("it would not start")
        yield threading.get_ident()

    with Prefetch(make) as prefetch:
        with pytest.raises(RuntimeError, match="it would not start"):
            prefetch.take(another=True)
        manager, thread = prefetch.take(another=False)
        assert thread != threading.get_ident()
        prefetch.give_back(manager)
