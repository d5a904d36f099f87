"""How slow this machine has been: real clocks of stories are read in seconds of an idle one.

A probe, a small process beside each process of tests that runs servers, looks ten times a second: how late did it wake
from its sleep, how much longer than at its best took some work, for how many that want to run is there one processor?
What a test waited for is judged by that: `idle_s(began)` is the time since `began` as an idle machine would have needed
it, at least a third of the real one. So a bound says what our software does, whatever else runs on the machine; on an idle
one it is the plain time. Where one holds only because the machine was slow, that is noted (`excused`), and the table at the
end of a run says how often.
"""

import atexit
import mmap
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

from tests.rig.directories import new_directory

_PERIOD_S = 0.1
_SAMPLE = struct.Struct("ddd")
"""When, by the monotonic clock; how late in s; how many times slower than at its best."""
_SAMPLES = 40_000
_COUNT = struct.Struct("q")
_SIZE = _COUNT.size + _SAMPLE.size * _SAMPLES
_MARGIN_S = 0.3
SLOWEST = 3.0
"""However slow the machine is: nobody is forgiven more than this."""


def measure(path: Path, parent: int) -> None:
    """The probe: write samples until the parent is gone."""
    from hashlib import sha256

    processors = len(os.sched_getaffinity(0))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), _SIZE) as samples:
        work, best, count = bytes(1 << 19), float("inf"), 0
        while os.getppid() == parent:
            asleep = time.monotonic()
            time.sleep(_PERIOD_S)
            awake = time.monotonic()
            sha256(work)
            done = time.monotonic()
            best = min(best, done - awake)
            slowness = max((done - awake) / best, (_running() - 1) / processors)
            place = _COUNT.size + _SAMPLE.size * (count % _SAMPLES)
            _SAMPLE.pack_into(samples, place, done, awake - asleep - _PERIOD_S, slowness)
            count += 1
            _COUNT.pack_into(samples, 0, count)


def _running() -> int:
    """How many processes of the machine run or want to, this one included."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("procs_running"):
            return int(line.split()[1])
    return 1


class Probe:
    """A running probe."""

    def __init__(self) -> None:
        self._directory = new_directory()
        path = self._directory / "samples"
        with path.open("w+b") as file:
            file.truncate(_SIZE)
            self._samples = mmap.mmap(file.fileno(), _SIZE)
        code = f"from tests.rig.lateness import measure, Path; measure(Path({str(path)!r}), {os.getpid()})"
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdin=subprocess.DEVNULL)

    def between(self, began: float, ended: float) -> tuple[float, float]:
        """Of the samples of a span of the monotonic clock: the greatest lateness, the mean slowness (1.0 at best)."""
        (count,) = _COUNT.unpack_from(self._samples)
        late, slow = [], []
        for number in range(count - 1, max(-1, count - _SAMPLES), -1):
            at, lateness, slowness = _SAMPLE.unpack_from(
                self._samples, _COUNT.size + _SAMPLE.size * (number % _SAMPLES)
            )
            if at < began - _MARGIN_S:
                break
            if at <= ended + _MARGIN_S:
                late.append(lateness)
                slow.append(slowness)
        return max(late, default=0.0), max(1.0, sum(slow) / len(slow)) if slow else 1.0

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._samples.close()
        for path in self._directory.iterdir():
            path.unlink()
        self._directory.rmdir()


_probes: dict[int, Probe] = {}


def start() -> None:
    """Have a probe run beside this process, if there is none yet."""
    if os.getpid() not in _probes:
        _probes[os.getpid()] = probe = Probe()
        atexit.register(probe.close)


def idle_s(began: float, ended: float | None = None) -> float:
    """The seconds since `began` (of time.monotonic), or until `ended`, as an idle machine would have needed them."""
    ended = time.monotonic() if ended is None else ended
    probe = _probes.get(os.getpid())
    if probe is None:
        return ended - began
    late_s, slowness = probe.between(began, ended)
    real_s = ended - began
    return max((real_s - late_s) / slowness, real_s / SLOWEST)


excused: list[str] = []
"""Bounds of the running test that held only because the machine was slow."""


def within(bound_s: float, *, since: float, until: float | None = None) -> bool:
    """Whether so long, on an idle machine, was enough for what began at `since` and ended at `until`, or now."""
    ended = time.monotonic() if until is None else until
    real_s, needed_s = ended - since, idle_s(since, ended)
    if real_s <= bound_s:
        return True
    print(f"took {real_s:.2f} s, {needed_s:.2f} s of an idle machine; allowed are {bound_s} s")
    if needed_s <= bound_s:
        excused.append(f"{real_s:.2f} s for {bound_s} s")
        return True
    return False
