"""Reactions to posts."""

from falcon.asgi import Request, Response

from api import auth, bodies, params, replies
from app import reactions
from app.context import Context
from app.events import wire


class Reactions:
    """/reactions, /posts/{post_id}/reactions, /users/{user_id}/posts/{post_id}/reactions/{emoji_name}."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._auth = auth.Authenticator(ctx)

    async def on_post(self, req: Request, resp: Response) -> None:
        """POST /reactions: react to a post; 200 as Mattermost answers, whatever its documents say."""
        actor = await self._auth.actor(req)
        body = await bodies.read(req, self._ctx, reactions.NewReaction, "reaction")
        replies.send(resp, wire.reaction(await reactions.add(self._ctx, actor, body)))

    async def on_get_of_post(self, req: Request, resp: Response, post_id: str) -> None:
        """GET /posts/{post_id}/reactions; `page`: the next limits.REACTIONS of them."""
        actor = await self._auth.actor(req)
        page, _ = params.page(req)
        replies.send(resp, await reactions.of_post(self._ctx, actor, params.post_id(post_id), page))

    async def on_post_of_posts(self, req: Request, resp: Response) -> None:
        """POST /posts/ids/reactions: those of many posts, by post."""
        actor = await self._auth.actor(req)
        ids = await bodies.read(req, self._ctx, list[str], "post_ids")
        replies.send(resp, await reactions.of_posts(self._ctx, actor, ids))

    async def on_delete_one(self, req: Request, resp: Response, user_id: str, post_id: str, emoji_name: str) -> None:
        """DELETE /users/{user_id}/posts/{post_id}/reactions/{emoji_name}."""
        actor = await self._auth.actor(req)
        user, post = params.user_id(user_id, actor), params.post_id(post_id)
        await reactions.remove(self._ctx, actor, user, post, params.emoji_name(emoji_name))
        replies.ok(resp)
