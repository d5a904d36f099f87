"""Leaving channels and teams, by oneself or because somebody removes one; and what members are."""

from app import channels, posts
from app.audit import audited
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.events.kinds import Scene, UserRemoved
from app.permissions import Actor, can_in_channel, can_in_team, require
from app.roles import Chosen, Scheme, chosen
from db.model.entities import ChannelInfo, ChannelMember, ChannelType, TeamMember, User
from db.model.ids import ChannelId, TeamId, UserId
from db.order import clock, locks
from db.pool.queryable import Queryable, Transaction
from db.sql import channels as channels_db
from db.sql import members, sidebar, teams, users


@audited("removeChannelMember", "channel_id", "user_id")
async def leave_channel(ctx: Context, actor: Actor, channel_id: ChannelId, user_id: UserId) -> None:
    """End a membership. Raises 400 for direct and default channels, 403, 404."""

    async def judge(db: Queryable) -> ChannelInfo:
        access = await channels_db.find_access(db, channel_id, actor.user_id)
        if access is None:
            raise AppError("app.channel.get.existing.app_error", 404)
        channel = access.channel
        if channel.type in (ChannelType.DIRECT, ChannelType.GROUP):
            raise AppError("api.channel.remove_channel_member.type.app_error", 400)
        if user_id != actor.user_id:
            kind = "public" if channel.type == ChannelType.OPEN else "private"
            require(can_in_channel(actor, access, f"manage_{kind}_channel_members"))
        return channel

    channel = await judge(ctx.db)
    user = await _user(ctx, user_id)
    if channel.name == channels.DEFAULT_CHANNELS[0][0]:
        raise AppError("api.channel.remove.default.app_error", 400, Channel=channel.name)

    async def remove(tx: Transaction) -> int:
        place = await channels.lock_head(tx, channel_id)
        await judge(tx)
        if not await members.remove(tx, place, UserRemoved(user_id, actor.user_id)):
            raise AppError("app.channel.get_member.missing.app_error", 404)
        return place.seq

    seq = await ctx.db.transact(remove)
    _tell_left(ctx, channel, user_id, actor.user_id, seq)
    await _announce(ctx, actor.user, user, channel)


@audited("removeTeamMember", "team_id", "user_id")
async def leave_team(ctx: Context, actor: Actor, team_id: TeamId, user_id: UserId) -> None:
    """End a membership of a team and of all its channels. Raises 403, 404."""

    async def judge(db: Queryable) -> None:
        if user_id != actor.user_id:
            member = await teams.find_member(db, team_id, actor.user_id)
            require(can_in_team(actor, member, "remove_user_from_team"))

    await judge(ctx.db)
    user = await _user(ctx, user_id)

    async def remove(tx: Transaction) -> list[tuple[ChannelInfo, int]]:
        lock = await locks.team(tx, team_id)
        await judge(tx)
        if not await teams.remove_member(tx, lock, user_id, await clock.now_ms(tx)):
            raise AppError("app.team.get_member.missing.app_error", 404)
        await sidebar.forget_team(tx, user_id, team_id)
        left: list[tuple[ChannelInfo, int]] = []
        for channel_id in await members.find_channel_ids(tx, team_id, user_id):
            place = await channels.lock_head(tx, channel_id)
            gone = await members.remove(tx, place, UserRemoved(user_id, actor.user_id))
            access = await channels_db.find_access(tx, channel_id, user_id)
            if gone and access is not None:
                left.append((access.channel, place.seq))
        return left

    left = await ctx.db.transact(remove)
    ctx.bus.publish(events.TeamMembership(user_id, team_id, joined=False))
    for channel, seq in left:
        _tell_left(ctx, channel, user_id, actor.user_id, seq)
    ctx.bus.publish(events.leave_team(user_id, team_id, to_user=False))
    ctx.bus.publish(events.leave_team(user_id, team_id, to_user=True))
    for channel, _ in left:
        if channel.name == channels.DEFAULT_CHANNELS[0][0]:
            await _announce(ctx, actor.user, user, channel, of_team=True)


