"""A node on a master with replicas that a story breaks, and who uses it meanwhile."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

from tests.plugins.drivers import Driver
from tests.rig import backends
from tests.rig.mariadb import MariaCluster
from tests.rig.node import Node
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import Rest, unique
from tests.rig.wait import until


class Tier:
    """A node on a cluster of servers."""

    def __init__(self, cluster: PgCluster | MariaCluster, **options: Any) -> None:
        self.cluster: Any = cluster
        self.name = cluster.new_database()
        self.node = Node(database="configured", workers=2, **options)
        self.configure(cluster.master.dsn(self.name), *(replica.dsn(self.name) for replica in cluster.replicas))

    def configure(self, master: str, *replicas: str) -> None:
        """Write config.json."""
        sources = {"DataSource": master, "DataSourceReplicas": list(replicas)}
        sql = {"DriverName": self.cluster.driver, **sources}
        self.node.write_config({"SqlSettings": sql, "TeamSettings": {"MaxUsersPerTeam": 1000}})

    def sql(self, query: str, server: Any = None) -> list[tuple[Any, ...]]:
        """Rows of a query on the master."""
        rows: list[tuple[Any, ...]] = (server or self.cluster.master).execute(query, self.name)
        return rows

    def databases(self) -> dict[str, Any]:
        """What `mmnode db status` says."""
        return self.node.ask("database")

    def replica_reads(self) -> list[int]:
        """Reads that each replica was given, by all workers."""
        pools = [worker["pool"]["replicas"] for worker in self.databases()["workers"].values()]
        return [sum(pool[index]["reads"] for pool in pools) for index in range(len(pools[0]))]

    def all_fit(self) -> bool:
        """Whether every replica is fit."""
        return [one["state"] for one in self.databases()["replica_states"]] == ["up"] * len(self.cluster.replicas)


def connections(who: Rest, count: int) -> Iterator[Rest]:
    """The same user on so many connections, in turn: they are spread over all api workers."""
    them = [who.at(who.url) for _ in range(count)]
    for one in them:
        one.get("/users/me")
    return itertools.cycle(them)


def uncached(who: Rest) -> Any:
    """A read that no cache of the node answers."""
    return who.get(f"/users/username/{who.user['username']}")


def touch(tier: Tier) -> bool:
    tier.sql(f"INSERT INTO systems (name, value) VALUES ('{unique('touched')}', '')")
    return False


def follows(tier: Tier) -> bool:
    return bool(tier.databases()["replica_states"][0]["state"] == "up")


def writes(who: Rest) -> bool:
    name = unique("team")
    return who.call("POST", "/teams", {"name": name, "display_name": name, "type": "O"}).status_code == 201


@contextlib.contextmanager
def running(driver: Driver) -> Iterator[Tier]:
    """A tier whose replicas are fit, of its own servers."""
    with backends.servers(driver, 2) as cluster:
        tier = Tier(cluster)
        with tier.node:
            until(tier.all_fit, what="fit replicas")
            yield tier
