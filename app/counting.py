"""How a node counts (what: `metrics.py`): cells of memory that all its processes share.

Each process counts in a slot of its own, which `cluster/shm/metricslots.py` keeps and `exposition.py` adds up. A slot
is a worker's place's and not its process': whoever takes the place of a worker that was killed counts on from what it
left, so no counter of the node ever falls.

    offset 0   bytes of whole series from 32 on        8   pid of the process that counts here, 0: nobody
          16   series for which there was no room     24   (free)
          32+  series, one after the other: length of the name, number of cells (4 bytes each), the name (JSON: the
               metric's, then the values of its labels) up to a multiple of 8 bytes, the cells (8 bytes, float64)

A series is written whole before the length says so; every cell has one writer and is aligned, so nothing is locked and
nothing is torn. A counter or gauge has one cell (a gauge that says nothing is NaN), a histogram its sum and then how
many values fell into each bucket, the last of which has no bound.
"""

import math
import os
import struct
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import msgspec

from app.metrics import METRICS, Metric

SLOT_BYTES = 1 << 20
"""Untouched parts of it take no memory."""
_HEAD_BYTES = 32
_LENGTH_AT, _PID_AT, _LOST_AT = 0, 1, 2
_SERIES = struct.Struct("=II")
_CELL_BYTES = 8
_MOST_CELLS = 64
_NOTHING = math.nan


