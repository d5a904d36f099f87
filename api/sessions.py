"""Sessions and what administrators decide over users; presence."""

from falcon.asgi import Request, Response

from api import auth, bodies, params, replies
from app import errors, logins, sessions, statuses, users
from app.context import Context
from app.events import wire
from db.model import limits
from db.model.ids import UserId, is_id


class Sessions:
    """/users/{user_id}/sessions, /active, /roles, /reset_failed_attempts and /status."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._auth = auth.Authenticator(ctx)

    async def on_get(self, req: Request, resp: Response, user_id: str) -> None:
        """GET /users/{user_id}/sessions."""
        actor = await self._auth.actor(req)
        wanted = params.user_id(user_id, actor)
        user = actor.user if wanted == actor.user_id else await users.get(self._ctx, wanted)
        found = await sessions.of_user(self._ctx, actor, wanted)
        replies.send(resp, [wire.session(session, user.roles) for session in found])

    async def on_post_revoke(self, req: Request, resp: Response, user_id: str) -> None:
        """POST /users/{user_id}/sessions/revoke: one, by its id or its token."""
        actor = await self._auth.actor(req)
        body = await bodies.read(req, self._ctx, bodies.Revoke, "session")
        if not body.session_id:
            raise errors.invalid_body("session_id")
        await sessions.revoke(self._ctx, actor, params.user_id(user_id, actor), body.session_id)
        replies.ok(resp)

    async def on_post_revoke_all(self, req: Request, resp: Response, user_id: str) -> None:
        """POST /users/{user_id}/sessions/revoke/all."""
        actor = await self._auth.actor(req)
        await sessions.revoke_all(self._ctx, actor, params.user_id(user_id, actor))
        replies.ok(resp)

    async def on_post_revoke_everybodys(self, req: Request, resp: Response) -> None:
        """POST /users/sessions/revoke/all: of everybody."""
        await sessions.revoke_everybodys(self._ctx, await self._auth.actor(req))
        replies.ok(resp)

    async def on_put_active(self, req: Request, resp: Response, user_id: str) -> None:
        """PUT /users/{user_id}/active."""
        actor = await self._auth.actor(req)
        body = await bodies.read(req, self._ctx, bodies.Active, "active")
        await users.set_active(self._ctx, actor, params.user_id(user_id, actor), active=body.active)
        replies.ok(resp)

    async def on_post_reset_failed_attempts(self, req: Request, resp: Response, user_id: str) -> None:
        """POST /users/{user_id}/reset_failed_attempts: no delay after wrong passwords any more."""
        actor = await self._auth.actor(req)
        await logins.unlock(self._ctx, actor, params.user_id(user_id, actor))
        replies.ok(resp)

    async def on_put_roles(self, req: Request, resp: Response, user_id: str) -> None:
        """PUT /users/{user_id}/roles."""
        actor = await self._auth.actor(req)
        body = await bodies.read(req, self._ctx, bodies.Roles, "roles")
        await users.set_roles(self._ctx, actor, params.user_id(user_id, actor), body.roles)
        replies.ok(resp)

    async def on_get_status(self, req: Request, resp: Response, user_id: str) -> None:
        """GET /users/{user_id}/status."""
        actor = await self._auth.actor(req)
        wanted = params.user_id(user_id, actor)
        await users.get(self._ctx, wanted)
        replies.send(resp, wire.status((await statuses.find_many(self._ctx, [wanted]))[0]))

    async def on_put_status(self, req: Request, resp: Response, user_id: str) -> None:
        """PUT /users/{user_id}/status."""
        actor = await self._auth.actor(req)
        wanted = params.user_id(user_id, actor)
        body = await bodies.read(req, self._ctx, bodies.NewStatus, "status")
        if body.user_id != wanted:
            raise errors.invalid_body("user_id")
        if body.status not in statuses.CHOICES:
            raise errors.invalid_body("status")
        if not 0 <= body.dnd_end_time < 1 << 63:
            raise errors.invalid_body("dnd_end_time")
        await users.require_self_or(self._ctx, actor, wanted, "edit_other_users")
        await statuses.set_own(self._ctx, wanted, body.status, manual=True)
        replies.send(resp, wire.status((await statuses.find_many(self._ctx, [wanted]))[0]))

    async def on_post_status_ids(self, req: Request, resp: Response) -> None:
        """POST /users/status/ids."""
        await self._auth.actor(req)
        ids = await bodies.read(req, self._ctx, list[str], "user_ids")
        if not ids or len(ids) > limits.USER_IDS or not all(is_id(one) for one in ids):
            raise errors.invalid_body("user_ids")
        found = await statuses.find_many(self._ctx, [UserId(one) for one in ids])
        replies.send(resp, [wire.status(one) for one in found])
