"""Users: SQL of the table `users`."""

from collections.abc import Sequence

import msgspec

from db.drivers import Row
from db.model import shards
from db.model.entities import User
from db.model.ids import UserId
from db.model.tables import USERS
from db.order import locks
from db.pool.loader import lookup_by
from db.pool.queryable import Queryable, Transaction
from db.sql import mentionkeys

_SELECT = f"SELECT {USERS.names()} FROM users"  # noqa: S608 (a constant)


def _shards(row: Row) -> tuple[shards.Shard]:
    return (shards.user(row[0]),)


_BY_ID = lookup_by("user", columns=USERS.names(), source="users", key="id", on=lambda key: (shards.user(key[0]),))


async def insert(db: Queryable, user: User) -> None:
    """Insert. Raises Duplicate with constraint users_username_key or users_email_key."""

    async def write(tx: Transaction) -> None:
        await tx.execute(USERS.insert, USERS.values(user), changes=(shards.user(user.id),))
        await mentionkeys.replace(tx, user)

    if mentionkeys.of(user):
        await db.transact(write)
    else:
        await db.execute(USERS.insert, USERS.values(user), changes=(shards.user(user.id),))


async def count(db: Queryable) -> int:
    """How many users there are, deactivated ones included."""
    row = await db.fetch_one("SELECT count(*) FROM users")
    return int(row[0]) if row else 0


async def count_active(db: Queryable) -> int:
    """How many of them are not deactivated."""
    row = await db.fetch_one("SELECT count(*) FROM users WHERE delete_at = 0")
    return int(row[0]) if row else 0


async def find(db: Queryable, user_id: UserId) -> User | None:
    """The user of this id."""
    row = await db.load(_BY_ID, (user_id,))
    return User(*row) if row else None


async def find_by_username(db: Queryable, username: str) -> User | None:
    """The user of this name, which must be in lower case."""
    return await _find_one(db, "username = %s", username)


async def find_by_email(db: Queryable, email: str) -> User | None:
    """The user of this address, which must be in lower case."""
    return await _find_one(db, "email = %s", email)


async def _find_one(db: Queryable, condition: str, value: str) -> User | None:
    row = await db.fetch_one(f"{_SELECT} WHERE {condition}", (value,), on=(), of=_shards)
    return User(*row) if row else None


async def find_many(db: Queryable, user_ids: Sequence[UserId], since_ms: int = 0) -> list[User]:
    """The users of these ids that changed after `since_ms`, by name; unknown ids are left out."""
    rows = await db.fetch(
        f"{_SELECT} WHERE id = ANY(%s) AND update_at > %s ORDER BY username",
        (list(user_ids), since_ms),
        on=[shards.user(one) for one in user_ids],
    )
    return [User(*row) for row in rows]


async def count_failed_attempt(db: Queryable, user_id: str) -> None:
    """Count a failed attempt, for administrators to see; `db/sql/attempts.py` has what counts for the next one.

    user_id: of nobody, too: then nothing is there to be counted, but it takes the same.
    """
    await db.execute(
        "UPDATE users SET failed_attempts = failed_attempts + 1 WHERE id = %s",
        (user_id,),
        changes=(shards.user(user_id),),
    )


async def clear_failed_attempts(db: Queryable, user_id: UserId) -> None:
    """Forget failed attempts: after a good login, or because an administrator says so."""
    await db.execute("UPDATE users SET failed_attempts = 0 WHERE id = %s", (user_id,), changes=(shards.user(user_id),))


async def set_password(db: Queryable, user_id: UserId, password_hash: str) -> None:
    """Replace the stored hash by a stronger one of the same password (the user did not change anything)."""
    await db.execute(
        "UPDATE users SET password = %s WHERE id = %s", (password_hash, user_id), changes=(shards.user(user_id),)
    )


async def set_delete_at(db: Queryable, user_id: UserId, delete_at: int, now_ms: int) -> None:
    """Deactivate, or activate again (0). Who is deactivated is not counted: it changes all that they are members of."""

    async def change(tx: Transaction) -> None:
        await tx.execute(
            "UPDATE users SET delete_at = %s, update_at = %s WHERE id = %s",
            (delete_at, now_ms, user_id),
            changes=(shards.user(user_id),),
        )
        channels = await tx.fetch("SELECT channel_id FROM channel_members WHERE user_id = %s", (user_id,))
        teams = await tx.fetch("SELECT team_id FROM team_members WHERE user_id = %s", (user_id,))
        tx.changes.update(shards.channel_members(row[0]) for row in channels)
        tx.changes.update(shards.team_members(row[0]) for row in teams)

    await db.transact(change)


