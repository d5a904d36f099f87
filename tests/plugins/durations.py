"""How long each test, folder and fixture took: written to build/durations.json, and summed up in a table at the end.

The file is an object: `tests` maps a node id to the seconds of its `setup`, `call` and `teardown`, its `outcome` (passed,
failed, error, skipped; none of a test that never ran), its worker, the number of `seeds` that a simulation ran, and the
bounds that were `excused` because the machine was slow; `fixtures` maps a fixture to [how often it was set up, seconds];
`wall_s` and `exit_status` are of the whole run.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.rig import lateness, scale

FILE = Path(os.environ.get("MMNODE_DURATIONS", Path(__file__).parents[2] / "build" / "durations.json"))
_PHASES = ("setup", "call", "teardown")
_ROWS = 15

Tests = dict[str, dict[str, Any]]
Fixtures = dict[str, list[float]]


class Durations:
    """Collects what this process sees: reports (all of them, in the controller), fixtures (of its own tests)."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began = time.monotonic()
        self.tests: Tests = {}
        self.fixtures: Fixtures = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Time the setup of a fixture; what it waits for in other fixtures was set up before."""
        began = time.perf_counter()
        try:
            return (yield)
        finally:
            found = self.fixtures.setdefault(f"{fixturedef.baseid or 'pytest'}::{fixturedef.argname}", [0, 0.0])
            found[0] += 1
            found[1] += time.perf_counter() - began

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note how many seeds a simulation ran, and what was excused."""
        scale.seeds_run = 0
        lateness.excused.clear()
        try:
            return (yield)
        finally:
            if scale.seeds_run:
                item.user_properties.append(("seeds", scale.seeds_run))
            if lateness.excused:
                item.user_properties.append(("excused", list(lateness.excused)))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What is to run: what never does is seen to be missing."""
        for item in session.items:
            self.tests.setdefault(item.nodeid, {})

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """The same, of a worker."""
        for one in ids:
            self.tests.setdefault(one, {})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the seconds of one phase of a test."""
        found = self.tests.setdefault(report.nodeid, {})
        found[report.when] = round(report.duration, 4)
        found["worker"] = getattr(report, "worker_id", "main")
        found.update((name, value) for name, value in report.user_properties if name in ("seeds", "excused"))
        if report.outcome != "passed" or report.when == "call":
            outcome = "error" if report.outcome == "failed" and report.when != "call" else report.outcome
            self._say_at_once(report)
            found["outcome"] = outcome if found.get("outcome", "passed") == "passed" else found["outcome"]

    def _say_at_once(self, report: pytest.TestReport) -> None:
        """A run of many minutes names what fails when it does, with its last line; the rest comes at the end."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None and not hasattr(self._config, "workerinput"):
            last = (report.longreprtext.strip().splitlines() or [""])[-1]
            terminal.ensure_newline()
            terminal.write_line(f"{report.nodeid}: {last[:200]}", red=True)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add the fixtures of a worker that has finished."""
        _add_fixtures(self.fixtures, getattr(node, "workeroutput", {}).get("fixtures", {}))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """A worker hands over what it knows; who runs alone, or controls, writes the file."""
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["fixtures"] = self.fixtures
        elif self.tests and not self._config.option.collectonly:
            whole = {"wall_s": time.monotonic() - self._began, "exit_status": int(exitstatus)}
            FILE.parent.mkdir(parents=True, exist_ok=True)
            FILE.write_text(json.dumps(whole | {"fixtures": self.fixtures, "tests": self.tests}, indent=0))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The table."""
        if len(self.tests) < 2 or hasattr(self._config, "workerinput"):
            return
        terminalreporter.section("durations (s)")
        for line in table(self.tests, self.fixtures):
            terminalreporter.write_line(line)
        excused = {name: test["excused"] for name, test in self.tests.items() if "excused" in test}
        if excused:
            terminalreporter.section(f"{len(excused)} tests passed or failed beside bounds that a slow machine excused")
            for name, bounds in sorted(excused.items()):
                terminalreporter.write_line(f"{name}: {'; '.join(bounds[:3])}")


def _add_fixtures(to: Fixtures, more: Fixtures) -> None:
    for name, (count, seconds) in more.items():
        found = to.setdefault(name, [0, 0.0])
        found[0] += count
        found[1] += seconds


def table(tests: Tests, fixtures: Fixtures) -> list[str]:
    """Lines by folder and by fixture, the longest first."""
    folders: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0, 0.0])
    for node_id, phases in tests.items():
        found = folders[node_id.partition("::")[0].rpartition("/")[0]]
        found[0] += 1
        for place, phase in enumerate(_PHASES, 1):
            found[place] += phases.get(phase, 0.0)
    lines = [f"{'folder':30}{'tests':>8}{'set-up':>9}{'call':>9}{'tear-down':>11}"]
    for name, (count, *seconds) in sorted(folders.items(), key=lambda one: -sum(one[1][1:])):
        lines.append(f"{name:30}{count:8.0f}{seconds[0]:9.1f}{seconds[1]:9.1f}{seconds[2]:11.1f}")
    lines += ["", f"{'fixture':56}{'times':>8}{'set-up':>9}"]
    for name, (count, total) in sorted(fixtures.items(), key=lambda one: -one[1][1])[:_ROWS]:
        lines.append(f"{name:56}{count:8.0f}{total:9.1f}")
    return lines


def pytest_configure(config: pytest.Config) -> None:
    """One collector for each process."""
    config.pluginmanager.register(Durations(config), "mmnode-durations")
