"""Sessions, looked up by the hash of their token: SQL of the table `sessions`."""

from collections.abc import Sequence

from db.drivers import Row
from db.model import limits, shards
from db.model.entities import Session, User
from db.model.ids import SessionId, UserId
from db.model.tables import SESSIONS, USERS
from db.order.clock import NOW_MS
from db.pool.loader import lookup_by
from db.pool.queryable import Queryable, Transaction

_COLUMNS_WITH_USER = f"{SESSIONS.names('s')}, {USERS.names('u')}"
_SOURCE = "sessions s JOIN users u ON u.id = s.user_id"


def _shards(row: Row) -> tuple[shards.Shard, shards.Shard]:
    return shards.session(row[0]), shards.user(row[SESSIONS.width])


_BY_TOKEN = lookup_by("session_by_token", columns=_COLUMNS_WITH_USER, source=_SOURCE, key="s.token_hash", of=_shards)
_BY_ID = lookup_by("session", columns=_COLUMNS_WITH_USER, source=_SOURCE, key="s.id", of=_shards)


async def insert(db: Queryable, session: Session) -> None:
    """Insert a new session."""
    await db.execute(
        SESSIONS.insert,
        SESSIONS.values(session),
        changes=(shards.session(session.id),),
    )


async def find_by_token_hash(db: Queryable, token_hash: str) -> tuple[Session, User] | None:
    """The session of this token and its user; expired ones and deactivated users included."""
    return _pair(await db.load(_BY_TOKEN, (token_hash,)))


async def find(db: Queryable, session_id: SessionId) -> tuple[Session, User] | None:
    """The session of this id and its user; expired ones and deactivated users included."""
    return _pair(await db.load(_BY_ID, (session_id,)))


async def find_of_users(db: Queryable, user_ids: Sequence[UserId], limit: int) -> list[tuple[Session, User]]:
    """Sessions of these users with them, those used last first; expired ones and deactivated users included."""
    if not user_ids:
        return []
    rows = await db.fetch(
        f"SELECT {_COLUMNS_WITH_USER} FROM {_SOURCE} WHERE s.user_id = ANY(%s)"  # noqa: S608
        " ORDER BY s.last_activity_at DESC LIMIT %s",
        (list(user_ids), limit),
    )
    return [(Session(*row[: SESSIONS.width]), User(*row[SESSIONS.width :])) for row in rows]


def _pair(row: tuple[object, ...] | None) -> tuple[Session, User] | None:
    if row is None:
        return None
    return Session(*row[: SESSIONS.width]), User(*row[SESSIONS.width :])  # type: ignore[arg-type]


async def touch(db: Queryable, session_id: SessionId) -> None:
    """Note activity."""
    now_ms = NOW_MS[db.dialect]
    await db.execute(
        f"UPDATE sessions SET last_activity_at = {now_ms} WHERE id = %s AND last_activity_at < {now_ms}",  # noqa: S608
        (session_id,),
        changes=(shards.session(session_id),),  # of this node; every other one notes it by itself
    )


async def delete(db: Queryable, session_id: SessionId) -> bool:
    """Delete; whether it was there."""
    changes = (shards.session(session_id),)
    return await db.execute("DELETE FROM sessions WHERE id = %s", (session_id,), changes=changes) == 1


async def delete_expired(db: Queryable, user_id: UserId, now_ms: int) -> None:
    """Delete the expired sessions of one user (at their next login)."""
    await db.execute("DELETE FROM sessions WHERE user_id = %s AND expires_at BETWEEN 1 AND %s", (user_id, now_ms))


async def find_of_user(db: Queryable, user_id: UserId) -> list[Session]:
    """The sessions of a user, expired ones included, the one used last first: up to limits.SESSIONS."""
    rows = await db.fetch(
        f"SELECT {SESSIONS.names()} FROM sessions WHERE user_id = %s ORDER BY last_activity_at DESC, id LIMIT %s",  # noqa: S608
        (user_id, limits.SESSIONS),
    )
    return [Session(*row) for row in rows]


async def delete_oldest(db: Queryable, user_id: UserId, keep: SessionId) -> list[SessionId]:
    """End the sessions of a user beyond limits.SESSIONS, those used longest ago but not `keep`; their ids."""
    rows = await db.fetch(
        "SELECT id FROM sessions WHERE user_id = %s AND id <> %s ORDER BY last_activity_at DESC, id DESC"
        " LIMIT %s OFFSET %s",
        (user_id, keep, limits.SESSIONS, limits.SESSIONS - 1),
    )
    ended: list[SessionId] = [row[0] for row in rows]
    for session_id in ended:
        await delete(db, session_id)
    return ended


async def delete_of_user(db: Queryable, user_id: UserId, keep: SessionId | None = None) -> list[SessionId]:
    """End all sessions of a user but `keep`; their ids."""
    return await _delete_all(db, "user_id = %s AND id <> %s", (user_id, keep or ""))


async def delete_of_device(db: Queryable, user_id: UserId, device_id: str, keep: SessionId) -> list[SessionId]:
    """End the sessions of a user on a device but `keep`; their ids."""
    return await _delete_all(db, "user_id = %s AND device_id = %s AND id <> %s", (user_id, device_id, keep))


async def set_device(db: Queryable, session_id: SessionId, device_id: str, expires_at: int) -> None:
    """Say on which device a session is, and until when."""
    await db.execute(
        "UPDATE sessions SET device_id = %s, expires_at = %s WHERE id = %s",
        (device_id, expires_at, session_id),
        changes=(shards.session(session_id),),
    )


async def delete_everybodys(db: Queryable) -> list[SessionId]:
    """End all sessions; their ids."""
    return await _delete_all(db, "id <> %s", ("",))


async def _delete_all(db: Queryable, condition: str, parameters: tuple[str, ...]) -> list[SessionId]:
    async def end(tx: Transaction) -> list[SessionId]:
        rows = await tx.fetch(f"SELECT id FROM sessions WHERE {condition} ORDER BY id FOR UPDATE", parameters)  # noqa: S608
        await tx.execute(
            f"DELETE FROM sessions WHERE {condition}",  # noqa: S608 (constants)
            parameters,
            changes=[shards.session(row[0]) for row in rows],
        )
        return [row[0] for row in rows]

    return await db.transact(end)
