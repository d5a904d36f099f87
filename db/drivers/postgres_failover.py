"""PostgreSQL: closing a master for writing, promoting a replica, what a replica lacks.

None of it needs a superuser, but `pg_promote`, whose execution can be granted to our role.
"""

from collections.abc import Mapping

import psycopg
from psycopg import sql

from db.drivers import Facts
from db.drivers.postgres import DRIVER, PostgresConnection, connect, translated
from db.model.errors import StatementFailed, Unavailable
from db.model.settings import PoolSettings

_PROMOTE_S = 10
_CLOSE = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on")
_OPEN = sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only")


async def close_for_writing(dsn: str, settings: PoolSettings) -> Facts:
    """No session of ours, old or new, can write any more; what the server says of itself then."""
    async with await connect(dsn, settings) as raw:
        with translated():
            connection = PostgresConnection(raw)
            if not (await DRIVER.facts(connection)).writable:
                raise Unavailable("it takes no writes already, so it is not the master")
            await raw.execute(_CLOSE.format(sql.Identifier(raw.info.dbname)))
            await raw.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
            )
            return await DRIVER.facts(connection)


async def open_for_writing(dsn: str, settings: PoolSettings) -> None:
    """Undo `close_for_writing`; also needed on its heir, which has replayed it."""
    async with await connect(dsn, settings) as raw:
        with translated():
            await raw.execute("SET default_transaction_read_only = off")
            await raw.execute(_OPEN.format(sql.Identifier(raw.info.dbname)))


async def promote(dsn: str, settings: PoolSettings) -> None:
    """Make the server a master that can be written to; nothing to do when it is one. Raises Unavailable."""
    async with await connect(dsn, settings) as raw:
        with translated():
            cursor = await raw.execute("SELECT pg_is_in_recovery()")
            row = await cursor.fetchone()
            if row is not None and row[0]:
                try:
                    await raw.execute("SELECT pg_promote(true, %s)", (_PROMOTE_S,))
                except psycopg.Error as error:
                    raise Unavailable(
                        f"the target cannot be promoted: {error}; promote it yourself, or GRANT EXECUTE ON FUNCTION"
                        " pg_promote TO the role of SqlSettings.DataSource"
                    ) from error
    await open_for_writing(dsn, settings)


async def missing(dsn: str, settings: PoolSettings, heads: Mapping[str, int]) -> list[tuple[str, int]]:
    """(channel, its last sequence number here) for each of `heads` that this server has not come to."""
    if not heads:
        return []
    async with await connect(dsn, settings) as raw:
        try:
            rows = await PostgresConnection(raw).fetch(
                "SELECT w.id, coalesce(h.seq, 0) FROM unnest(%s::text[], %s::bigint[]) w(id, seq)"
                " LEFT JOIN channel_heads h ON h.channel_id = w.id WHERE coalesce(h.seq, 0) < w.seq ORDER BY w.id",
                (list(heads), list(heads.values())),
            )
        except StatementFailed as error:
            raise Unavailable(f"the target is not of this installation: {error}") from error
        return [(row[0], row[1]) for row in rows]
