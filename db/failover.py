"""A planned change of the master, by command (design §4, "failover by hand"): step 0 and the checks.

The old master is closed for writing and its sessions ended, the target replays all of it and is promoted. Whatever goes
wrong before the promotion is undone. Nothing that was acknowledged is lost: a target that lacks some of it is refused.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

from db.drivers import Driver, Facts, Switch
from db.errors import DatabaseError, Unavailable, Wrong
from db.pool import Database
from db.settings import PoolSettings

log = logging.getLogger(__name__)

CATCH_UP_S = 4.0
_POLL_S = 0.05
_LISTED = 10


def _switch_of(database: Database) -> Switch:
    """A process loads only the driver it uses."""
    if database.dialect == "mysql":
        from db.drivers import mysql_failover

        return mysql_failover
    from db.drivers import postgres_failover

    return postgres_failover


async def hand_over(database: Database, to: str, heads: Mapping[str, int], *, force: bool) -> None:
    """Make the server of the connection string `to` the master, and the present one none.

    heads: the newest sequence number known of each channel. force: go on though the old master does not answer, or the
    target lacks something. Raises Unavailable, saying why, when nothing has changed.
    """
    settings, driver = database.settings, database.generation.driver
    switch = _switch_of(database)
    target = await _target(driver, to, settings)
    closed: Facts | None = None
    try:
        closed = await switch.close_for_writing(settings.dsn, settings)
    except Unavailable as error:
        if not force:
            raise Unavailable(f"the present master cannot be closed for writing (--force goes on): {error}") from error
        log.warning("the old master is not closed for writing", extra={"reason": str(error).strip()})
    try:
        if closed is not None and closed.server == target.server and closed.timeline == target.timeline != 0:
            raise Wrong("the target is the present master")
        if closed is not None and not target.writable:
            await _catch_up(driver, to, settings, closed.position)
        missing = await switch.missing(to, settings, heads)
        if missing and not force:
            listed = ", ".join(f"{channel} after {seq}" for channel, seq in missing[:_LISTED])
            raise Unavailable(f"the target lacks posts of {len(missing)} channels (--force goes on): {listed}")
        await switch.promote(to, settings)
    except BaseException:
        if closed is not None:
            with suppress(DatabaseError):
                await switch.open_for_writing(settings.dsn, settings)
        raise


async def _target(driver: Driver, to: str, settings: PoolSettings) -> Facts:
    try:
        return await driver.ask(to, settings)
    except DatabaseError as error:
        raise Unavailable(f"the target cannot be used: {error}") from error


async def _catch_up(driver: Driver, to: str, settings: PoolSettings, position: int) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CATCH_UP_S
    while (behind := position - (await driver.ask(to, settings)).position) > 0:
        if loop.time() >= deadline:
            raise Unavailable(f"the target has not replayed all of the present master ({behind} to go)")
        await asyncio.sleep(_POLL_S)
