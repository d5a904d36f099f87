"""How much to prove: small counts in `make test`, full counts in `make prove`; every run of a simulation has a seed."""

import gc
import multiprocessing
import os
import random
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from cluster.host import spawn

PROVING = os.environ.get("MMNODE_PROVE") == "1"
PROCESSES = min(2, os.cpu_count() or 1) if PROVING else 1

seeds_run = 0
"""By the test that runs; for the record."""

T = TypeVar("T")


def scale(small: int, full: int) -> int:
    """The count for this run."""
    return full if PROVING else small


def for_each_seed(count: int, simulate: Callable[[random.Random], T], processes: int = PROCESSES) -> list[T]:
    """Run a simulation with seeds 0 to count - 1; what it returned for each. A failure names its seed.

    With several processes each has its share of the seeds, so what `simulate` changes outside itself is lost.
    """
    global seeds_run
    seeds_run += count
    if processes == 1:
        return [_run(seed, simulate) for seed in range(count)]
    fork = multiprocessing.get_context("fork")
    found: list[Any] = [None] * count
    shares: dict[Connection, int] = {}
    children = []
    try:
        for share in range(processes):
            ours, theirs = fork.Pipe(duplex=False)
            child = fork.Process(
                target=_run_share, args=(theirs, range(share, count, processes), simulate, os.getpid())
            )
            child.start()
            children.append(child)
            theirs.close()
            shares[ours] = share
        while shares:
            for ready in wait(list(shares)):
                assert isinstance(ready, Connection)
                share = shares.pop(ready)
                try:
                    results, failure = ready.recv()
                except EOFError as error:
                    raise AssertionError(f"the process of seeds {share}, {share + processes}, … died") from error
                if failure:
                    raise AssertionError(failure)
                found[share::processes] = results
    finally:
        for child in children:
            child.kill()
            child.join()
    return found


def _run(seed: int, simulate: Callable[[random.Random], T]) -> T:
    try:
        return simulate(random.Random(seed))
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise


def _run_share(parent: Connection, seeds: range, simulate: Callable[[random.Random], T], pid: int) -> None:
    spawn.die_with_parent(pid)
    gc.freeze()  # what the parent had is not searched for garbage at each collection
    try:
        parent.send(([_run(seed, simulate) for seed in seeds], ""))
    except BaseException:
        parent.send(([], traceback.format_exc()))
