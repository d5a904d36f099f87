"""The databases that nodes and pools of tests run on, by the name of the axis (tests/plugins/drivers.py).

postgres    one server                     mysql    one MariaDB
replicas    a PostgreSQL master with two replicas that are late enough to show whatever is read from them wrongly
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from db.model.settings import Dialect
from tests.plugins.drivers import Driver, ran
from tests.rig import mariadb, postgres
from tests.rig.mariadb import MariaCluster
from tests.rig.node import Node
from tests.rig.pgcluster import PgCluster
from tests.rig.wait import until

LATE_S = 0.5


class Backend(Protocol):
    """Running servers of one kind."""

    dialect: Dialect

    def new_database(self, *, schema: bool = False) -> str:
        """Connection string of a new database: empty, or with our schema."""

    def node(self, **options: Any) -> contextlib.AbstractContextManager[Node]:
        """A node on a new database; `options` are those of `Node`."""

    def check(self, node: Node) -> None:
        """At the end of its tests: whether they showed what they were to show."""


class OnPostgres:
    """See `Backend`."""

    dialect: Dialect = "postgres"

    def new_database(self, *, schema: bool = False) -> str:
        """See `Backend`."""
        return postgres.shared().new_database(schema=schema)

    def node(self, **options: Any) -> Node:
        """See `Backend`."""
        return Node(**options)

    def check(self, node: Node) -> None:
        """Nothing."""


class OnMariaDB:
    """See `Backend`."""

    dialect: Dialect = "mysql"

    def new_database(self, *, schema: bool = False) -> str:
        """See `Backend`."""
        return mariadb.shared().new_database(schema=schema)

    def node(self, *, environment: dict[str, str] | None = None, **options: Any) -> Node:
        """See `Backend`."""
        own = {"MM_SQLSETTINGS_DRIVERNAME": "mysql", "MM_SQLSETTINGS_DATASOURCE": self.new_database(schema=True)}
        return Node(database="configured", environment=own | (environment or {}), **options)

    def check(self, node: Node) -> None:
        """Nothing."""


class OnReplicas:
    """See `Backend`."""

    dialect: Dialect = "postgres"

    def __init__(self, cluster: PgCluster) -> None:
        self._cluster = cluster

    def new_database(self, *, schema: bool = False) -> str:
        """Not meant: a pool knows no replicas by one string."""
        raise NotImplementedError("a test of a pool names its replicas itself")

    @contextlib.contextmanager
    def node(self, *, environment: dict[str, str] | None = None, **options: Any) -> Iterator[Node]:
        """See `Backend`."""
        name = self._cluster.new_database()
        replicas = (f"postgres://mmnode@127.0.0.1:{replica.port}/{name}" for replica in self._cluster.replicas)
        own = {
            "MM_SQLSETTINGS_DATASOURCE": self._cluster.master.dsn(name),
            "MM_SQLSETTINGS_DATASOURCEREPLICAS": " ".join(replicas),
        }
        with LateNode(database="configured", environment=own | (environment or {}), **options) as node:
            until(lambda: _all_fit(node), what="fit replicas")
            yield node

    def check(self, node: Node) -> None:
        """Replicas served reads."""
        wanted = (ran["replicas"] - 20) // 2  # a few tests may read nothing
        assert sum(_reads(node)) > wanted, "these tests show nothing: the replicas were hardly read"


class LateNode(Node):
    """A node whose replicas are late."""

    def polled(self) -> None:
        """See `Node`. Two, because what only SQL by hand changes has no floor: the replicas have it after the second."""
        for _ in range(2):
            super().polled()


def _all_fit(node: Node) -> bool:
    return [one["state"] for one in node.ask("database")["replica_states"]] == ["up", "up"]


def _reads(node: Node) -> list[int]:
    workers = node.ask("database")["workers"].values()
    return [replica["reads"] for worker in workers for replica in worker["pool"]["replicas"]]


def servers(driver: Driver, replicas: int, *, everywhere: bool = False) -> PgCluster | MariaCluster:
    """A master and replicas of somebody's own, to be broken; not started. everywhere: see `PgServer`."""
    if driver == "mysql":
        return MariaCluster(replicas, everywhere=everywhere)
    return PgCluster(replicas, everywhere=everywhere)


@contextlib.contextmanager
def start(driver: Driver) -> Iterator[Backend]:
    """Servers of this kind, running."""
    if driver == "postgres":
        yield OnPostgres()
    elif driver == "mysql":
        yield OnMariaDB()
    else:
        with PgCluster(2) as cluster:
            for replica in cluster.replicas:
                replica.delay_replay(LATE_S)
            yield OnReplicas(cluster)
