"""Whom a new post mentions, by what they and the channel's other members want to be told (decision 0050).

    names in the message ──> users by name ────────────> members: mentioned; others: the author is told
    words ──> keys that anybody has (a copy) ──> users of those in the channel
    @all, @channel, @here ──> members, up to MaxNotificationsPerChannel, who want that
    a reply ──> who wants to be told of it, in the thread

What is read depends on what the message says, and never on how many members the channel has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from app import keywords, mentions, unstored
from app.context import Context
from app.events import messages as events
from app.events import wire
from app.permissions import Actor, can_in_channel
from app.roles import is_guest
from db.model.entities import ChannelInfo, ChannelType, Post
from db.model.ids import UserId, new_id
from db.sql import mentionkeys
from db.sql.channels import Access
from db.sql.mentionkeys import Named


@dataclass(frozen=True)
class Mentioned:
    """user_ids: the mentioned members, the author left out. outsiders: who is named and no member."""

    user_ids: tuple[UserId, ...] = ()
    outsiders: tuple[Named, ...] = ()


async def find(ctx: Context, actor: Actor, access: Access, message: str, root: Post | None) -> Mentioned:
    """Whom a post of the actor's mentions. In a direct channel that is the other one, in a group everybody."""
    channel = access.channel
    if channel.type == ChannelType.DIRECT:
        return Mentioned(tuple(UserId(one) for one in dict.fromkeys(channel.name.split("__")) if one != actor.user_id))
    said = mentions.parse(message)
    ids: dict[UserId, None] = {}
    outsiders: list[Named] = []
    if said.names:
        for one in await mentionkeys.find_named(ctx.db, channel.id, channel.team_id, said.names):
            if one.member:
                ids[one.id] = None
            else:
                outsiders.append(one)
    if words := keywords.among(await _keys(ctx, mentionkeys.WORDS), message):
        ids.update(dict.fromkeys(await mentionkeys.find_by_words(ctx.db, channel.id, words)))
    if root is not None and (await _keys(ctx, mentionkeys.REPLIES)).words:
        ids.update(dict.fromkeys(await mentionkeys.find_in_thread(ctx.db, channel.id, root.id, root.user_id)))
    grouped = channel.type == ChannelType.GROUP
    if grouped or ((said.everybody or said.here) and can_in_channel(actor, access, "use_channel_mentions")):
        ids.update(dict.fromkeys(await _everybody(ctx, channel, grouped=grouped, here_only=not said.everybody)))
    ids.pop(actor.user_id, None)
    return Mentioned(tuple(ids), tuple(outsiders))


async def _keys(ctx: Context, kind: str) -> keywords.Keywords:
    return await ctx.caches.mention_keys.get(kind) or keywords.Keywords()


async def _everybody(ctx: Context, channel: ChannelInfo, *, grouped: bool, here_only: bool) -> list[UserId]:
    """The members who want to be told of what is said to all; nobody where there are too many of them."""
    most = ctx.config.team_settings.max_notifications_per_channel
    members = await mentionkeys.find_members(ctx.db, channel.id, most + 1)
    if len(members) > most:
        return []
    return [
        user_id
        for user_id, of_user, of_member, online in members
        if grouped or ((online or not here_only) and wants_everybody(of_user, of_member))
    ]


class _UserProps(msgspec.Struct):
    channel: str = "true"


class _MemberProps(msgspec.Struct):
    ignore_channel_mentions: str = "default"
    mark_unread: str = "all"


@lru_cache(maxsize=4096)
def wants_everybody(of_user: str, of_member: str) -> bool:
    """Whether `@all` and the like are for a member, by `notify_props` of the user and of the member.

    Who has muted a channel ignores them there, unless they said otherwise.
    """
    try:
        user = msgspec.json.decode(of_user, type=_UserProps)
        member = msgspec.json.decode(of_member, type=_MemberProps)
    except msgspec.MsgspecError:  # written by hand
        return True
    muted = member.mark_unread == "mention" and member.ignore_channel_mentions == "default"
    return user.channel == "true" and member.ignore_channel_mentions != "on" and not muted


def tell_of_outsiders(ctx: Context, actor: Actor, access: Access, post: Post, outsiders: Sequence[Named]) -> None:
    """Tell the author whom they named and who will not hear of it, as they are no members: clients offer to add them.

    Guests are not told who there is.
    """
    channel = access.channel
    if not channel.team_id or is_guest(actor.user):
        return
    in_team = [one for one in outsiders if one.in_team]
    others = [one for one in outsiders if not one.in_team]
    if in_team:
        post_id = new_id()
        names, ids = [one.username for one in in_team], [one.id for one in in_team]
        add = {
            "post_id": post_id,
            "usernames": names,
            "not_in_channel_usernames": names,
            "user_ids": ids,
            "not_in_channel_user_ids": ids,
            "not_in_groups_usernames": [],
            "not_in_groups_user_ids": [],
        }
        _show(
            ctx,
            actor,
            post,
            f"{_listed(in_team)} not told of this: not in the channel.",
            {"add_channel_member": add},
            post_id,
        )
    if others:
        _show(ctx, actor, post, f"{_listed(others)} not told of this: not on the team.", {}, "")


def _listed(named: Sequence[Named]) -> str:
    names = [f"@{one.username}" for one in named]
    return f"{names[0]} was" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} were"


def _show(ctx: Context, actor: Actor, post: Post, message: str, props: wire.Json, post_id: str) -> None:
    shown = unstored.build(
        post.channel_id,
        UserId(""),
        message,
        root_id=post.root_id,
        props=wire.encode(props).decode(),
        at_ms=post.create_at + 1,
        post_id=post_id,
    )
    ctx.bus.publish(events.ephemeral_message(actor.user_id, shown))
