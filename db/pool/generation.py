"""The connections of one configuration: a pool to the master, one to each replica. A recycle replaces all at once."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from db.drivers import Driver, Facts, Server
from db.model.board import Board, Seen, boottime_ns, fingerprint
from db.model.errors import ConnectionLost, DatabaseError, StatementFailed, Unavailable, Wrong
from db.model.settings import PoolSettings
from db.pool.routing import Router

REPLICA_CONNECT_S = 1.0


def driver_of(settings: PoolSettings) -> Driver:
    """The driver that these settings name. A process loads only the one it uses."""
    if settings.driver == "mysql":
        from db.drivers import mysql

        return mysql.DRIVER
    from db.drivers import postgres

    return postgres.DRIVER


class Generation:
    """size: connections to the master at most; each replica may have as many. check: of new ones to the master."""

    def __init__(self, settings: PoolSettings, size: int, check: Callable[[Facts], None], board: Board) -> None:
        self.settings = settings
        self.driver = driver_of(settings)
        self.master: Server = self.driver.server(settings.dsn, settings, size, check)
        self._board = board
        self._fingerprint = fingerprint(settings.replicas)
        # A replica that is hard to reach is no help: the next one, or the master, is asked instead.
        for_replicas = replace(
            settings,
            connect_timeout_s=REPLICA_CONNECT_S,
            max_idle_connections=max(1, settings.max_idle_connections // max(1, len(settings.replicas))),
        )
        self.replicas: list[Server] = [
            self.driver.server(dsn, for_replicas, size, partial(self._check_replica, index))
            for index, dsn in enumerate(settings.replicas)
        ]
        self.router = Router(
            len(settings.replicas), lag_max_ms=settings.lag_max_ms, read_from_master=settings.read_from_master
        )

    def _check_replica(self, index: int, facts: Facts) -> None:
        """A server that has started anew may be further back than when it was probed; its old connections are gone."""
        if self._board.servers() == self._fingerprint and facts.position < self._board.replica(index).replayed:
            raise ConnectionLost("the replica has lost what it had replayed")

    async def open(self) -> None:
        """Start all pools."""
        for server in (self.master, *self.replicas):
            await server.open()

    async def close(self, *, at_once: bool = False) -> None:
        """Close all pools; connections in use when their work is done, or at once."""
        for server in (self.master, *self.replicas):
            await server.close(at_once=at_once)

    def choose(self, floor: int) -> tuple[int, int] | None:
        """(index, position) of a replica that may serve a read with this floor; None: the master is to serve it.

        None also while the board speaks of other replicas, or of those of a former master: the prober is not as far as
        this process, or further.
        """
        if self._board.servers() != self._fingerprint or self._board.met() != self._board.term():
            return None
        seen = self._seen()
        index = self.router.choose(floor, seen, boottime_ns())
        return None if index is None else (index, seen[index].replayed)

    def all_fit(self) -> bool:
        """Whether every replica may be read now."""
        now_ns = boottime_ns()
        return self._board.servers() == self._fingerprint and all(
            self.router.fit(index, seen, now_ns) for index, seen in enumerate(self._seen())
        )

    def _seen(self) -> list[Seen]:
        return [self._board.replica(index) for index in range(len(self.replicas))]

    def has_reached(self, index: int, position: int) -> bool:
        """Whether the board still says that a replica is so far. Connections are compared with the board when made."""
        return self._board.replica(index).replayed >= position


async def verify(settings: PoolSettings, cluster_id: str, check: Callable[[Facts], None]) -> None:
    """Make sure that these settings lead to this installation. Raises Unavailable, saying what is wrong.

    cluster_id: the installation's, '' when it is not known yet. check: as for every connection to the master. A
    replica that does not answer, or does not know yet, is no reason to refuse: it serves when the prober finds it fit.
    One that answers for another installation is.
    """
    driver = driver_of(settings)
    try:
        facts = await driver.ask(settings.dsn, settings, check)
    except StatementFailed as error:  # there is no table of ours in it
        raise Wrong("SqlSettings.DataSource: the database is not that of this installation") from error
    except DatabaseError as error:
        raise Unavailable(f"SqlSettings.DataSource: {error}") from error
    if not facts.cluster_id or (cluster_id and facts.cluster_id != cluster_id):
        raise Wrong("SqlSettings.DataSource: the database is not that of this installation")
    for index, dsn in enumerate(settings.replicas):
        try:
            replica = await driver.ask(dsn, settings)
        except DatabaseError:  # not there, or its recovery has just ended the statement
            continue
        if replica.cluster_id not in ("", facts.cluster_id):  # '': it is so far behind that it does not know yet
            raise Wrong(f"SqlSettings.DataSourceReplicas[{index}]: the database is not that of this installation")
