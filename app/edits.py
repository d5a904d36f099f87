"""Posts that change: edited, pinned, unpinned, deleted. Each change takes the next number of its channel."""

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from app import errors, posts, props, validate
from app.context import Context
from app.errors import AppError
from app.events import wire
from app.events.kinds import PostDeleted, PostEdited, Scene
from app.events.messages import Event
from app.permissions import Actor
from app.postrules import PostRule
from app.props import Props
from db.model.entities import ChannelInfo, Post
from db.model.ids import PostId
from db.order import changes
from db.pool.queryable import Transaction
from db.sql import edits, reactions

_UPDATE = PostRule(
    "edit_post",
    "edit_post edit_others_posts",
    lambda: AppError("api.post.update_post.can_not_update_post_in_deleted.error", 400),
)
_PATCH = PostRule(
    "edit_post", "edit_others_posts", lambda: AppError("api.post.patch_post.can_not_update_post_in_deleted.error", 400)
)
_PIN = PostRule(
    "read_channel", "read_channel", lambda: AppError("api.post.patch_post.can_not_update_post_in_deleted.error", 400)
)
_DELETE = PostRule(
    "delete_post",
    "delete_others_posts",
    lambda: AppError("api.post.delete_post.can_not_delete_post_in_deleted.error", 400),
)


class Update(msgspec.Struct, kw_only=True):
    """PUT /posts/{post_id}: what is left out becomes empty. Mattermost's other fields are not a client's to change."""

    id: str = ""
    message: str = ""
    is_pinned: bool = False
    props: Props = {}
    file_ids: list[str] = []


class Patch(msgspec.Struct, kw_only=True):
    """PUT /posts/{post_id}/patch: what is left out stays."""

    message: str | UnsetType = UNSET
    is_pinned: bool | UnsetType = UNSET
    props: Props | UnsetType = UNSET
    file_ids: list[str] = []


async def update(ctx: Context, actor: Actor, post_id: PostId, body: Update) -> wire.Json:
    """Replace what a post says. Raises 400, 403, 404."""
    if body.id != post_id:
        raise errors.invalid_body("id")
    post, access = await posts.find_for(ctx, actor, post_id, "edit_post")
    _UPDATE.ask(actor, post, access)
    patch = Patch(message=body.message, is_pinned=body.is_pinned, props=body.props, file_ids=body.file_ids)
    return await _change(ctx, actor, _UPDATE, post, access.channel, patch)


async def patch(ctx: Context, actor: Actor, post_id: PostId, body: Patch) -> wire.Json:
    """Change a part of a post. Raises 400, 403, 404."""
    post, access = await posts.find_for(ctx, actor, post_id)
    _PATCH.ask(actor, post, access)
    return await _change(ctx, actor, _PATCH, post, access.channel, body)


async def pin(ctx: Context, actor: Actor, post_id: PostId, *, pinned: bool) -> None:
    """Pin a post to its channel, or unpin it. Raises 400, 403, 404."""
    post, access = await posts.find_for(ctx, actor, post_id, "read_channel")
    _PIN.ask(actor, post, access)
    await _change(ctx, actor, _PIN, post, access.channel, Patch(is_pinned=pinned))


async def delete(ctx: Context, actor: Actor, post_id: PostId) -> None:
    """Delete a post; a root with its replies. Raises 400, 403, and 404 when it is deleted already."""
    post, access = await posts.find_for(ctx, actor, post_id)
    _DELETE.ask(actor, post, access)

    async def write(tx: Transaction) -> Event:
        place, last = await _DELETE.lock(tx, actor, post)
        given = await reactions.find(tx, [last])
        await edits.delete(tx, last, place, actor.user_id)
        deletion = PostDeleted(last.id, actor.user_id, last.update_at)
        await changes.record(tx, place, deletion)
        return deletion.live(place.seq, Scene(access.channel, {last.id: last}, given))

    ctx.bus.publish(await ctx.db.transact(write))


async def _change(
    ctx: Context, actor: Actor, rule: PostRule, post: Post, channel: ChannelInfo, patch: Patch
) -> wire.Json:
    """What leaves the post as it is, such as a retry, takes no number and is no event."""
    posts.check_content(patch.message or "", patch.props or {}, patch.file_ids)
    if post.type.startswith("system_"):
        raise AppError("api.post.update_post.system_message.app_error", 400)

    async def write(tx: Transaction) -> tuple[wire.Json, Event | None]:
        place, before = await rule.lock(tx, actor, post)
        given = (await reactions.find(tx, [before])).get(before.id, ())
        after = _patched(before, patch, place.at)
        if after == before:
            return wire.post(before, reactions=given), None
        limit_s = ctx.config.service_settings.post_edit_time_limit
        if limit_s >= 0 and after.message != before.message and place.at > before.create_at + limit_s * 1000:
            raise AppError("api.post.update_post.permissions_time_limit.app_error", 400, timeLimit=limit_s)
        after = replace(after, update_at=place.at)
        await edits.replace(tx, before, after, place, actor.user_id)
        edit = PostEdited(post.id)
        await changes.record(tx, place, edit)
        event = edit.live(place.seq, Scene(channel, {post.id: after}, {post.id: given}))
        return wire.post(after, reactions=given), event

    shown, event = await ctx.db.transact(write)
    if event is not None:
        ctx.bus.publish(event)
    return shown


def _patched(post: Post, patch: Patch, now_ms: int) -> Post:
    """The post as it is to be. Its time of editing moves with its message and attachments, and with nothing else."""
    message = post.message if patch.message is UNSET else patch.message
    content = post.props if patch.props is UNSET else props.of_user(patch.props, kept=post.props)
    edited = message != post.message or _attachments(content) != _attachments(post.props)
    return replace(
        post,
        message=message,
        hashtags=validate.hashtags(message),
        props=content,
        is_pinned=post.is_pinned if patch.is_pinned is UNSET else patch.is_pinned,
        edit_at=now_ms if edited else post.edit_at,
    )


def _attachments(content: str) -> bytes | None:
    found = msgspec.json.decode(content, type=Props).get("attachments")
    return None if found is None else bytes(found)
