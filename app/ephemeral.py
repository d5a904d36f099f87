"""A post that one user shows another, and nobody else (`app/unstored.py`)."""

import msgspec

from app import errors, posts, props, unstored
from app.context import Context
from app.events import messages as events
from app.events import wire
from app.permissions import Actor, can, require
from app.posts import Draft
from db.model.ids import ChannelId, UserId, is_id


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
    post = unstored.build(
        ChannelId(draft.channel_id),
        actor.user_id,
        draft.message,
        root_id=draft.root_id,
        props=props.of_user(draft.props),
        at_ms=ctx.now_ms(),
    )
    ctx.bus.publish(events.ephemeral_message(UserId(new.user_id), post))
    return wire.post(post)
