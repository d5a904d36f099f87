"""What the pool needs to know, free of any configuration file."""

from dataclasses import dataclass, field
from typing import Literal

Dialect = Literal["postgres", "mysql"]
"""Which SQL a server speaks: the name of its driver. MariaDB's is mysql."""


@dataclass(frozen=True)
class PoolSettings:
    """Connections of one worker process to one database and its replicas.

    dsn: of the master, in the driver's form. replicas: of 0 to 8 replicas.
    max_connections: upper bound of this worker's share of the node's budget, batch connections included.
    max_lifetime_s: a pooled connection is replaced after this long.
    query_timeout_s: a statement that takes longer is cancelled by the server.
    connect_timeout_s: how long a caller waits for a connection before `Unavailable`.
    lag_max_ms: a replica that is further behind serves no reads.
    read_from_master: the master takes its share of the reads that replicas could serve.
    require_synchronous: nothing is written that no copy of the master confirms.
    """

    dsn: str = field(repr=False)
    max_connections: int = 10
    max_idle_connections: int = 2
    max_lifetime_s: float = 3600.0
    query_timeout_s: float = 30.0
    connect_timeout_s: float = 5.0
    application_name: str = "mmnode"
    driver: Dialect = "postgres"
    replicas: tuple[str, ...] = field(default=(), repr=False)
    lag_max_ms: int = 5000
    read_from_master: bool = False
    require_synchronous: bool = False
