"""CPU time of a node's processes, by role, from /proc."""

import os
import time
from pathlib import Path

from tests.rig.node import Node

_SCHEDULED = 2
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def process_s(pid: int) -> float:
    """CPU seconds of a process, all threads, in ns: its clock, as clock_getcpuclockid(3) names it."""
    return time.clock_gettime(~pid << 3 | _SCHEDULED)


def _used_s(pid: int) -> float | None:
    """None: it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _backends(postmaster: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == postmaster:
                found.append(int(entry.name))
    return found


class Meter:
    """CPU seconds that each role has used since `start`. Backends that end in between are missed: keep load steady."""

    def __init__(self, node: Node) -> None:
        self._began: dict[str, dict[int, float]] = {}
        for name, child in node.children().items():
            role = name.rstrip("0123456789")
            pids = [child["pid"], *(_backends(child["pid"]) if role == "postgres" else [])]
            self._began.setdefault(role, {}).update((pid, used) for pid in pids if (used := _used_s(pid)) is not None)

    def used_s(self) -> dict[str, float]:
        """By role: api, ws, relay, postgres."""
        return {
            role: sum(used - before for pid, before in began.items() if (used := _used_s(pid)) is not None)
            for role, began in self._began.items()
        }
