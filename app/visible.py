"""Which users somebody sees at all: everybody who may `view_members`; guests those who share a channel with them."""

from collections.abc import Sequence

from app.context import Context
from app.permissions import Actor, can, require
from db.model.entities import User
from db.model.ids import UserId
from db.sql import people


def shared_with(actor: Actor) -> UserId:
    """For `db.sql.people.Among.shared_with`: '' where the actor sees everybody."""
    return UserId("") if can(actor, "view_members") else actor.user_id


async def require_seen(ctx: Context, actor: Actor, user_id: UserId) -> None:
    """Raises 403 unless the actor sees this user, be there one or not."""
    if actor.user_id == user_id or can(actor, "view_members"):
        return
    require(bool(await people.find_sharing(ctx.db, actor.user_id, [user_id])))


async def seen(ctx: Context, actor: Actor, users: Sequence[User]) -> Sequence[User]:
    """Those whom the actor sees."""
    if not users or can(actor, "view_members"):
        return users
    sharing = await people.find_sharing(ctx.db, actor.user_id, [user.id for user in users])
    return [user for user in users if user.id in sharing or user.id == actor.user_id]
