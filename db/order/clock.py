"""The database's clock: the one that all nodes share."""

from db.drivers.mysql_tables import NOW_MS as _MYSQL
from db.model.settings import Dialect
from db.pool.queryable import Queryable

NOW_MS: dict[Dialect, str] = {
    "postgres": "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
    "mysql": _MYSQL,
}
"""Milliseconds since 1970 as an expression of SQL."""


async def now_ms(db: Queryable) -> int:
    """Milliseconds since 1970: for times that are compared with those that other nodes wrote."""
    row = await db.fetch_one(f"SELECT {NOW_MS[db.dialect]}")
    assert row is not None
    return int(row[0])
