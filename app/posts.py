"""Posts: writing them, and who may read them."""

from typing import NamedTuple

import msgspec

from app import errors, postlists, props, validate
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.events import wire
from app.mentioned import find as find_mentioned
from app.mentioned import tell_of_outsiders
from app.metrics import POSTS
from app.permissions import Actor, can, can_in_channel, can_in_team, can_read_channel, require
from app.postlists import PostList
from app.props import Props
from db.model.entities import ChannelInfo, ChannelType, Post, User
from db.model.ids import ChannelId, PostId, is_id, new_id
from db.sql import channels, posts, reactions
from db.sql.channels import Access
from db.sql.posts import NewPost, Written

MAX_PENDING_ID = 64


class Draft(msgspec.Struct, kw_only=True):
    """What a client may say of a new post. Its time is always the channel's own (`create_at` is ignored)."""

    channel_id: str = ""
    message: str = ""
    root_id: str = ""
    type: str = ""
    props: Props = {}
    pending_post_id: str = ""
    file_ids: list[str] = []


class Created(NamedTuple):
    """A post as it was written, or by an earlier request with its pending id. encoded: as everybody gets it."""

    post: Post
    encoded: bytes


async def create(
    ctx: Context, actor: Actor, draft: Draft, *, set_online: bool = True, by_integration: bool = False
) -> Created:
    """Write a post and tell the channel. The same pending id gives the same post, whoever retries where and when.

    by_integration: the draft's props may say that it is another's than the actor's.
    Raises 400 for a bad draft, an archived channel, a bad root or a pending id of another channel's post, 403 without
    create_post, 503 when the database cannot be reached (retry with the same pending id).
    """
    access = await _access_for_writing(ctx, actor, draft)
    root = await _check_root(ctx, draft)
    mentioned = await find_mentioned(ctx, actor, access, draft.message, root)
    new = NewPost(
        id=PostId(new_id()),
        channel_id=access.channel.id,
        user_id=actor.user_id,
        root_id=draft.root_id,
        message=draft.message,
        type=draft.type,
        props=props.of_integration(draft.props) if by_integration else props.of_user(draft.props),
        hashtags=validate.hashtags(draft.message),
        mentions=mentioned.user_ids,
        pending_post_id=draft.pending_post_id or None,
        counts=True,
        member_required=access.member is not None and not can(actor, "create_post"),
    )
    written = await ctx.posts.write(new)
    if written is None:
        raise await _refusal(ctx, new)
    if not written.created:
        before = await _posted_before(ctx, actor, access, written.id)
        return Created(before, wire.encode(await shown(ctx, before)))
    ctx.metrics.counter(POSTS).inc()
    post = _as_written(new, written)
    event, encoded = events.created(
        post,
        access.channel,
        mentioned.user_ids,
        set_online=set_online,
        sender_name=sender_name(ctx, post, actor.user.username),
    )
    ctx.bus.publish(event)
    viewed = {post.channel_id: post.create_at}
    ctx.bus.publish(events.channel_viewed(actor.user_id, post.channel_id, viewed, ctx.client_config.major_version))
    if set_online and ctx.activity.is_news(actor.user_id, ctx.now_ms()):
        ctx.bus.publish(events.active(actor.user_id))
    if mentioned.outsiders:
        tell_of_outsiders(ctx, actor, access, post, mentioned.outsiders)
    return Created(post, encoded)


async def _posted_before(ctx: Context, actor: Actor, access: Access, post_id: PostId) -> Post:
    """The post of the actor's earlier request with this pending id: who may not read it any more does not get it.

    Raises 400 when it stands in another channel than is asked for now, 403, and 404 when it is deleted.
    """
    post = await get(ctx, post_id)
    if post.channel_id != access.channel.id:
        raise errors.invalid_body("pending_post_id")
    require(can_read_channel(actor, access))
    return post


async def announce(
    ctx: Context, author: User, channel: ChannelInfo, kind: str, message: str, props: dict[str, str]
) -> None:
    """Write a system message such as "ann joined the channel." and tell the channel."""
    new = NewPost(
        id=PostId(new_id()),
        channel_id=channel.id,
        user_id=author.id,
        root_id="",
        message=message,
        type=kind,
        props=wire.encode(props).decode(),
        hashtags="",
        mentions=(),
        pending_post_id=None,
        counts=kind not in posts.UNCOUNTED,
        member_required=False,
    )
    written = await ctx.posts.write(new)
    if written is not None:
        event = events.posted(_as_written(new, written), channel, (), set_online=False, sender_name="System")
        ctx.bus.publish(event)


async def _access_for_writing(ctx: Context, actor: Actor, draft: Draft) -> Access:
    if not is_id(draft.channel_id):
        raise errors.invalid_body("channel_id")
    if len(draft.pending_post_id) > MAX_PENDING_ID:
        raise errors.invalid_body("pending_post_id")
    if not validate.is_custom_post_type(draft.type):
        raise AppError("model.post.is_valid.type.app_error", 400)
    check_content(draft.message, draft.props, draft.file_ids)
    access = await ctx.caches.access.get((ChannelId(draft.channel_id), actor.user_id))
    if access is None:
        raise errors.forbidden()
    require(
        can_in_channel(actor, access, "create_post")
        or (access.channel.type == ChannelType.OPEN and can_in_team(actor, access.team_member, "create_post_public"))
    )
    if access.channel.delete_at:
        raise AppError("api.post.create_post.can_not_post_to_deleted.error", 400)
    return access


