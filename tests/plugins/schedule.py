"""Which tests share a worker of pytest-xdist, and which worker takes what next (`--dist loadgroup`).

A group is a module, or the part of a module that runs on one database; its tests run one after another on one worker,
so what has the scope of a module is made once. Groups are handed out in this order:

    1. stories: they wait more than they compute, and their clocks are real: side by side they use the machine best
    2. what runs on nodes, then on databases: a worker that has such servers goes on with the groups of the same ones
    3. the rest

and within each the largest first. Where it is proved, the one simulation that takes longest comes before all. A group is
known by the id of its tests alone, because that is all that the controller gets to see.
"""

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.plugins.drivers import ALL
from tests.rig.scale import PROVING

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

LONGEST, STORIES, NODES, DATABASES, REST = range(5)
_SHARE_NODES = ("tests/api/", "tests/clients/", "tests/ws/")
_DRIVER = re.compile(rf"\[({'|'.join((*ALL, 'nginx', 'haproxy'))})[-\]]")
_PROVED_LONGEST = "tests/cluster/test_coherence.py"
_LOADED = 2
"""A worker gets its next group when it has fewer tests left than this: the last one starts only when another is known."""


class Group(NamedTuple):
    """Tests that run on one worker in a row. servers: what it shares with other groups; '' for nothing."""

    kind: int
    servers: str
    module: str
    driver: str


def group_of(node_id: str) -> Group:
    """The group of a test."""
    module = node_id.partition("::")[0]
    if PROVING and module == _PROVED_LONGEST:
        return Group(LONGEST, "", module, "")
    found = _DRIVER.search(node_id)
    driver = found[1] if found else ""
    if module.startswith(("tests/stories/", "tests/faults/test_rounds.py")):
        return Group(STORIES, "", module, driver)
    if module.startswith("tests/attacks/"):
        return Group(NODES, "", module, "")
    if module.startswith(_SHARE_NODES):
        return Group(NODES, f"node on {driver}", module, driver) if driver else Group(NODES, "", module, "")
    return Group(DATABASES, driver, module, driver) if driver else Group(REST, "", module, "")


def choose(waiting: list[Group], had: set[str], others: set[str]) -> Group:
    """The next group for a worker that has had these servers, while other workers use those.

    Of one kind first those on the same servers, then those that no other worker has servers for.
    """
    kind = min(group.kind for group in waiting)

    def rank(group: Group) -> int:
        if not group.servers:
            return 1
        return 0 if group.servers in had else 1 if group.servers not in others else 2

    return min((group for group in waiting if group.kind == kind), key=rank)  # the first of the best: the largest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Ours."""
    from xdist.scheduler import LoadScopeScheduling

    class Schedule(LoadScopeScheduling):
        """The one of xdist for scopes, but for what a scope is, which comes next, and when."""

        def _split_scope(self, nodeid: str) -> Any:
            return group_of(nodeid)

        def _assign_work_unit(self, node: "WorkerController") -> None:
            last = {worker: list(work)[-1].servers for worker, work in self.assigned_work.items() if work}
            had = {group.servers for group in self.assigned_work.get(node, {})}
            others = {servers for worker, servers in last.items() if worker is not node}
            self.workqueue.move_to_end(choose(list(self.workqueue), had, others), last=False)
            super()._assign_work_unit(node)

        def remove_node(self, node: "WorkerController") -> str | None:
            """What a dead worker has left goes back, without what it had finished; what it died of is not tried again.

            xdist's own would hand out groups in which nothing is left: whoever gets one waits for ever.
            """
            workload = self.assigned_work.pop(node)
            crashed: str | None = next(
                (test for work in workload.values() for test, done in work.items() if not done), None
            )
            if crashed is not None:
                workload[group_of(crashed)][crashed] = True
                self.workqueue.update((group, work) for group, work in workload.items() if not all(work.values()))
                for other in self.assigned_work:
                    self._reschedule(other)
            return crashed

        def _reschedule(self, node: "WorkerController") -> None:
            if node not in self.registered_collections:
                return  # it takes the place of one that died, and still collects
            if node.shutting_down or not self.workqueue or self._pending_of(self.assigned_work[node]) < _LOADED:
                super()._reschedule(node)

    return Schedule(config, log)
