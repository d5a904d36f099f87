"""Online, away, do not disturb, offline: SQL of the table `statuses`. A user without a row is offline."""

from collections.abc import Sequence

from db.model import shards
from db.model.entities import Status
from db.model.ids import UserId
from db.model.tables import STATUSES
from db.order import locks
from db.pool.queryable import Queryable, Transaction
from db.sql.mysql import statuses as mysql

_SELECT = f"SELECT {STATUSES.names()} FROM statuses"  # noqa: S608 (a constant)


async def find_many(db: Queryable, user_ids: Sequence[UserId]) -> list[Status]:
    """The rows of these users."""
    rows = await db.fetch(
        f"{_SELECT} WHERE user_id = ANY(%s)", (list(user_ids),), on=[shards.status(one) for one in user_ids]
    )
    return [Status(*row) for row in rows]


async def find_present(db: Queryable, limit: int) -> list[Status]:
    """Up to `limit` users who are not offline."""
    rows = await db.fetch(f"{_SELECT} WHERE status <> 'offline' LIMIT %s", (limit,))
    return [Status(*row) for row in rows]


async def apply_automatic(db: Queryable, changes: Sequence[tuple[UserId, str, int]]) -> list[tuple[UserId, str]]:
    """Store (user, status, last activity) as connections come and go; those whose status did change.

    A status that the user chose (`manual`) stays. Whose account is deactivated is offline, whatever is said.
    """
    if db.dialect == "mysql":
        return await mysql.apply_automatic(db, changes)
    rows = await db.write(
        "INSERT INTO statuses AS s (user_id, status, last_activity_at)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[]) c (user_id, status, at)"
        " WHERE c.status = 'offline'"
        " OR NOT EXISTS (SELECT 1 FROM users u WHERE u.id = c.user_id AND u.delete_at <> 0)"
        " ON CONFLICT (user_id) DO UPDATE SET status = excluded.status,"
        " last_activity_at = greatest(s.last_activity_at, excluded.last_activity_at)"
        " WHERE NOT s.manual AND s.status <> excluded.status RETURNING user_id, status",
        ([c[0] for c in changes], [c[1] for c in changes], [c[2] for c in changes]),
        changes=[shards.status(user_id) for user_id, _, _ in changes],
    )
    return [(row[0], row[1]) for row in rows]


async def set_by_user(
    db: Queryable, user_id: UserId, status: str, now_ms: int, *, manual: bool, dnd_end_time: int = 0
) -> bool:
    """Store what the user chose; whether anything changed. `manual`: nothing automatic is to change it.

    dnd_end_time: seconds since 1970, of `dnd` that ends by itself.
    """
    if db.dialect == "mysql":
        return await mysql.set_by_user(db, user_id, status, now_ms, manual=manual, dnd_end_time=dnd_end_time)
    rows = await db.write(
        "INSERT INTO statuses AS s (user_id, status, manual, last_activity_at, dnd_end_time)"
        " VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (user_id) DO UPDATE SET prev_status = s.status, status = excluded.status,"
        " manual = excluded.manual, last_activity_at = excluded.last_activity_at, dnd_end_time = excluded.dnd_end_time"
        " WHERE (s.status, s.manual, s.dnd_end_time) <> (excluded.status, excluded.manual, excluded.dnd_end_time)"
        " RETURNING user_id",
        (user_id, status, manual, now_ms, dnd_end_time),
        changes=(shards.status(user_id),),
    )
    return bool(rows)


async def end_dnd(tx: Transaction, now_s: int, limit: int) -> list[UserId]:
    """Let up to `limit` times of `dnd` end that are over by now (seconds); whose.

    They are offline then, and no status is theirs by choice: who holds connections of them says what they are.
    """
    due = {"postgres": "dnd_end_time > 0 AND dnd_end_time", "mysql": "dnd_ends_at"}[tx.dialect]
    rows = await tx.fetch(
        f"SELECT user_id FROM statuses WHERE {due} <= %s ORDER BY dnd_end_time LIMIT %s",  # noqa: S608
        (now_s, limit),
    )
    ids = sorted(UserId(row[0]) for row in rows)
    await tx.fetch(
        f"SELECT user_id FROM statuses WHERE user_id = ANY(%s) ORDER BY user_id {locks.ALONE[tx.dialect]}",  # noqa: S608
        (ids,),
    )
    ended = await tx.fetch(
        "SELECT user_id FROM statuses WHERE user_id = ANY(%s) AND dnd_end_time > 0 AND dnd_end_time <= %s", (ids, now_s)
    )
    found = [UserId(row[0]) for row in ended]
    if found:
        await tx.execute(
            "UPDATE statuses SET status = CASE WHEN status = 'dnd' THEN 'offline' ELSE status END,"
            " \"manual\" = FALSE, prev_status = 'dnd', dnd_end_time = 0 WHERE user_id = ANY(%s)",
            (found,),
            changes=[shards.status(user_id) for user_id in found],
        )
    return found


async def set_offline_except(db: Queryable, connected: Sequence[UserId]) -> list[UserId]:
    """Set everybody offline who has no connection and did not choose a status; those whom that changed."""
    if db.dialect == "mysql":
        return await mysql.set_offline_except(db, connected)
    rows = await db.write(
        "UPDATE statuses SET status = 'offline' WHERE status <> 'offline' AND NOT manual"
        " AND user_id <> ALL(%s) RETURNING user_id",
        (list(connected),),
        of=lambda row: (shards.status(row[0]),),
    )
    return [row[0] for row in rows]
