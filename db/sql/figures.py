"""Figures of the installation for its administrators. What grows without end is estimated by the server."""

from typing import Final

from db.model.settings import Dialect
from db.pool.queryable import Queryable

_ESTIMATED: Final[dict[Dialect, str]] = {
    "postgres": "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass(%s)",
    "mysql": "SELECT table_rows FROM information_schema.tables WHERE table_schema = database() AND table_name = %s",
}
_STANDARD: Final = (
    "SELECT (SELECT count(*) FROM channels WHERE type = 'O'),"
    " (SELECT count(*) FROM channels WHERE type = 'P'),"
    " (SELECT count(*) FROM users WHERE delete_at = 0),"
    " (SELECT count(*) FROM users WHERE delete_at <> 0),"
    " (SELECT count(*) FROM teams WHERE delete_at = 0)"
)
_SESSIONS: Final = "SELECT count(*) FROM sessions"


async def standard(db: Queryable) -> dict[str, int]:
    """Mattermost's, in its order; -1 for what no server of many counts."""
    row = await db.fetch_one(_STANDARD)
    opened, private, users, inactive, teams = map(int, row) if row else (0, 0, 0, 0, 0)
    return {
        "channel_open_count": opened,
        "channel_private_count": private,
        "post_count": await estimated(db, "posts"),
        "unique_user_count": users,
        "team_count": teams,
        "total_websocket_connections": -1,
        "total_master_db_connections": -1,
        "total_read_db_connections": -1,
        "daily_active_users": -1,
        "monthly_active_users": -1,
        "inactive_user_count": inactive,
    }


async def sessions(db: Queryable) -> int:
    """How many there are."""
    row = await db.fetch_one(_SESSIONS)
    return int(row[0]) if row else 0


async def estimated(db: Queryable, table: str) -> int:
    """About how many rows a table has, as its server last looked."""
    row = await db.fetch_one(_ESTIMATED[db.dialect], (table,))
    return int(row[0] or 0) if row else 0
