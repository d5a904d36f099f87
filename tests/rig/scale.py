"""How much to prove: small counts in `make test`, full counts in `make prove`; every run of a simulation has a seed."""

import os
import random
from collections.abc import Callable

PROVING = os.environ.get("MMNODE_PROVE") == "1"


def scale(small: int, full: int) -> int:
    """The count for this run."""
    return full if PROVING else small


def for_each_seed(count: int, simulate: Callable[[random.Random], None]) -> None:
    """Run a simulation with seeds 0 to count - 1; a failure names its seed."""
    for seed in range(count):
        try:
            simulate(random.Random(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
