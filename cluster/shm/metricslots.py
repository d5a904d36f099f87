"""The metrics of a node in shared memory: a slot (`app/counting.py`) for each worker's place, one for the supervisor.

The file is made by the supervisor and outlives every other process, so what a worker counted stays when it is gone.
"""

import mmap
import os
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from app.counting import SLOT_BYTES, Slot
from app.exposition import Found, collect, render
from app.metrics import Metric

_TICKS_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = resource.getpagesize()
_PROCESS = (
    Metric("process_cpu_seconds_total", "counter", "CPU time of a process.", ("worker",)),
    Metric("process_resident_memory_bytes", "gauge", "Resident memory of a process.", ("worker",)),
    Metric("process_start_time_seconds", "gauge", "Start of a process, since 1970.", ("worker",)),
    Metric("process_open_fds", "gauge", "Open file descriptors of a process.", ("worker",)),
)
"""The standard ones of Prometheus' clients, by worker as one node has several processes."""


def create(path: Path, slots: int) -> None:
    """Make the file; untouched parts of it take no memory."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    try:
        os.ftruncate(descriptor, slots * SLOT_BYTES)
    finally:
        os.close(descriptor)


def open_slots(path: Path) -> list[Slot]:
    """All slots of the node."""
    with path.open("r+b") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0))
    return [Slot(memory[at : at + SLOT_BYTES]) for at in range(0, len(memory), SLOT_BYTES)]


class Exposition:
    """What `/metrics` says. names: whose slot each is, in their order."""

    def __init__(self, slots: Sequence[Slot], names: Sequence[str]) -> None:
        self._slots = slots
        self._names = names

    def text(self) -> str:
        """All metrics of the node, in Prometheus' text format."""
        return render({**collect(self._slots), **self._processes()}, _PROCESS)

    def _processes(self) -> Mapping[str, Found]:
        found: dict[str, Found] = {metric.name: {} for metric in _PROCESS}
        for name, slot in zip(self._names, self._slots, strict=True):
            if slot.pid:
                for metric, value in zip(_PROCESS, _looks(slot.pid), strict=False):
                    found[metric.name][(name,)] = [value]
        return {name: series for name, series in found.items() if series}


def _looks(pid: int) -> Iterator[float]:
    """In the order of `_PROCESS`; nothing of a process that has ended meanwhile."""
    process = Path(f"/proc/{pid}")
    try:
        fields = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        descriptors = len(os.listdir(process / "fd"))
    except OSError:
        return
    user, system, started, resident = int(fields[11]), int(fields[12]), int(fields[19]), int(fields[21])
    yield (user + system) / _TICKS_S
    yield float(resident * _PAGE_BYTES)
    yield time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + started / _TICKS_S
    yield float(descriptors)
