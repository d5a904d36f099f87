"""Teams."""

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from api.params import PageNumber, TeamName
from app import may, teams
from app.events import wire
from app.events.wire import Json
from db.model.ids import TeamId, UserId


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


@operation("GET", "/users/{user_id}/teams", may=(may.SelfOr("manage_system"),), answers=list[shapes.Team])
async def get_teams_of_user(call: Call, user_id: UserId, page: PageNumber) -> list[Json]:
    """The teams of a user."""
    return await teams.of_user(call.ctx, call.actor, user_id, page)
