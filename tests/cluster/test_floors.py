"""The floors in shared memory: what one process writes, every other reads."""

from pathlib import Path

import pytest

from cluster.shm import floors
from cluster.shm.floors import SharedFloors
from db.model.shards import SLOTS, UNKNOWN, shard

ONE, OTHER = shard("user", "one"), shard("user", "other")


@pytest.fixture
def processes(tmp_path: Path) -> list[SharedFloors]:
    floors.create(tmp_path / "floors", 3)
    return [SharedFloors(tmp_path / "floors", column) for column in range(3)]


def test_the_highest_of_all_processes_holds(processes: list[SharedFloors]) -> None:
    relay, api, ws = processes
    api.raise_to([ONE], 7)
    ws.raise_to([ONE], 5)
    for process in processes:
        assert (process.floor([ONE]), process.floor([OTHER]), process.floor([OTHER, ONE])) == (7, 0, 7)
    api.raise_to([ONE], 6)
    assert relay.floor([ONE]) == 7


def test_a_floor_of_everything_holds_for_everything(processes: list[SharedFloors]) -> None:
    relay, api, _ = processes
    relay.raise_all(9)
    relay.raise_all(3)
    api.raise_to([ONE], 11)
    assert (api.floor([]), api.floor([OTHER]), relay.floor([ONE])) == (9, 9, 11)


def test_a_process_that_starts_anew_covers_what_its_predecessor_wrote(processes: list[SharedFloors]) -> None:
    relay, api, ws = processes
    api.raise_to([ONE], UNKNOWN)
    ws.raise_to([OTHER], 30)
    assert relay.floor([ONE]) == UNKNOWN
    api.take_over(20)
    assert (relay.floor([ONE]), relay.floor([OTHER])) == (20, 30)


def test_what_was_unknown_is_settled(processes: list[SharedFloors]) -> None:
    relay, api, _ = processes
    api.raise_to([ONE], UNKNOWN)
    api.settle([ONE], 8)
    assert relay.floor([ONE]) == 8


@pytest.mark.parametrize("slot", [0, SLOTS - 1])
def test_columns_do_not_run_into_each_other(processes: list[SharedFloors], slot: int) -> None:
    relay, api, ws = processes
    api.raise_to([slot], 5)
    relay.take_over(1)
    ws.take_over(2)
    assert [process.floor([slot]) for process in processes] == [5, 5, 5]
    api.take_over(3)
    assert relay.floor([slot]) == 3
