"""The pictures of users (`app/initials.py` draws them): for whom they are, and what of them clients have already."""

from app import initials, users, visible
from app.audit import audited
from app.context import Context
from app.permissions import Actor, is_self_or_can, require
from app.ports import Tag
from db.model.entities import User
from db.model.ids import UserId
from db.order import clock, locks
from db.pool.queryable import Transaction
from db.sql import users as users_db


async def of_user(ctx: Context, actor: Actor, user_id: UserId, tag: Tag) -> bytes:
    """The picture of a user. Raises 403 to guests for whom they do not see, 404."""
    await visible.require_seen(ctx, actor, user_id)
    user = actor.user if user_id == actor.user_id else await users.get(ctx, user_id)
    look = initials.look_of(user)
    tag(initials.LOOKS, *look, user.last_picture_update)
    return await ctx.pictures.get(look, ctx.work.begin)


@audited("setDefaultProfileImage", "user_id")
async def reset(ctx: Context, actor: Actor, user_id: UserId) -> None:
    """Take the user's own picture away; it is no error that there is none. Raises 403, 404."""
    require(is_self_or_can(actor, user_id, "edit_other_users"))
    await users.get(ctx, user_id)

    async def change(tx: Transaction) -> User | None:
        lock = await locks.account(tx, user_id)
        user = await users_db.find(tx, user_id)
        if user is None or user.last_picture_update <= 0:
            return None
        return await users_db.set_picture(tx, lock, user, at=await clock.now_ms(tx), own=False)

    user = await ctx.db.transact(change)
    if user is not None:
        users.tell_updated(ctx, user)
