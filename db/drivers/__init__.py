"""What is particular to one database server; no other folder imports a driver package.

mysql.py              MySQL and MariaDB: a pool, what a server says of itself
mysql_connection.py   MySQL and MariaDB: one connection
mysql_dsn.py          MySQL and MariaDB: connection strings
mysql_failover.py     MySQL and MariaDB: closing a master for writing, promoting a replica
mysql_schema.py       MySQL and MariaDB: running migrations
mysql_tables.py       MySQL and MariaDB: rows as a table inside a statement, the clock
mysql_text.py         MySQL and MariaDB: statements with their parameters as text, errors
pipeline.py           PostgreSQL: a connection that sends a whole transaction at once
postgres.py           PostgreSQL: psycopg and its pool, errors, what a server says of itself
postgres_dsn.py       PostgreSQL: connection strings
postgres_failover.py  PostgreSQL: closing a master for writing, promoting a replica
postgres_raw.py       PostgreSQL: what a connection of ours is beside psycopg's
postgres_schema.py    PostgreSQL: running migrations
postgres_session.py   PostgreSQL: what a session is set to, and poolers that would share it
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol
from zlib import crc32

from db.model.board import Term
from db.model.settings import PoolSettings

Row = tuple[Any, ...]
Parameters = Sequence[object]


@dataclass(frozen=True)
class Facts:
    """What a server says of itself.

    server: tells physical servers (MySQL) or clusters (PostgreSQL: the system identifier) apart. timeline: grows with
    each promotion where the server counts them, else 0. writable: it takes writes. position: a number that grows with
    its log: how far it has written (master) or replayed (replica). marker: the row `db_generation` of `systems`, ''
    when there is none. cluster_id: the row `cluster_id`, ''. synchronous: a commit waits for a copy of the server, None
    when it is not set up so; False: it is, and does not. instance: tells running servers apart, whatever they hold.
    """

    server: str
    timeline: int
    writable: bool
    position: int
    marker: str
    cluster_id: str
    synchronous: bool | None = None
    instance: str = ""

    @property
    def who(self) -> str:
        """As the mark of a term names the server."""
        return f"{self.server}/{self.timeline}"

    @property
    def term(self) -> Term:
        """The reign under which it takes writes; without meaning for a replica.

        A mark that names another server is a copy of its predecessor's: what it writes is of the next term, which the
        mark will have that the prober is about to write (decision 0020).
        """
        number, _, who = self.marker.partition(" ")
        counted = int(number) if number.isdigit() else 0
        return Term(counted + (who != self.who), self.timeline or crc32(self.server.encode()))


@dataclass(frozen=True)
class Migration:
    """A numbered file of `db/schema`."""

    version: int
    name: str
    sql: str


class Connection(Protocol):
    """One connection, checked out. Methods raise the errors of `db/model/errors.py` only."""

    @property
    def term(self) -> Term:
        """Of the master that it leads to, as it was when the connection was made; the lowest one of a replica."""

    async def fetch(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Run a statement; its rows."""

    async def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement; how many rows it touched."""

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """BEGIN … COMMIT around a block, ROLLBACK when it raises."""

    def abandon(self) -> None:
        """Let whatever waits for the server fail now with ConnectionLost: the server may be frozen, or cut off."""


class Server(Protocol):
    """A pool of connections to one server."""

    async def open(self) -> None:
        """Start; connections are made behind it and on demand."""

    async def close(self, *, at_once: bool = False) -> None:
        """Close idle connections now, those in use when they are given back, after 10 s at the latest.

        at_once: those in use now, too: what they do fails with ConnectionLost.
        """

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Check one out. Raises Unavailable when none is to be had in time."""

    def usage(self) -> dict[str, int]:
        """Figures for operators: `open`, `in_use`, `waiting`."""


class Driver(Protocol):
    """What the pool needs of a kind of database server."""

    name: str

    def server(
        self, dsn: str, settings: PoolSettings, size: int, check: Callable[[Facts], None] | None = None
    ) -> Server:
        """A closed pool of at most `size` connections. check: raises for a new connection that must not be used."""

    async def ask(self, dsn: str, settings: PoolSettings, check: Callable[[Facts], None] | None = None) -> Facts:
        """Facts by a connection of its own, which is closed again. Raises Unavailable with the server's words."""

    def hosts(self, dsn: str) -> list[tuple[str, str]]:
        """(name, connection string) of each host of a string that names several; [] for any other."""

    async def facts(self, connection: Connection) -> Facts:
        """What the server says of itself."""

    async def position(self, connection: Connection) -> int:
        """How far the master's log is written: at least as far as what this connection committed."""

    async def confirm(self, connection: Connection) -> None:
        """Make sure that a copy of the server has what this connection committed (SqlSettings.RequireSynchronous).

        Raises ConnectionLost when none has: the outcome is unknown, because a failover may lose it.
        """

    async def nudge(self, connection: Connection) -> None:
        """Commit something: a server that has ceased to wait for replicas learns by that only that one is back."""

    async def migrate(self, settings: PoolSettings, migrations: Sequence[Migration]) -> list[str]:
        """Apply, in order, those that the database has not; their names. Waits while another node does so."""

    async def schema_version(self, settings: PoolSettings) -> int:
        """The newest migration that is applied; 0 when there is none."""


class Switch(Protocol):
    """What a planned change of the master needs of a kind of database server. All raise Unavailable."""

    async def close_for_writing(self, dsn: str, settings: PoolSettings) -> Facts:
        """Let no session of ours write any more; what the master says of itself then."""

    async def open_for_writing(self, dsn: str, settings: PoolSettings) -> None:
        """Undo `close_for_writing`."""

    async def promote(self, dsn: str, settings: PoolSettings) -> None:
        """Make the server a master that takes writes."""

    async def missing(self, dsn: str, settings: PoolSettings, heads: Mapping[str, int]) -> list[tuple[str, int]]:
        """(channel, its last sequence number there) for each of `heads` that the server has not come to."""
