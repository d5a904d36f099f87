"""The probe: an idle machine is on time, a busy one is late, and bounds follow."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.rig import lateness
from tests.rig.cluster import is_alive
from tests.rig.lateness import Probe, idle_s
from tests.rig.wait import until


@pytest.fixture
def probe() -> Iterator[Probe]:
    probe = Probe()
    until(lambda: probe.between(0.0, time.monotonic()) != (0.0, 1.0), what="a sample")
    yield probe
    probe.close()


def test_without_a_probe_time_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lateness, "_probes", {})
    assert idle_s(10.0, 12.5) == 2.5


def test_time_is_divided_by_how_slow_the_machine_was_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def between(self, began: float, ended: float) -> tuple[float, float]:
            return (0.5, 2.0) if began >= 10.0 else (0.0, 1.0)

    monkeypatch.setattr(lateness, "_probes", {os.getpid(): Slow()})
    assert idle_s(10.0, 13.5) == 1.5
    assert idle_s(5.0, 8.0) == 3.0


@pytest.mark.alone
def test_a_busy_machine_is_slow_and_later_an_idle_one_is_not(probe: Probe) -> None:
    time.sleep(1.0)
    before = time.monotonic()
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * len(os.sched_getaffinity(0)))
    ]
    try:
        until(lambda: probe.between(before + 0.3, time.monotonic())[1] > 1.5, 20, "the machine to be slow")
    finally:
        for one in busy:
            one.kill()
            one.wait()


def test_a_probe_ends_with_its_parent() -> None:
    code = "from tests.rig.lateness import Probe; import os; print(Probe()._process.pid, flush=True); os._exit(0)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    until(lambda: not is_alive(int(said)), 5, "its end")
