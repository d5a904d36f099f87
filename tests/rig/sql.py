"""Rows of a statement on a database of either kind, for tests that are not asynchronous."""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg

from db.drivers import Row
from db.drivers.mysql_connection import MySQLConnection
from db.drivers.mysql_dsn import parse
from db.model.settings import Dialect, PoolSettings


def rows(driver: Dialect, dsn: str, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """The rows; none when the statement gives none."""
    if driver == "mysql":
        return asyncio.run(_on_mysql(dsn, (query, parameters)))
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def script(dsn: str, statements: Sequence[str]) -> None:
    """Run statements on a MySQL database, all on one connection."""
    asyncio.run(_on_mysql(dsn, *((statement, ()) for statement in statements)))


async def _on_mysql(dsn: str, *statements: tuple[str, Sequence[object]]) -> list[Row]:
    """The rows of the last one."""
    connection = await MySQLConnection.open(parse(dsn), PoolSettings(dsn, driver="mysql"))
    try:
        found: list[Row] = []
        for query, parameters in statements:
            found = await connection.fetch(query, parameters)
        return found
    finally:
        connection.close()
