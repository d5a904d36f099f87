"""The database's clock: the one that all nodes share."""

from db.mysql.tables import NOW_MS as _MYSQL
from db.settings import Dialect

NOW_MS: dict[Dialect, str] = {
    "postgres": "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
    "mysql": _MYSQL,
}
"""Milliseconds since 1970 as an expression of SQL."""
