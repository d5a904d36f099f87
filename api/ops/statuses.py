"""Presence, and who types."""

import msgspec

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from app import channels, may, statuses
from app.events.wire import Json
from db.model.ids import ChannelId, UserId


class Typing(msgspec.Struct, kw_only=True):
    """POST /users/{user_id}/typing."""

    channel_id: str = ""
    parent_id: str = ""


@operation("GET", "/users/{user_id}/status", answers=shapes.Status, errors=("app.user.missing_account.const",))
async def get_status(call: Call, user_id: UserId) -> Json:
    """A user's presence."""
    return await statuses.get(call.ctx, user_id)


@operation(
    "PUT",
    "/users/{user_id}/status",
    verb_asks=(may.SelfOr("edit_other_users"),),
    answers=shapes.Status,
    body_name="status",
    example=Example(
        {"user_id": "<self>", "status": "dnd", "dnd_end_time": 0},
        for_others={  # the body names another user
            "stranger": 400,
            "teammate": 400,
            "team_admin": 400,
            "system_admin": 400,
        },
    ),
    notes="`online` means automatic again",
)
async def set_status(call: Call, user_id: UserId, body: statuses.NewStatus) -> Json:
    """Choose a presence."""
    return await statuses.choose(call.ctx, call.actor, user_id, body)


@operation(
    "POST",
    "/users/status/ids",
    answers=list[shapes.Status],
    body_name="user_ids",
    example=Example(["<member.id>"]),
)
async def get_statuses_by_ids(call: Call, body: list[str]) -> list[Json]:
    """The presence of many users."""
    return await statuses.get_many(call.ctx, body)


@operation(
    "POST",
    "/users/{user_id}/typing",
    may=(may.SelfOr("manage_system"),),
    verb_asks=(may.InChannel("create_post"),),
    body_name="typing request",
    example=Example({"channel_id": "<private.id>", "parent_id": "<post.id>"}),
)
async def tell_typing(call: Call, user_id: UserId, body: Typing) -> None:
    """Say that a user types: the REST form of `user_typing`."""
    await channels.tell_typing(call.ctx, call.actor, user_id, ChannelId(body.channel_id), body.parent_id)