class Slot:
    """The series of one process, in `memory`: SLOT_BYTES that begin as zeros."""

    def __init__(self, memory: memoryview) -> None:
        self._bytes = memory.cast("B")
        self._numbers = self._bytes[:_HEAD_BYTES].cast("Q")
        self.cells = self._bytes.cast("d")
        self._known: dict[tuple[str, ...], tuple[int, int]] = {}
        """By name and values of labels: the first cell, and how many."""
        self._known_bytes = 0

    @property
    def pid(self) -> int:
        """Of the process that counts here; 0: nobody."""
        return self._numbers[_PID_AT]

    @property
    def lost(self) -> int:
        """Series for which there was no room."""
        return self._numbers[_LOST_AT]

    def series(self) -> dict[tuple[str, ...], tuple[int, int]]:
        """What is counted here: name and values of labels -> the first of `cells`, and how many."""
        end = min(self._numbers[_LENGTH_AT], len(self._bytes) - _HEAD_BYTES)
        while self._known_bytes < end:
            at = _HEAD_BYTES + self._known_bytes
            length, cells = _SERIES.unpack_from(self._bytes, at)
            if not length:
                break
            name = bytes(self._bytes[at + _SERIES.size : at + _SERIES.size + length])
            first = at + _SERIES.size + _padded(length)
            self._known[msgspec.json.decode(name, type=tuple[str, ...])] = (first // _CELL_BYTES, cells)
            self._known_bytes = first + cells * _CELL_BYTES - _HEAD_BYTES
        return self._known

    def take_over(self, pid: int) -> None:
        """Another process counts here: what was counted stays, what was measured does not. pid 0: nobody."""
        self._numbers[_PID_AT] = pid
        for key, (cell, _) in self.series().items():
            metric = METRICS.get(key[0])
            if metric is not None and metric.kind == "gauge":
                self.cells[cell] = _NOTHING

    def open(self, metric: Metric, values: tuple[str, ...]) -> int | None:
        """The first cell of a series, which is made if need be; None when there is no room, or another shape of it."""
        if len(values) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}")
        known = self.series()
        found = known.get((metric.name, *values))
        if found is not None:
            if found[1] == metric.cells:
                return found[0]
            self._lose()
            return None
        name = msgspec.json.encode((metric.name, *values))
        at = _HEAD_BYTES + self._known_bytes
        first = at + _SERIES.size + _padded(len(name))
        end = first + metric.cells * _CELL_BYTES
        if end > len(self._bytes):
            self._lose()
            return None
        _SERIES.pack_into(self._bytes, at, len(name), metric.cells)
        self._bytes[at + _SERIES.size : at + _SERIES.size + len(name)] = name
        for cell in range(first // _CELL_BYTES, end // _CELL_BYTES):
            self.cells[cell] = _NOTHING if metric.kind == "gauge" else 0.0
        self._numbers[_LENGTH_AT] = end - _HEAD_BYTES
        return self.series()[(metric.name, *values)][0]

    def _lose(self) -> None:
        self._numbers[_LOST_AT] += 1

    def close(self) -> None:
        """Let go of the memory."""
        for view in (self._numbers, self.cells, self._bytes):
            view.release()


def _padded(length: int) -> int:
    return -(-length // _CELL_BYTES) * _CELL_BYTES


class Counter:
    """It only grows. By one thread."""

    __slots__ = ("_at", "_cells", "_followed")

    def __init__(self, cells: "memoryview[float]", at: int) -> None:
        self._cells = cells
        self._at = at
        self._followed = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Count."""
        self._cells[self._at] += amount

    def follow(self, total: float) -> None:
        """Count what `total`, which this process counts by itself, has grown since it was followed last."""
        self._cells[self._at] += max(0.0, total - self._followed)
        self._followed = total


class Gauge:
    """What is measured now. By one thread."""

    __slots__ = ("_at", "_cells")

    def __init__(self, cells: "memoryview[float]", at: int) -> None:
        self._cells = cells
        self._at = at

    def set(self, value: float) -> None:
        """It is this."""
        self._cells[self._at] = value

    def clear(self) -> None:
        """There is nothing to be measured any more."""
        self._cells[self._at] = _NOTHING


class Histogram:
    """How values are spread. By one thread."""

    __slots__ = ("_at", "_bounds", "_cells", "_first")

    def __init__(self, cells: "memoryview[float]", at: int, bounds: Sequence[float]) -> None:
        self._cells = cells
        self._at = at
        self._first = at + 1
        self._bounds = bounds

    def observe(self, value: float) -> None:
        """One more value."""
        self._cells[self._first + bisect_left(self._bounds, value)] += 1.0
        self._cells[self._at] += value


class Metrics:
    """What a process counts with. slot: None: memory of its own, which nobody else sees.

    The same metric and labels give the same object; what is counted often keeps it.
    """

    def __init__(self, slot: Slot | None = None) -> None:
        self.slot = slot or Slot(memoryview(bytearray(SLOT_BYTES)))
        self.slot.take_over(os.getpid())
        self._nowhere = memoryview(bytearray(_MOST_CELLS * _CELL_BYTES)).cast("d")
        self._counters: dict[tuple[str, ...], Counter] = {}
        self._gauges: dict[tuple[str, ...], Gauge] = {}
        self._histograms: dict[tuple[str, ...], Histogram] = {}

    def counter(self, metric: Metric, *values: str) -> Counter:
        """values: of its labels, in their order."""
        found = self._counters.get((metric.name, *values))
        if found is None:
            found = self._counters[(metric.name, *values)] = Counter(*self._open(metric, values))
        return found

    def gauge(self, metric: Metric, *values: str) -> Gauge:
        """See `counter`."""
        found = self._gauges.get((metric.name, *values))
        if found is None:
            found = self._gauges[(metric.name, *values)] = Gauge(*self._open(metric, values))
        return found

    def histogram(self, metric: Metric, *values: str) -> Histogram:
        """See `counter`."""
        found = self._histograms.get((metric.name, *values))
        if found is None:
            cells, at = self._open(metric, values)
            found = self._histograms[(metric.name, *values)] = Histogram(cells, at, metric.buckets)
        return found

    def only(self, metric: Metric, numbers: Mapping[str, float]) -> None:
        """Set a gauge of one label to these, by its value, and clear it for every other value."""
        for value, number in numbers.items():
            self.gauge(metric, value).set(number)
        for key, gauge in self._gauges.items():
            if key[0] == metric.name and key[1] not in numbers:
                gauge.clear()

    def _open(self, metric: Metric, values: tuple[str, ...]) -> "tuple[memoryview[float], int]":
        at = self.slot.open(metric, values)
        return (self._nowhere, 0) if at is None else (self.slot.cells, at)