_CHANGED = (
    "username", "email", "email_verified", "nickname", "first_name", "last_name", "position", "locale", "props",
    "notify_props", "timezone", "last_picture_update", "update_at",
)  # fmt: skip


async def change(tx: Transaction, lock: locks.AccountAlone, user: User, *, status_ends_at: int) -> None:
    """Store what people say of themselves. Raises Duplicate as `insert` does. lock: has the account alone.

    status_ends_at: when the custom status in their props ends, 0 for never.
    """
    del lock
    columns = ", ".join(f"{name} = %s" for name in (*_CHANGED, "custom_status_ends_at"))
    await tx.execute(
        f"UPDATE users SET {columns} WHERE id = %s",  # noqa: S608 (constants)
        (*(getattr(user, name) for name in _CHANGED), status_ends_at, user.id),
        changes=(shards.user(user.id),),
    )
    await mentionkeys.replace(tx, user)


async def set_picture(tx: Transaction, lock: locks.AccountAlone, user: User, *, at: int, own: bool) -> User:
    """Note that the picture is another one since `at`; the user then. own: not the one of initials (< 0)."""
    del lock
    at = max(at, user.update_at + 1)
    changed = msgspec.structs.replace(user, last_picture_update=at if own else -at, update_at=at)
    await tx.execute(
        "UPDATE users SET last_picture_update = %s, update_at = %s WHERE id = %s",
        (changed.last_picture_update, at, user.id),
        changes=(shards.user(user.id),),
    )
    return changed


async def replace_password(
    tx: Transaction, lock: locks.AccountAlone, user_id: UserId, stored: str, now_ms: int
) -> None:
    """Give the user another password, by its hash; wrong ones are forgotten. lock: has the account alone."""
    del lock
    await tx.execute(
        "UPDATE users SET password = %s, last_password_update = %s, update_at = greatest(update_at + 1, %s),"
        " failed_attempts = 0 WHERE id = %s",
        (stored, now_ms, now_ms, user_id),
        changes=(shards.user(user_id),),
    )


async def set_roles(db: Queryable, user_id: UserId, roles: str, now_ms: int) -> None:
    """Replace the system roles (names separated by spaces)."""
    await db.execute(
        "UPDATE users SET roles = %s, update_at = %s WHERE id = %s",
        (roles, now_ms, user_id),
        changes=(shards.user(user_id),),
    )


async def lock_administrators(tx: Transaction, role: str, user_id: UserId) -> set[UserId]:
    """Ids of the active users who have this system role; nobody takes it from any of them before the end of `tx`.

    user_id: who is to be changed then. Their row is locked as well, as accounts are in the order of their ids
    (`db/order/locks.py`). Who waited for another one's change sees the users as that left them.
    """
    rows = await tx.fetch(
        f"SELECT id, roles, delete_at FROM users WHERE id = %s OR roles LIKE %s ORDER BY id {locks.ALONE[tx.dialect]}",  # noqa: S608
        (user_id, f"%{role}%"),
    )
    return {row[0] for row in rows if not row[2] and role in row[1].split()}


async def find_ids_by_role(db: Queryable, role: str, limit: int) -> list[UserId]:
    """Active users who have a role (a word of `users.roles`), ordered by id."""
    rows = await db.fetch(
        "SELECT id FROM users WHERE delete_at = 0 AND concat(' ', roles, ' ') LIKE %s ORDER BY id LIMIT %s",
        (f"% {role} %", limit),
    )
    return [UserId(row[0]) for row in rows]


async def find_ended_statuses(db: Queryable, now_ms: int, limit: int) -> list[UserId]:
    """Ids, in order, of up to `limit` users whose custom status has ended, the earliest of all."""
    rows = await db.fetch(
        "SELECT id FROM users WHERE custom_status_ends_at > 0 AND custom_status_ends_at <= %s"
        " ORDER BY custom_status_ends_at LIMIT %s",
        (now_ms, limit),
    )
    return sorted(UserId(row[0]) for row in rows)


async def forget_ended_statuses(tx: Transaction, user_ids: Sequence[UserId], now_ms: int) -> None:
    """Whatever the props of these users are, no custom status of theirs that had ended by then is to be looked for."""
    if user_ids:
        await tx.execute(
            "UPDATE users SET custom_status_ends_at = 0 WHERE id = ANY(%s) AND custom_status_ends_at BETWEEN 1 AND %s",
            (list(user_ids), now_ms),
            changes=[shards.user(one) for one in user_ids],
        )
