"""Faults of the table over a cluster of three nodes: some in `make test`, each one and pairs at random in `make prove`.

    make prove PART=faults                      # half an hour of pairs, after every fault and every link by itself
    MMNODE_FAULTS_SEED=1764334455 …             # the same draws again; a failure names its seed
    MMNODE_FAULTS_MINUTES=5 …                   # for so long

Each line of build/faults-<database>.txt is a round.
"""

import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.rounds import Arena, Result, base_seed
from tests.faults.table import LINKS, TABLE, Dialect, draw
from tests.plugins.drivers import drivers
from tests.plugins.resources import uses
from tests.rig.require import Require
from tests.rig.scale import PROVING

pytestmark: list[pytest.MarkDecorator] = [pytest.mark.alone] if PROVING else []

_FEW: dict[Dialect, list[str]] = {
    "postgres": ["node - node: cut", "relay killed"],
    "mysql": ["all sessions ended", "node - replica: cut back"],
}
_DIRECTIONS = ("cut", "cut there", "cut back")
_MINUTES = float(os.environ.get("MMNODE_FAULTS_MINUTES", "30"))
_RECORD = Path(__file__).parents[2] / "build"


@pytest.fixture(scope="module")
@uses("node", "namespaces")
def arena(driver: Dialect, require: Require) -> Iterator[Arena]:
    """Three nodes over a master and two replicas."""
    require("network namespaces")
    with Arena(driver) as arena:
        yield arena


class Record:
    """What rounds gave; it fails at its end if any was bad."""

    def __init__(self, driver: Dialect) -> None:
        self._bad: list[str] = []
        _RECORD.mkdir(exist_ok=True)
        self._path = _RECORD / f"faults-{driver}.txt"

    def add(self, result: Result) -> None:
        """One more."""
        print(result)
        with self._path.open("a") as file:
            file.write(f"{result}\n")
        if result.violations:
            self._bad.append(str(result))

    def check(self) -> None:
        """Raises AssertionError."""
        assert not self._bad, "\n".join(self._bad)


def _play(arena: Arena, rounds: Sequence[tuple[list[str], float]], seed: int) -> None:
    """rounds: faults, and how long they last in s (0.0: by chance)."""
    record = Record(arena.driver)
    for number, (faults, hold_s) in enumerate(rounds):
        record.add(arena.round(faults, seed + number, hold_s))
    record.check()


@drivers("postgres", "mysql")
def test_faults_of_the_table(arena: Arena, driver: Dialect) -> None:
    each = [([name], 0.0) for name, fault in TABLE.items() if driver in fault.databases]
    _play(arena, each if PROVING else [(_FEW[driver], 2.0)], 1)


@drivers(*(("postgres", "mysql") if PROVING else ("postgres",)))
def test_a_link_that_drops_everything(arena: Arena) -> None:
    cuts = [[f"{link}: {direction}"] for link in LINKS for direction in _DIRECTIONS]
    every = [(one, hold_s) for hold_s in (5.0, 75.0) for one in cuts]
    _play(arena, every if PROVING else [(["node - master: cut back"], 5.0)], 1)


@drivers(*(("postgres", "mysql") if PROVING else ("mysql",)))
def test_pairs_drawn_at_random(arena: Arena, driver: Dialect) -> None:
    """Each database has half of the time."""
    if not PROVING:
        _play(arena, [(draw(random.Random(7), driver), 2.0)], 7)
        return
    record, seed, began = Record(driver), base_seed(), time.monotonic()
    while time.monotonic() < began + 30 * _MINUTES:
        record.add(arena.round(draw(random.Random(seed), driver), seed))
        seed += 1
    record.check()


def test_a_seed_draws_the_same_again() -> None:
    names = [draw(random.Random(seed), "mysql") for seed in range(200)]
    assert names == [draw(random.Random(seed), "mysql") for seed in range(200)]
    assert {len(one) for one in names} == {2, 3}
    assert {name for one in names for name in one} >= {name for name, one in TABLE.items() if "mysql" in one.databases}
