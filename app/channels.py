"""Channels and their members."""

import msgspec
from msgspec.structs import replace

from app import errors, posts, validate
from app.adding import living_team, require_addable
from app.audit import audited
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.events import wire
from app.events.kinds import Scene, UserAdded
from app.permissions import Actor, can, can_in_channel, can_in_team, can_read_channel, require, viewer
from app.ports import Tag
from db.model.entities import Channel, ChannelInfo, ChannelMember, ChannelType, TeamMember, User
from db.model.errors import Duplicate
from db.model.ids import ChannelId, TeamId, UserId, is_id, new_id
from db.order import changes, clock, locks
from db.order.changes import Place
from db.order.locks import Scope
from db.pool.queryable import Queryable, Transaction
from db.sql import channels, teams, users
from db.sql import members as members_db
from db.sql.channels import Access

NOTIFY_PROPS = (
    '{"desktop":"default","email":"default","ignore_channel_mentions":"default","mark_unread":"all","push":"default"}'
)
DEFAULT_CHANNELS = (("town-square", "Town Square"), ("off-topic", "Off-Topic"))


class NewChannel(msgspec.Struct, kw_only=True):
    """What a client may say of a new channel."""

    team_id: str = ""
    name: str = ""
    display_name: str = ""
    type: str = ""
    header: str = ""
    purpose: str = ""


def build(kind: ChannelType, team_id: TeamId, name: str, display_name: str, creator: UserId, *, now_ms: int) -> Channel:
    """A channel that is not stored yet."""
    return Channel(
        id=ChannelId(new_id()),
        create_at=now_ms,
        update_at=now_ms,
        delete_at=0,
        team_id=team_id,
        type=kind,
        display_name=display_name,
        name=name,
        header="",
        purpose="",
        creator_id=creator,
        extra_update_at=now_ms,
    )


async def create(ctx: Context, actor: Actor, new: NewChannel) -> Channel:
    """Create an open or private channel with the actor as its administrator. Raises 400, 403."""
    _check(new)
    kind = ChannelType(new.type)
    team_id, most = TeamId(new.team_id), ctx.config.team_settings.max_channels_per_team
    permission = "create_public_channel" if kind is ChannelType.OPEN else "create_private_channel"

    async def judge(db: Queryable) -> None:
        require(can_in_team(actor, await teams.find_member(db, team_id, actor.user_id), permission))
        await living_team(db, team_id)
        await require_addable(db, actor.user_id, "channel")
        if await channels.count_of_team(db, team_id) >= most:
            raise AppError("api.channel.create_channel.max_channel_limit.app_error", 400, MaxChannelsPerTeam=most)

    await judge(ctx.db)

    async def insert(tx: Transaction) -> tuple[Channel, int]:
        await locks.accounts(tx, [actor.user_id])
        lock = await locks.team(tx, team_id)
        await judge(tx)
        now_ms = await clock.now_ms(tx)
        channel = build(kind, team_id, new.name, new.display_name, actor.user_id, now_ms=now_ms)
        channel = replace(channel, header=new.header, purpose=new.purpose)
        await channels.insert(tx, lock, channel)
        creator = await add(tx, lock, channel.id, actor.user_id, admin=True)
        return channel, creator.join_seq if creator is not None else 0

    try:
        channel, seq = await ctx.db.transact(insert)
    except Duplicate as error:
        raise AppError("store.sql_channel.save_channel.exists.app_error", 400) from error
    ctx.bus.publish(events.ChannelMembership(actor.user_id, channel.id, joined=True, seq=seq))
    await announce_join(ctx, actor.user, channel)
    ctx.bus.publish(events.channel_created(actor.user_id, channel))
    return await get(ctx, channel.id)


def _check(new: NewChannel) -> None:
    if new.type in (ChannelType.DIRECT, ChannelType.GROUP):
        raise AppError("api.channel.create_channel.direct_channel.app_error", 400)
    if new.type not in (ChannelType.OPEN, ChannelType.PRIVATE):
        raise AppError("model.channel.is_valid.type.app_error", 400)
    if not is_id(new.team_id):
        raise errors.invalid_body("team_id")
    new.display_name = new.display_name.strip()
    if not 1 <= len(new.display_name) <= 64:
        raise AppError("model.channel.is_valid.display_name.app_error", 400)
    if not validate.is_channel_name(new.name):
        raise AppError("model.channel.is_valid.2_or_more.app_error", 400)
    if validate.is_direct_channel_name(new.name):
        raise AppError("model.channel.is_valid.name.app_error", 400)
    if len(new.header) > 1024:
        raise AppError("model.channel.is_valid.header.app_error", 400)
    if len(new.purpose) > 250:
        raise AppError("model.channel.is_valid.purpose.app_error", 400)


