"""How often tests fail on a busy machine: `make flakes T=tests/stories/test_kill.py N=20`.

Every processor computes without pause beside them. Tests run one by one in each run; several runs go on side by side,
as rigs share nothing.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
_OPTIONS = ("-q", "-p", "no:cacheprovider", "--timeout", "900")


@contextlib.contextmanager
def load(processes: int) -> Iterator[None]:
    """So many processes that compute without pause."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


def run(tests: list[str], directory: Path, number: int) -> tuple[dict[str, str], str]:
    """One run: the outcome of each test, and what pytest said. No outcomes: the run itself went wrong."""
    durations = directory / f"{number}.json"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), *_OPTIONS, *tests],
        cwd=ROOT,
        env={**os.environ, "MMNODE_DURATIONS": str(durations)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1) or not durations.exists():
        return {}, done.stdout + done.stderr
    found = json.loads(durations.read_text())["tests"]
    return {name: test.get("outcome", "lost") for name, test in found.items()}, done.stdout


def main(arguments: list[str]) -> int:
    """Exit status 1 when a test failed in any run, or a run did not come to its end."""
    parser = argparse.ArgumentParser(prog="python -m tests.flakes", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tests", nargs="+", help="paths or node ids")
    parser.add_argument("-n", "--runs", type=int, default=20)
    parser.add_argument("-j", "--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--load", type=int, default=len(os.sched_getaffinity(0)), help="processes that compute beside")
    options = parser.parse_args(arguments)
    ran: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    broken = 0
    with (
        tempfile.TemporaryDirectory() as directory,
        load(options.load),
        ThreadPoolExecutor(options.jobs) as pool,
    ):
        runs = pool.map(lambda number: run(options.tests, Path(directory), number), range(options.runs))
        for number, (outcomes, said) in enumerate(runs, 1):
            bad = [name for name, outcome in outcomes.items() if outcome not in ("passed", "skipped")]
            ran.update(list(outcomes))
            failed.update(bad)
            broken += not outcomes
            print(f"run {number}: {len(outcomes) - len(bad)} passed, {len(bad)} failed", flush=True)
            if bad or not outcomes:
                print(said[-6000:], flush=True)
    for name in sorted(failed, key=lambda one: -failed[one]):
        print(f"{failed[name]} of {ran[name]} failed: {name}")
    print(f"{len(ran)} tests, {ran.total()} times: {failed.total()} failures, {broken} runs that went wrong")
    return 1 if failed or broken or not ran else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
