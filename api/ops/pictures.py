"""Pictures of users."""

from functools import partial

from api.call import Call
from api.example import Example
from api.operation import PNG, operation
from app import may, pictures
from db.model.ids import UserId

_DAY_S = 86_400
_ERRORS = ("app.user.missing_account.const",)


@operation(
    "GET",
    "/users/{user_id}/image",
    answers=bytes,
    media=PNG,
    tagged=True,
    errors=_ERRORS,
    notes="PNG, 128 by 128: the first letter of the name; kept for a day, so URLs have `?_={last_picture_update}`",
)
async def get_picture(call: Call, user_id: UserId) -> bytes:
    """The picture of a user."""
    return await pictures.of_user(call.ctx, call.actor, user_id, partial(call.keep, _DAY_S))


@operation(
    "GET",
    "/users/{user_id}/image/default",
    answers=bytes,
    media=PNG,
    tagged=True,
    errors=_ERRORS,
    notes="likewise",
)
async def get_default_picture(call: Call, user_id: UserId) -> bytes:
    """The picture that a user has without one of their own."""
    return await pictures.of_user(call.ctx, call.actor, user_id, partial(call.keep, _DAY_S))


@operation(
    "DELETE",
    "/users/{user_id}/image",
    verb_asks=(may.SelfOr("edit_other_users"),),
    errors=_ERRORS,
    example=Example(),
    notes="`user_updated`, where there was one of their own",
)
async def reset_picture(call: Call, user_id: UserId) -> None:
    """Take the user's own picture away."""
    await pictures.reset(call.ctx, call.actor, user_id)
