"""The floors of a node in shared memory: what one process has written, no other reads an older state of.

A column of 8-byte integers for each process: its floor of everything, then one for every shard. Each process writes
only its own column and reads the highest of all, so there is nothing to lock and no read is torn. The file is made by
the supervisor and outlives every other process: what a worker wrote holds when the worker is gone.
"""

import mmap
import os
from collections.abc import Iterable
from pathlib import Path

from db.model.shards import SLOTS, Shard

_COLUMN = 1 + SLOTS
_BYTES = 8


def create(path: Path, columns: int) -> None:
    """Make the file for so many processes; untouched parts of it take no memory."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    try:
        os.ftruncate(descriptor, columns * _COLUMN * _BYTES)
    finally:
        os.close(descriptor)


class SharedFloors:
    """`db.model.shards.Floors` of the process that owns `column`."""

    def __init__(self, path: Path, column: int) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._cells = memoryview(self._map).cast("Q")
        self._starts = range(0, len(self._cells), _COLUMN)
        self._own = column * _COLUMN

    def floor(self, shards: Iterable[Shard]) -> int:
        """See `Floors`."""
        cells = self._cells
        highest = 0
        slots = [0, *(1 + one for one in shards)]
        for start in self._starts:
            for slot in slots:
                found = cells[start + slot]
                if found > highest:
                    highest = found
        return highest

    def raise_to(self, shards: Iterable[Shard], position: int) -> None:
        """See `Floors`."""
        for one in shards:
            cell = self._own + 1 + one
            if self._cells[cell] < position:
                self._cells[cell] = position

    def settle(self, shards: Iterable[Shard], position: int) -> None:
        """See `Floors`."""
        for one in shards:
            self._cells[self._own + 1 + one] = position

    def raise_all(self, position: int) -> None:
        """See `Floors`."""
        if self._cells[self._own] < position:
            self._cells[self._own] = position

    def take_over(self, position: int) -> None:
        """See `Floors`."""
        self._cells[self._own] = position
        self._cells[self._own + 1 : self._own + _COLUMN] = memoryview(bytes(SLOTS * _BYTES)).cast("Q")
