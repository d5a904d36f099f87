"""Numbered SQL, run by exactly one of several nodes that start at once; the others wait.

    files of db/schema/<driver> ──> Driver.migrate ──> PostgreSQL: an advisory lock, a transaction a file
                                                 └───> MySQL: GET_LOCK, a record of each statement, as DDL commits

A runner that is killed leaves nothing half done that the next one would not finish.

Migrations add; one that takes away what earlier versions of the program need says so, in the row `schema_contract` of
`systems`: the newest migration that a program must know to work with the schema. Older programs refuse.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TypeVar

from db.drivers import Migration
from db.model.errors import Deadlock, Refused, Unavailable
from db.model.settings import PoolSettings
from db.pool import systems
from db.pool.generation import driver_of
from db.pool.queryable import Queryable

log = logging.getLogger(__name__)
T = TypeVar("T")

CONTRACT = "schema_contract"
_RETRY_S = 0.1
_SAY_SO_EVERY_S = 5.0


def available(driver: str = "postgres") -> list[Migration]:
    """The migrations of this version for a kind of server, in order."""
    found = []
    for entry in files("db").joinpath(f"schema/{driver}").iterdir():
        if entry.name.endswith(".sql"):
            found.append(Migration(int(entry.name.split("_", 1)[0]), entry.name, entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


def newest(driver: str = "postgres") -> int:
    """The schema version that this version of the program needs."""
    return available(driver)[-1].version


async def run(settings: PoolSettings) -> list[str]:
    """Bring the schema up to date; the names of the migrations that this call applied.

    Waits, and says so in the log, while the database is not there. Raises Refused when waiting is in vain.
    """
    migrations = available(settings.driver)
    return await _until_reachable(lambda: driver_of(settings).migrate(settings, migrations))


class TooOld(Exception):
    """This version of the program is too old for the schema; the text says so to operators."""


async def later_version(db: Queryable) -> int:
    """The schema version of the database if it is later than this program's, which works with it all the same; else 0.

    Raises TooOld when it does not, DatabaseError.
    """
    known = newest(db.dialect)
    row = await db.fetch_one("SELECT coalesce(max(version), 0) FROM schema_migrations")
    there = int(row[0]) if row is not None else 0
    contract = int(await systems.find(db, CONTRACT) or 0)
    if known < contract:
        raise TooOld(
            f"this program knows the schema up to version {known}, and the database, at version {there}, works with"
            f" programs only that know version {contract}: install a newer version of mmnode"
        )
    return there if there > known else 0


async def wait(settings: PoolSettings) -> None:
    """Wait until the schema is what this version needs, whoever brings it there."""
    needed = newest(settings.driver)
    while await version(settings) < needed:
        await asyncio.sleep(_RETRY_S)


async def version(settings: PoolSettings) -> int:
    """The schema version that the database has. Waits while it is not there."""
    return await _until_reachable(lambda: driver_of(settings).schema_version(settings))


async def _until_reachable(attempt: Callable[[], Awaitable[T]]) -> T:
    said_at = -_SAY_SO_EVERY_S
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await attempt()
        except Refused:
            raise
        except (Deadlock, Unavailable) as error:  # nodes that serve meanwhile take tables in other orders
            if loop.time() - said_at >= _SAY_SO_EVERY_S:
                log.warning("waiting for the database", extra={"reason": str(error).strip()})
                said_at = loop.time()
            await asyncio.sleep(_RETRY_S)
