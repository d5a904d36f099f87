"""Posts."""

from falcon.asgi import Request, Response

from api import auth, bodies, params, replies
from app import edits, posts
from app.context import Context
from app.version import MATTERMOST_VERSION


class Posts:
    """/posts."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._auth = auth.Authenticator(ctx)

    async def on_post(self, req: Request, resp: Response) -> None:
        """POST /posts: write a post; the same pending id gives the same post."""
        actor = await self._auth.actor(req)
        draft = await bodies.read(req, self._ctx, posts.Draft, "post")
        post = await posts.create(self._ctx, actor, draft, set_online=params.flag(req, "set_online", default=True))
        replies.send(resp, await posts.shown(self._ctx, post), 201)

    async def on_get_one(self, req: Request, resp: Response, post_id: str) -> None:
        """GET /posts/{post_id}: with `include_deleted`, for administrators, also a deleted one."""
        actor = await self._auth.actor(req)
        deleted = params.flag(req, "include_deleted")
        post = await posts.get_for(self._ctx, actor, params.post_id(post_id), deleted=deleted)
        if not replies.not_modified(req, resp, MATTERMOST_VERSION, post.id, post.update_at):
            replies.send(resp, await posts.shown(self._ctx, post))

    async def on_put_one(self, req: Request, resp: Response, post_id: str) -> None:
        """PUT /posts/{post_id}: replace what it says."""
        actor = await self._auth.actor(req)
        body = await bodies.read(req, self._ctx, edits.Update, "post")
        replies.send(resp, await edits.update(self._ctx, actor, params.post_id(post_id), body))

    async def on_delete_one(self, req: Request, resp: Response, post_id: str) -> None:
        """DELETE /posts/{post_id}."""
        actor = await self._auth.actor(req)
        await edits.delete(self._ctx, actor, params.post_id(post_id))
        replies.ok(resp)

    async def on_put_patch(self, req: Request, resp: Response, post_id: str) -> None:
        """PUT /posts/{post_id}/patch: change a part of it."""
        actor = await self._auth.actor(req)
        body = await bodies.read(req, self._ctx, edits.Patch, "post")
        replies.send(resp, await edits.patch(self._ctx, actor, params.post_id(post_id), body))

    async def on_post_pin(self, req: Request, resp: Response, post_id: str) -> None:
        """POST /posts/{post_id}/pin."""
        actor = await self._auth.actor(req)
        await edits.pin(self._ctx, actor, params.post_id(post_id), pinned=True)
        replies.ok(resp)

    async def on_post_unpin(self, req: Request, resp: Response, post_id: str) -> None:
        """POST /posts/{post_id}/unpin."""
        actor = await self._auth.actor(req)
        await edits.pin(self._ctx, actor, params.post_id(post_id), pinned=False)
        replies.ok(resp)
