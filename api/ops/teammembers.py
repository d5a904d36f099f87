"""Members of teams: lists of them, many at once, by invitation, and what they have not read."""

import msgspec

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from api.params import Flag, Page, PageNumber, Text
from app import errors, may, teamlists, teams, teamunread
from app.errors import AppError
from app.events import wire
from app.events.wire import Json
from db.model import limits
from db.model.ids import TeamId, UserId, is_id

_VIEW = (may.InTeam("view_team"),)
_JOINING = (
    "api.team.join_user_to_team.allowed_domains.app_error",
    "app.team.add_member.deleted_user.app_error",
    "app.team.get.find.app_error",
    "app.team.get_member.missing.app_error",
    "app.team.join_user_to_team.max_accounts.app_error",
    "app.user.missing_account.const",
)


class BatchMember(msgspec.Struct, kw_only=True):
    """One of POST /teams/{team_id}/members/batch."""

    team_id: str = ""
    user_id: str = ""


@operation(
    "GET",
    "/teams/{team_id}/members",
    may=_VIEW,
    answers=list[shapes.TeamMember],
    notes="by id, or `?sort=Username`; guests get those whom they share a channel with",
)
async def get_team_members(
    call: Call, team_id: TeamId, page: Page, sort: Text = "", exclude_deleted_users: Flag = False
) -> list[Json]:
    """The members of a team."""
    return await teamlists.members(
        call.ctx,
        call.actor,
        team_id,
        page.number,
        page.size,
        by_name=sort == "Username",
        active_only=exclude_deleted_users,
    )


@operation(
    "GET",
    "/teams/{team_id}/members/{user_id}",
    may=_VIEW,
    answers=shapes.TeamMember,
    errors=("app.team.get_member.missing.app_error",),
    example=Example(answers={"system_admin": 404}),
    notes="one that has ended, too (`delete_at`)",
)
async def get_team_member(call: Call, team_id: TeamId, user_id: UserId) -> Json:
    """A membership of a team."""
    return await teamlists.member(call.ctx, call.actor, team_id, user_id)


@operation(
    "POST",
    "/teams/{team_id}/members/ids",
    may=_VIEW,
    answers=list[shapes.TeamMember],
    body_name="user_ids",
    example=Example(["<member.id>"]),
    notes="who is no member is left out",
)
async def get_team_members_by_ids(call: Call, team_id: TeamId, body: list[str]) -> list[Json]:
    """Memberships of a team, by users."""
    return await teamlists.members_by_ids(call.ctx, call.actor, team_id, body)


@operation(
    "POST",
    "/teams/{team_id}/members/batch",
    verb_asks=(may.InTeam("add_user_to_team"),),
    status=201,
    answers=list[shapes.TeamMember],
    body_name="members",
    errors=_JOINING,
    example=Example([{"team_id": "<team.id>", "user_id": "<teammate.id>"}]),
    notes=f"1 to {limits.NEW_MEMBERS}; `?graceful=true`: `user_id`, and `member` or `error`, of each; else the first"
    " error is the answer, and some before may be members",
)
async def add_team_members(call: Call, team_id: TeamId, body: list[BatchMember], graceful: Text = "") -> list[Json]:
    """Add people to a team."""
    if len(body) > limits.NEW_MEMBERS:
        raise errors.invalid_body("too many members in batch")
    if not body:
        raise errors.invalid_body("no members in batch")
    for one in body:
        if one.team_id != team_id:
            raise errors.invalid_body(f"team_id for member with user_id={one.user_id[:26]}")
        if not is_id(one.user_id):
            raise errors.invalid_body("user_id")
    user_ids = [UserId(one.user_id) for one in body]
    admitted = await teams.add_members(call.ctx, call.actor, team_id, user_ids, graceful=graceful != "")
    if not graceful:
        return [wire.team_member(one) for one in admitted.values() if not isinstance(one, AppError)]
    return [
        {"user_id": user_id, "member": None, "error": wire.app_error(one)}
        if isinstance(one, AppError)
        else {"user_id": user_id, "member": wire.team_member(one), "error": None}
        for user_id, one in admitted.items()
    ]


@operation(
    "POST",
    "/teams/members/invite",
    status=201,
    answers=shapes.TeamMember,
    errors=(
        *_JOINING,
        "api.team.add_user_to_team.missing_parameter.app_error",
        "api.team.add_user_to_team_from_invite.guest.app_error",
        "api.user.create_user.signup_link_invalid.app_error",
        "app.team.get_by_invite_id.finding.app_error",
    ),
    example=Example(answers=dict.fromkeys(("stranger", "teammate", "member", "team_admin", "system_admin"), 400)),
    notes="`?invite_id=`, without which it is 400; tokens of e-mails are not issued yet, so none is valid",
)
async def join_team_by_invitation(call: Call, invite_id: Text = "", token: Text = "") -> Json:
    """Join the team that an invitation leads to."""
    return wire.team_member(await teams.join_by_invitation(call.ctx, call.actor, invite_id, token))


@operation(
    "POST",
    "/teams/{team_id}/invite/email",
    verb_asks=(may.InTeam("invite_user"), may.InTeam("add_user_to_team")),
    errors=("api.team.invite_members.disabled.app_error", "app.team.get.find.app_error"),
    example=Example(answers=dict.fromkeys(("teammate", "member", "team_admin", "system_admin"), 501)),
    notes="there is no e-mail yet: 501, as in Mattermost without EnableEmailInvitations",
)
async def invite_users_by_email(call: Call, team_id: TeamId) -> None:
    """Invite people by e-mail."""
    await teamlists.invite_by_email(call.ctx, call.actor, team_id)


@operation(
    "GET",
    "/users/{user_id}/teams/members",
    may=(may.SelfOr("edit_other_users"),),
    answers=list[shapes.TeamMember],
    notes="those that have ended, too (`delete_at`)",
)
async def get_team_memberships(call: Call, user_id: UserId, page: PageNumber) -> list[Json]:
    """A user's memberships of teams."""
    return await teamlists.memberships(call.ctx, user_id, page)


_THREADS = "threads that are followed are not there yet, so `thread_*` are 0"


@operation(
    "GET",
    "/users/{user_id}/teams/unread",
    may=(may.SelfOr("manage_system"),),
    answers=list[shapes.TeamUnread],
    notes=f"teams of which one has channels; messages of muted channels do not count; {_THREADS}",
)
async def get_teams_unread(
    call: Call, user_id: UserId, exclude_team: Text = "", include_collapsed_threads: Flag = False
) -> list[Json]:
    """What a user has not read, by team."""
    del include_collapsed_threads
    return await teamunread.of_teams(call.ctx, user_id, exclude_team)


@operation(
    "GET",
    "/users/{user_id}/teams/{team_id}/unread",
    may=(may.SelfOr("edit_other_users"), *_VIEW),
    answers=shapes.TeamUnread,
    notes=_THREADS,
)
async def get_team_unread(call: Call, user_id: UserId, team_id: TeamId) -> Json:
    """What a user has not read in a team."""
    return await teamunread.of_team(call.ctx, user_id, team_id)


@operation(
    "PUT",
    "/users/{user_id}/teams/{team_id}/read",
    may=(may.SelfOr("edit_other_users"), *_VIEW),
    answers=shapes.Viewed,
    notes="`multiple_channels_viewed`, of the channels in which something was not read",
)
async def mark_team_read(call: Call, user_id: UserId, team_id: TeamId) -> Json:
    """Mark all channels of a team as read."""
    return {**wire.OK, "last_viewed_at_times": await teamunread.mark_read(call.ctx, user_id, team_id)}
