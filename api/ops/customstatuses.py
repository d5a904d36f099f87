"""What people say of themselves for a while."""

from api.call import Call
from api.example import Example
from api.operation import operation
from app import may, statuses
from app.customstatus import CustomStatus
from db.model.ids import UserId

_ERRORS = ("api.custom_status.disabled", "app.user.missing_account.const")
_OF_RECENT = (*_ERRORS, "api.custom_status.recent_custom_statuses.delete.app_error")
_STATUS = {"emoji": "palm_tree", "text": "Away <new>"}
_NOT_THERE = dict.fromkeys(("stranger", "teammate", "member", "team_admin", "system_admin"), 400)
_OTHERS_NOT_THERE = {"system_admin": 400}


@operation(
    "PUT",
    "/users/{user_id}/status/custom",
    verb_asks=(may.SelfOr("edit_other_users"),),
    body_name="custom_status",
    errors=_ERRORS,
    example=Example({**_STATUS, "duration": "", "expires_at": ""}),
    notes="in `props.customStatus` of the user, recent ones in the preference `recent_custom_statuses`;"
    " `user_updated`, `preferences_changed`; from `expires_at` on it is not shown, and soon cleared",
)
async def set_custom_status(call: Call, user_id: UserId, body: CustomStatus) -> None:
    """Say something of oneself."""
    await statuses.set_custom(call.ctx, call.actor, user_id, body)


@operation(
    "DELETE",
    "/users/{user_id}/status/custom",
    verb_asks=(may.SelfOr("edit_other_users"),),
    errors=_ERRORS,
)
async def clear_custom_status(call: Call, user_id: UserId) -> None:
    """Say it no more."""
    await statuses.clear_custom(call.ctx, call.actor, user_id)


@operation(
    "DELETE",
    "/users/{user_id}/status/custom/recent",
    verb_asks=(may.SelfOr("edit_other_users"),),
    body_name="recent_custom_status",
    errors=_OF_RECENT,
    example=Example(_STATUS, answers=_NOT_THERE, for_others=_OTHERS_NOT_THERE),
    notes="400 for one that is not there",
)
async def forget_recent_custom_status(call: Call, user_id: UserId, body: CustomStatus) -> None:
    """Offer a status that one had no more."""
    await statuses.forget_recent(call.ctx, call.actor, user_id, body)


@operation(
    "POST",
    "/users/{user_id}/status/custom/recent/delete",
    verb_asks=(may.SelfOr("edit_other_users"),),
    body_name="recent_custom_status",
    errors=_OF_RECENT,
    example=Example(_STATUS, answers=_NOT_THERE, for_others=_OTHERS_NOT_THERE),
    notes="likewise, for clients whose DELETE has no body",
)
async def delete_recent_custom_status(call: Call, user_id: UserId, body: CustomStatus) -> None:
    """Offer a status that one had no more."""
    await statuses.forget_recent(call.ctx, call.actor, user_id, body)
