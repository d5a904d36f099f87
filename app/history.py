"""What a post said before it was edited: for its author, to look at and to go back to.

In Mattermost a version is a deleted post with an id of its own. Here it is a row of `post_versions`, and its id says
which: half the id of the post, then the number of the change that ended it, in 13 digits of base 32.
"""

from app import edits, posts
from app.context import Context
from app.errors import AppError
from app.events import wire
from app.permissions import Actor, can_in_channel, require
from db.model import limits
from db.model.entities import Post
from db.model.ids import ID_LENGTH, PostId
from db.sql import chosen
from db.sql.chosen import Version

_HALF = ID_LENGTH // 2
_DIGITS = "0123456789abcdefghijklmnopqrstuv"


def version_id(post_id: PostId, seq: int) -> str:
    """The id of the version of a post that the change `seq` of its channel ended."""
    return post_id[:_HALF] + "".join(_DIGITS[seq >> 5 * place & 31] for place in range(_HALF - 1, -1, -1))


def version_in(post_id: PostId, wanted: str) -> int | None:
    """The number in an id of a version of this post; None in any other id."""
    half, digits = wanted[:_HALF], wanted[_HALF:]
    if half != post_id[:_HALF] or not set(digits) <= set(_DIGITS):
        return None
    seq = int(digits, 32)
    return seq if seq < 1 << 63 else None


async def versions(ctx: Context, actor: Actor, post_id: PostId) -> list[wire.Json]:
    """What the actor's post said before, newest first. Raises 403, and 404 where it was never edited."""
    post = await _own(ctx, actor, post_id)
    room = limits.LIST_BYTES
    shown: list[wire.Json] = []
    for version in await chosen.find_versions(ctx.db, post.id):
        one = wire.post(_before(post, version), with_deleted=True)
        room -= len(wire.encode(one))
        if room < 0 and shown:
            break
        shown.append(one)
    if not shown:
        raise AppError("app.post.get.app_error", 404)
    return shown


async def restore(ctx: Context, actor: Actor, post_id: PostId, wanted: str) -> wire.Json:
    """The actor's post says again what it said in this version. Raises 400, 403, 404, as another edit."""
    post = await _own(ctx, actor, post_id)
    seq = version_in(post.id, wanted)
    version = None if seq is None else await chosen.find_version(ctx.db, post.id, seq)
    if version is None:
        raise AppError("app.post.restore_post_version.not_an_history_item.app_error", 400)
    return await edits.patch(ctx, actor, post.id, edits.Patch(message=version.message))


async def _own(ctx: Context, actor: Actor, post_id: PostId) -> Post:
    """The actor's own post. Raises 403, also for one that is not there."""
    post, access = await posts.find_for(ctx, actor, post_id, "edit_post")
    require(post.user_id == actor.user_id and can_in_channel(actor, access, "edit_post"))
    if post.delete_at:
        raise AppError("app.post.get.app_error", 404)
    return post


def _before(post: Post, version: Version) -> Post:
    """The version as Mattermost has it: a deleted post whose original this one is."""
    return Post(
        id=PostId(version_id(post.id, version.seq)),
        channel_id=post.channel_id,
        seq=version.seq,
        create_at=post.create_at,
        update_at=version.ended_at,
        edit_at=version.edit_at,
        delete_at=version.ended_at,
        is_pinned=post.is_pinned,
        user_id=post.user_id,
        root_id=post.root_id,
        original_id=post.id,
        message=version.message,
        type=post.type,
        props=version.props,
        hashtags="",
        file_ids="[]",
        mentions="[]",
        pending_post_id=None,
        reply_count=0,
        last_reply_at=0,
    )
