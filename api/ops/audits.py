"""The audit log, for administrators, and what of it is about oneself."""

from api import shapes
from api.call import Call
from api.operation import operation
from api.params import Page
from app import audits, may
from app.events.wire import Json
from db.model.ids import UserId

_NAMES = (
    "the newest first; `action` has the names of Mattermost's audit events, `extra_info` the result, then `name=value`,"
    " a value with spaces in quotes; that of a revoked session names it"
)


@operation(
    "GET",
    "/audits",
    verb_asks=(may.System("manage_system"),),
    answers=list[shapes.Audit],
    notes=f"administrators; {_NAMES}",
)
async def get_audits(call: Call, page: Page) -> list[Json]:
    """What everybody did."""
    return await audits.of_everybody(call.ctx, call.actor, page=page.number, per_page=page.size)


@operation(
    "GET",
    "/users/{user_id}/audits",
    verb_asks=(may.SelfOr("edit_other_users"),),
    answers=list[shapes.Audit],
    errors=("app.user.missing_account.const",),
    notes="likewise",
)
async def get_audits_of_user(call: Call, user_id: UserId, page: Page) -> list[Json]:
    """What a user did."""
    return await audits.of_user(call.ctx, call.actor, user_id, page=page.number, per_page=page.size)
