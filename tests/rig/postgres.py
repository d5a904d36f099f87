"""The PostgreSQL server that the tests of a process share: one that never syncs, with a database for each who asks.

A new database is a copy of an empty one, or of one with our schema in it, which is made once.
"""

import asyncio
import atexit
from functools import cache

from db.model.settings import PoolSettings
from db.pool import migrate
from tests.plugins import resources
from tests.rig.pgcluster import PgCluster

_SCHEMA = "with_schema"


class Postgres:
    """A running server."""

    def __init__(self) -> None:
        self._cluster = PgCluster(0)
        self._has_schema = False

    def start(self) -> "Postgres":
        """Start and wait until it takes connections."""
        self._cluster.__enter__()
        return self

    def stop(self) -> None:
        """Stop it in good order, and remove its files."""
        self._cluster.__exit__()

    def new_database(self, *, schema: bool = False) -> str:
        """Connection string of a new database: an empty one, or one with our schema."""
        if not schema:
            return self.dsn(self._cluster.new_database())
        if not self._has_schema:
            asyncio.run(migrate.run(PoolSettings(self.dsn(self._cluster.new_database(_SCHEMA)))))
            self._has_schema = True
        return self.dsn(self._cluster.new_database(template=_SCHEMA))

    def dsn(self, name: str) -> str:
        """Connection string of a database, by its unix socket."""
        return self._cluster.master.socket_dsn(name)

    def execute(self, dsn: str, sql: str) -> None:
        """Run statements as superuser, in the database of this connection string."""
        self._cluster.master.execute(sql, dsn.rpartition("dbname=")[2])


def shared() -> Postgres:
    """The server that the tests of this process share; it ends with it."""
    resources.require("postgres")
    return _shared()


@cache
def _shared() -> Postgres:
    server = Postgres().start()
    atexit.register(server.stop)
    return server
