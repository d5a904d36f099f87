"""The supervisor's part of the metrics: it makes their memory, and shows what it knows of the node's children."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from app import metrics as of
from app.counting import Metrics
from app.version import VERSION
from cluster.node.children import Child, State
from cluster.shm.metricslots import create, open_slots

_EVERY_S = 0.5


class NodeMetrics:
    """It makes the memory at `path`, clears what dead workers measured, and measures itself.

    names: of all processes that count, the supervisor's the last.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        create(path, len(names))
        self._slots = dict(zip(names, open_slots(path), strict=True))
        self._metrics = Metrics(self._slots[names[-1]])
        self._metrics.gauge(of.BUILD, VERSION).set(1)
        self._began: float | None = None
        self._measured_at = float("-inf")

    def ended(self, name: str) -> None:
        """The process of this name is gone."""
        if name in self._slots:
            self._slots[name].take_over(0)

    def measure(self, now: float, children: Iterable[Child], pending: Callable[[], Mapping[str, int]]) -> None:
        """Twice a second, however often it is called.

        now: seconds of any monotonic clock. pending: how many changed keys of the configuration wait, by what for.
        """
        if now - self._measured_at < _EVERY_S:
            return
        self._measured_at = now
        self._began = now if self._began is None else self._began
        self._metrics.gauge(of.UPTIME).set(now - self._began)
        for child in children:
            self._metrics.gauge(of.WORKER_UP, child.name).set(child.state is State.UP)
            self._metrics.counter(of.WORKER_RESTARTS, child.name).follow(max(0, child.restarts))
        for needs, number in pending().items():
            self._metrics.gauge(of.CONFIG_PENDING, needs).set(number)
