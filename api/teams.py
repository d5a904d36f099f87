"""Teams and their members."""

from falcon.asgi import Request, Response

from api import auth, bodies, params, replies
from app import channels, errors, teams
from app.context import Context
from app.events import wire
from db.model.ids import UserId


class Teams:
    """/teams."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._auth = auth.Authenticator(ctx)

    async def on_post(self, req: Request, resp: Response) -> None:
        """POST /teams: create."""
        actor = await self._auth.actor(req)
        new = await bodies.read(req, self._ctx, teams.NewTeam, "team")
        team = await teams.create(self._ctx, actor, new)
        replies.send(resp, wire.team(team, show_email=True, show_invitation=True), 201)  # to its first administrator

    async def on_get_by_name(self, req: Request, resp: Response, name: str) -> None:
        """GET /teams/name/{name}."""
        actor = await self._auth.actor(req)
        team, member = await teams.get_by_name_for(self._ctx, actor, params.name(name, "name"))
        replies.send(resp, teams.seen_by(actor, team, member))

    async def on_post_members(self, req: Request, resp: Response, team_id: str) -> None:
        """POST /teams/{team_id}/members: join, or add somebody."""
        actor = await self._auth.actor(req)
        team = params.team_id(team_id)
        body = await bodies.read(req, self._ctx, bodies.TeamMember, "team member")
        if body.team_id != team:
            raise errors.invalid_body("team_id")
        member = await teams.add_member(self._ctx, actor, team, UserId(body.user_id))
        replies.send(resp, wire.team_member(member), 201)

    async def on_get_channel_by_name(self, req: Request, resp: Response, team_id: str, channel_name: str) -> None:
        """GET /teams/{team_id}/channels/name/{channel_name}."""
        actor = await self._auth.actor(req)
        channel = await channels.get_by_name_for(
            self._ctx,
            actor,
            params.team_id(team_id),
            params.name(channel_name, "channel_name"),
            include_deleted=params.flag(req, "include_deleted"),
        )
        replies.send(resp, wire.channel(channel))
