"""Fixtures of the tests of replicas: nodes on a cluster of their own; everything else is that of the tests of api."""

from collections.abc import Iterator

import pytest

from tests.api.conftest import add, configure, own_admin, world
from tests.rig.node import Node
from tests.rig.people import new_user, sign_up
from tests.rig.pgcluster import PgCluster
from tests.rig.wait import until

__all__ = ["add", "configure", "own_admin", "world"]

LATE_S = 0.5


@pytest.fixture(scope="session")
def late_cluster() -> Iterator[PgCluster]:
    """A master, and two replicas that are late enough to show whatever is read from them and should not be."""
    with PgCluster(2) as cluster:
        for replica in cluster.replicas:
            replica.delay_replay(LATE_S)
        yield cluster


def _environment(cluster: PgCluster) -> dict[str, str]:
    name = cluster.new_database()
    replicas = (f"postgres://mmnode@127.0.0.1:{replica.port}/{name}" for replica in cluster.replicas)
    return {
        "MM_SQLSETTINGS_DATASOURCE": cluster.master.dsn(name),
        "MM_SQLSETTINGS_DATASOURCEREPLICAS": " ".join(replicas),
    }


class LateNode(Node):
    """A node whose replicas are late."""

    def polled(self) -> None:
        """See `Node`. Two, because what only SQL by hand changes has no floor: the replicas have it after the second."""
        for _ in range(2):
            super().polled()

    def master_dsn(self) -> str:
        """See `Node`."""
        return self._environment["MM_SQLSETTINGS_DATASOURCE"]


@pytest.fixture(scope="session")
def node(late_cluster: PgCluster) -> Iterator[Node]:
    """See tests/conftest.py."""
    with LateNode(workers=2, ws_workers=2, environment=_environment(late_cluster)) as running:
        admin = new_user(running.url, "admin")
        admin.close()
        running.admin_name = admin.user["username"]
        until(lambda: _all_fit(running), what="fit replicas")
        yield running
        assert sum(_reads(running)) > 1000, "these tests show nothing: the replicas were not read"
        assert "Traceback" not in running.log, running.log


def _all_fit(node: Node) -> bool:
    return [one["state"] for one in node.ask("database")["replica_states"]] == ["up", "up"]


def _reads(node: Node) -> list[int]:
    workers = node.ask("database")["workers"].values()
    return [replica["reads"] for worker in workers for replica in worker["pool"]["replicas"]]


@pytest.fixture(scope="session")
def own_node(late_cluster: PgCluster) -> Iterator[Node]:
    """See tests/api/conftest.py."""
    closed = {"MM_TEAMSETTINGS_ENABLEOPENSERVER": "false", **_environment(late_cluster)}
    with LateNode(workers=1, ws_workers=1, environment=closed) as running:
        running.admin_name = sign_up(running.url, "admin")["username"]
        yield running
