"""A change of the master by an operator (design §4, "failover by hand"): step 0 and the checks.

The old master is closed for writing and its sessions ended, the target replays all of it and is promoted. Whatever goes
wrong before the promotion is undone. Nothing that was acknowledged is lost: a target that lacks some of it is refused.
While this goes on no node writes or acknowledges (`cluster/node/switch.py`).
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from db.drivers import Driver, Facts, Switch
from db.model.board import Term
from db.model.errors import DatabaseError, StatementFailed, Unavailable, Wrong
from db.model.settings import PoolSettings
from db.pool.pool import Database

log = logging.getLogger(__name__)

CATCH_UP_S = 4.0
CLOSE_S = 3.0
"""A master that does not answer for so long is frozen, or cut off."""
_POLL_S = 0.05
_LISTED = 10


def _switch_of(database: Database) -> Switch:
    """A process loads only the driver it uses."""
    if database.dialect == "mysql":
        from db.drivers import mysql_failover

        return mysql_failover
    from db.drivers import postgres_failover

    return postgres_failover


async def is_later(database: Database, dsn: str) -> bool:
    """Whether the server of this connection string is another master than the present one, of a later term.

    Raises Unavailable when it cannot be asked.
    """
    try:
        facts = await database.generation.driver.ask(dsn, database.settings)
    except StatementFailed:  # it has no table of ours: who verifies it says so
        return False
    except DatabaseError as error:
        raise Unavailable(f"SqlSettings.DataSource: {error}") from error
    return facts.writable and Term() < database.board.term() < facts.term


async def hand_over(
    database: Database, to: str, heads: Mapping[str, int], *, force: bool, promote: bool = True, closed: bool = False
) -> None:
    """Make the server of the connection string `to` the master, and the present one none.

    heads: the newest sequence number known of each channel. force: go on though the old master does not answer, or the
    target lacks something. promote: else the target must take writes already, and the old master need not answer.
    closed: another node has closed it. Raises Unavailable, saying why, when nothing has changed.
    """
    settings, driver = database.settings, database.generation.driver
    switch = _switch_of(database)
    target = await _target(driver, to, settings)
    if not promote and not target.writable:
        raise Unavailable("the server takes no writes")
    old: Facts | None = None
    if not closed:
        try:
            old = await _close(switch, driver, settings, target)
        except Wrong:
            raise
        except Unavailable as error:
            if not force and (promote or not isinstance(error, Unreachable)):
                raise type(error)(
                    f"the present master cannot be closed for writing (--force goes on): {error}"
                ) from error
            log.warning("the old master is not closed for writing", extra={"reason": str(error).strip()})
    try:
        if old is not None and not target.writable:
            await _catch_up(driver, to, settings, old.position)
        missing = await switch.missing(to, settings, heads)
        if missing and not force:
            listed = ", ".join(f"{channel} after {seq}" for channel, seq in missing[:_LISTED])
            raise Unavailable(f"the target lacks posts of {len(missing)} channels (--force goes on): {listed}")
        if promote:
            await switch.promote(to, settings)
    except BaseException:
        if old is not None and old.writable:
            with suppress(DatabaseError):
                await switch.open_for_writing(settings.dsn, settings)
        raise


class Unreachable(Unavailable):
    """The old master does not answer."""


async def close(database: Database) -> None:
    """Close the present master for writing, for another node that does not reach it. Raises Unavailable."""
    await _close(_switch_of(database), database.generation.driver, database.settings, None)


async def _close(switch: Switch, driver: Driver, settings: PoolSettings, target: Facts | None) -> Facts:
    """What it said of itself; `writable`: it was open before. It is left alone when it is the target."""
    soon = replace(settings, connect_timeout_s=min(settings.connect_timeout_s, 2.0))

    async def work() -> Facts:
        try:
            before = await driver.ask(settings.dsn, soon)
        except DatabaseError as error:
            raise Unreachable(str(error)) from error
        if target is not None and before.who == target.who:
            raise Wrong("the target is the present master")
        if not before.writable and settings.driver != "mysql":
            return before  # it is no master any more
        return replace(await switch.close_for_writing(settings.dsn, soon), writable=True)

    task = asyncio.ensure_future(work())
    done, _ = await asyncio.wait({task}, timeout=CLOSE_S)
    if not done:
        task.cancel()  # and nobody waits for that: it may take as long as the server does
        raise Unreachable("it does not answer")
    return task.result()


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
