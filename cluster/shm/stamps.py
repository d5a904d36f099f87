"""The stamps of a node in shared memory: what one process has changed, no other takes from its caches any more.

One column of 8-byte integers for all processes: the stamp of everything, then one for every shard. A change is a plain
store of a value that no process has ever written there, so there is nothing to lock: when two writers race, the one
that is lost was made for copies that the other one's value ends, too. (Values that were compared by size would need a
column for each process: a writer that stops between clock and store would put an older one over a newer.)

    value = process number * 2^54 + microseconds since boot (of 1024 ns), always more than the process wrote before

A process that is started anew has its predecessor's number and a later time. The file is made by the supervisor and
outlives every other process.
"""

import mmap
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from db.model.board import boottime_ns
from db.model.shards import SLOTS, Shard, Tokens

_CELLS = 1 + SLOTS
_BYTES = 8
_PROCESS_SHIFT = 54
MAX_PROCESSES = 1 << (64 - _PROCESS_SHIFT)


def create(path: Path) -> None:
    """Make the file; untouched parts of it take no memory."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    try:
        os.ftruncate(descriptor, _CELLS * _BYTES)
    finally:
        os.close(descriptor)


class SharedStamps:
    """`db.model.shards.Stamps` of the process of this number."""

    def __init__(self, path: Path, process: int, now_ns: Callable[[], int] = boottime_ns) -> None:
        if not 0 <= process < MAX_PROCESSES:
            raise ValueError("too many processes")
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._cells = memoryview(self._map).cast("Q")
        self._process = process << _PROCESS_SHIFT
        self._now_ns = now_ns
        self._last = 0

    def take(self, shards: Sequence[Shard]) -> Tokens:
        """See `Stamps`."""
        cells = self._cells
        return (cells[0], *[cells[1 + one] for one in shards])

    def hold(self, shards: Sequence[Shard], tokens: Tokens) -> bool:
        """See `Stamps`."""
        cells = self._cells
        if cells[0] != tokens[0]:
            return False
        for at, one in enumerate(shards, 1):  # noqa: SIM110 (a generator takes twice as long)
            if cells[1 + one] != tokens[at]:
                return False
        return True

    def write(self, shards: Iterable[Shard]) -> None:
        """See `Stamps`."""
        value = self._next()
        for one in shards:
            self._cells[1 + one] = value

    def write_all(self) -> None:
        """See `Stamps`."""
        self._cells[0] = self._next()

    def _next(self) -> int:
        self._last = max(self._last + 1, self._now_ns() >> 10)
        return self._process | self._last
