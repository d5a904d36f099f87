"""Posts: writing them, and the lists that clients ask for."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from app import errors, events, mentions, validate, wire
from app.context import Context
from app.errors import AppError
from app.permissions import Actor, can, can_in_channel, can_in_team, can_read_channel, require
from db import channels, posts, users
from db.channels import Access
from db.entities import Channel, ChannelType, Post, User
from db.ids import ChannelId, PostId, UserId, is_id, new_id
from db.posts import NewPost, Written

MAX_PENDING_ID = 64
MAX_SINCE = 1000
_UNCOUNTED = frozenset(
    {"system_join_channel", "system_leave_channel", "system_add_to_channel", "system_remove_from_channel",
     "system_join_team", "system_leave_team", "system_add_to_team", "system_remove_from_team"}
)  # fmt: skip


class Draft(msgspec.Struct, kw_only=True):
    """What a client may say of a new post. Its time is always the channel's own (`create_at` is ignored)."""

    channel_id: str = ""
    message: str = ""
    root_id: str = ""
    type: str = ""
    props: dict[str, msgspec.Raw] = {}
    pending_post_id: str = ""


@dataclass(frozen=True)
class PostList:
    """A list as clients get it: `order` newest first; `extra` are thread posts that are not in the order."""

    order: list[Post]
    extra: list[Post]
    next_post_id: str = ""
    prev_post_id: str = ""
    participants: dict[str, list[UserId]] | None = None

    def json(self) -> wire.Json:
        """Mattermost's PostList."""
        people = self.participants or {}
        return {
            "order": [post.id for post in self.order],
            "posts": {post.id: wire.post(post, people.get(post.id)) for post in (*self.order, *self.extra)},
            "next_post_id": self.next_post_id,
            "prev_post_id": self.prev_post_id,
        }


@dataclass(frozen=True)
class Threads:
    """How lists treat threads. collapsed: only roots in the order. skip: no other posts of the threads."""

    collapsed: bool = False
    skip: bool = False

    @property
    def replies(self) -> bool:
        """Whether the other posts of the threads come along."""
        return not self.skip and not self.collapsed


async def create(ctx: Context, actor: Actor, draft: Draft, *, set_online: bool = True) -> Post:
    """Write a post and tell the channel. The same pending id gives the same post, whoever retries where and when.

    Raises 400 for a bad draft, an archived channel or a bad root, 403 without create_post, 503 when the database
    cannot be reached (retry with the same pending id).
    """
    access = await _access_for_writing(ctx, actor, draft)
    await _check_root(ctx, draft)
    mentioned = await _mentioned(ctx, access.channel, actor.user, draft.message)
    new = NewPost(
        id=PostId(new_id()),
        channel_id=access.channel.id,
        user_id=actor.user_id,
        root_id=draft.root_id,
        message=draft.message,
        type=draft.type,
        props=wire.encode(draft.props).decode(),
        hashtags=validate.hashtags(draft.message),
        mentions=tuple(mentioned),
        pending_post_id=draft.pending_post_id or None,
        counts=True,
        member_required=access.member is not None and not can(actor, "create_post"),
    )
    written = await ctx.posts.write(new)
    if written is None:
        raise await _refusal(ctx, actor, access.channel.id)
    if not written.created:
        return await get(ctx, written.id)
    post = _as_written(new, written)
    ctx.bus.publish(
        events.posted(
            post,
            access.channel,
            mentioned,
            set_online=set_online,
            sender_name=_sender_name(ctx, actor.user, draft),
        )
    )
    ctx.bus.publish(events.channel_viewed(actor.user_id, access.channel.id))
    if set_online and ctx.activity.is_news(actor.user_id, ctx.now_ms()):
        ctx.bus.publish(events.active(actor.user_id))
    return post


