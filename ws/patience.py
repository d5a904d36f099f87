"""How long a client waits for what this node cannot read, before it is sent where it can be read.

master silent here, and not elsewhere ──2 s since the last poll──> 1012: the client goes to a node that has a master
master silent everywhere              ──────────────────────────> sockets stay: nowhere is it better
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from db.model import board as boards
from db.model.board import Board, fence_open
from db.model.errors import Unavailable

_LOOK_S = 0.1

T = TypeVar("T")


class Patience:
    """Of one worker."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._loop = asyncio.get_running_loop()

    @property
    def elsewhere(self) -> bool:
        """Whether this node's master is silent, and that of another node is not."""
        return self._board.master_elsewhere()

    @property
    def over(self) -> bool:
        """Whether, besides, this node may not have heard for 2 s what was committed: that is half a second too early
        for an event to be late (design §10).
        """
        return self.elsewhere and not fence_open(self._board.polled_ns(), boards.boottime_ns())

    async def of_master(self, work: "asyncio.Task[T]") -> T | None:
        """What the master says; None when others have one and it is to be asked there. The work goes on then."""
        while not work.done():
            if self.elsewhere:
                return None
            await asyncio.wait({work}, timeout=_LOOK_S)
        return work.result()

    async def bounded(self, work: Coroutine[Any, Any, T]) -> T:
        """What the master says. Raises Unavailable when patience is over.

        The work is left to itself then: who cancels a driver waits for a server that is not there.
        """
        task = self._loop.create_task(work)
        try:
            while not task.done():
                if self.over:
                    raise Unavailable("this node has no master, and another one has")
                await asyncio.wait({task}, timeout=_LOOK_S)
        except BaseException:
            task.add_done_callback(_seen)
            raise
        return task.result()


def _seen(task: "asyncio.Task[Any]") -> None:
    """Nobody waits for it any more."""
    if not task.cancelled():
        task.exception()
