"""What users say of themselves, and who is there."""

from collections.abc import Sequence

import msgspec

from app import errors, users
from app.context import Context
from app.events import messages as events
from app.events import wire
from app.permissions import Actor
from db.model import limits
from db.model.entities import Status
from db.model.ids import UserId, is_id
from db.order import clock, locks
from db.pool.queryable import Transaction
from db.sql import statuses
from db.sql import users as users_db

CHOICES = frozenset({"online", "away", "dnd", "offline"})


class NewStatus(msgspec.Struct, kw_only=True):
    """PUT /users/{user_id}/status. user_id: the same."""

    user_id: str = ""
    status: str = ""
    dnd_end_time: int = 0


async def get(ctx: Context, user_id: UserId) -> wire.Json:
    """The presence of a user. Raises 404."""
    await users.get(ctx, user_id)
    return wire.status((await find_many(ctx, [user_id]))[0])


async def get_many(ctx: Context, ids: Sequence[str]) -> list[wire.Json]:
    """The presence of up to limits.USER_IDS users. Raises 400 for none, for more, and for what is no id."""
    if not ids or len(ids) > limits.USER_IDS or not all(is_id(one) for one in ids):
        raise errors.invalid_body("user_ids")
    return [wire.status(one) for one in await find_many(ctx, [UserId(one) for one in ids])]


async def choose(ctx: Context, actor: Actor, user_id: UserId, new: NewStatus) -> wire.Json:
    """Take over what the user, or an administrator for them, chose; how they are then. Raises 400, 403, 404."""
    if new.user_id != user_id:
        raise errors.invalid_body("user_id")
    if new.status not in CHOICES:
        raise errors.invalid_body("status")
    if not 0 <= new.dnd_end_time < 1 << 63:
        raise errors.invalid_body("dnd_end_time")
    await users.require_self_or(ctx, actor, user_id, "edit_other_users")
    await set_own(ctx, user_id, new.status, manual=True)
    return wire.status((await find_many(ctx, [user_id]))[0])


async def find_many(ctx: Context, user_ids: Sequence[UserId]) -> list[Status]:
    """The presence of these users; those never seen are offline."""
    found = await ctx.caches.statuses_of(list(user_ids))
    nobody = {
        "status": "offline",
        "manual": False,
        "last_activity_at": 0,
        "dnd_end_time": 0,
        "prev_status": "",
    }
    return [found.get(user_id) or Status(user_id=user_id, **nobody) for user_id in dict.fromkeys(user_ids)]  # type: ignore[arg-type]


async def find_present(ctx: Context) -> list[Status]:
    """Everybody who is not offline, up to 10,000."""
    return await statuses.find_present(ctx.db, limits.PRESENT)


async def set_own(ctx: Context, user_id: UserId, status: str, *, manual: bool) -> None:
    """Take over what the user chose. "online" means: automatic again, so that nobody stays online for ever.

    Who is deactivated, be it meanwhile, is offline and stays so.
    """
    manual = manual and status != "online"
    if status == "online":
        ctx.bus.publish(events.active(user_id))

    async def change(tx: Transaction) -> bool:
        await locks.accounts(tx, [user_id])
        user = await users_db.find(tx, user_id)
        if user is None or user.delete_at:
            return False
        return await statuses.set_by_user(tx, user_id, status, await clock.now_ms(tx), manual=manual)

    if await ctx.db.transact(change):
        ctx.bus.publish(events.status_change(user_id, status))


async def came_back(ctx: Context, user_id: UserId, *, manual: bool) -> None:
    """The client says that its user is active. `manual`: the user asked for it, which ends a chosen status."""
    ctx.bus.publish(events.active(user_id))
    if manual:
        await set_own(ctx, user_id, "online", manual=True)


async def went_away(ctx: Context, user_id: UserId, *, manual: bool) -> None:
    """The client says that its user is inactive. Only a choice counts; idleness is found by the clock."""
    if manual:
        await set_own(ctx, user_id, "away", manual=True)
