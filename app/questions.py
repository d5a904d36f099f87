"""Questions to another process and their answers, which come back by a key."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
A = TypeVar("A")


class Abandoned(Exception):
    """Whoever was asked is gone."""


class Questions(Generic[K, A]):
    """Those under way."""

    def __init__(self) -> None:
        self._asked: dict[K, asyncio.Future[A]] = {}

    def __len__(self) -> int:
        return len(self._asked)

    async def ask(self, key: K, send: Callable[[], object], limit_s: float) -> A:
        """Call `send`, which tells somebody the key, and wait for `answered`. key: that no other question has.

        Raises TimeoutError, Abandoned.
        """
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._asked[key] = answer
        try:
            send()
            async with asyncio.timeout(limit_s):
                return await answer
        finally:
            del self._asked[key]

    def answered(self, key: K, answer: A) -> None:
        """An answer has come; one that nobody waits for any more is forgotten."""
        asked = self._asked.get(key)
        if asked is not None and not asked.done():
            asked.set_result(answer)

    def abandon(self) -> None:
        """Nobody will answer: whoever waits gets Abandoned."""
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(Abandoned())