def _tell_left(ctx: Context, channel: ChannelInfo, user_id: UserId, remover_id: UserId, seq: int) -> None:
    """First those who route by membership, so that the user gets nothing more; then the others, then the user."""
    ctx.bus.publish(events.ChannelMembership(user_id, channel.id, joined=False))
    ctx.bus.publish(UserRemoved(user_id, remover_id).live(seq, Scene(channel)))
    ctx.bus.publish(events.you_were_removed(user_id, channel, remover_id))


async def _announce(ctx: Context, actor: User, user: User, channel: ChannelInfo, *, of_team: bool = False) -> None:
    what = "team" if of_team else "channel"
    if actor.id == user.id:
        kind, text, props = f"system_leave_{what}", f"{user.username} has left the {what}.", {"username": user.username}
    else:
        kind, text = f"system_remove_from_{what}", f"{user.username} removed from the {what}."
        props = {"removedUserId": user.id, "removedUsername": user.username}
    await posts.announce(ctx, actor, channel, kind, text, props)


@audited("updateChannelMemberRoles", "channel_id", "user_id", "wanted")
async def set_channel_roles(
    ctx: Context, actor: Actor, channel_id: ChannelId, user_id: UserId, wanted: str | Scheme
) -> ChannelMember:
    """Give a member other roles: by their names, or those of the scheme. Raises 400, 403, 404."""

    async def judge(db: Queryable) -> Chosen:
        access = await channels_db.find_access(db, channel_id, actor.user_id)
        if access is None:
            raise AppError("app.channel.get.existing.app_error", 404)
        require(can_in_channel(actor, access, "manage_channel_roles"))
        member = await channels_db.find_member(db, channel_id, user_id)
        if member is None:
            raise AppError("app.channel.get_member.missing.app_error", 404)
        return chosen("channel", member, wanted)

    await judge(ctx.db)

    async def change(tx: Transaction) -> None:
        place = await channels.lock_head(tx, channel_id)
        new = await judge(tx)
        await members.set_roles(tx, place, user_id, new.beside, user=new.user, admin=new.admin)

    await ctx.db.transact(change)
    after = await channels_db.find_member(ctx.db, channel_id, user_id)
    if after is None:
        raise AppError("app.channel.get_member.missing.app_error", 404)
    ctx.bus.publish(events.channel_member_updated(after, ctx.config.privacy_settings))
    return after


@audited("updateTeamMemberRoles", "team_id", "user_id", "wanted")
async def set_team_roles(
    ctx: Context, actor: Actor, team_id: TeamId, user_id: UserId, wanted: str | Scheme
) -> TeamMember:
    """The same in a team. Raises 400, 403, 404."""

    async def judge(db: Queryable) -> Chosen:
        own = await teams.find_member(db, team_id, actor.user_id)
        require(can_in_team(actor, own, "manage_team_roles"))
        member = await teams.find_member(db, team_id, user_id)
        if member is None or member.delete_at:
            raise AppError("app.team.get_member.missing.app_error", 404)
        return chosen("team", member, wanted)

    await judge(ctx.db)

    async def change(tx: Transaction) -> None:
        lock = await locks.team(tx, team_id)
        new = await judge(tx)
        await teams.set_roles(tx, lock, user_id, new.beside, user=new.user, admin=new.admin)

    await ctx.db.transact(change)
    after = await teams.find_member(ctx.db, team_id, user_id)
    if after is None:
        raise AppError("app.team.get_member.missing.app_error", 404)
    ctx.bus.publish(events.memberrole_updated(after))
    return after


async def _user(ctx: Context, user_id: UserId) -> User:
    user = await users.find(ctx.db, user_id)
    if user is None:
        raise AppError("app.user.missing_account.const", 404)
    return user
