"""What users say of themselves, and who is there."""

from collections.abc import Sequence

from app.context import Context
from app.events import messages as events
from db.model import limits
from db.model.entities import Status
from db.model.ids import UserId
from db.order import clock, locks
from db.pool.queryable import Transaction
from db.sql import statuses, users

CHOICES = frozenset({"online", "away", "dnd", "offline"})


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
        user = await users.find(tx, user_id)
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
