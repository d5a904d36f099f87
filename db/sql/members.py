"""Memberships of channels that end or change: SQL of `channel_members` with the head and the events of the channel."""

from collections.abc import Sequence

from db.model import shards
from db.model.ids import ChannelId, TeamId, UserId
from db.model.settings import Dialect
from db.order import changes, locks
from db.order.changes import Change, Place
from db.order.clock import NOW_MS
from db.pool.queryable import Queryable, Transaction


async def remove(tx: Transaction, place: Place, change: Change) -> bool:
    """End the membership of the user whom the change is about, and record it; whether there was one."""
    channel_id, user_id = place.channel_id, change.ref
    key = (channel_id, user_id)
    gone = await tx.execute(
        "DELETE FROM channel_members WHERE channel_id = %s AND user_id = %s",
        key,
        changes=(shards.channel_members(channel_id), shards.user_channels(user_id), shards.posts(channel_id)),
    )
    if not gone:
        return False
    await tx.execute("DELETE FROM post_mentions WHERE channel_id = %s AND user_id = %s", key)
    await changes.record(tx, place, change)
    return True


async def find_channel_ids(db: Queryable, team_id: TeamId, user_id: UserId) -> list[ChannelId]:
    """The channels of a team that a user is a member of, archived ones included, in the order of their ids."""
    rows = await db.fetch(
        "SELECT m.channel_id FROM channel_members m JOIN channels c ON c.id = m.channel_id"
        " WHERE m.user_id = %s AND c.team_id = %s ORDER BY m.channel_id",
        (user_id, team_id),
    )
    return [row[0] for row in rows]


async def set_roles(tx: Transaction, place: Place, user_id: UserId, roles: str, *, user: bool, admin: bool) -> bool:
    """Replace what a member is: the roles of the scheme, and those beside it; whether there is such a member."""
    channel_id = place.channel_id
    return (
        await tx.execute(
            "UPDATE channel_members SET roles = %s, scheme_user = %s, scheme_admin = %s"
            " WHERE channel_id = %s AND user_id = %s",
            (roles, user, admin, channel_id, user_id),
            changes=(shards.channel_members(channel_id), shards.user_channels(user_id)),
        )
        == 1
    )


_MUTED: dict[Dialect, str] = {
    "postgres": "jsonb_set(notify_props::jsonb, '{mark_unread}', to_jsonb(%s::text))::text",
    "mysql": "JSON_SET(notify_props, '$.mark_unread', %s)",
}


async def set_muted(tx: Transaction, user_id: UserId, channel_ids: Sequence[ChannelId], *, muted: bool) -> None:
    """Mute these channels of a user, or let them be heard again.

    Memberships are locked in the order of their channels, as batches of posts lock heads: see `db/order/locks.py`.
    """
    if not channel_ids:
        return
    ids = list(channel_ids)
    await tx.fetch(
        "SELECT channel_id FROM channel_members WHERE user_id = %s AND channel_id = ANY(%s)"  # noqa: S608 (constants)
        f" ORDER BY channel_id {locks.ALONE[tx.dialect]}",
        (user_id, ids),
    )
    await tx.execute(
        f"UPDATE channel_members SET notify_props = {_MUTED[tx.dialect]}, last_update_at = {NOW_MS[tx.dialect]}"  # noqa: S608
        " WHERE user_id = %s AND channel_id = ANY(%s)",
        ("mention" if muted else "all", user_id, ids),
        changes=(shards.user_channels(user_id), *(shards.channel_members(one) for one in ids)),
    )


async def stats(db: Queryable, channel_id: ChannelId) -> tuple[int, int, int]:
    """(members whose accounts are active, guests among them, pinned posts)."""
    on = (shards.channel_members(channel_id), shards.posts(channel_id))
    row = await db.fetch_one(
        "SELECT count(*), coalesce(sum(CASE WHEN m.scheme_guest THEN 1 ELSE 0 END), 0),"
        " (SELECT count(*) FROM posts WHERE channel_id = %s AND is_pinned AND delete_at = 0)"
        " FROM channel_members m JOIN users u ON u.id = m.user_id AND u.delete_at = 0 WHERE m.channel_id = %s",
        (channel_id, channel_id),
        on=on,
    )
    return (int(row[0]), int(row[1]), int(row[2])) if row else (0, 0, 0)
