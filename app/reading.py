"""Reading posts: which are asked for, who may have them, and what of it is kept (`app/caches.py`)."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from app import errors, postlists, posts
from app.caches import PageKey
from app.context import Context
from app.errors import AppError
from app.events import wire
from app.permissions import Actor, can, can_in_channel, can_read_channel
from app.ports import Tag
from app.postlists import Cursor, Threads
from db.model import limits
from db.model.entities import ChannelType, Post
from db.model.ids import ChannelId, PostId, UserId, is_id
from db.sql import chosen


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


async def by_ids(ctx: Context, actor: Actor, ids: Sequence[str]) -> list[msgspec.Raw]:
    """Those of up to limits.POST_IDS posts that the actor may read, newest first, encoded. Raises 400."""
    if not ids or not all(is_id(one) for one in ids):
        raise errors.invalid_body("post_ids")
    if len(ids) > limits.POST_IDS:
        raise AppError("api.post.posts_by_ids.invalid_body.request_error", 400, MaxLength=limits.POST_IDS)
    found = await chosen.find(ctx.db, [PostId(one) for one in dict.fromkeys(ids)])
    listed = await postlists.chosen(ctx.db, await _readable(ctx, actor, found))
    return [listed.posts[one] for one in listed.order]


async def flagged(
    ctx: Context, actor: Actor, user_id: UserId, *, channel_id: str, team_id: str, page: int, per_page: int
) -> wire.Json:
    """A page of the posts that a user has saved, newest first; what the actor may not read is missing. Raises 400."""
    for name, one in (("channel_id", channel_id), ("team_id", team_id)):
        if one and not is_id(one):
            raise errors.invalid_url(name)
    found = await chosen.find_flagged(
        ctx.db, user_id, channel_id=channel_id, team_id=team_id, offset=page * per_page, limit=per_page
    )
    return (await postlists.chosen(ctx.db, await _readable(ctx, actor, found))).json()


async def _readable(ctx: Context, actor: Actor, found: Sequence[Post]) -> list[Post]:
    """Those that the actor may read."""
    channel_ids = list(dict.fromkeys(post.channel_id for post in found))
    accesses = await asyncio.gather(*(ctx.caches.access.get((one, actor.user_id)) for one in channel_ids))
    may = {access.channel.id for access in accesses if access is not None and can_read_channel(actor, access)}
    return [post for post in found if post.channel_id in may]


async def info(ctx: Context, actor: Actor, post_id: PostId) -> wire.Json:
    """Where a post is, also for who is not there but may come in. Raises 404."""
    post = await posts.get(ctx, post_id)
    access = await ctx.caches.access.get((post.channel_id, actor.user_id))
    if access is None:
        raise AppError("app.post.get.app_error", 404)
    channel, member = access.channel, access.team_member
    team = await ctx.caches.teams.get(channel.team_id) if channel.team_id else None
    if team is not None and member is None:
        may = can(actor, "join_public_teams" if team.allow_open_invite else "join_private_teams")
    else:
        may = True
    if access.member is None and channel.type == ChannelType.PRIVATE:
        may = may and can_in_channel(actor, access, "manage_private_channel_members")
    elif access.member is None and channel.type != ChannelType.OPEN:
        may = may and can_read_channel(actor, access)
    if not may:
        raise AppError("app.post.get.app_error", 404)
    return {
        "channel_id": channel.id,
        "channel_type": channel.type,
        "channel_display_name": channel.display_name,
        "has_joined_channel": access.member is not None,
        "team_id": channel.team_id,
        "team_type": "" if team is None else team.type,
        "team_display_name": "" if team is None else team.display_name,
        "has_joined_team": member is not None,
    }


async def files(ctx: Context, actor: Actor, post_id: PostId, *, deleted: bool) -> list[wire.Json]:
    """The files of a post: none, as long as there are no files. Raises 403, 404."""
    await posts.get_for(ctx, actor, post_id, deleted=deleted)
    return []
