"""Who may read the audit log (`app/audit.py` writes it)."""

from app import users
from app.context import Context
from app.events import wire
from app.permissions import Actor, can, require
from db.model.ids import UserId
from db.sql import audits


async def of_everybody(ctx: Context, actor: Actor, *, page: int, per_page: int) -> list[wire.Json]:
    """A page of all that was done, the newest first. Raises 403."""
    require(can(actor, "manage_system"))
    return [wire.audit(one) for one in await audits.find_page(ctx.db, None, page * per_page, per_page)]


async def of_user(ctx: Context, actor: Actor, user_id: UserId, *, page: int, per_page: int) -> list[wire.Json]:
    """A page of what a user did, and of log-ins to their account. Raises 403, 404."""
    await users.require_self_or(ctx, actor, user_id, "edit_other_users")
    return [wire.audit(one) for one in await audits.find_page(ctx.db, user_id, page * per_page, per_page)]
