"""The node page: one small page of shared memory that the relay writes and every worker of the node reads.

    offset 0  magic and layout version     8  incarnation of the relay
          16  head: messages the relay has handed out                  24  beat: when the relay's loop last turned, ns

        1024+  connections + 1 of each api worker, 0 while it does not serve

Every field is an aligned 8-byte integer with one writer at a time, so a read is never torn. Times are CLOCK_BOOTTIME,
which goes on while the machine sleeps. The file is made by the supervisor and outlives every process but it.
"""

import mmap
import os
import struct
import time
from pathlib import Path

SIZE = mmap.PAGESIZE
_MAGIC = 0x6D6D6E6F64650001
_FIELD = struct.Struct("=Q")
_MAGIC_AT, _INCARNATION_AT, _HEAD_AT, _BEAT_AT, _LOADS_AT = 0, 8, 16, 24, 1024


def boottime_ns() -> int:
    """Nanoseconds since boot, suspended time included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def create(path: Path) -> None:
    """Make the file, with nobody's beat in it."""
    data = bytearray(SIZE)
    _FIELD.pack_into(data, _MAGIC_AT, _MAGIC)
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


class Page:
    """A mapping of the page."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        descriptor = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        try:
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(descriptor, SIZE, access=access)
        finally:
            os.close(descriptor)
        if self._get(_MAGIC_AT) != _MAGIC:
            raise ValueError(f"{path} is not a node page of this version")

    def _get(self, offset: int) -> int:
        return int(_FIELD.unpack_from(self._map, offset)[0])

    def _set(self, offset: int, value: int) -> None:
        _FIELD.pack_into(self._map, offset, value)

    @property
    def incarnation(self) -> int:
        """Of the relay that wrote last."""
        return self._get(_INCARNATION_AT)

    @property
    def head(self) -> int:
        """How many messages that relay has handed out."""
        return self._get(_HEAD_AT)

    def beat_age_s(self) -> float:
        """How long ago the relay's loop last turned; infinite before its first turn."""
        beat = self._get(_BEAT_AT)
        return (boottime_ns() - beat) / 1e9 if beat else float("inf")

    def take_over(self, incarnation: int) -> None:
        """A relay begins to write."""
        self._set(_HEAD_AT, 0)
        self._set(_INCARNATION_AT, incarnation)
        self.beat()

    def advance(self, head: int) -> None:
        """Raise the head."""
        self._set(_HEAD_AT, head)

    def beat(self) -> None:
        """The relay's loop has turned."""
        self._set(_BEAT_AT, boottime_ns())

    def load(self, worker: int) -> int | None:
        """Connections of an api worker; None while it does not serve."""
        value = self._get(_LOADS_AT + worker * _FIELD.size)
        return value - 1 if value else None

    def set_load(self, worker: int, connections: int | None) -> None:
        """Say how many connections an api worker has: by itself, or None by the supervisor when it is gone."""
        self._set(_LOADS_AT + worker * _FIELD.size, 0 if connections is None else connections + 1)

    def close(self) -> None:
        """Unmap."""
        self._map.close()
