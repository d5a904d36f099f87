"""The metrics of a node in shared memory, as real processes count in it."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from app.counting import Metrics
from app.metrics import CONNECTIONS, POSTS, RESPONSES
from cluster.node.children import Child
from cluster.node.measured import NodeMetrics
from cluster.shm import metricslots
from cluster.shm.metricslots import Exposition, open_slots
from cluster.workers.start import names_of
from tests.rig.scrape import parse
from tests.rig.wait import until

NAMES = names_of(2, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    metricslots.create(tmp_path / "metrics", len(NAMES))
    return tmp_path / "metrics"


def _count_for_ever(path: str, slot: int) -> None:
    metrics = Metrics(open_slots(Path(path))[slot])
    metrics.gauge(CONNECTIONS).set(1)
    counter, number = metrics.counter(POSTS), 0
    while True:
        counter.inc()
        number += 1
        metrics.counter(RESPONSES, "GET", str(number % 50)).inc()


def test_a_counter_of_the_node_never_falls_however_often_workers_are_killed(path: Path) -> None:
    exposition = Exposition(open_slots(path), NAMES)
    spawn = multiprocessing.get_context("fork")
    last: dict[str, float] = {}
    for turn in range(6):
        children = [spawn.Process(target=_count_for_ever, args=(str(path), slot)) for slot in (1, 2)]
        for child in children:
            child.start()
        before = last.get("mattermost_post_total", 0)

        def grown(before: float = before) -> bool:
            return parse(exposition.text()).get("mattermost_post_total", 0) > before + 1000

        until(grown, what=f"counting in turn {turn}")
        for child in children:
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join()
        now = {
            key: value
            for key, value in parse(exposition.text()).items()
            if key.startswith(("mattermost_post", "mmnode_http_resp"))
        }
        assert all(now.get(key, -1) >= value for key, value in last.items())
        last = now


def test_the_processes_of_the_node_are_looked_at_by_name(path: Path) -> None:
    slots = open_slots(path)
    Metrics(slots[1])
    found = parse(Exposition(slots, NAMES).text())
    assert found['process_resident_memory_bytes{worker="api0"}'] > 1 << 20
    assert 0 < found['process_start_time_seconds{worker="api0"}'] < 1e11
    assert found['process_cpu_seconds_total{worker="api0"}'] > 0
    assert found['process_open_fds{worker="api0"}'] >= 3
    assert not any("api1" in key for key in found)


def test_what_a_dead_worker_measured_goes_with_it(tmp_path: Path) -> None:
    own = NodeMetrics(tmp_path / "metrics", NAMES)
    worker = Metrics(open_slots(tmp_path / "metrics")[1])
    worker.gauge(CONNECTIONS).set(12)
    worker.counter(POSTS).inc(3)
    exposition = Exposition(open_slots(tmp_path / "metrics"), NAMES)
    assert parse(exposition.text())["mmnode_http_connections"] == 12
    own.ended("api0")
    own.ended("postgres")  # it does not count
    found = parse(exposition.text())
    assert "mmnode_http_connections" not in found
    assert found["mattermost_post_total"] == 3
    assert not any("api0" in key for key in found)


def test_the_supervisor_shows_its_children(tmp_path: Path) -> None:
    own = NodeMetrics(tmp_path / "metrics", NAMES)
    child = Child("api0", watchdog_s=None)
    for now in (10.0, 11.0, 12.0):
        child.spawned(now)
        child.ready()
        own.measure(now, [child], lambda: {"restart": 2, "recycle": 0})
        child.exited(now)
    own.measure(12.1, [child], lambda: {"restart": 9})  # too soon
    found = parse(Exposition(open_slots(tmp_path / "metrics"), NAMES).text())
    assert found['mmnode_worker_restarts_total{worker="api0"}'] == 2
    assert found['mmnode_worker_up{worker="api0"}'] == 1
    assert found['mmnode_config_pending{needs="restart"}'] == 2
    assert found["mmnode_uptime_seconds"] == 2
    assert [value for key, value in found.items() if key.startswith("mmnode_build_info")] == [1]
