"""Rows of a statement on a database of either kind, for tests that are not asynchronous."""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg

from db.drivers import Row
from db.drivers.mysql_connection import MySQLConnection
from db.drivers.mysql_dsn import parse
from db.settings import Dialect, PoolSettings


def rows(driver: Dialect, dsn: str, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """The rows; none when the statement gives none."""
    if driver == "mysql":
        return asyncio.run(_of_mysql(dsn, query, parameters))
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


async def _of_mysql(dsn: str, query: str, parameters: Sequence[object]) -> list[Row]:
    connection = await MySQLConnection.open(parse(dsn), PoolSettings(dsn, driver="mysql"))
    try:
        return await connection.fetch(query, parameters)
    finally:
        connection.close()