async def add(
    tx: Transaction, scope: Scope, channel_id: ChannelId, user_id: UserId, *, admin: bool = False
) -> ChannelMember | None:
    """Store a membership within a transaction; None when it was there, or the channel is archived.

    Takes the head's lock. Tell of it with `announce_join` after the transaction.
    """
    place = await lock_head(tx, channel_id)
    return await channels.add_member(tx, scope, place, UserAdded(user_id), notify_props=NOTIFY_PROPS, admin=admin)


async def lock_head(tx: Transaction, channel_id: ChannelId) -> Place:
    """The next number of the channel, under the lock of its head. Raises 404."""
    place = await changes.begin(tx, channel_id)
    if place is None:
        raise AppError("app.channel.get.existing.app_error", 404)
    return place


async def announce_join(
    ctx: Context, user: User, channel: ChannelInfo, requestor: User | None = None, *, of_team: bool = False
) -> None:
    """The system message of a joining ("of_team": of the whole team). `requestor`: who added the user, if not they."""
    if requestor is None or requestor.id == user.id:
        kind, text = (
            ("system_join_team", "joined the team") if of_team else ("system_join_channel", "joined the channel")
        )
        await posts.announce(ctx, user, channel, kind, f"{user.username} {text}.", {"username": user.username})
        return
    what = "team" if of_team else "channel"
    await posts.announce(
        ctx,
        requestor,
        channel,
        f"system_add_to_{what}",
        f"{user.username} added to the {what} by {requestor.username}.",
        {
            "userId": requestor.id,
            "username": requestor.username,
            "addedUserId": user.id,
            "addedUsername": user.username,
        },
    )


async def create_direct(ctx: Context, actor: Actor, user_ids: list[str]) -> Channel:
    """The direct channel of two users, made when it is not there. Raises 400, 403, 404."""
    if len(user_ids) != 2 or not all(is_id(user_id) for user_id in user_ids):
        raise errors.invalid_body("user_ids")
    first, second = (UserId(user_id) for user_id in sorted(user_ids))
    require(can(actor, "create_direct_channel"))
    require(actor.user_id in (first, second) or can(actor, "manage_system"))
    found = await users.find_many(ctx.db, [first, second])
    if {user.id for user in found} != {first, second}:
        raise AppError("api.channel.create_direct_channel.invalid_user.app_error", 400)
    name = f"{first}__{second}"
    existing = await channels.find_by_name(ctx.db, TeamId(""), name)
    if existing is not None:
        return existing

    async def insert(tx: Transaction) -> tuple[ChannelId, int]:
        lock = await locks.accounts(tx, [first, second])
        now_ms = await clock.now_ms(tx)
        channel = build(ChannelType.DIRECT, TeamId(""), name, "", actor.user_id, now_ms=now_ms)
        await channels.insert(tx, lock, channel)
        seq = 0
        for user_id in dict.fromkeys((first, second)):
            member = await add(tx, lock, channel.id, user_id)  # of a deactivated account too, as in Mattermost
            seq = member.join_seq if member is not None else 0
        return channel.id, seq

    try:
        channel_id, seq = await ctx.db.transact(insert)
    except Duplicate:  # the other one was faster
        existing = await channels.find_by_name(ctx.db, TeamId(""), name)
        if existing is None:
            raise
        return existing
    for user_id in dict.fromkeys((first, second)):
        ctx.bus.publish(events.ChannelMembership(user_id, channel_id, joined=True, seq=seq))
    ctx.bus.publish(events.direct_added(actor.user_id, second if actor.user_id == first else first, channel_id))
    return await get(ctx, channel_id)


async def get(ctx: Context, channel_id: ChannelId) -> Channel:
    """The channel, whoever asks. Raises 404."""
    channel = await channels.find(ctx.db, channel_id)
    if channel is None:
        raise AppError("app.channel.get.existing.app_error", 404)
    return channel


async def get_for(ctx: Context, actor: Actor, channel_id: ChannelId, tag: Tag) -> wire.Json:
    """The channel with its counters. Raises 404 when it is not there, 403 when the actor may not read it."""
    access = await access_for(ctx, actor, channel_id)
    head = await ctx.caches.heads.get(channel_id)
    if head is None:
        raise AppError("app.channel.get.existing.app_error", 404)
    channel = head.of(access.channel)
    tag(channel.id, channel.update_at, channel.seq)
    return wire.channel(channel)


