"""Events that did not come by the bus, built anew from what the database holds."""

from dataclasses import dataclass

import msgspec

from app.context import Context
from app.events import messages as events
from app.events.kinds import OfPost, Scene
from app.events.messages import Event
from app.posts import sender_name
from db.model.entities import ChannelInfo, Post
from db.model.ids import ChannelId, PostId, UserId
from db.model.numbers import term_in
from db.sql import channels, posts, reactions, users
from db.sql.reactions import Reactions

LIMIT = 100


@dataclass(frozen=True)
class Found:
    """end: how far the channel is in the database.

    upto: all events beyond what was asked for, up to this number, are here; what is not is gone for good.
    trimmed: some were there once and are kept no more: who needs them is to fetch the channel anew.
    lost: this master never had the number that was asked for, and perhaps others before it.
    """

    upto: int
    end: int
    events: tuple[Event, ...] = ()
    trimmed: bool = False
    lost: bool = False


async def read(ctx: Context, channel_id: ChannelId, after: int, limit: int = LIMIT) -> Found:
    """What a channel has beyond a number, in its order. Raises DatabaseError.

    The head is read first and on the master, so that the rows up to it are all there when they are read.
    """
    seqs = await channels.find_seqs(ctx.db, [channel_id])
    channel = await channels.find(ctx.db, channel_id)
    if channel_id not in seqs or channel is None:
        return Found(after, after)
    end, trimmed = seqs[channel_id]
    if end < after or await _went_on_from_before(ctx, channel_id, after, end, trimmed):
        return Found(end, end, lost=True)
    upto = end
    found_posts = await posts.find_range(ctx.db, channel_id, after, end, limit)
    found_events = await channels.find_events(ctx.db, channel_id, after, end, limit)
    if len(found_posts) == limit:
        upto = min(upto, found_posts[-1].seq)
    if len(found_events) == limit:
        upto = min(upto, found_events[-1][0])
    changes = [(seq, change) for seq, *row in found_events if (change := ctx.stored.read(*row)) is not None]
    named = [PostId(change.ref) for _, change in changes if isinstance(change, OfPost)]
    changed = {post.id: post for post in await posts.find_many(ctx.db, list(dict.fromkeys(named)))}
    given = await reactions.find(ctx.db, [*found_posts, *changed.values()], by_master=True)
    scene = Scene(channel, changed, given)
    built = [event for seq, change in changes if (event := change.event(seq, scene)) is not None]
    names = {user.id: user.username for user in await users.find_many(ctx.db, [post.user_id for post in found_posts])}
    built += [_of_post(ctx, post, channel, names, given) for post in found_posts]
    built = sorted((one for one in built if one.seq <= upto), key=lambda one: one.seq)
    return Found(upto, end, tuple(built), trimmed=after < trimmed)


async def _went_on_from_before(ctx: Context, channel_id: ChannelId, after: int, end: int, trimmed: int) -> bool:
    """Whether a later master than that which gave out `after` was without it."""
    may = term_in(after) < term_in(end) and after > trimmed
    return may and not await channels.has_change(ctx.db, channel_id, after)


def _of_post(ctx: Context, post: Post, channel: ChannelInfo, names: dict[UserId, str], given: Reactions) -> Event:
    """As it was posted, but with what it says now."""
    mentions = [UserId(one) for one in msgspec.json.decode(post.mentions, type=list[str])]
    return events.posted(
        post,
        channel,
        mentions,
        set_online=not post.type.startswith("system_"),
        sender_name=sender_name(ctx, post, names.get(post.user_id, "")),
        reactions=given.get(post.id, ()),
    )
