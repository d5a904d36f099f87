"""Teams and their members."""

from collections.abc import Awaitable, Callable

import msgspec
from msgspec.structs import replace

from app import channels, errors, validate
from app.adding import living_team, require_addable
from app.audit import audited
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.events import wire
from app.permissions import Actor, can, can_in_team, require
from db.model.entities import Channel, ChannelMember, ChannelType, Team, TeamMember, User
from db.model.errors import Duplicate
from db.model.ids import TeamId, UserId, is_id, new_id
from db.order import clock, locks
from db.order.locks import TeamAlone
from db.pool.queryable import Queryable, Transaction
from db.sql import channels as channels_db
from db.sql import teams


class NewTeam(msgspec.Struct, kw_only=True):
    """What a client may say of a new team."""

    name: str = ""
    display_name: str = ""
    type: str = ""
    description: str = ""
    company_name: str = ""
    allowed_domains: str = ""
    allow_open_invite: bool = False


async def create(ctx: Context, actor: Actor, new: NewTeam) -> Team:
    """Create a team with its default channels and the actor as its administrator. Raises 400, 403."""
    require(can(actor, "create_team"))
    team = _checked(actor, new)

    async def insert(tx: Transaction) -> tuple[Team, list[tuple[Channel, ChannelMember]]]:
        creator = await locks.accounts(tx, [actor.user_id])
        await require_addable(tx, actor.user_id, "team")
        now_ms = await clock.now_ms(tx)
        defaults = [
            channels.build(ChannelType.OPEN, team.id, name, display_name, UserId(""), now_ms=now_ms)
            for name, display_name in channels.DEFAULT_CHANNELS
        ]
        new = replace(team, create_at=now_ms, update_at=now_ms)
        lock = await teams.insert(tx, creator, new)
        for channel in defaults:
            await channels_db.insert(tx, lock, channel)
        return new, await _join(tx, lock, actor.user, defaults, admin=True)

    try:
        team, joined = await ctx.db.transact(insert)
    except Duplicate as error:
        raise AppError("store.sql_team.save_team.existing.app_error", 400) from error
    await _tell_joined(ctx, team, actor.user, actor.user, joined)
    return team


def _checked(actor: Actor, new: NewTeam) -> Team:
    """The team, without its times."""
    new.display_name = new.display_name.strip()
    new.name = new.name.strip().lower()

    def refuse_unless(good: bool, field: str) -> None:
        if not good:
            raise AppError(f"model.team.is_valid.{field}.app_error", 400)

    refuse_unless(1 <= len(new.display_name) <= 64, "name")
    refuse_unless(len(new.name) <= 64, "url")
    refuse_unless(not validate.is_reserved_team_name(new.name), "reserved")
    refuse_unless(validate.is_team_name(new.name), "characters")
    refuse_unless(len(new.description) <= 255, "description")
    refuse_unless(len(new.company_name) <= 64, "company")
    refuse_unless(len(new.allowed_domains) <= 1000, "domains")
    refuse_unless(new.type in ("O", "I"), "type")
    return Team(
        id=TeamId(new_id()),
        create_at=0,
        update_at=0,
        delete_at=0,
        display_name=new.display_name,
        name=new.name,
        description=new.description,
        email=actor.user.email,
        type=new.type,
        company_name=new.company_name,
        allowed_domains=new.allowed_domains,
        invite_id=new_id(),
        allow_open_invite=new.allow_open_invite,
        last_team_icon_update=0,
    )


Allowed = Callable[[Queryable, Team], Awaitable[None]]
"""Raises 403 where somebody may not become a member of the team."""


async def _by_invitation(db: Queryable, team: Team) -> None:
    """Who has an invitation may."""


async def join(
    ctx: Context, team: Team, user: User, *, requestor: User, allowed: Allowed = _by_invitation
) -> TeamMember:
    """Make the user a member of the team and of its default channels. A member already: as it is. Raises 400, 403, 404.

    allowed: asked before the transaction and again in it.
    """

    async def judge(db: Queryable) -> TeamMember | None:
        now = await living_team(db, team.id)
        await allowed(db, now)
        joining = await require_addable(db, user.id, "team")
        if not validate.is_in_domains(joining.email, now.allowed_domains):
            raise AppError("api.team.join_user_to_team.allowed_domains.app_error", 400)
        existing = await teams.find_member(db, team.id, user.id)
        if existing is not None and not existing.delete_at:
            return existing
        if await teams.count_members(db, team.id) >= ctx.config.team_settings.max_users_per_team:
            raise AppError("app.team.join_user_to_team.max_accounts.app_error", 400)
        return None

    existing = await judge(ctx.db)
    if existing is not None:
        return existing

    async def write(tx: Transaction) -> TeamMember | list[tuple[Channel, ChannelMember]]:
        await locks.accounts(tx, [user.id])
        lock = await locks.team(tx, team.id)
        existing = await judge(tx)
        if existing is not None:
            return existing
        names = [name for name, _ in channels.DEFAULT_CHANNELS]
        names += ctx.config.team_settings.experimental_default_channels
        found = [await channels_db.find_by_name(tx, team.id, name) for name in dict.fromkeys(names)]
        return await _join(tx, lock, user, [channel for channel in found if channel is not None], admin=False)

    joined = await ctx.db.transact(write)
    if isinstance(joined, TeamMember):
        return joined
    await _tell_joined(ctx, team, user, requestor, joined)
    return await _get_member(ctx, team.id, user.id)


