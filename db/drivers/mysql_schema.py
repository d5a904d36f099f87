"""MySQL and MariaDB: running migrations.

GET_LOCK elects the runner; it is lost with the connection. DDL commits by itself, so a file is a list of statements
that are harmless when run again, and each one that is done is recorded: a runner that is killed between any two is
taken over from there.

The lock is one server's: nodes must migrate by the same server, the master, as they do.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from db.drivers import Migration
from db.drivers.mysql_connection import MySQLConnection
from db.drivers.mysql_dsn import Dsn
from db.model.errors import StatementFailed
from db.model.settings import PoolSettings

log = logging.getLogger(__name__)

_LOCK = "concat('mmnode_migrate_', sha1(database()))"
_LOCK_WAIT_S = 10
_NO_LIMIT_S = 86_400.0
_COLUMN_IS_THERE = "42S21"
"""MySQL has no ADD COLUMN IF NOT EXISTS: a statement that adds columns was run before if they are there."""
_INDEX_IS_THERE = "(1061)"
"""The same of CREATE INDEX: that error has a number of its own, but no SQLSTATE."""
_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version    INTEGER PRIMARY KEY,
        name       VARCHAR(128) NOT NULL,
        applied_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
    ) ENGINE = InnoDB CHARACTER SET utf8mb4
    """,
    """
    CREATE TABLE IF NOT EXISTS schema_migration_steps (
        version INTEGER NOT NULL,
        step    INTEGER NOT NULL,
        PRIMARY KEY (version, step)
    ) ENGINE = InnoDB
    """,
)


async def migrate(dsn: Dsn, settings: PoolSettings, migrations: Sequence[Migration]) -> list[str]:
    """See `Driver`."""
    applied: list[str] = []
    connection = await MySQLConnection.open(dsn, replace(settings, query_timeout_s=_NO_LIMIT_S))
    try:
        while await connection.fetch(f"SELECT get_lock({_LOCK}, {_LOCK_WAIT_S})") != [(1,)]:
            log.info("another node brings the schema up to date")
        for table in _TABLES:
            await connection.execute(table)
        done = {row[0] for row in await connection.fetch("SELECT version FROM schema_migrations")}
        for migration in migrations:
            if migration.version in done:
                continue
            await _apply(connection, migration)
            log.info("migration applied", extra={"migration": migration.name})
            applied.append(migration.name)
    finally:
        connection.close()
    return applied


async def _apply(connection: MySQLConnection, migration: Migration) -> None:
    rows = await connection.fetch("SELECT step FROM schema_migration_steps WHERE version = %s", (migration.version,))
    done = {row[0] for row in rows}
    for step, statement in enumerate(statements(migration.sql)):
        if step in done:
            continue
        try:
            await connection.execute(statement.replace("{collation}", connection.collation))
        except StatementFailed as error:
            if error.sqlstate != _COLUMN_IS_THERE and not str(error).endswith(_INDEX_IS_THERE):
                raise
        await connection.execute(
            "INSERT INTO schema_migration_steps (version, step) VALUES (%s, %s)", (migration.version, step)
        )
    await connection.execute(
        "INSERT INTO schema_migrations (version, name) VALUES (%s, %s)", (migration.version, migration.name)
    )


def statements(sql: str) -> list[str]:
    """The statements of a file; each ends with a semicolon at the end of a line. One may have no more than comments."""
    parts = (part.strip() for part in (sql + "\n").split(";\n"))
    return [one for one in parts if any(line and not line.startswith("--") for line in one.splitlines())]


async def version(dsn: Dsn, settings: PoolSettings) -> int:
    """See `Driver.schema_version`."""
    connection = await MySQLConnection.open(dsn, settings)
    try:
        there = await connection.fetch(
            "SELECT 1 FROM information_schema.tables"
            " WHERE table_schema = database() AND table_name = 'schema_migrations'"
        )
        if not there:
            return 0
        return int((await connection.fetch("SELECT coalesce(max(version), 0) FROM schema_migrations"))[0][0])
    finally:
        connection.close()
