"""What one node has acknowledged holds on every other at once: the promise, and the exception that it makes.

An answer waits for the other nodes, but not longer than WriteBarrierMs; nodes count how often they went on without. On a
busy machine that happens. Then, and only then, the other promise is asked for: within 2 s.
"""

from collections.abc import Callable

from tests.rig.cluster import Cluster
from tests.rig.lateness import excused
from tests.rig.wait import until

_STALE_S = 2.0


class AtOnce:
    """Begin before the first write; call with a condition after each one. Few may have to be waited for."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._missed = self._misses()
        self._asked = self._waited = 0

    def __call__(self, condition: Callable[[], bool], what: str) -> None:
        """Raises AssertionError: not true although every node had acknowledged; or not after 2 s; or too often late."""
        self._asked += 1
        if condition():
            return
        missed, before = self._misses(), self._missed
        assert missed > before, f"{what}: not so on another node, and every node had acknowledged the write"
        self._missed = missed
        until(condition, _STALE_S, what)
        self._waited += 1
        excused.append(f"a node did not acknowledge within WriteBarrierMs: {what}")
        assert self._waited <= 3 + self._asked // 100, f"{what}: hardly a write waited for the other nodes"

    def _misses(self) -> int:
        workers = [one for node in self._cluster.nodes for one in node.ask("database")["workers"].values()]
        return sum(one["write_barrier_misses"] for one in workers if "write_barrier_misses" in one)
