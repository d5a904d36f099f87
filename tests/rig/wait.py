"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.rig.lateness import SLOWEST, excused, idle_s

T = TypeVar("T")


def until(condition: Callable[[], T], timeout_s: float = 10.0, what: str = "the condition") -> T:
    """The first truthy value of `condition()`.

    Raises AssertionError after `timeout_s`, in seconds of an idle machine (tests/rig/lateness.py).
    """
    began = time.monotonic()
    while True:
        value = condition()
        waited_s = time.monotonic() - began
        if value:
            if waited_s > timeout_s + 0.1:
                excused.append(f"{waited_s:.2f} s for {timeout_s} s: {what[:60]}")
            return value
        if waited_s >= timeout_s and (idle_s(began) >= timeout_s or waited_s >= SLOWEST * timeout_s):
            raise AssertionError(
                f"{what} did not come true within {timeout_s} s (really {waited_s:.1f} s; last: {value!r})"
            )
        time.sleep(0.02)
