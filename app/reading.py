"""Reading posts: which are asked for, who may have them, and what of it is kept (`app/caches.py`)."""

from typing import NamedTuple

from app import errors, postlists, posts
from app.caches import PageKey
from app.context import Context
from app.events import wire
from app.permissions import Actor
from app.ports import Tag
from app.postlists import Cursor, Threads
from db.model.ids import ChannelId, PostId, UserId


class Wanted(NamedTuple):
    """A page of a channel, what has changed since a time (0: a page), or a page before or after a post ('': none)."""

    page: int
    per_page: int
    since_ms: int = 0
    before: str = ""
    after: str = ""


async def one(ctx: Context, actor: Actor, post_id: PostId, tag: Tag, *, deleted: bool) -> wire.Json:
    """A post; `deleted`: also a deleted one, for administrators. Raises 403, 404."""
    post = await posts.get_for(ctx, actor, post_id, deleted=deleted)
    tag(post.id, post.update_at)
    return await posts.shown(ctx, post, with_deleted=deleted)


async def thread(ctx: Context, actor: Actor, post_id: PostId, cursor: Cursor, threads: Threads, tag: Tag) -> wire.Json:
    """A post and its thread, or a part of it. Raises 403, 404."""
    post = await posts.get_for(ctx, actor, post_id, deleted=threads.deleted)
    head = await ctx.caches.heads.get(post.channel_id)
    if head is None:
        raise errors.forbidden()
    tag(post.id, head.seq)
    return (await postlists.thread(ctx.db, post, cursor, threads)).json()


async def of_channel(
    ctx: Context, actor: Actor, channel_id: ChannelId, wanted: Wanted, threads: Threads, tag: Tag, *, has_some: bool
) -> wire.Json | bytes:
    """Posts of a channel. has_some: who asks has them as they were once. Raises 400, 403."""
    if wanted.before and wanted.after:
        raise errors.invalid_url("before")
    channel_id = (await posts.readable(ctx, actor, channel_id, deleted=threads.deleted)).channel.id
    beside = wanted.before or wanted.after
    if beside or has_some:
        head = await ctx.caches.heads.get(channel_id)
        if head is None:
            raise errors.forbidden()
        tag(channel_id, head.seq)
    if beside:
        found = await postlists.beside(
            ctx.db,
            channel_id,
            before=wanted.before,
            after=wanted.after,
            page=wanted.page,
            per_page=wanted.per_page,
            threads=threads,
        )
        return found.json()
    page = await ctx.caches.pages.get(PageKey(channel_id, wanted.since_ms, wanted.page, wanted.per_page, threads))
    if page is None:
        raise errors.forbidden()
    tag(channel_id, page.seq)
    return page.body


async def around_unread(
    ctx: Context,
    actor: Actor,
    user_id: UserId,
    channel_id: ChannelId,
    threads: Threads,
    *,
    limit_before: int,
    limit_after: int,
) -> wire.Json:
    """Posts around the first one that the user has not read. Raises 400, 403, and 404 where they are no member."""
    access = await posts.readable(ctx, actor, channel_id, deleted=threads.deleted)
    if limit_after == 0:
        raise errors.invalid_url("limit_after")
    found = await postlists.around_unread(
        ctx.db, user_id, access.channel.id, limit_before=limit_before, limit_after=limit_after, threads=threads
    )
    return found.json()
