"""Two processes with one node_id, as after a data directory was copied: one of them ends, and says why."""

import time
from collections.abc import Iterator

import pytest

from tests.plugins.resources import uses
from tests.rig.cluster import Cluster
from tests.rig.directories import processes_of
from tests.rig.node import Node
from tests.rig.pgcluster import PgCluster
from tests.rig.wait import until

WHY = "another process runs as this node"
FATAL = 78


@pytest.fixture(scope="module")
@uses("postgres")
def servers() -> Iterator[PgCluster]:
    """One server is enough."""
    with PgCluster(0) as cluster:
        yield cluster


@pytest.fixture
@uses("node", "namespaces")
def cluster(servers: PgCluster) -> Iterator[Cluster]:
    """One node and a place for its copy."""
    with Cluster(servers, 1, spare=1) as cluster:
        yield cluster


def _copy(cluster: Cluster) -> Node:
    """A second node whose data directory has the node_id of the first."""
    copy = cluster.add()
    copy.data_dir.mkdir(parents=True)
    (copy.data_dir / "node_id").write_text((cluster.nodes[0].data_dir / "node_id").read_text())
    return copy


def _incarnation(cluster: Cluster) -> int:
    ((incarnation,),) = cluster.sql("SELECT incarnation FROM cluster_nodes")
    return int(incarnation)


def _has_ended(node: Node) -> bool:
    return node.process is not None and node.process.poll() is not None


def _expect_ended(cluster: Cluster, ended: Node, goes_on: Node) -> None:
    """One stopped for good and left nothing behind, the other serves, and nobody enrols any more."""
    assert ended.process is not None
    assert ended.process.returncode == FATAL
    (line,) = [line for line in ended.log.splitlines() if WHY in line]
    assert (goes_on.data_dir / "node_id").read_text().strip() in line
    assert "remove the file node_id" in line
    assert "Traceback" not in ended.log
    assert not processes_of(ended.directory)
    until(lambda: goes_on.ping() == 200, 15)
    incarnation = _incarnation(cluster)
    quiet_until = time.monotonic() + 5
    while time.monotonic() < quiet_until:
        assert _incarnation(cluster) == incarnation
        assert goes_on.ping() == 200
        assert not _has_ended(goes_on)
        time.sleep(0.1)
    assert WHY not in goes_on.log


def test_a_copy_that_is_started_later_ends_the_original(cluster: Cluster) -> None:
    original, copy = cluster.nodes[0], _copy(cluster)
    copy.start()
    until(lambda: _has_ended(original), 10)
    _expect_ended(cluster, original, copy)


def test_of_two_that_are_started_at_once_one_goes_on(cluster: Cluster) -> None:
    original, copy = cluster.nodes[0], _copy(cluster)
    original.stop()
    original.launch()
    copy.launch()
    until(lambda: _has_ended(original) or _has_ended(copy), 30)
    ended, goes_on = (original, copy) if _has_ended(original) else (copy, original)
    goes_on.wait_ready()
    _expect_ended(cluster, ended, goes_on)


def test_a_relay_that_is_killed_enrols_again_and_its_node_goes_on(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    for _ in range(3):
        before = _incarnation(cluster)
        node.wait_replaced("relay", cluster.kill_child(0, "relay"))
        until(lambda before=before: _incarnation(cluster) > before)  # type: ignore[misc]
    cluster.until_green()
    assert not _has_ended(node)
    assert WHY not in node.log


def test_a_node_that_is_killed_and_started_again_goes_on(cluster: Cluster) -> None:
    cluster.kill(0)
    cluster.nodes[0].start()
    cluster.until_green()
    incarnation = _incarnation(cluster)
    quiet_until = time.monotonic() + 5
    while time.monotonic() < quiet_until:
        assert not _has_ended(cluster.nodes[0])
        assert _incarnation(cluster) == incarnation
        time.sleep(0.1)
    assert WHY not in cluster.nodes[0].log
