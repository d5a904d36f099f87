"""Members of teams and of channels."""

import msgspec

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from api.params import Page, PageNumber
from app import channels, errors, leaving, may, roles, teams
from app.events import wire
from app.events.wire import Json
from db.model.ids import ChannelId, TeamId, UserId

_NOBODY = "app.user.missing_account.const"
_NO_CHANNEL = "app.channel.get.existing.app_error"
_OF_TEAM = ("app.team.get.find.app_error", "app.team.get_member.missing.app_error", _NOBODY)
_OF_CHANNEL = (_NO_CHANNEL, "app.channel.get_member.missing.app_error", _NOBODY)
_TEAM_ROLES = ("api.team.update_team_member_roles.*", "app.role.get_by_name.app_error")
_CHANNEL_ROLES = ("api.channel.update_channel_member_roles.*", "app.role.get_by_name.app_error")
_ROLES = "roles of that scope only, `…_user` stays, guests are neither made nor unmade: else 400 with Mattermost's ids"


class NewTeamMember(msgspec.Struct, kw_only=True):
    """POST /teams/{team_id}/members."""

    team_id: str = ""
    user_id: str = ""


class NewChannelMember(msgspec.Struct, kw_only=True):
    """POST /channels/{channel_id}/members."""

    user_id: str = ""


@operation(
    "POST",
    "/teams/{team_id}/members",
    verb_asks=(may.InTeam("add_user_to_team"),),
    status=201,
    answers=shapes.TeamMember,
    body_name="team member",
    errors=(
        *_OF_TEAM,
        "api.team.join_user_to_team.allowed_domains.app_error",
        "app.team.add_member.deleted_user.app_error",
        "app.team.join_user_to_team.max_accounts.app_error",
    ),
    example=Example({"team_id": "<team.id>", "user_id": "<teammate.id>"}, answers={"teammate": 403}),
    notes="oneself into an open team, or somebody",
)
async def add_team_member(call: Call, team_id: TeamId, body: NewTeamMember) -> Json:
    """Join a team, or add somebody."""
    if body.team_id != team_id:
        raise errors.invalid_body("team_id")
    return wire.team_member(await teams.add_member(call.ctx, call.actor, team_id, UserId(body.user_id)))


@operation(
    "DELETE",
    "/teams/{team_id}/members/{user_id}",
    verb_asks=(may.InTeam("remove_user_from_team"),),
    errors=_OF_TEAM,
    example=Example(takes_away=True),
    notes="oneself, or somebody; `leave_team`",
)
async def remove_team_member(call: Call, team_id: TeamId, user_id: UserId) -> None:
    """Leave a team, or remove somebody."""
    await leaving.leave_team(call.ctx, call.actor, team_id, user_id)


@operation(
    "PUT",
    "/teams/{team_id}/members/{user_id}/roles",
    verb_asks=(may.InTeam("manage_team_roles"),),
    body_name="roles",
    errors=(*_OF_TEAM, *_TEAM_ROLES),
    example=Example({"roles": "team_user"}, takes_away=True),
    notes=_ROLES,
)
async def set_team_member_roles(call: Call, team_id: TeamId, user_id: UserId, body: roles.Names) -> None:
    """Give a member of a team roles, by their names."""
    await leaving.set_team_roles(call.ctx, call.actor, team_id, user_id, body.roles)


@operation(
    "PUT",
    "/teams/{team_id}/members/{user_id}/schemeRoles",
    verb_asks=(may.InTeam("manage_team_roles"),),
    body_name="scheme_roles",
    errors=(*_OF_TEAM, *_TEAM_ROLES),
    example=Example({"scheme_user": True, "scheme_admin": False}, takes_away=True),
    notes=_ROLES,
)
async def set_team_member_scheme_roles(call: Call, team_id: TeamId, user_id: UserId, body: roles.Scheme) -> None:
    """Give a member of a team the roles of its scheme."""
    await leaving.set_team_roles(call.ctx, call.actor, team_id, user_id, body)


