"""MySQL and MariaDB: closing a master for writing, promoting a replica, what a replica lacks.

`read_only` binds accounts without privileges only, so the node's account should have none, and then it cannot set it:
an operator does both ends (read_only on the old master, the promotion of the new one), and what is here makes sure that
it was done, and ends the sessions. An account that may do it has it done.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from db.drivers import Facts
from db.drivers.mysql import DRIVER, read_dsn
from db.drivers.mysql_connection import MySQLConnection
from db.model.errors import DatabaseError, StatementFailed, Unavailable
from db.model.settings import PoolSettings

_STUCK_S = 0.3


@asynccontextmanager
async def _connection(dsn: str, settings: PoolSettings) -> AsyncIterator[MySQLConnection]:
    connection = await MySQLConnection.open(read_dsn(dsn), settings)
    try:
        yield connection
    finally:
        connection.close()


async def close_for_writing(dsn: str, settings: PoolSettings) -> Facts:
    """See `Switch`. Every session of our account is ended, those that hold a transaction open included."""
    async with _connection(dsn, settings) as connection, _connection(dsn, settings) as closer:
        spared = [int((await one.fetch("SELECT connection_id()"))[0][0]) for one in (connection, closer)]
        if (await DRIVER.facts(connection)).writable:
            closing = asyncio.create_task(
                _as_admin(closer, "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 1 on the present master")
            )
            try:
                # It waits for the statements under way: for one that waits for the lock of a transaction whose next
                # statement it keeps waiting itself, until that lock's timeout, unless we end them.
                while not (await asyncio.wait([closing], timeout=_STUCK_S))[0]:
                    await _end_sessions(connection, spared)
            finally:
                closing.cancel()
            await closing
        await _end_sessions(connection, spared)
        return await DRIVER.facts(connection)


async def _end_sessions(connection: MySQLConnection, spared: Sequence[int]) -> None:
    rows = await connection.fetch(
        "SELECT id FROM information_schema.processlist WHERE user = substring_index(user(), '@', 1)"
    )
    for (session,) in rows:
        if session in spared:
            continue
        try:
            await connection.execute(f"KILL {int(session)}")
        except StatementFailed:  # it has ended by itself
            continue


async def open_for_writing(dsn: str, settings: PoolSettings) -> None:
    """See `Switch`."""
    async with _connection(dsn, settings) as connection:
        await _as_admin(connection, "SET GLOBAL read_only = 0", "SET GLOBAL read_only = 0 on the present master")


async def promote(dsn: str, settings: PoolSettings) -> None:
    """See `Switch`. Nothing to do when the server takes writes."""
    async with _connection(dsn, settings) as connection:
        if (await DRIVER.facts(connection)).writable:
            return
        word = "SLAVE" if connection.mariadb else "REPLICA"
        for statement in (f"STOP {word}", f"RESET {word} ALL", "SET GLOBAL read_only = 0"):
            await _as_admin(connection, statement, f"STOP {word}; RESET {word} ALL; SET GLOBAL read_only = 0 there")


async def _as_admin(connection: MySQLConnection, statement: str, by_hand: str) -> None:
    try:
        await connection.execute(statement)
    except DatabaseError as error:
        raise Unavailable(f"our account may not do it ({error}); do it yourself and try again: {by_hand}") from error


async def missing(dsn: str, settings: PoolSettings, heads: Mapping[str, int]) -> list[tuple[str, int]]:
    """See `Switch`."""
    if not heads:
        return []
    async with _connection(dsn, settings) as connection:
        try:
            rows = await connection.fetch(
                "SELECT channel_id, seq FROM channel_heads WHERE channel_id = ANY(%s)", (list(heads),)
            )
        except StatementFailed as error:
            raise Unavailable(f"the target is not of this installation: {error}") from error
    there: dict[str, int] = {row[0]: row[1] for row in rows}
    return sorted((channel, there.get(channel, 0)) for channel, seq in heads.items() if there.get(channel, 0) < seq)
