"""Natural batching: what queued while a batch was under way goes as the next (`batch.py` writes so, `loader.py` reads).

No timer, and no added latency when idle: the first batch starts at the end of the turn of the loop in which something
was queued, so that what arrives together goes together.

    kick ──end of the turn──> take ──> run, in one of a few lanes ──> take …
                                        └ idle or connect, check_in: a connection that is open
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from db.model.tasks import Tasks


class Connection(Protocol):
    """What a lane needs of a connection."""

    @property
    def closed(self) -> bool:
        """Whether a new one is needed."""

    def close(self) -> None:
        """Close at once."""


B = TypeVar("B")
C = TypeVar("C", bound=Connection)


class Lanes(Generic[B, C]):
    """Batches under way, at most `number`.

    take: the next batch; None, or an empty one: nothing may go now. run: does one. failed: is told what that raised.
    done: when it has ended, however; then `take` is asked again. tasks: those under way, and what else is to end before
    `close` does.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[C]],
        number: int,
        take: Callable[[], B | None],
        run: Callable[[B], Coroutine[Any, Any, None]],
        failed: Callable[[B, Exception], None],
        done: Callable[[B], None] | None = None,
    ) -> None:
        self.connect = connect
        self._free = number
        self._take = take
        self._run = run
        self._failed = failed
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._idle: list[C] = []
        self._kicked = False
        self.tasks = Tasks()

    def kick(self) -> None:
        """Something was queued."""
        if not self._kicked and self._free:
            self._kicked = True
            self._loop.call_soon(self._start)

    def idle(self) -> C | None:
        """A connection that is open and free; None: `connect` makes a new one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

    def check_in(self, connection: C) -> None:
        """It is free again, unless it was closed."""
        if not connection.closed:
            self._idle.append(connection)

    def renew(self) -> None:
        """Let go of idle connections that are of no more use (`closed` says so)."""
        self._idle = [connection for connection in self._idle if not connection.closed]

    async def close(self, limit_s: float | None = None) -> None:
        """Finish what is under way, for so long at most, then close the connections."""
        try:
            async with asyncio.timeout(limit_s):
                while self.tasks:
                    await asyncio.wait(self.tasks)
        except TimeoutError:
            pass  # the database is not there
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _start(self) -> None:
        self._kicked = False
        while self._free and (batch := self._take()):
            self._free -= 1
            task = self._loop.create_task(self._one(batch))  # not `Tasks.start`: one for each batch
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _one(self, batch: B) -> None:
        try:
            await self._run(batch)
        except Exception as error:
            self._failed(batch, error)
        finally:
            if self._done is not None:
                self._done(batch)
            self._free += 1
            self._start()
