"""Numbered SQL, run by exactly one of several nodes that start at once; the others wait.

A session advisory lock of the server elects the runner. Each file runs in one transaction together with its row in
`schema_migrations`, so a runner that is killed leaves nothing half done and the next one goes on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TypeVar

import psycopg

from db.drivers import postgres
from db.errors import Unavailable
from db.settings import PoolSettings

log = logging.getLogger(__name__)
T = TypeVar("T")

_LOCK_KEY = 0x6D6D6E6F6465  # "mmnode"
_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    INTEGER PRIMARY KEY,
    name       VARCHAR(128) NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
)
"""
_RETRY_S = 0.1
_SAY_SO_EVERY_S = 5.0


def available() -> list[tuple[int, str, str]]:
    """The migrations of this version: (number, file name, SQL), in order."""
    found = []
    for entry in files("db").joinpath("schema/postgres").iterdir():
        if entry.name.endswith(".sql"):
            found.append((int(entry.name.split("_", 1)[0]), entry.name, entry.read_text(encoding="utf-8")))
    return sorted(found)


def newest() -> int:
    """The schema version that this version of the program needs."""
    return available()[-1][0]


async def run(settings: PoolSettings) -> list[str]:
    """Bring the schema up to date; the names of the migrations that this call applied.

    Waits, and says so in the log, while the database is not there.
    """
    return await _until_reachable(lambda: _run_once(settings))


async def wait(settings: PoolSettings) -> None:
    """Wait until the schema is what this version needs, whoever brings it there."""
    needed = newest()
    while await _until_reachable(lambda: _current(settings)) < needed:
        await asyncio.sleep(_RETRY_S)


async def _until_reachable(attempt: Callable[[], Awaitable[T]]) -> T:
    said_at = -_SAY_SO_EVERY_S
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await attempt()
        except Unavailable as error:
            if loop.time() - said_at >= _SAY_SO_EVERY_S:
                log.warning("waiting for the database", extra={"reason": str(error).strip()})
                said_at = loop.time()
            await asyncio.sleep(_RETRY_S)


async def _run_once(settings: PoolSettings) -> list[str]:
    applied: list[str] = []
    with postgres.translated():
        async with await psycopg.AsyncConnection.connect(
            **{**postgres.connect_arguments(settings.dsn, settings), "options": "-c timezone=UTC"}
        ) as connection:
            await connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK_KEY,))
            await connection.execute(_CREATE_TABLE)
            cursor = await connection.execute("SELECT version FROM schema_migrations")
            done = {row[0] for row in await cursor.fetchall()}
            for version, name, sql in available():
                if version in done:
                    continue
                async with connection.transaction():
                    await connection.execute(sql.encode())
                    await connection.execute(
                        "INSERT INTO schema_migrations (version, name) VALUES (%s, %s)", (version, name)
                    )
                log.info("migration applied", extra={"migration": name})
                applied.append(name)
    return applied


async def _current(settings: PoolSettings) -> int:
    with postgres.translated():
        async with await psycopg.AsyncConnection.connect(
            **postgres.connect_arguments(settings.dsn, settings)
        ) as connection:
            cursor = await connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL")
            row = await cursor.fetchone()
            if row is None or not row[0]:
                return 0
            cursor = await connection.execute("SELECT coalesce(max(version), 0) FROM schema_migrations")
            row = await cursor.fetchone()
            return int(row[0]) if row is not None else 0
