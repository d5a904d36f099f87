"""Teams and their members."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec.structs import replace

from app import channels, errors, validate
from app.adding import addable, living_team, require_addable
from app.audit import audited
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.events import wire
from app.permissions import Actor, can, can_in_team, require
from app.roles import is_guest
from db.model import limits
from db.model.entities import Channel, ChannelMember, ChannelType, Team, TeamMember, User
from db.model.errors import Duplicate
from db.model.ids import TeamId, UserId, is_id, new_id
from db.order import clock, locks
from db.order.locks import TeamAlone
from db.pool.queryable import Queryable, Transaction
from db.sql import channels as channels_db
from db.sql import teams, users


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

    async def insert(tx: Transaction) -> tuple[Team, list[Joined]]:
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
        return new, await _join(tx, lock, [actor.user], defaults, admin=True)

    try:
        team, joined = await ctx.db.transact(insert)
    except Duplicate as error:
        raise AppError("store.sql_team.save_team.existing.app_error", 400) from error
    for user, memberships in joined:
        await _tell_joined(ctx, team, user, actor.user, memberships)
    return team


def _checked(actor: Actor, new: NewTeam) -> Team:
    """The team, without its times."""
    new.display_name = new.display_name.strip()
    new.name = new.name.strip().lower()

    refuse_unless(len(new.name) <= 64, "url")
    refuse_unless(not validate.is_reserved_team_name(new.name), "reserved")
    refuse_unless(validate.is_team_name(new.name), "characters")
    refuse_unless(new.type in ("O", "I"), "type")
    team = Team(
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
    check(team)
    return team


def check(team: Team) -> None:
    """Raises 400 for a text of the team that may not be."""
    refuse_unless(1 <= len(team.display_name) <= 64, "name")
    refuse_unless(len(team.description) <= 255, "description")
    refuse_unless(len(team.company_name) <= 64, "company")
    refuse_unless(len(team.allowed_domains) <= 1000, "domains")


def refuse_unless(good: bool, field: str) -> None:
    """Raises 400 naming what of a team is bad."""
    if not good:
        raise AppError(f"model.team.is_valid.{field}.app_error", 400)


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

    (found,) = (await _admit(ctx, team.id, [user.id], requestor, allowed)).values()
    if isinstance(found, AppError):
        raise found
    return found


Admitted = dict[UserId, TeamMember | AppError]
"""By user: the membership, or why there is none."""


_Found = dict[UserId, User | TeamMember | AppError]
"""The same, before those who are to become members are."""


class _NobodyJoins(Exception):
    """Nobody who was asked for is to become a member any more."""

    def __init__(self, found: _Found) -> None:
        super().__init__()
        self.found = found


async def _admit(
    ctx: Context, team_id: TeamId, user_ids: Sequence[UserId], requestor: User, allowed: Allowed
) -> Admitted:
    """Make members of the team of those who may become it, in one transaction. Raises 403, 404 for all of them."""

    async def judge(db: Queryable) -> tuple[Team, _Found]:
        now = await living_team(db, team_id)
        await allowed(db, now)
        people = {user.id: user for user in await users.find_many(db, user_ids)}
        members = {member.user_id: member for member in await teams.find_members(db, team_id, user_ids)}
        found: _Found = {}
        for user_id in dict.fromkeys(user_ids):
            user = addable(people.get(user_id) or await users.find(db, user_id), "team")
            if isinstance(user, User) and not validate.is_in_domains(user.email, now.allowed_domains):
                found[user_id] = AppError("api.team.join_user_to_team.allowed_domains.app_error", 400)
            else:
                found[user_id] = user if isinstance(user, AppError) else members.get(user_id, user)
        new = [user_id for user_id, one in found.items() if isinstance(one, User)]
        if new:
            room = ctx.config.team_settings.max_users_per_team - await teams.count_members(db, team_id)
            for user_id in new[max(room, 0) :]:
                found[user_id] = AppError("app.team.join_user_to_team.max_accounts.app_error", 400)
        return now, found

    _, found = await judge(ctx.db)
    if not any(isinstance(one, User) for one in found.values()):
        return _decided(found)

    async def write(tx: Transaction) -> tuple[Team, _Found, list[Joined]]:
        await locks.accounts(tx, user_ids)
        lock = await locks.team(tx, team_id)
        team, found = await judge(tx)
        if not any(isinstance(one, User) for one in found.values()):
            raise _NobodyJoins(found)  # so that nothing is written, not even to the audit log
        defaults = await channels.defaults_of(ctx, tx, team_id)
        people = [one for one in found.values() if isinstance(one, User)]
        return team, found, await _join(tx, lock, people, defaults, admin=False)

    try:
        team, found, joined = await ctx.db.transact(write)
    except _NobodyJoins as nobody:
        return _decided(nobody.found)
    for user, memberships in joined:
        await _tell_joined(ctx, team, user, requestor, memberships)
    members = {one.user_id: one for one in await teams.find_members(ctx.db, team_id, [user.id for user, _ in joined])}
    gone = AppError("app.team.get_member.missing.app_error", 404)  # removed again meanwhile
    return {user_id: members.get(user_id, gone) if isinstance(one, User) else one for user_id, one in found.items()}


def _decided(found: _Found) -> Admitted:
    return {user_id: one for user_id, one in found.items() if not isinstance(one, User)}


Joined = tuple[User, list[tuple[Channel, ChannelMember]]]
"""Who is a member of the team from now on, and of which of its channels."""


async def _join(
    tx: Transaction, lock: TeamAlone, people: Sequence[User], defaults: Sequence[Channel], *, admin: bool
) -> list[Joined]:
    """Store the memberships; guests get into no channel by it."""
    now_ms = await clock.now_ms(tx)
    joined: dict[UserId, Joined] = {}
    for user in people:
        guest = is_guest(user)
        member = TeamMember(
            team_id=lock.team_id,
            user_id=user.id,
            create_at=now_ms,
            delete_at=0,
            roles="",
            scheme_user=not guest,
            scheme_admin=admin,
            scheme_guest=guest,
        )
        if await teams.add_member(tx, lock, member):
            joined[user.id] = user, []
    for channel in sorted(defaults, key=lambda one: one.id):  # heads are always locked in the order of their ids
        for user, memberships in joined.values():
            if not is_guest(user):
                added = await channels.add(tx, lock, channel.id, user.id, admin=admin)
                if added is not None:
                    memberships.append((channel, added))
    return list(joined.values())


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


@audited("addTeamMembers", "team_id", "user_ids")
async def add_members(
    ctx: Context, actor: Actor, team_id: TeamId, user_ids: Sequence[UserId], *, graceful: bool
) -> Admitted:
    """Add users to a team, a few in each transaction. Raises 403, 404.

    graceful: who cannot be added has an error in the answer; otherwise the first one is raised, and those before stay.
    """

    async def allowed(db: Queryable, _team: Team) -> None:
        require(can_in_team(actor, await teams.find_member(db, team_id, actor.user_id), "add_user_to_team"))

    admitted: Admitted = {}
    for first in range(0, len(user_ids), limits.JOINING):
        admitted |= await _admit(ctx, team_id, user_ids[first : first + limits.JOINING], actor.user, allowed)
        for one in admitted.values():
            if isinstance(one, AppError) and not graceful:
                raise one
    return admitted


@audited("addUserToTeamFromInvite")
async def join_by_invitation(ctx: Context, actor: Actor, invite_id: str, token: str) -> TeamMember:
    """Join the team that an invitation leads to. Raises 400, 403 for guests, 404.

    token: of an invitation by e-mail; none is issued yet, so none is valid.
    """
    if token:
        raise AppError("api.user.create_user.signup_link_invalid.app_error", 400)
    if not invite_id:
        raise AppError("api.team.add_user_to_team.missing_parameter.app_error", 400)
    if is_guest(actor.user):
        raise AppError("api.team.add_user_to_team_from_invite.guest.app_error", 403)

    async def allowed(_db: Queryable, team: Team) -> None:
        if team.invite_id != invite_id:  # it was made anew meanwhile
            raise AppError("app.team.get_by_invite_id.finding.app_error", 404)

    return await join(ctx, await by_invitation(ctx, invite_id), actor.user, requestor=actor.user, allowed=allowed)


async def by_invitation(ctx: Context, invite_id: str) -> Team:
    """The team that the invitation leads to. Raises 404."""
    team = await teams.find_by_invite_id(ctx.db, invite_id)
    if team is None:
        raise AppError("app.team.get_by_invite_id.finding.app_error", 404)
    return team


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
    require(can_in_team(actor, member, "view_team") or (is_open(team) and can(actor, "list_public_teams")))
    return seen_by(actor, team, member)


def is_open(team: Team) -> bool:
    """Whether everybody may join it."""
    return team.allow_open_invite and team.type == "O"


async def of_user(ctx: Context, actor: Actor, user_id: UserId, page: int) -> list[wire.Json]:
    """A page of the teams the user is in, as the actor may see each."""
    found = await (teams.find_of_user(ctx.db, user_id, page) if page else ctx.caches.user_teams.get(user_id))
    shown = found.shown if found is not None else ()
    return [seen_by(actor, team, member if actor.user_id == user_id else None) for team, member in shown]


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
