"""Channels and their members."""

from falcon.asgi import Request, Response

from api import auth, bodies, params, replies
from app import channels, errors, postlists, posts, users
from app.caches import PageKey
from app.context import Context
from app.events import wire
from app.permissions import viewer
from app.version import MATTERMOST_VERSION
from db.model.ids import UserId, is_id


class Channels:
    """/channels."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._auth = auth.Authenticator(ctx)

    async def on_post(self, req: Request, resp: Response) -> None:
        """POST /channels: create an open or private channel."""
        actor = await self._auth.actor(req)
        new = await bodies.read(req, self._ctx, channels.NewChannel, "channel")
        replies.send(resp, wire.channel(await channels.create(self._ctx, actor, new)), 201)

    async def on_post_direct(self, req: Request, resp: Response) -> None:
        """POST /channels/direct: the direct channel of two users, made when it is not there."""
        actor = await self._auth.actor(req)
        user_ids = await bodies.read(req, self._ctx, list[str], "user_ids")
        replies.send(resp, wire.channel(await channels.create_direct(self._ctx, actor, user_ids)), 201)

    async def on_get_one(self, req: Request, resp: Response, channel_id: str) -> None:
        """GET /channels/{channel_id}."""
        actor = await self._auth.actor(req)
        channel = await channels.get_for(self._ctx, actor, params.channel_id(channel_id))
        if not replies.not_modified(req, resp, MATTERMOST_VERSION, channel.id, channel.update_at, channel.seq):
            replies.send(resp, wire.channel(channel))

    async def on_get_members(self, req: Request, resp: Response, channel_id: str) -> None:
        """GET /channels/{channel_id}/members."""
        actor = await self._auth.actor(req)
        number, size = params.page(req)
        found = await channels.members(self._ctx, actor, params.channel_id(channel_id), page=number, per_page=size)
        seen_by = viewer(actor, self._ctx.config.privacy_settings)
        replies.send(resp, [wire.channel_member(member, seen_by) for member in found])

    async def on_post_members(self, req: Request, resp: Response, channel_id: str) -> None:
        """POST /channels/{channel_id}/members: join, or add somebody."""
        actor = await self._auth.actor(req)
        body = await bodies.read(req, self._ctx, bodies.ChannelMember, "channel member")
        if not is_id(body.user_id):
            raise errors.invalid_body("user_id")
        member = await channels.add_member(self._ctx, actor, params.channel_id(channel_id), UserId(body.user_id))
        replies.send(resp, wire.channel_member(member, viewer(actor, self._ctx.config.privacy_settings)), 201)

    async def on_post_view(self, req: Request, resp: Response, user_id: str) -> None:
        """POST /channels/members/{user_id}/view: mark as read."""
        actor = await self._auth.actor(req)
        wanted = params.user_id(user_id, actor)
        body = await bodies.read(req, self._ctx, bodies.View, "channel_view")
        if any(one and not is_id(one) for one in (body.channel_id, body.prev_channel_id)):
            raise errors.invalid_body("channel_view.channel_id")
        await users.require_self_or(self._ctx, actor, wanted, "edit_other_users")
        times = await channels.view(self._ctx, wanted, body.channel_id, body.prev_channel_id)
        replies.send(resp, {"status": "OK", "last_viewed_at_times": times})

    async def on_get_pinned(self, req: Request, resp: Response, channel_id: str) -> None:
        """GET /channels/{channel_id}/pinned: the pinned posts, for its members."""
        actor = await self._auth.actor(req)
        after = params.text(req, "after")
        found = await posts.pinned(self._ctx, actor, params.channel_id(channel_id), after)
        replies.send(resp, found.json())

    async def on_get_posts(self, req: Request, resp: Response, channel_id: str) -> None:
        """GET /channels/{channel_id}/posts: a page, or `since` a time, or `before` or `after` a post."""
        actor = await self._auth.actor(req)
        before, after = params.text(req, "before"), params.text(req, "after")
        since_ms = params.strict_number(req, "since")
        if before and after:
            raise errors.invalid_url("before")
        threads = params.threads(req)
        wanted = params.channel_id(channel_id)
        channel_id = (await posts.readable(self._ctx, actor, wanted, deleted=threads.deleted)).channel.id
        caches = self._ctx.caches
        if before or after or req.if_none_match:
            head = await caches.heads.get(channel_id)
            if head is None:
                raise errors.forbidden()
            if replies.not_modified(req, resp, MATTERMOST_VERSION, channel_id, head.seq):
                return
        number, size = params.page(req)
        if before or after:
            found = await postlists.beside(
                self._ctx.db, channel_id, before=before, after=after, page=number, per_page=size, threads=threads
            )
            replies.send(resp, found.json())
            return
        page = await caches.pages.get(PageKey(channel_id, since_ms or 0, number, size, threads))
        if page is None:
            raise errors.forbidden()
        if not replies.not_modified(req, resp, MATTERMOST_VERSION, channel_id, page.seq):
            replies.send_encoded(resp, page.body)
