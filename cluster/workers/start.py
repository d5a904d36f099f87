"""What the supervisor tells a worker at its start, and what of the node's means is the worker's share."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from app.config.settings import Config
from app.counting import Metrics
from cluster.commands import of_worker
from cluster.host.paths import Paths
from cluster.shm.floors import SharedFloors
from cluster.shm.metricslots import open_slots
from cluster.shm.page import Page
from cluster.shm.stamps import SharedStamps
from db.model.settings import PoolSettings
from db.pool import loader

BATCH_CONNECTIONS = 2
_RELAY_CONNECTIONS = 4


@dataclass(frozen=True)
class Start:
    """What the supervisor tells a worker at its start."""

    config: Config
    data_source: str = field(repr=False)
    replicas: tuple[str, ...] = field(repr=False)
    paths: Paths
    incarnation: int
    workers: int
    ws_workers: int
    keys: tuple[str, ...] = field(default=(), repr=False)
    """Of CURVE, public and secret; the relay's alone, with high availability on."""

    @classmethod
    def of(cls, said: of_worker.Start) -> "Start":
        """From the message."""
        return cls(
            config=said.sources.config,
            data_source=said.sources.data_source,
            replicas=tuple(said.sources.replicas),
            paths=Paths(Path(said.data_dir), Path(said.runtime), said.node_id),
            incarnation=said.incarnation,
            workers=said.workers,
            ws_workers=said.ws_workers,
            keys=tuple(said.keys),
        )

    def pool_settings(self, role: str) -> PoolSettings:
        """This worker's share of the node's connection budget (SqlSettings.MaxOpenConns)."""
        sql = self.config.sql_settings
        share = (sql.max_open_conns - _RELAY_CONNECTIONS) // (self.workers + self.ws_workers)
        most = (
            _RELAY_CONNECTIONS if role == "relay" else max(BATCH_CONNECTIONS + loader.CONNECTIONS + 1, min(share, 20))
        )
        return replace(
            settings_of(self.config),
            dsn=self.data_source,
            max_connections=most,
            max_idle_connections=min(most, max(1, sql.max_idle_conns // (self.workers + self.ws_workers + 1))),
            application_name=f"mmnode {role}",
            replicas=self.replicas,
        )

    def floors(self, name: str) -> SharedFloors:
        """The floors of the node, with the column of the worker of this name."""
        return SharedFloors(self.paths.floors, self._number(name))

    def stamps(self, name: str) -> SharedStamps:
        """The stamps of the node, with the number of the worker of this name."""
        return SharedStamps(self.paths.stamps, self._number(name))

    def page(self, name: str) -> Page:
        """The node page, with the column of the worker of this name."""
        return Page(self.paths.page, writable=True, process=self._number(name))

    def metrics(self, name: str) -> Metrics:
        """What the worker of this name counts with, in its slot of the node's."""
        return Metrics(open_slots(self.paths.metrics)[self._number(name)])

    def names(self) -> list[str]:
        """See `names_of`."""
        return names_of(self.workers, self.ws_workers)

    def _number(self, name: str) -> int:
        """Tells the processes of the node apart."""
        role = name.rstrip("0123456789")
        index = int(name.removeprefix(role) or 0)
        return {"relay": 0, "api": 1, "ws": 1 + self.workers}[role] + index


def names_of(workers: int, ws_workers: int) -> list[str]:
    """The processes of a node in the order of their numbers; the supervisor, which has no number, is the last."""
    return ["relay", *(f"api{one}" for one in range(workers)), *(f"ws{one}" for one in range(ws_workers)), "supervisor"]


def settings_of(config: Config) -> PoolSettings:
    """How to reach the database that the configuration names, with all of its budget."""
    sql = config.sql_settings
    return PoolSettings(
        dsn=sql.data_source,
        max_connections=sql.max_open_conns,
        max_idle_connections=min(sql.max_idle_conns, sql.max_open_conns),
        max_lifetime_s=sql.conn_max_lifetime_milliseconds / 1000,
        query_timeout_s=float(sql.query_timeout),
        driver=sql.driver_name,
        replicas=tuple(sql.data_source_replicas),
        lag_max_ms=sql.replica_lag_max_ms,
        read_from_master=sql.read_from_master,
        require_synchronous=sql.require_synchronous,
    )