async def access_for(ctx: Context, actor: Actor, channel_id: ChannelId) -> Access:
    """The channel for reading. Raises 404 when it is not there, 403 when the actor may not read it."""
    access = await ctx.caches.access.get((channel_id, actor.user_id))
    if access is None:
        raise AppError("app.channel.get.existing.app_error", 404)
    require(can_read_channel(actor, access))
    return access


async def get_by_name_for(ctx: Context, actor: Actor, team_id: TeamId, name: str, *, include_deleted: bool) -> Channel:
    """The channel of this name in the team. Raises 404, also for a private one the actor may not know of, and 403."""
    channel = await channels.find_by_name(ctx.db, team_id, name.lower())
    if channel is None or (channel.delete_at and not include_deleted):
        raise AppError("app.channel.get_by_name.missing.app_error", 404)
    access = await ctx.caches.access.get((channel.id, actor.user_id))
    may_read = access is not None and can_read_channel(actor, access)
    if not may_read and channel.type != ChannelType.OPEN:
        raise AppError("app.channel.get_by_name.missing.app_error", 404)
    require(may_read)
    return channel


async def members(ctx: Context, actor: Actor, channel_id: ChannelId, *, page: int, per_page: int) -> list[wire.Json]:
    """A page of the members, as the actor may see them. Raises 404, 403."""
    await access_for(ctx, actor, channel_id)
    return _seen_by(ctx, actor, await channels.find_members(ctx.db, channel_id, page * per_page, per_page))


def seen_by(ctx: Context, actor: Actor, member: ChannelMember) -> wire.Json:
    """The membership as the actor may see it."""
    return wire.channel_member(member, viewer(actor, ctx.config.privacy_settings))


def _seen_by(ctx: Context, actor: Actor, members: list[ChannelMember]) -> list[wire.Json]:
    seer = viewer(actor, ctx.config.privacy_settings)
    return [wire.channel_member(member, seer) for member in members]


async def stats(ctx: Context, actor: Actor, channel_id: ChannelId) -> wire.Json:
    """How many members, guests and pinned posts. Raises 404, 403."""
    await access_for(ctx, actor, channel_id)
    number, guests, pinned = await members_db.stats(ctx.db, channel_id)
    return {"channel_id": channel_id, "member_count": number, "guest_count": guests, "pinnedpost_count": pinned}


async def of_user(
    ctx: Context,
    user_id: UserId,
    team_id: TeamId,
    tag: Tag,
    *,
    include_deleted: bool,
    deleted_since_ms: int,
    page: int = 0,
) -> list[wire.Json]:
    """A page of the user's channels in the team and their direct ones. Raises 404 when there are none at all."""
    key = (user_id, team_id)
    infos = [
        info
        for info in (
            await channels.find_of_user(ctx.db, *key, page) if page else await ctx.caches.user_channels.get(key)
        )
        or ()
        if not info.delete_at or (include_deleted and info.delete_at >= deleted_since_ms)
    ]
    heads = await ctx.caches.heads_of([info.id for info in infos])
    found = [heads[info.id].of(info) for info in infos if info.id in heads]
    if not found and not page:
        raise AppError("app.channel.get_channels.not_found.app_error", 404)
    newest = max((max(channel.update_at, channel.last_post_at) for channel in found), default=0)
    tag(user_id, newest, len(found), sum(channel.seq for channel in found))
    return [wire.channel(channel) for channel in found]


async def memberships(ctx: Context, actor: Actor, user_id: UserId, team_id: TeamId, page: int) -> list[wire.Json]:
    """A page of the user's memberships in the team's channels and their direct ones, as the actor may see them."""
    return _seen_by(ctx, actor, await channels.find_memberships(ctx.db, user_id, team_id, page))


