"""Changes of presence; see `db/sql/statuses.py`."""

from collections.abc import Sequence

from db.model import shards
from db.model.ids import UserId
from db.pool.queryable import Queryable, Transaction

_UPSERT = """
INSERT INTO statuses (user_id, status, last_activity_at) VALUES %s ON DUPLICATE KEY UPDATE
    last_activity_at = IF("manual", last_activity_at, greatest(last_activity_at, VALUES(last_activity_at))),
    status = IF("manual", status, VALUES(status))
"""


async def apply_automatic(db: Queryable, changes: Sequence[tuple[UserId, str, int]]) -> list[tuple[UserId, str]]:
    """See `db.sql.statuses.apply_automatic`."""
    if not changes:
        return []

    async def apply(tx: Transaction) -> list[tuple[UserId, str]]:
        rows = await tx.fetch(
            'SELECT user_id, status, "manual" FROM statuses WHERE user_id = ANY(%s) ORDER BY user_id FOR UPDATE',
            ([user_id for user_id, _, _ in changes],),
        )
        stored = {user_id: (status, manual) for user_id, status, manual in rows}
        ended = await tx.fetch(
            "SELECT id FROM users WHERE id = ANY(%s) AND delete_at <> 0", ([user_id for user_id, _, _ in changes],)
        )
        deactivated = {row[0] for row in ended}
        due = [
            (user_id, status, at)
            for user_id, status, at in sorted(changes)
            if (user_id not in stored or (stored[user_id][0] != status and not stored[user_id][1]))
            and (status == "offline" or user_id not in deactivated)
        ]
        if due:
            # A row that was not there to be locked may be there now, and chosen by its user.
            await tx.execute(
                _UPSERT % ", ".join(["(%s, %s, %s)"] * len(due)),
                [value for change in due for value in change],
                changes=[shards.status(user_id) for user_id, _, _ in due],
            )
        return [(user_id, status) for user_id, status, _ in due]

    return await db.transact(apply)


async def set_by_user(
    db: Queryable, user_id: UserId, status: str, now_ms: int, *, manual: bool, dnd_end_time: int
) -> bool:
    """See `db.sql.statuses.set_by_user`."""

    async def apply(tx: Transaction) -> bool:
        row = await tx.fetch_one(
            'SELECT status, "manual", dnd_end_time FROM statuses WHERE user_id = %s FOR UPDATE', (user_id,)
        )
        if row == (status, manual, dnd_end_time):
            return False
        await tx.execute(
            'INSERT INTO statuses (user_id, status, "manual", last_activity_at, dnd_end_time)'
            " VALUES (%s, %s, %s, %s, %s) ON DUPLICATE KEY UPDATE prev_status = status, status = VALUES(status),"
            ' "manual" = VALUES("manual"), last_activity_at = VALUES(last_activity_at),'
            " dnd_end_time = VALUES(dnd_end_time)",
            (user_id, status, manual, now_ms, dnd_end_time),
            changes=(shards.status(user_id),),
        )
        return True

    return await db.transact(apply)


async def set_offline_except(db: Queryable, connected: Sequence[UserId]) -> list[UserId]:
    """See `db.sql.statuses.set_offline_except`."""

    async def apply(tx: Transaction) -> list[UserId]:
        rows = await tx.fetch(
            "SELECT user_id FROM statuses WHERE status <> 'offline' AND NOT \"manual\""
            " AND user_id <> ALL(%s) ORDER BY user_id FOR UPDATE",
            (list(connected),),
        )
        found = [row[0] for row in rows]
        if found:
            await tx.execute(
                "UPDATE statuses SET status = 'offline' WHERE user_id = ANY(%s)",
                (found,),
                changes=[shards.status(user_id) for user_id in found],
            )
        return found

    return await db.transact(apply)
