"""The audit log, for administrators, and what of it is about oneself."""

from falcon.asgi import Request, Response

from api import auth, params, replies
from app import audits
from app.context import Context
from app.events import wire


class Audits:
    """/audits, /users/{user_id}/audits."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._auth = auth.Authenticator(ctx)

    async def on_get(self, req: Request, resp: Response) -> None:
        """GET /audits: of everybody, the newest first."""
        actor = await self._auth.actor(req)
        page, per_page = params.page(req)
        found = await audits.of_everybody(self._ctx, actor, page=page, per_page=per_page)
        replies.send(resp, [wire.audit(one) for one in found])

    async def on_get_of_user(self, req: Request, resp: Response, user_id: str) -> None:
        """GET /users/{user_id}/audits: what a user did, the newest first."""
        actor = await self._auth.actor(req)
        page, per_page = params.page(req)
        wanted = params.user_id(user_id, actor)
        found = await audits.of_user(self._ctx, actor, wanted, page=page, per_page=per_page)
        replies.send(resp, [wire.audit(one) for one in found])