@audited("addChannelMember", "channel_id", "user_id")
async def add_member(ctx: Context, actor: Actor, channel_id: ChannelId, user_id: UserId) -> ChannelMember:
    """Join a channel or add somebody. A member already: the membership as it is. Raises 400, 403, 404."""
    if not is_id(user_id):
        raise errors.invalid_body("user_id")

    async def judge(db: Queryable) -> tuple[ChannelInfo, User, TeamMember]:
        access = await channels.find_access(db, channel_id, actor.user_id)
        if access is None:
            raise AppError("app.channel.get.existing.app_error", 404)
        channel = access.channel
        if channel.type in (ChannelType.DIRECT, ChannelType.GROUP):
            raise AppError("api.channel.add_user_to_channel.type.app_error", 400)
        joins = user_id == actor.user_id and channel.type == ChannelType.OPEN
        if joins:
            require(can_in_team(actor, access.team_member, "join_public_channels"))
        else:
            kind = "public" if channel.type == ChannelType.OPEN else "private"
            require(can_in_channel(actor, access, f"manage_{kind}_channel_members"))
        user = await require_addable(db, user_id, "channel")
        if channel.delete_at:
            raise AppError("api.channel.add_user_to_channel.deleted.app_error", 400)
        in_team = await teams.find_member(db, channel.team_id, user_id)
        if in_team is None:
            raise AppError("app.team.get_member.missing.app_error", 404)
        if in_team.delete_at:
            raise AppError("api.channel.add_user.to.channel.failed.deleted.app_error", 400)
        await living_team(db, channel.team_id)
        return channel, user, in_team

    seen, _, _ = await judge(ctx.db)

    async def write(tx: Transaction) -> tuple[ChannelInfo, User, ChannelMember | None]:
        await locks.accounts(tx, [user_id])
        scope = await locks.share_team(tx, seen.team_id)
        place = await lock_head(tx, channel_id)
        channel, user, in_team = await judge(tx)
        leads = _leads(in_team, channel)
        added = await channels.add_member(tx, scope, place, UserAdded(user_id), notify_props=NOTIFY_PROPS, admin=leads)
        return channel, user, added

    channel, user, member = await ctx.db.transact(write)
    if member is None:
        existing = await channels.find_member(ctx.db, channel_id, user_id)
        if existing is None:
            raise AppError("app.channel.get_member.missing.app_error", 404)
        return existing
    tell_added(ctx, member, channel)
    await announce_join(ctx, user, channel, actor.user)
    return member


def _leads(member: TeamMember, channel: ChannelInfo) -> bool:
    """Team administrators are administrators of the team's default channels."""
    return member.scheme_admin and channel.name in {name for name, _ in DEFAULT_CHANNELS}


async def defaults_of(ctx: Context, db: Queryable, team_id: TeamId) -> list[Channel]:
    """The channels of a team in which everybody of it is to be, as far as there are any, archived ones too."""
    names = [name for name, _ in DEFAULT_CHANNELS] + ctx.config.team_settings.experimental_default_channels
    found = [await channels.find_by_name(db, team_id, name) for name in dict.fromkeys(names)]
    return [one for one in found if one is not None]


def tell_added(ctx: Context, member: ChannelMember, channel: ChannelInfo) -> None:
    """Tell everybody who routes by membership, then the members."""
    ctx.bus.publish(events.ChannelMembership(member.user_id, channel.id, joined=True, seq=member.join_seq - 1))
    ctx.bus.publish(UserAdded(member.user_id).live(member.join_seq, Scene(channel)))


async def tell_typing(ctx: Context, actor: Actor, user_id: UserId, channel_id: ChannelId, parent_id: str) -> None:
    """Tell the channel that the user types, unless that was told too often.

    parent_id: the root of the thread, '' for none. Raises 400, and 403 unless the actor may post.
    """
    if not is_id(channel_id):
        raise errors.invalid_body("channel_id")
    if parent_id and not is_id(parent_id):
        raise errors.invalid_body("parent_id")
    access = await posts.readable(ctx, actor, channel_id)
    require(can_in_channel(actor, access, "create_post"))
    await ctx.busy.refuse()
    told = ctx.config.service_settings.enable_user_typing_messages
    if told and ctx.typing.may_tell(user_id, ctx.now_ms()):
        ctx.bus.publish(events.typing(user_id, channel_id, parent_id))


async def view(ctx: Context, user_id: UserId, channel_id: str, prev_channel_id: str) -> dict[ChannelId, int]:
    """Mark channels as read; last viewed times of those the user is a member of. Either id may be ''. Raises 400."""
    if any(one and not is_id(one) for one in (channel_id, prev_channel_id)):
        raise errors.invalid_body("channel_view.channel_id")
    wanted = [ChannelId(one) for one in dict.fromkeys((channel_id, prev_channel_id)) if one]
    if not wanted:
        return {}
    times = await channels.view(ctx.db, user_id, wanted)
    version = ctx.client_config.major_version
    if channel_id in times or (times and version >= 7):
        ctx.bus.publish(events.channel_viewed(user_id, ChannelId(channel_id), times, version))
    return times
