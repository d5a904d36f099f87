"""Channels."""

import msgspec

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from api.params import ChannelName, Flag, PageNumber, Time
from app import channels, may
from app.events import wire
from app.events.wire import Json
from db.model.ids import ChannelId, TeamId, UserId

_NONE = "app.channel.get.existing.app_error"
_READS = may.InChannel("read_channel", public="read_public_channel")


class View(msgspec.Struct, kw_only=True):
    """POST /channels/members/{user_id}/view."""

    channel_id: str = ""
    prev_channel_id: str = ""


@operation(
    "POST",
    "/channels",
    verb_asks=(may.InTeam("create_private_channel"),),
    status=201,
    answers=shapes.Channel,
    body_name="channel",
    errors=(
        "api.channel.create_channel.direct_channel.app_error",
        "api.channel.create_channel.max_channel_limit.app_error",
        "app.team.get.find.app_error",
        "model.channel.is_valid.*",
        "store.sql_channel.save_channel.exists.app_error",
    ),
    example=Example(
        {
            "team_id": "<team.id>",
            "name": "channel<new>",
            "display_name": "A channel",
            "type": "P",
            "header": "Header",
            "purpose": "Purpose",
        }
    ),
)
async def create_channel(call: Call, body: channels.NewChannel) -> Json:
    """Create an open or private channel."""
    return wire.channel(await channels.create(call.ctx, call.actor, body))


@operation(
    "POST",
    "/channels/direct",
    verb_asks=(may.System("create_direct_channel"),),
    status=201,
    answers=shapes.Channel,
    body_name="user_ids",
    errors=("api.channel.create_direct_channel.invalid_user.app_error",),
    example=Example(["<self.id>", "<member.id>"]),
    notes="made when it is not there; of two others by administrators only",
)
async def create_direct_channel(call: Call, body: list[str]) -> Json:
    """The direct channel of two users."""
    return wire.channel(await channels.create_direct(call.ctx, call.actor, body))


@operation("GET", "/channels/{channel_id}", verb_asks=(_READS,), answers=shapes.Channel, tagged=True, errors=(_NONE,))
async def get_channel(call: Call, channel_id: ChannelId) -> Json:
    """A channel."""
    return await channels.get_for(call.ctx, call.actor, channel_id, call.tag)


@operation("GET", "/channels/{channel_id}/stats", verb_asks=(_READS,), answers=shapes.ChannelStats, errors=(_NONE,))
async def get_channel_stats(call: Call, channel_id: ChannelId) -> Json:
    """How many members, guests and pinned posts a channel has."""
    return await channels.stats(call.ctx, call.actor, channel_id)


@operation(
    "GET",
    "/teams/{team_id}/channels/name/{channel_name}",
    verb_asks=(_READS,),
    answers=shapes.Channel,
    errors=("app.channel.get_by_name.missing.app_error",),
    example=Example(answers={"stranger": 404, "teammate": 404}),
    notes="a private one that one may not read is not there (404)",
)
async def get_channel_by_name(
    call: Call, team_id: TeamId, channel_name: ChannelName, include_deleted: Flag = False
) -> Json:
    """A channel by name."""
    channel = await channels.get_by_name_for(
        call.ctx, call.actor, team_id, channel_name, include_deleted=include_deleted
    )
    return wire.channel(channel)


@operation(
    "GET",
    "/users/{user_id}/teams/{team_id}/channels",
    may=(may.SelfOr("edit_other_users"), may.InTeam("view_team")),
    answers=list[shapes.Channel],
    tagged=True,
    errors=("app.channel.get_channels.not_found.app_error",),
)
async def get_channels_of_user(
    call: Call,
    user_id: UserId,
    team_id: TeamId,
    page: PageNumber,
    include_deleted: Flag = False,
    last_delete_at: Time = 0,
) -> list[Json]:
    """A user's channels in a team, and their direct ones."""
    return await channels.of_user(
        call.ctx,
        user_id,
        team_id,
        call.tag,
        include_deleted=include_deleted,
        deleted_since_ms=last_delete_at,
        page=page,
    )


@operation(
    "POST",
    "/channels/members/{user_id}/view",
    may=(may.SelfOr("edit_other_users"),),
    answers=shapes.Viewed,
    body_name="channel_view",
    example=Example({"channel_id": "<private.id>", "prev_channel_id": "<public.id>"}),
)
async def view_channel(call: Call, user_id: UserId, body: View) -> Json:
    """Mark channels as read."""
    times = await channels.view(call.ctx, user_id, body.channel_id, body.prev_channel_id)
    return {**wire.OK, "last_viewed_at_times": times}
