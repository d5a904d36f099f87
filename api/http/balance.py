"""Evenly loaded workers: the kernel spreads connections by a hash, so by chance; what chance got wrong is mended here.

A worker with clearly more connections than the mean gives a fresh one to the worker that has fewest.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from app.ports import Loads, Peers

TOLERANCE = 1.2
SILENT_S = 5.0


def receiver_of(own: int, loads: Sequence[int | None]) -> int | None:
    """Which worker is to get the connection that worker `own` has just accepted; None: it keeps it.

    loads: connections by worker, that one included; None for workers that do not serve.
    """
    mine = loads[own]
    serving = {worker: load for worker, load in enumerate(loads) if load is not None}
    if mine is None or len(serving) < 2:
        return None
    mean = sum(serving.values()) / len(serving)
    least = min(serving, key=lambda worker: (serving[worker], worker))
    if mine <= TOLERANCE * mean + 1 or serving[least] + 2 > mine:
        return None
    return least


class Balance:
    """Counts this worker's connections and passes on what is too much. `now`: seconds of any monotonic clock.

    One connection is passed on at a time and the loads are read anew for each, so that many that come at once do not
    all go to the same worker. A worker that did not take one in time is left alone for a while.
    """

    def __init__(self, own: int, loads: Loads, peers: Peers, now: Callable[[], float] = time.monotonic) -> None:
        self._own = own
        self._loads = loads
        self._peers = peers
        self._now = now
        self._silent_until: dict[int, float] = {}
        self._turn = asyncio.Lock()
        self.connections = 0
        loads.write(0)

    def opened(self) -> None:
        """One connection more, or one that is promised."""
        self.connections += 1
        self._loads.write(self.connections)

    def closed(self) -> None:
        """One connection less."""
        self.connections -= 1
        self._loads.write(self.connections)

    def receiver(self) -> int | None:
        """Who should get a connection that has just been accepted here, if not this worker."""
        now = self._now()
        silent = {worker for worker, until in self._silent_until.items() if now < until}
        loads = [None if worker in silent else load for worker, load in enumerate(self._loads.read())]
        return receiver_of(self._own, loads)

    async def pass_on(self, fd: int, received: bytes | bytearray) -> bool:
        """Give a fresh connection, and what was read of it, to whoever should have it now.

        True: that worker has it, and it counts no more here.
        """
        async with self._turn:
            worker = self.receiver()
            if worker is None:
                return False
            if not await self._peers.offer(fd, bytes(received), worker):
                self._silent_until[worker] = self._now() + SILENT_S
                return False
            self.closed()
            return True
