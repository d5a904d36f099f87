"""Posts for the eyes of one user: they are stored nowhere, and whoever has no client open misses them."""

import msgspec

from app import errors, posts, props
from app.context import Context
from app.events import messages as events
from app.events import wire
from app.permissions import Actor, can, require
from app.posts import Draft
from app.props import Props
from db.model.entities import Post
from db.model.ids import ChannelId, PostId, UserId, is_id, new_id

TYPE = "system_ephemeral"


class NewEphemeral(msgspec.Struct, kw_only=True):
    """POST /posts/ephemeral. user_id: who is to see the post."""

    user_id: str = ""
    post: Draft = msgspec.field(default_factory=Draft)


async def create(ctx: Context, actor: Actor, new: NewEphemeral) -> wire.Json:
    """Show a user a post by the actor. Raises 400, 403."""
    require(can(actor, "create_post_ephemeral"))
    draft = new.post
    if not is_id(new.user_id):
        raise errors.invalid_body("user_id")
    if not is_id(draft.channel_id) or (draft.root_id and not is_id(draft.root_id)):
        raise errors.invalid_body("post")
    posts.check_content(draft.message, draft.props, draft.file_ids)
    post = build(ChannelId(draft.channel_id), actor.user_id, draft.root_id, draft.message, draft.props, ctx.now_ms())
    ctx.bus.publish(events.ephemeral_message(UserId(new.user_id), post))
    return wire.post(post)


def build(
    channel_id: ChannelId, user_id: UserId, root_id: str, message: str, content: Props, now_ms: int, post_id: str = ""
) -> Post:
    """Such a post. user_id: by whom it is."""
    return Post(
        id=PostId(post_id or new_id()),
        channel_id=channel_id,
        seq=0,
        create_at=now_ms,
        update_at=now_ms,
        edit_at=0,
        delete_at=0,
        is_pinned=False,
        user_id=user_id,
        root_id=root_id,
        original_id="",
        message=message,
        type=TYPE,
        props=props.of_user(content),
        hashtags="",
        file_ids="[]",
        mentions="[]",
        pending_post_id=None,
        reply_count=0,
        last_reply_at=0,
    )
