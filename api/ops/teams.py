"""Teams."""

import msgspec

from api import shapes
from api.call import Call, Visit
from api.example import Example
from api.operation import PNG, Login, operation
from api.params import Flag, InviteId, Page, PageNumber, TeamName
from app import may, teamchanges, teamlists, teams
from app.events import wire
from app.events.wire import Json
from db.model.ids import TeamId, UserId

_NO_TEAM = "app.team.get.find.app_error"
_CHANGES = ("api.team.update_restricted_domains.mismatch.app_error", "model.team.is_valid.*", _NO_TEAM)


class Privacy(msgspec.Struct, kw_only=True):
    """PUT /teams/{team_id}/privacy."""

    privacy: str = ""


@operation(
    "POST",
    "/teams",
    verb_asks=(may.System("create_team"),),
    status=201,
    answers=shapes.Team,
    body_name="team",
    errors=(
        "model.team.is_valid.*",
        "store.sql_team.save_team.existing.app_error",
    ),
    example=Example(
        {
            "name": "team<new>",
            "display_name": "A team",
            "type": "O",
            "description": "What it is",
            "company_name": "Company",
            "allowed_domains": "example.com",
            "allow_open_invite": False,
        }
    ),
)
async def create_team(call: Call, body: teams.NewTeam) -> Json:
    """Create a team."""
    team = await teams.create(call.ctx, call.actor, body)
    return wire.team(team, show_email=True, show_invitation=True)  # to its first administrator


@operation(
    "GET",
    "/teams",
    answers=list[shapes.Team] | shapes.TeamsWithCount,
    errors=("api.team.get_all_teams.insufficient_permissions",),
    notes="archived ones too, by display name; open ones only without `list_private_teams`;"
    " `?include_total_count=true`: `{teams, total_count}`",
)
async def get_teams(
    call: Call, page: Page, include_total_count: Flag = False, exclude_policy_constrained: Flag = False
) -> list[Json] | Json:
    """A page of all teams."""
    return await teamlists.page(
        call.ctx,
        call.actor,
        page.number,
        page.size,
        with_count=include_total_count,
        exclude_policy_constrained=exclude_policy_constrained,
    )


@operation(
    "POST",
    "/teams/search",
    answers=list[shapes.Team] | shapes.TeamsWithCount,
    body_name="team_search",
    errors=("api.team.search_teams.*",),
    example=Example({"term": "<team.name>"}),
    notes="by a part of name or display name, archived ones too, among the first 10,000; with `page` and `per_page`"
    " (both kinds of teams must be yours to list, else 501) `{teams, total_count}`",
)
async def search_teams(call: Call, body: teamlists.Search) -> list[Json] | Json:
    """Look for teams."""
    return await teamlists.search(call.ctx, call.actor, body)


@operation(
    "GET",
    "/teams/{team_id}",
    verb_asks=(may.InTeam("view_team"),),
    answers=shapes.Team,
    errors=("app.team.get.find.app_error",),
    notes="open ones for everybody; also an archived one",
)
async def get_team(call: Call, team_id: TeamId) -> Json:
    """A team."""
    return await teams.get_for(call.ctx, call.actor, team_id)


@operation(
    "GET",
    "/teams/name/{name}",
    verb_asks=(may.InTeam("view_team"),),
    answers=shapes.Team,
    errors=("app.team.get_by_name.missing.app_error",),
    example=Example(path={"name": "<team.name>"}),
)
async def get_team_by_name(call: Call, name: TeamName) -> Json:
    """A team by name."""
    return await teams.get_by_name_for(call.ctx, call.actor, name)


@operation(
    "GET",
    "/teams/name/{name}/exists",
    answers=shapes.TeamExists,
    example=Example(path={"name": "<team.name>"}),
    notes="an archived one, too; not one that is nothing to who asks",
)
async def team_exists(call: Call, name: TeamName) -> Json:
    """Whether there is a team of a name."""
    return await teamlists.exists(call.ctx, call.actor, name)


@operation(
    "GET",
    "/teams/invite/{invite_id}",
    login=Login.NONE,
    answers=shapes.TeamInvitation,
    errors=("api.team.get_invite_info.not_open_team", "app.team.get_by_invite_id.finding.app_error"),
    example=Example(path={"invite_id": "<team.invite_id>"}),
)
async def get_team_invite_info(visit: Visit, invite_id: InviteId) -> Json:
    """The team that an invitation leads to."""
    return await teamlists.invite_info(visit.ctx, invite_id)