async def _join(
    tx: Transaction, lock: TeamAlone, user: User, defaults: list[Channel], *, admin: bool
) -> list[tuple[Channel, ChannelMember]]:
    member = TeamMember(
        team_id=lock.team_id,
        user_id=user.id,
        create_at=await clock.now_ms(tx),
        delete_at=0,
        roles="",
        scheme_user=True,
        scheme_admin=admin,
        scheme_guest=False,
    )
    joined: list[tuple[Channel, ChannelMember]] = []
    if not await teams.add_member(tx, lock, member):
        return joined
    for channel in sorted(defaults, key=lambda one: one.id):  # heads are always locked in the order of their ids
        added = await channels.add(tx, lock, channel.id, user.id, admin=admin)
        if added is not None:
            joined.append((channel, added))
    return joined


async def _tell_joined(
    ctx: Context, team: Team, user: User, requestor: User, joined: list[tuple[Channel, ChannelMember]]
) -> None:
    ctx.bus.publish(events.TeamMembership(user.id, team.id, joined=True))
    for channel, member in joined:
        channels.tell_added(ctx, member, channel)
    for channel, _ in joined:
        of_team = channel.name == channels.DEFAULT_CHANNELS[0][0]
        await channels.announce_join(ctx, user, channel, requestor, of_team=of_team)
    ctx.bus.publish(events.added_to_team(user.id, team.id))


@audited("addTeamMember", "team_id", "user_id")
async def add_member(ctx: Context, actor: Actor, team_id: TeamId, user_id: UserId) -> TeamMember:
    """Join an open team or add somebody. Raises 400, 403, 404."""
    if not is_id(user_id):
        raise errors.invalid_body("user_id")

    async def allowed(db: Queryable, team: Team) -> None:
        if user_id == actor.user_id:
            require(can(actor, "join_public_teams" if team.allow_open_invite else "join_private_teams"))
        else:
            require(can_in_team(actor, await teams.find_member(db, team_id, actor.user_id), "add_user_to_team"))

    team = await get(ctx, team_id)
    await allowed(ctx.db, team)
    user = await require_addable(ctx.db, user_id, "team")
    return await join(ctx, team, user, requestor=actor.user, allowed=allowed)


async def get(ctx: Context, team_id: TeamId) -> Team:
    """The team. Raises 404, also for an archived one."""
    return await living_team(ctx.db, team_id)


async def get_by_name_for(ctx: Context, actor: Actor, name: str) -> wire.Json:
    """The team of this name, as the actor may see it. Raises 404, 403."""
    team = await teams.find_by_name(ctx.db, name.lower())
    if team is None or team.delete_at:
        raise AppError("app.team.get_by_name.missing.app_error", 404)
    return _seen_by(actor, team, await teams.find_member(ctx.db, team.id, actor.user_id))


async def get_for(ctx: Context, actor: Actor, team_id: TeamId) -> wire.Json:
    """The team, an archived one too, as the actor may see it. Raises 403, 404."""
    team = await ctx.caches.teams.get(team_id)
    if team is None:
        raise AppError("app.team.get.find.app_error", 404)
    return _seen_by(actor, team, await ctx.caches.team_members.get((team_id, actor.user_id)))


def _seen_by(actor: Actor, team: Team, member: TeamMember | None) -> wire.Json:
    """For members, and of open teams for everybody who may list those. Raises 403."""
    is_open = team.allow_open_invite and team.type == "O"
    require(can_in_team(actor, member, "view_team") or (is_open and can(actor, "list_public_teams")))
    return seen_by(actor, team, member)


async def of_user(ctx: Context, actor: Actor, user_id: UserId, page: int) -> list[wire.Json]:
    """A page of the teams the user is in, as the actor may see each."""
    found = await (teams.find_of_user(ctx.db, user_id, page) if page else ctx.caches.user_teams.get(user_id)) or ()
    return [seen_by(actor, team, member if actor.user_id == user_id else None) for team, member in found]


def seen_by(actor: Actor, team: Team, member: TeamMember | None) -> wire.Json:
    """The team's JSON as the actor, with this membership of it, may see it."""
    manages = can_in_team(actor, member, "manage_team")
    invites = manages or can_in_team(actor, member, "invite_user")
    return wire.team(team, show_email=manages, show_invitation=invites)


async def require_in(ctx: Context, actor: Actor, team_id: TeamId, permission: str) -> None:
    """Raises 403 unless the actor has the permission in the team, 404 for an administrator when there is none."""
    member = await ctx.caches.team_members.get((team_id, actor.user_id))
    require(can_in_team(actor, member, permission))
    if member is None and await ctx.caches.teams.get(team_id) is None:
        raise AppError("app.team.get.find.app_error", 404)


async def _get_member(ctx: Context, team_id: TeamId, user_id: UserId) -> TeamMember:
    member = await teams.find_member(ctx.db, team_id, user_id)
    if member is None:
        raise AppError("app.team.get.find.app_error", 404)
    return member
