"""Posts."""

from falcon.asgi import Request, Response

from api import auth, bodies, params, replies
from app import posts, wire
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
        set_online = req.get_param("set_online", default="true").lower() not in ("false", "0", "f")
        post = await posts.create(self._ctx, actor, draft, set_online=set_online)
        replies.send(resp, wire.post(post), 201)

    async def on_get_one(self, req: Request, resp: Response, post_id: str) -> None:
        """GET /posts/{post_id}."""
        actor = await self._auth.actor(req)
        post = await posts.get_for(self._ctx, actor, params.post_id(post_id))
        if not replies.not_modified(req, resp, MATTERMOST_VERSION, post.id, post.update_at):
            replies.send(resp, wire.post(post))
