"""What the pool needs to know, free of any configuration file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PoolSettings:
    """Connections of one worker process to one database.

    dsn: libpq connection string or URL.
    max_connections: upper bound of this worker's share of the node's budget, batch connections included.
    max_lifetime_s: a pooled connection is replaced after this long.
    query_timeout_s: a statement that takes longer is cancelled by the server.
    connect_timeout_s: how long a caller waits for a connection before `Unavailable`.
    """

    dsn: str
    max_connections: int = 10
    max_idle_connections: int = 2
    max_lifetime_s: float = 3600.0
    query_timeout_s: float = 30.0
    connect_timeout_s: float = 5.0
    application_name: str = "mmnode"
