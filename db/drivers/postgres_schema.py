"""PostgreSQL: running migrations.

A session advisory lock of the server elects the runner. Each file runs in one transaction together with its row in
`schema_migrations`, so a runner that is killed leaves nothing half done and the next one goes on.
"""

import logging
from collections.abc import Sequence
from typing import Any

import psycopg

from db.drivers import Migration

log = logging.getLogger(__name__)

_LOCK_KEY = 0x6D6D6E6F6465  # "mmnode"
_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    INTEGER PRIMARY KEY,
    name       VARCHAR(128) NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
)
"""


async def migrate(connection: psycopg.AsyncConnection[Any], migrations: Sequence[Migration]) -> list[str]:
    """See `Driver`. connection: one whose statements have no time limit."""
    applied: list[str] = []
    await connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK_KEY,))
    await connection.execute(_CREATE_TABLE)
    cursor = await connection.execute("SELECT version FROM schema_migrations")
    done = {row[0] for row in await cursor.fetchall()}
    for migration in migrations:
        if migration.version in done:
            continue
        async with connection.transaction():
            await connection.execute(migration.sql.encode())
            await connection.execute(
                "INSERT INTO schema_migrations (version, name) VALUES (%s, %s)", (migration.version, migration.name)
            )
        log.info("migration applied", extra={"migration": migration.name})
        applied.append(migration.name)
    return applied


async def version(connection: psycopg.AsyncConnection[Any]) -> int:
    """See `Driver.schema_version`."""
    cursor = await connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL")
    row = await cursor.fetchone()
    if row is None or not row[0]:
        return 0
    cursor = await connection.execute("SELECT coalesce(max(version), 0) FROM schema_migrations")
    row = await cursor.fetchone()
    return int(row[0]) if row is not None else 0
