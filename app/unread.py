"""A channel that its reader marks as unread again, from a post on."""

import msgspec

from app import posts
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.events import wire
from app.permissions import Actor, can_in_channel, require
from db.model.ids import PostId, UserId
from db.order import changes
from db.pool.queryable import Transaction
from db.sql import channels, edits, unread
from db.sql.unread import Unread


class SetUnread(msgspec.Struct, kw_only=True):
    """POST /users/{user_id}/posts/{post_id}/set_unread. There are no collapsed threads: it changes nothing."""

    collapsed_threads_supported: bool = False


async def set_unread(ctx: Context, actor: Actor, user_id: UserId, post_id: PostId) -> wire.Json:
    """The user is to find their channel unread from this post on. Raises 403, and 404 where they are no member."""
    seen, access = await posts.find_for(ctx, actor, post_id, "read_channel")

    async def write(tx: Transaction) -> Unread:
        place = await changes.begin(tx, seen.channel_id)
        post = await edits.find(tx, seen.id)
        now = await channels.find_access(tx, seen.channel_id, actor.user_id)
        if place is None or post is None or now is None:
            raise AppError("app.post.get.app_error", 404)
        require(can_in_channel(actor, now, "read_channel"))
        found = await unread.set_from(tx, place, post, user_id)
        if found is None:
            raise AppError("app.channel.get_member.missing.app_error", 404)
        return found

    found = await ctx.db.transact(write)
    counts = {
        "last_viewed_at": found.last_viewed_at,
        "msg_count": found.msg_count,
        "msg_count_root": found.msg_count_root,
        "mention_count": found.mention_count,
        "mention_count_root": found.mention_count_root,
        "urgent_mention_count": 0,
    }
    ctx.bus.publish(events.post_unread(user_id, access.channel, seen.id, counts))
    return {"team_id": access.channel.team_id, "user_id": user_id, "channel_id": access.channel.id, **counts}
