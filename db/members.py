"""Memberships of channels that end or change: SQL of `channel_members` with the head and the events of the channel."""

from db import shards
from db.ids import ChannelId, TeamId, UserId
from db.mysql.tables import NOW_MS as MYSQL_NOW_MS
from db.queryable import Queryable, Transaction
from db.settings import Dialect

_MOVE_HEAD: dict[Dialect, str] = {
    "postgres": "UPDATE channel_heads SET seq = seq + 1, changed_xid = pg_current_xact_id() WHERE channel_id = %s",
    "mysql": f"UPDATE channel_heads SET seq = seq + 1, changed_at = {MYSQL_NOW_MS} WHERE channel_id = %s",  # noqa: S608
}


async def remove(
    tx: Transaction, channel_id: ChannelId, user_id: UserId, now_ms: int, remover_id: UserId
) -> int | None:
    """End a membership in the channel's own order; the number of the recoverable event, None when there was none.

    Must run in a transaction; several channels in the order of their ids.
    """
    head = await tx.fetch_one("SELECT seq FROM channel_heads WHERE channel_id = %s FOR UPDATE", (channel_id,))
    key = (channel_id, user_id)
    gone = await tx.execute(
        "DELETE FROM channel_members WHERE channel_id = %s AND user_id = %s",
        key,
        changes=(shards.channel_members(channel_id), shards.user_channels(user_id), shards.posts(channel_id)),
    )
    if head is None or not gone:
        return None
    await tx.execute("DELETE FROM post_mentions WHERE channel_id = %s AND user_id = %s", key)
    await tx.execute(_MOVE_HEAD[tx.dialect], (channel_id,))
    seq = int(head[0]) + 1
    await tx.execute(
        "INSERT INTO channel_events (channel_id, seq, create_at, kind, ref, payload)"
        " VALUES (%s, %s, %s, 'user_removed', %s, %s)",
        (channel_id, seq, now_ms, user_id, f'{{"remover_id":"{remover_id}"}}'),
    )
    return seq


async def find_channel_ids(db: Queryable, team_id: TeamId, user_id: UserId) -> list[ChannelId]:
    """The channels of a team that a user is a member of, archived ones included, in the order of their ids."""
    rows = await db.fetch(
        "SELECT m.channel_id FROM channel_members m JOIN channels c ON c.id = m.channel_id"
        " WHERE m.user_id = %s AND c.team_id = %s ORDER BY m.channel_id",
        (user_id, team_id),
    )
    return [row[0] for row in rows]


async def set_roles(
    db: Queryable, channel_id: ChannelId, user_id: UserId, roles: str, *, user: bool, admin: bool
) -> bool:
    """Replace what a member is: the roles of the scheme, and those beside it; whether there is such a member."""
    return (
        await db.execute(
            "UPDATE channel_members SET roles = %s, scheme_user = %s, scheme_admin = %s"
            " WHERE channel_id = %s AND user_id = %s",
            (roles, user, admin, channel_id, user_id),
            changes=(shards.channel_members(channel_id), shards.user_channels(user_id)),
        )
        == 1
    )


async def stats(db: Queryable, channel_id: ChannelId) -> tuple[int, int, int]:
    """(members, guests among them, pinned posts)."""
    on = (shards.channel_members(channel_id), shards.posts(channel_id))
    row = await db.fetch_one(
        "SELECT (SELECT count(*) FROM channel_members WHERE channel_id = %s),"
        " (SELECT count(*) FROM channel_members WHERE channel_id = %s AND scheme_guest),"
        " (SELECT count(*) FROM posts WHERE channel_id = %s AND is_pinned AND delete_at = 0)",
        (channel_id, channel_id, channel_id),
        on=on,
    )
    return (int(row[0]), int(row[1]), int(row[2])) if row else (0, 0, 0)
