"""Reading channels; see `db/sql/channels.py`."""

from collections.abc import Sequence

from db.drivers.mysql_tables import table_of
from db.model import shards
from db.model.ids import ChannelId, UserId
from db.pool.queryable import Queryable, Transaction


async def view(db: Queryable, user_id: UserId, channel_ids: Sequence[ChannelId]) -> dict[ChannelId, int]:
    """See `db.sql.channels.view`.

    The heads are read without a lock, so that a reader never waits for writers; who has read further meanwhile (by
    writing) is left where they are. The order of the locks is that of the channels, whether the UPDATE begins with the
    heads, as they were read, or with the index of the user's memberships, which goes on by channel.
    """

    async def apply(tx: Transaction) -> dict[ChannelId, int]:
        rows = await tx.fetch(
            "SELECT m.channel_id, h.seq, h.total_msg_count, h.total_msg_count_root,"
            " greatest(m.last_viewed_at, h.last_post_at)"
            " FROM channel_members m JOIN channel_heads h ON h.channel_id = m.channel_id"
            " WHERE m.user_id = %s AND m.channel_id = ANY(%s) ORDER BY m.channel_id",
            (user_id, list(channel_ids)),
        )
        if not rows:
            return {}
        heads = table_of(("channel_id", "seq", "total", "total_root", "viewed_at"), len(rows))
        await tx.execute(
            f"UPDATE channel_members m JOIN {heads} h ON h.channel_id = m.channel_id"  # noqa: S608 (placeholders)
            " SET m.viewed_seq = h.seq, m.msg_count = h.total, m.msg_count_root = h.total_root,"
            " m.last_viewed_at = greatest(m.last_viewed_at, h.viewed_at)"
            " WHERE m.user_id = %s AND m.viewed_seq <= h.seq",
            [*(value for row in rows for value in row), user_id],
            changes=[shards.viewed(channel_id, user_id) for channel_id in channel_ids],
        )
        seen = table_of(("channel_id", "seq"), len(rows))
        await tx.execute(
            f"DELETE x FROM post_mentions x JOIN {seen} h ON h.channel_id = x.channel_id"
            " WHERE x.user_id = %s AND x.seq <= h.seq",
            [*(value for row in rows for value in row[:2]), user_id],
        )
        return {row[0]: row[4] for row in rows}

    return await db.transact(apply)
