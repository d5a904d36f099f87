"""What is old goes, a batch in each transaction: changes that nobody is told again, sessions that have expired."""

from db.model import shards
from db.model.ids import SessionId
from db.order.clock import NOW_MS
from db.pool.queryable import Transaction


async def events(tx: Transaction, keep_ms: int, limit: int) -> int:
    """Delete changes of channels that are older: those up to the channels' last of the `limit` oldest; how many.

    What goes is everything up to the channel's last row that is old enough, and its head says so in the same
    transaction: whoever stands below `trimmed_seq` is told to fetch anew.
    """
    now_ms = NOW_MS[tx.dialect]
    rows = await tx.fetch(
        "SELECT DISTINCT channel_id FROM (SELECT channel_id FROM channel_events"  # noqa: S608
        f" WHERE create_at < {now_ms} - %s ORDER BY create_at LIMIT %s) oldest ORDER BY channel_id",
        (keep_ms, limit),
    )
    if not rows:
        return 0
    channel_ids = [row[0] for row in rows]
    # As who posts does: heads are locked in order, so nobody waits in a circle.
    await tx.fetch(
        "SELECT channel_id FROM channel_heads WHERE channel_id = ANY(%s) ORDER BY channel_id FOR UPDATE",
        (channel_ids,),
    )
    await tx.execute(
        "UPDATE channel_heads SET trimmed_seq = greatest(trimmed_seq, coalesce((SELECT max(e.seq)"  # noqa: S608
        " FROM channel_events e WHERE e.channel_id = channel_heads.channel_id"
        f" AND e.create_at < {now_ms} - %s), 0)) WHERE channel_id = ANY(%s)",
        (keep_ms, channel_ids),
        changes=[shards.posts(channel_id) for channel_id in channel_ids],
    )
    return await tx.execute(
        "DELETE FROM channel_events WHERE channel_id = ANY(%s) AND seq <="
        " coalesce((SELECT h.trimmed_seq FROM channel_heads h WHERE h.channel_id = channel_events.channel_id),"
        " seq)",
        (channel_ids,),
    )


async def sessions(tx: Transaction, grace_ms: int, limit: int) -> int:
    """Delete up to `limit` sessions that expired longer ago than this, the oldest first; how many."""
    expired = f"expires_at BETWEEN 1 AND {NOW_MS[tx.dialect]} - %s"
    rows = await tx.fetch(
        f"SELECT id FROM sessions WHERE {expired} ORDER BY expires_at LIMIT %s",  # noqa: S608
        (grace_ms, limit),
    )
    session_ids = [SessionId(row[0]) for row in rows]
    if session_ids:
        await tx.execute(
            f"DELETE FROM sessions WHERE id = ANY(%s) AND {expired}",  # noqa: S608
            (session_ids, grace_ms),
            changes=[shards.session(session_id) for session_id in session_ids],
        )
    return len(session_ids)