def check_content(message: str, content_props: Props, file_ids: list[str]) -> None:
    """Raises 400 for a message or props that are too long, and for files: none is there yet, so every id is unknown."""
    if len(message) > validate.MAX_POST_RUNES:
        raise AppError("model.post.is_valid.msg.app_error", 400)
    if file_ids:
        raise errors.invalid_body("file_ids")
    props.check(content_props)


async def _check_root(ctx: Context, draft: Draft) -> Post | None:
    """The post that the draft is a reply to. Raises 400 for one that cannot be."""
    if not draft.root_id:
        return None
    root = await posts.find(ctx.db, PostId(draft.root_id)) if is_id(draft.root_id) else None
    if root is None or root.delete_at or root.root_id:
        raise AppError("api.post.create_post.root_id.app_error", 400)
    if root.channel_id != draft.channel_id:
        raise AppError("api.post.create_post.channel_root_id.app_error", 400)
    return root


async def _refusal(ctx: Context, new: NewPost) -> AppError:
    """Why the database took no row although all was well a moment ago."""
    access = await channels.find_access(ctx.db, new.channel_id, new.user_id)
    if access is None or access.channel.delete_at:
        return AppError("api.post.create_post.can_not_post_to_deleted.error", 400)
    if not new.root_id or (new.member_required and access.member is None):
        return errors.forbidden()
    return AppError("api.post.create_post.root_id.app_error", 400)


def sender_name(ctx: Context, post: Post, username: str) -> str:
    """Whom clients show as the sender: the author of this name, or who an integration says it is, where it may."""
    if post.type.startswith("system_"):
        return "System"
    if ctx.config.service_settings.enable_post_username_override and "override_username" in post.props:
        name = msgspec.json.decode(post.props).get("override_username")
        if isinstance(name, str) and name:
            return name
    return username


def _as_written(new: NewPost, written: Written) -> Post:
    return Post(
        id=written.id,
        channel_id=new.channel_id,
        seq=written.seq,
        create_at=written.create_at,
        update_at=written.create_at,
        edit_at=0,
        delete_at=0,
        is_pinned=False,
        user_id=new.user_id,
        root_id=new.root_id,
        original_id="",
        message=new.message,
        type=new.type,
        props=new.props,
        hashtags=new.hashtags,
        file_ids="[]",
        mentions=posts.mentions_json(new.mentions),
        pending_post_id=new.pending_post_id,
        reply_count=0,
        last_reply_at=0,
    )


async def get(ctx: Context, post_id: PostId) -> Post:
    """The post, whoever asks. Raises 404 when it is not there or deleted."""
    post = await posts.find(ctx.db, post_id)
    if post is None or post.delete_at:
        raise AppError("app.post.get.app_error", 404)
    return post


async def get_for(ctx: Context, actor: Actor, post_id: PostId, *, deleted: bool = False) -> Post:
    """The post, if the actor may read its channel; `deleted`: also a deleted one. Raises 404, 403."""
    _require_deleted(actor, deleted)
    post = await posts.find(ctx.db, post_id)
    if post is None or (post.delete_at and not deleted):
        raise AppError("app.post.get.app_error", 404)
    access = await ctx.caches.access.get((post.channel_id, actor.user_id))
    require(access is not None and can_read_channel(actor, access))
    return post


async def find_for(ctx: Context, actor: Actor, post_id: PostId, permission: str = "") -> tuple[Post, Access]:
    """A post and its channel, for who has this permission there; a deleted post still, as it is judged by its channel.

    Raises 403, also for a post that is not there: only administrators learn of that, by 404.
    """
    post = await posts.find(ctx.db, post_id)
    access = None if post is None else await ctx.caches.access.get((post.channel_id, actor.user_id))
    if post is None or access is None:
        require(can(actor, permission or "manage_system"))
        raise AppError("app.post.get.app_error", 404)
    require(not permission or can_in_channel(actor, access, permission))
    return post, access


async def shown(ctx: Context, post: Post, *, with_deleted: bool = False) -> wire.Json:
    """The post as clients get it, with its reactions. with_deleted: also what a deleted one said."""
    given = await reactions.find(ctx.db, [post])
    return wire.post(post, reactions=given.get(post.id, ()), with_deleted=with_deleted)


async def pinned(ctx: Context, actor: Actor, channel_id: ChannelId, after: str) -> PostList:
    """Pinned posts of the channel, for its members. Raises 400, 403."""
    access = await readable(ctx, actor, channel_id)
    require(can_in_channel(actor, access, "read_channel"))
    return await postlists.pinned(ctx.db, channel_id, after)


def _require_deleted(actor: Actor, deleted: bool) -> None:
    """Only system administrators read what is deleted. Raises 403."""
    require(not deleted or can(actor, "manage_system"))


async def readable(ctx: Context, actor: Actor, channel_id: ChannelId, *, deleted: bool = False) -> Access:
    """The channel for reading its posts; `deleted`: the deleted ones, too.

    Raises 403 for one that is not there or not the actor's to read.
    """
    _require_deleted(actor, deleted)
    access = await ctx.caches.access.get((channel_id, actor.user_id))
    if access is None:
        raise errors.forbidden()
    require(can_read_channel(actor, access))
    return access
