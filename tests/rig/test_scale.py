"""Seeds: each is run once, by whichever process, and a failure names its own."""

import os
import random

import pytest

from tests.rig.scale import for_each_seed


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_seed_is_run_once(processes: int) -> None:
    found = for_each_seed(10, lambda chance: (chance.random(), os.getpid()), processes)
    assert [number for number, _ in found] == [random.Random(seed).random() for seed in range(10)]
    assert len({pid for _, pid in found}) == processes


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failure_names_its_seed(processes: int) -> None:
    bad = random.Random(7).random()

    def simulate(chance: random.Random) -> None:
        assert chance.random() != bad, "it went wrong"

    with pytest.raises(AssertionError) as raised:
        for_each_seed(10, simulate, processes)
    text = "\n".join([str(raised.value), *getattr(raised.value, "__notes__", [])])
    assert "it went wrong" in text
    assert "seed 7" in text


def test_a_process_that_dies_is_a_failure() -> None:
    with pytest.raises(AssertionError, match="died"):
        for_each_seed(4, lambda _: os._exit(1), 2)
