"""What a database undid to free others is done again, by all that writes (decision 0033)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from db.model.errors import Deadlock

T = TypeVar("T")

ATTEMPTS = 5
PATIENCE_S = 5.0


async def retried(write: Callable[[], Awaitable[T]]) -> T:
    """The result of `write`, which is a whole transaction. After a Deadlock it is done again.

    A Deadlock says that nothing of it was committed, also as the answer to a COMMIT. Any other error of the database
    may have come after one, so it is the caller's, who may know the write by its key. At most ATTEMPTS times, and none
    begins when PATIENCE_S are over: waiting for a row in vain takes MySQL seconds. The last Deadlock is raised.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE_S
    for _ in range(ATTEMPTS - 1):
        try:
            return await write()
        except Deadlock:
            if loop.time() >= until:
                raise
    return await write()