async def announce(
    ctx: Context, author: User, channel: Channel, kind: str, message: str, props: dict[str, str]
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
        counts=kind not in _UNCOUNTED,
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
    if len(draft.message) > validate.MAX_POST_RUNES:
        raise AppError("model.post.is_valid.msg.app_error", 400)
    if not validate.is_custom_post_type(draft.type):
        raise AppError("model.post.is_valid.type.app_error", 400)
    if sum(len(name) + len(bytes(value)) + 6 for name, value in draft.props.items()) > validate.MAX_PROPS_BYTES:
        raise AppError("model.post.is_valid.props.app_error", 400)
    access = await channels.find_access(ctx.db, ChannelId(draft.channel_id), actor.user_id)
    if access is None:
        raise errors.forbidden()
    require(
        can_in_channel(actor, access, "create_post")
        or (access.channel.type == ChannelType.OPEN and can_in_team(actor, access.team_member, "create_post_public"))
    )
    if access.channel.delete_at:
        raise AppError("api.post.create_post.can_not_post_to_deleted.error", 400)
    return access


async def _check_root(ctx: Context, draft: Draft) -> None:
    if not draft.root_id:
        return
    root = await posts.find(ctx.db, PostId(draft.root_id)) if is_id(draft.root_id) else None
    if root is None or root.delete_at or root.root_id:
        raise AppError("api.post.create_post.root_id.app_error", 400)
    if root.channel_id != draft.channel_id:
        raise AppError("api.post.create_post.channel_root_id.app_error", 400)


async def _mentioned(ctx: Context, channel: Channel, author: User, message: str) -> list[UserId]:
    """Ids of the users a message mentions, the author left out. In a direct channel: the other one."""
    if channel.type == ChannelType.DIRECT:
        return [UserId(other) for other in dict.fromkeys(channel.name.split("__")) if other != author.id]
    found = mentions.parse(message)
    ids: dict[UserId, None] = {}
    if found.names:
        ids.update(dict.fromkeys(await users.find_member_ids_by_username(ctx.db, channel.id, found.names)))
    if found.everybody or found.here:
        limit = ctx.config.team_settings.max_notifications_per_channel
        if await channels.count_members(ctx.db, channel.id) <= limit:
            everybody = await channels.find_member_ids(ctx.db, channel.id, limit, online_only=not found.everybody)
            ids.update(dict.fromkeys(everybody))
    ids.pop(author.id, None)
    return list(ids)


async def _refusal(ctx: Context, actor: Actor, channel_id: ChannelId) -> AppError:
    """Why the database took no row although all was well a moment ago."""
    access = await channels.find_access(ctx.db, channel_id, actor.user_id)
    if access is None or access.channel.delete_at:
        return AppError("api.post.create_post.can_not_post_to_deleted.error", 400)
    return errors.forbidden()


def _sender_name(ctx: Context, author: User, draft: Draft) -> str:
    override = draft.props.get("override_username")
    if ctx.config.service_settings.enable_post_username_override and override is not None:
        name = msgspec.json.decode(override)
        if isinstance(name, str) and name:
            return name
    return author.username


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


async def get_for(ctx: Context, actor: Actor, post_id: PostId) -> Post:
    """The post, if the actor may read its channel. Raises 404, 403."""
    post = await get(ctx, post_id)
    access = await channels.find_access(ctx.db, post.channel_id, actor.user_id)
    require(access is not None and can_read_channel(actor, access))
    return post


async def readable(ctx: Context, actor: Actor, channel_id: ChannelId) -> Access:
    """The channel for reading its posts. Raises 403 for one that is not there or not the actor's to read."""
    access = await channels.find_access(ctx.db, channel_id, actor.user_id)
    if access is None:
        raise errors.forbidden()
    require(can_read_channel(actor, access))
    return access


async def page(ctx: Context, channel: Channel, *, page: int, per_page: int, threads: Threads) -> PostList:
    """The page-th newest `per_page` posts."""
    found = await posts.find_page(
        ctx.db, channel.id, offset=page * per_page, limit=per_page, roots_only=threads.collapsed
    )
    return await _complete(ctx, channel, found, threads)


async def since(ctx: Context, channel: Channel, since_ms: int, threads: Threads) -> PostList:
    """What was created, changed or deleted after `since_ms`: at most 1000 posts, the latest changes.

    When there are more, `prev_post_id` names the next older post, so that a client can page on.
    """
    found = await posts.find_since(ctx.db, channel.id, since_ms, limit=MAX_SINCE, roots_only=threads.collapsed)
    if len(found) < MAX_SINCE:
        extra = await posts.find_threads(ctx.db, found, replies=threads.replies)
        return PostList(found, extra, participants=await _participants(ctx, found, threads))
    return await _complete(ctx, channel, found, threads)


async def beside(
    ctx: Context, channel: Channel, *, before: str, after: str, page: int, per_page: int, threads: Threads
) -> PostList:
    """A page of posts before or after a post. Raises 400 when that post is not in the channel."""
    anchor_id = before or after
    anchor = await posts.find(ctx.db, PostId(anchor_id)) if is_id(anchor_id) else None
    if anchor is None or anchor.channel_id != channel.id:
        raise errors.invalid_url("before" if before else "after")
    find = posts.find_before if before else posts.find_after
    found = await find(
        ctx.db, channel.id, anchor.seq, offset=page * per_page, limit=per_page, roots_only=threads.collapsed
    )
    if not found and page == 0:
        return PostList([], [], next_post_id=before, prev_post_id=after)
    return await _complete(ctx, channel, found, threads)


async def around_unread(
    ctx: Context, user_id: UserId, channel: Channel, *, limit_before: int, limit_after: int, threads: Threads
) -> PostList:
    """Posts around the first one the user has not read; the newest `limit_before` when all is read."""
    member = await channels.find_member(ctx.db, channel.id, user_id)
    if member is None:
        raise AppError("app.channel.get_member.missing.app_error", 404)
    roots = threads.collapsed
    unread = await posts.find_after(
        ctx.db, channel.id, member.viewed_seq, offset=0, limit=limit_after, roots_only=roots
    )
    if unread:
        read = await posts.find_before(
            ctx.db, channel.id, unread[-1].seq, offset=0, limit=limit_before, roots_only=roots
        )
        return await _complete(ctx, channel, unread + read, threads)
    newest = await posts.find_page(ctx.db, channel.id, offset=0, limit=limit_before, roots_only=roots)
    return await _complete(ctx, channel, newest, threads)


async def _complete(ctx: Context, channel: Channel, found: list[Post], threads: Threads) -> PostList:
    """Add threads and the ids of the neighbours to a run of posts."""
    if not found:
        return PostList([], [])
    extra = await posts.find_threads(ctx.db, found, replies=threads.replies)
    newer, older = await posts.find_neighbour_ids(
        ctx.db, channel.id, found[0].seq, found[-1].seq, roots_only=threads.collapsed
    )
    return PostList(found, extra, newer, older, await _participants(ctx, found, threads))


async def _participants(ctx: Context, found: Sequence[Post], threads: Threads) -> dict[str, list[UserId]] | None:
    roots = [post.id for post in found if post.reply_count]
    if not threads.collapsed or not roots:
        return None
    return await posts.find_participants(ctx.db, roots)
