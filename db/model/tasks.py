"""Tasks that have an owner."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class Tasks(set["asyncio.Task[Any]"]):
    """Those under way: kept until they end (the loop itself would let go of them), and what fails is logged at once."""

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begin it in the next turn of the running loop."""
        task = asyncio.get_running_loop().create_task(work)
        self.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task has failed", exc_info=error, extra={"task": task.get_coro().__qualname__})  # type: ignore[union-attr]