@operation(
    "PUT",
    "/teams/{team_id}",
    verb_asks=(may.InTeam("manage_team"),),
    answers=shapes.Team,
    body_name="team",
    errors=_CHANGES,
    example=Example({"id": "<team.id>", "display_name": "<team.display_name>"}),
    notes="what is left out becomes empty; `update_team`",
)
async def update_team(call: Call, team_id: TeamId, body: teamchanges.Update) -> Json:
    """Replace what a team says of itself."""
    return await teamchanges.update(call.ctx, call.actor, team_id, body)


@operation(
    "PUT",
    "/teams/{team_id}/patch",
    verb_asks=(may.InTeam("manage_team"),),
    answers=shapes.Team,
    body_name="team",
    errors=_CHANGES,
    example=Example({"display_name": "<team.display_name>"}),
    notes="`update_team`; who closes it to everybody makes another invitation",
)
async def patch_team(call: Call, team_id: TeamId, body: teamchanges.Patch) -> Json:
    """Replace a part of it."""
    return await teamchanges.patch(call.ctx, call.actor, team_id, body)


@operation(
    "PUT",
    "/teams/{team_id}/privacy",
    verb_asks=(may.InTeam("manage_team"),),
    answers=shapes.Team,
    body_name="privacy",
    errors=(_NO_TEAM,),
    example=Example({"privacy": "I"}, takes_away=True),
    notes="`O`, or `I` with another invitation; `update_team`",
)
async def update_team_privacy(call: Call, team_id: TeamId, body: Privacy) -> Json:
    """Open a team to everybody, or close it."""
    return await teamchanges.set_privacy(call.ctx, call.actor, team_id, body.privacy)


@operation(
    "POST",
    "/teams/{team_id}/regenerate_invite_id",
    verb_asks=(may.InTeam("manage_team"),),
    answers=shapes.Team,
    errors=(_NO_TEAM,),
    example=Example(takes_away=True),
    notes="`update_team`",
)
async def regenerate_team_invite_id(call: Call, team_id: TeamId) -> Json:
    """Make another invitation to a team."""
    return await teamchanges.regenerate_invitation(call.ctx, call.actor, team_id)


@operation(
    "DELETE",
    "/teams/{team_id}",
    verb_asks=(may.InTeam("manage_team"),),
    errors=(_NO_TEAM, "api.user.delete_team.not_enabled.app_error"),
    example=Example(takes_away=True),
    notes="`delete_team`; its channels stay for who is in them; `?permanent=true` is 401, as in Mattermost by default",
)
async def delete_team(call: Call, team_id: TeamId, permanent: Flag = False) -> None:
    """Archive a team."""
    await teamchanges.archive(call.ctx, call.actor, team_id, permanent=permanent)


@operation(
    "POST",
    "/teams/{team_id}/restore",
    verb_asks=(may.InTeam("manage_team"),),
    answers=shapes.Team,
    errors=(_NO_TEAM,),
    notes="`restore_team`",
)
async def restore_team(call: Call, team_id: TeamId) -> Json:
    """Take an archived team back."""
    return await teamchanges.restore(call.ctx, call.actor, team_id)


@operation("GET", "/teams/{team_id}/stats", may=(may.InTeam("view_team"),), answers=shapes.TeamStats)
async def get_team_stats(call: Call, team_id: TeamId) -> Json:
    """How many members a team has."""
    return await teamlists.stats(call.ctx, call.actor, team_id)


@operation(
    "GET",
    "/teams/{team_id}/image",
    verb_asks=(may.InTeam("view_team"),),
    answers=bytes,
    media=PNG,
    errors=(_NO_TEAM, "api.team.get_team_icon.read_file.app_error"),
    example=Example(answers=dict.fromkeys(("teammate", "member", "team_admin", "system_admin"), 404)),
    notes="no team has one yet",
)
async def get_team_icon(call: Call, team_id: TeamId) -> None:
    """The picture of a team."""
    await teamlists.icon(call.ctx, call.actor, team_id)


@operation("GET", "/users/{user_id}/teams", may=(may.SelfOr("manage_system"),), answers=list[shapes.Team])
async def get_teams_of_user(call: Call, user_id: UserId, page: PageNumber) -> list[Json]:
    """The teams of a user."""
    return await teams.of_user(call.ctx, call.actor, user_id, page)
