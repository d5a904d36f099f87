"""Reactions to posts: giving them, taking them back, reading them."""

import asyncio
from collections.abc import Sequence

import msgspec

from app import errors, posts, validate
from app.context import Context
from app.errors import AppError
from app.events import wire
from app.events.kinds import ReactionAdded, ReactionRemoved, Scene
from app.events.messages import Event
from app.permissions import Actor, can, can_in_channel, is_self_or_can, require
from app.postrules import PostRule
from db.model import limits
from db.model.entities import Reaction
from db.model.ids import PostId, UserId, is_id
from db.order import changes
from db.pool.queryable import Transaction
from db.sql import posts as posts_db
from db.sql import reactions

_ADD = PostRule("add_reaction", "add_reaction", lambda: AppError("api.reaction.save.archived_channel.app_error", 403))
_REMOVE = PostRule(
    "remove_reaction", "remove_reaction", lambda: AppError("api.reaction.delete.archived_channel.app_error", 403)
)


class NewReaction(msgspec.Struct, kw_only=True):
    """POST /reactions. user_id: oneself."""

    user_id: str = ""
    post_id: str = ""
    emoji_name: str = ""


async def add(ctx: Context, actor: Actor, new: NewReaction) -> Reaction:
    """React to a post. What is there already is answered as it is, takes no number and is no event.

    Raises 400, 403, 404.
    """
    if not (is_id(new.user_id) and is_id(new.post_id) and 0 < len(new.emoji_name) <= validate.MAX_EMOJI_NAME):
        raise AppError("api.reaction.save_reaction.invalid.app_error", 400)
    if new.user_id != actor.user_id:
        raise AppError("api.reaction.save_reaction.user_id.app_error", 403)
    if not validate.is_emoji_name(new.emoji_name):
        raise AppError("model.reaction.is_valid.emoji_name.app_error", 400)
    post, access = await posts.find_for(ctx, actor, PostId(new.post_id), "add_reaction")
    _ADD.ask(actor, post, access)

    async def write(tx: Transaction) -> tuple[Reaction, Event | None]:
        place, current = await _ADD.lock(tx, actor, post)
        reaction = Reaction(post.id, actor.user_id, new.emoji_name, place.at)
        most = ctx.config.service_settings.unique_emoji_reaction_limit_per_post
        try:
            there = await reactions.add(tx, place, reaction, most)
        except reactions.TooManyEmojis as error:
            raise AppError("app.reaction.save.save.too_many_reactions", 400) from error
        if there is not None:
            return there, None
        added = ReactionAdded(post.id, reaction.user_id, reaction.emoji_name, reaction.create_at)
        await changes.record(tx, place, added)
        return reaction, added.live(place.seq, Scene(access.channel, {post.id: current}))

    reaction, event = await ctx.db.transact(write)
    if event is not None:
        ctx.bus.publish(event)
    return reaction


async def remove(ctx: Context, actor: Actor, user_id: UserId, post_id: PostId, emoji_name: str) -> None:
    """Take a reaction back, one's own or, as an administrator, another's. One that is not there is no error.

    Raises 403, 404.
    """
    post, access = await posts.find_for(ctx, actor, post_id, "remove_reaction")
    require(is_self_or_can(actor, user_id, "remove_others_reactions"))
    _REMOVE.ask(actor, post, access)

    async def write(tx: Transaction) -> Event | None:
        place, current = await _REMOVE.lock(tx, actor, post)
        if not await reactions.remove(tx, place, post.id, user_id, emoji_name):
            return None
        removed = ReactionRemoved(post.id, user_id, emoji_name, place.at)
        await changes.record(tx, place, removed)
        return removed.live(place.seq, Scene(access.channel, {post.id: current}))

    event = await ctx.db.transact(write)
    if event is not None:
        ctx.bus.publish(event)


async def of_post(ctx: Context, actor: Actor, post_id: PostId, page: int) -> list[wire.Json]:
    """A page of the reactions to a post, limits.REACTIONS in the order in which they were given.

    Raises 403, and 404, also for a deleted post.
    """
    post, _ = await posts.find_for(ctx, actor, post_id, "read_channel")
    if post.delete_at:
        raise AppError("app.post.get.app_error", 404)
    found = await reactions.find_page(ctx.db, post, page * limits.REACTIONS, limits.REACTIONS)
    return [wire.reaction(one) for one in found]


async def of_posts(ctx: Context, actor: Actor, ids: Sequence[str]) -> dict[str, list[wire.Json]]:
    """The first reactions to each of up to limits.POST_IDS posts; those that are left out are to be asked for again.

    Raises 400 for too many and for what is no id, 403 if any is not the actor's to read.
    """
    if len(ids) > limits.POST_IDS or not all(is_id(one) for one in ids):
        raise errors.invalid_body("post_ids")
    found = {
        place[0]: place for place in await posts_db.find_places(ctx.db, [PostId(one) for one in dict.fromkeys(ids)])
    }
    require(len(found) == len(set(ids)) or can(actor, "read_channel"))
    channel_ids = {channel_id for _, channel_id, _ in found.values()}
    for access in await asyncio.gather(*(ctx.caches.access.get((one, actor.user_id)) for one in channel_ids)):
        require(access is not None and can_in_channel(actor, access, "read_channel"))
    reacted = [(one, found[one][1]) for one in map(PostId, ids) if one in found and found[one][2]]
    given = await reactions.find_for_list(ctx.db, list(dict.fromkeys(reacted)))
    answer: dict[str, list[wire.Json]] = {}
    room = limits.LIST_BYTES
    for one in dict.fromkeys(ids):
        each = [wire.reaction(reaction) for reaction in given.get(PostId(one), ())]
        room -= len(wire.encode(each)) + len(one) + 4
        if room < 0:
            break
        answer[one] = each
    return answer