@operation(
    "GET",
    "/channels/{channel_id}/members",
    verb_asks=(may.InChannel("read_channel", public="read_public_channel"),),
    answers=list[shapes.ChannelMember],
    errors=(_NO_CHANNEL,),
    notes="of others without read marks, counts (-1) and `notify_props` (`{}`), here and in all other lists",
)
async def get_channel_members(call: Call, channel_id: ChannelId, page: Page) -> list[Json]:
    """The members of a channel."""
    return await channels.members(call.ctx, call.actor, channel_id, page=page.number, per_page=page.size)


@operation(
    "POST",
    "/channels/{channel_id}/members",
    verb_asks=(may.InChannel("manage_private_channel_members"),),
    status=201,
    answers=shapes.ChannelMember,
    body_name="channel member",
    errors=(
        *_OF_CHANNEL,
        "api.channel.add_user.to.channel.failed.deleted.app_error",
        "api.channel.add_user_to_channel.deleted.app_error",
        "api.channel.add_user_to_channel.type.app_error",
        "app.channel.add_member.deleted_user.app_error",
    ),
    example=Example({"user_id": "<member.id>"}),
    notes="oneself into a public channel, or somebody",
)
async def add_channel_member(call: Call, channel_id: ChannelId, body: NewChannelMember) -> Json:
    """Join a channel, or add somebody."""
    member = await channels.add_member(call.ctx, call.actor, channel_id, UserId(body.user_id))
    return channels.seen_by(call.ctx, call.actor, member)


@operation(
    "DELETE",
    "/channels/{channel_id}/members/{user_id}",
    verb_asks=(may.InChannel("manage_private_channel_members"),),
    errors=(
        *_OF_CHANNEL,
        "api.channel.remove.default.app_error",
        "api.channel.remove_channel_member.type.app_error",
    ),
    example=Example(takes_away=True),
    notes="oneself, or somebody; `user_removed`",
)
async def remove_channel_member(call: Call, channel_id: ChannelId, user_id: UserId) -> None:
    """Leave a channel, or remove somebody."""
    await leaving.leave_channel(call.ctx, call.actor, channel_id, user_id)


@operation(
    "PUT",
    "/channels/{channel_id}/members/{user_id}/roles",
    verb_asks=(may.InChannel("manage_channel_roles"),),
    body_name="roles",
    errors=(*_OF_CHANNEL, *_CHANNEL_ROLES),
    example=Example({"roles": "channel_user"}, takes_away=True),
    notes=_ROLES,
)
async def set_channel_member_roles(call: Call, channel_id: ChannelId, user_id: UserId, body: roles.Names) -> None:
    """Give a member of a channel roles, by their names."""
    await leaving.set_channel_roles(call.ctx, call.actor, channel_id, user_id, body.roles)


@operation(
    "PUT",
    "/channels/{channel_id}/members/{user_id}/schemeRoles",
    verb_asks=(may.InChannel("manage_channel_roles"),),
    body_name="scheme_roles",
    errors=(*_OF_CHANNEL, *_CHANNEL_ROLES),
    example=Example({"scheme_user": True, "scheme_admin": False}, takes_away=True),
    notes=_ROLES,
)
async def set_channel_member_scheme_roles(
    call: Call, channel_id: ChannelId, user_id: UserId, body: roles.Scheme
) -> None:
    """Give a member of a channel the roles of its scheme."""
    await leaving.set_channel_roles(call.ctx, call.actor, channel_id, user_id, body)


@operation(
    "GET",
    "/users/{user_id}/teams/{team_id}/channels/members",
    may=(may.SelfOr("edit_other_users"), may.InTeam("view_team")),
    answers=list[shapes.ChannelMember],
)
async def get_channel_memberships(call: Call, user_id: UserId, team_id: TeamId, page: PageNumber) -> list[Json]:
    """A user's memberships in the channels of a team."""
    return await channels.memberships(call.ctx, call.actor, user_id, team_id, page)
