"""One member of a channel or of a team: leaving, being removed, roles."""

from falcon.asgi import Request, Response

from api import auth, bodies, params, replies
from app import channels, leaving, roles
from app.context import Context


class Members:
    """/channels/{channel_id}/members/{user_id}, /teams/{team_id}/members/{user_id}, /channels/{channel_id}/stats."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._auth = auth.Authenticator(ctx)

    async def on_get_stats(self, req: Request, resp: Response, channel_id: str) -> None:
        """GET /channels/{channel_id}/stats."""
        actor = await self._auth.actor(req)
        replies.send(resp, await channels.stats(self._ctx, actor, params.channel_id(channel_id)))

    async def on_delete_of_channel(self, req: Request, resp: Response, channel_id: str, user_id: str) -> None:
        """DELETE /channels/{channel_id}/members/{user_id}: leave, or remove somebody."""
        actor = await self._auth.actor(req)
        channel, user = params.channel_id(channel_id), params.user_id(user_id, actor)
        await leaving.leave_channel(self._ctx, actor, channel, user)
        replies.ok(resp)

    async def on_delete_of_team(self, req: Request, resp: Response, team_id: str, user_id: str) -> None:
        """DELETE /teams/{team_id}/members/{user_id}: leave, or remove somebody."""
        actor = await self._auth.actor(req)
        team, user = params.team_id(team_id), params.user_id(user_id, actor)
        await leaving.leave_team(self._ctx, actor, team, user)
        replies.ok(resp)

    async def on_put_channel_roles(self, req: Request, resp: Response, channel_id: str, user_id: str) -> None:
        """PUT /channels/{channel_id}/members/{user_id}/roles."""
        actor = await self._auth.actor(req)
        body = await bodies.read(req, self._ctx, bodies.Roles, "roles")
        channel, user = params.channel_id(channel_id), params.user_id(user_id, actor)
        await leaving.set_channel_roles(self._ctx, actor, channel, user, body.roles)
        replies.ok(resp)

    async def on_put_channel_scheme_roles(self, req: Request, resp: Response, channel_id: str, user_id: str) -> None:
        """PUT /channels/{channel_id}/members/{user_id}/schemeRoles."""
        actor = await self._auth.actor(req)
        body = await bodies.read(req, self._ctx, roles.Scheme, "scheme_roles")
        channel, user = params.channel_id(channel_id), params.user_id(user_id, actor)
        await leaving.set_channel_roles(self._ctx, actor, channel, user, body)
        replies.ok(resp)

    async def on_put_team_roles(self, req: Request, resp: Response, team_id: str, user_id: str) -> None:
        """PUT /teams/{team_id}/members/{user_id}/roles."""
        actor = await self._auth.actor(req)
        body = await bodies.read(req, self._ctx, bodies.Roles, "roles")
        team, user = params.team_id(team_id), params.user_id(user_id, actor)
        await leaving.set_team_roles(self._ctx, actor, team, user, body.roles)
        replies.ok(resp)

    async def on_put_team_scheme_roles(self, req: Request, resp: Response, team_id: str, user_id: str) -> None:
        """PUT /teams/{team_id}/members/{user_id}/schemeRoles."""
        actor = await self._auth.actor(req)
        body = await bodies.read(req, self._ctx, roles.Scheme, "scheme_roles")
        team, user = params.team_id(team_id), params.user_id(user_id, actor)
        await leaving.set_team_roles(self._ctx, actor, team, user, body)
        replies.ok(resp)
