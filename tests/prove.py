"""The tests at their full counts, whole or in parts, and the record of it: `make prove`, `make prove PART=ws`.

The whole leaves out PART=faults, which wants the machine for itself.

The record of the whole goes to docs/proof/<version>.txt, that of a part to build/proof-<part>.txt, that of a run which was
cut short to build/proof-incomplete.txt: what ran where, counts by part, the seeds of each simulation, the slowest tests; at
most 200 lines.
"""

import datetime
import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from app.version import VERSION

ROOT = Path(__file__).parents[1]
# Bytes and claims of those who mean harm.
ATTACKS = (
    "tests/api/test_bad_input.py",
    "tests/api/test_http_strictness.py",
    "tests/api/test_refusals.py",
    "tests/attacks/",
    "tests/cluster/test_bodies.py",
    "tests/cluster/test_envelope.py",
    "tests/cluster/test_zap.py",
    "tests/ws/test_autobahn.py",
    "tests/ws/test_frames.py",
    "tests/ws/test_protocol.py",
)
# By the first that fits; a folder that is not there yet has no tests yet.
PARTS: dict[str, tuple[str, ...]] = {
    "attacks": ATTACKS,
    "cluster": ("tests/cluster/",),
    "ws": ("tests/ws/",),
    "db": ("tests/db/",),
    "api": ("tests/api/", "tests/app/", "tests/clients/"),
    "stories": ("tests/stories/",),
    "faults": ("tests/faults/",),
    "browser": ("tests/browser/",),
    "rig": ("tests/",),
}
_BY_ITSELF = "faults"
"""It wants the machine for itself, for 90 minutes: the whole leaves it out."""
LINES, SLOWEST = 200, 25


def part_of(node_id: str) -> str:
    """The part that a test, or a file of tests, belongs to."""
    return next(name for name, places in PARTS.items() if node_id.startswith(places))


def files_of(part: str) -> list[str]:
    """The files of tests of a part."""
    found = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))
    return [path for path in found if "node_modules" not in path and part_of(path) == part]


def record(data: dict[str, Any], command: str) -> list[str]:
    """The lines of the record. data: build/durations.json."""
    tests: dict[str, dict[str, Any]] = data["tests"]
    counts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for node_id, test in tests.items():
        counts[part_of(node_id)][test.get("outcome", "lost")] += 1
        counts[part_of(node_id)]["seconds"] += seconds(test)
    bad = {name: test for name, test in tests.items() if test.get("outcome") != "passed"}
    lines = [
        f"mmnode {VERSION}, commit {_output('git', 'rev-parse', '--short', 'HEAD')}{_dirty()}",
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {_machine()}",
        f"{command}: {len(tests) - len(bad)} passed, {len(bad)} not, {data['wall_s'] / 60:.0f} min,"
        f" exit status {data['exit_status']}",
        "",
        f"{'part':10}{'passed':>9}{'failed':>9}{'errors':>9}{'skipped':>9}{'lost':>9}{'seconds':>9}",
    ]
    for name, found in sorted(counts.items()):
        outcomes = "".join(f"{found[one]:9.0f}" for one in ("passed", "failed", "error", "skipped", "lost"))
        lines.append(f"{name:10}{outcomes}{found['seconds']:9.0f}")
    lines += ["", *[f"{test.get('outcome', 'lost')}: {name}" for name, test in sorted(bad.items())[:40]]]
    excused = sum("excused" in test for test in tests.values())
    lines += [f"bounds that held only because the machine was slow: in {excused} tests"]
    lines += ["", "simulations: seeds, seconds"]
    for name, test in sorted(tests.items()):
        if "seeds" in test:
            lines.append(f"{test['seeds']:9} {seconds(test):8.1f}  {name}")
    lines += ["", f"the slowest {SLOWEST}: seconds"]
    for name in sorted(tests, key=lambda one: -seconds(tests[one]))[:SLOWEST]:
        lines.append(f"{seconds(tests[name]):9.1f}  {name}")
    return [line.rstrip() for line in lines[:LINES]]


def seconds(test: dict[str, Any]) -> float:
    """Of a test with its set-up and tear-down."""
    return sum(float(test.get(phase, 0.0)) for phase in ("setup", "call", "teardown"))


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _dirty() -> str:
    return " and changes" if _output("git", "status", "--porcelain", "--untracked-files=no") else ""


def _machine() -> str:
    return f"{len(os.sched_getaffinity(0))} processors, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def main(arguments: list[str]) -> int:
    """Run, write the record; the exit status of the tests. arguments: a part, or none, then options of pytest."""
    part = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    if part and part not in PARTS:
        print(f"there is no part {part}; parts are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    files = files_of(part) if part else ["tests", f"--ignore={PARTS[_BY_ITSELF][0]}"]
    if not files:
        print(f"{part}: no tests yet")
        return 0
    durations = ROOT / "build" / f"durations-prove{'-' * bool(part)}{part}.json"
    durations.unlink(missing_ok=True)
    options = [*arguments[bool(part) :], "--no-header", "--timeout", "3600"]
    environment = {**os.environ, "MMNODE_PROVE": "1", "MMNODE_DURATIONS": str(durations)}
    done = subprocess.run([sys.executable, "-m", "pytest", *options, *files], cwd=ROOT, env=environment, check=False)
    if durations.exists():
        data = json.loads(durations.read_text())
        whole = not part and data["exit_status"] in (0, 1) and all("outcome" in test for test in data["tests"].values())
        name = part or "incomplete"
        path = ROOT / "docs" / "proof" / f"{VERSION}.txt" if whole else ROOT / "build" / f"proof-{name}.txt"
        lines = record(data, f"make prove{' PART=' * bool(part)}{part}")
        path.write_text("\n".join(lines) + "\n")
        print(f"the record is in {path.relative_to(ROOT)}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
