"""Lists of users, searches and completions, as who asks may see them. The rules are those of Mattermost's users API."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from app import errors, users, visible
from app.context import Context
from app.events import wire
from app.permissions import Actor, can, can_in_channel, can_in_team, require
from app.roles import ROLES
from db.model import limits
from db.model.entities import User
from db.model.ids import ChannelId, TeamId, is_id
from db.sql import people
from db.sql import users as users_db
from db.sql.people import Among

_SORTS = frozenset({"", "last_activity_at", "create_at", "status", "admin", "display_name"})
_MAX_WORDS = 10
_MAX_LIMIT = 1000
"""What a search may ask for, as in Mattermost; it gets limits.FOUND_USERS at most."""


class Wanted(NamedTuple):
    """GET /users: which users. '' and False narrow nothing."""

    in_team: str = ""
    not_in_team: str = ""
    in_channel: str = ""
    not_in_channel: str = ""
    in_group: str = ""
    not_in_group: str = ""
    without_team: bool = False
    active: bool = False
    inactive: bool = False
    role: str = ""
    roles: str = ""
    channel_roles: str = ""
    team_roles: str = ""
    sort: str = ""


class Search(msgspec.Struct, kw_only=True):
    """POST /users/search. limit: 0 for the default, at most 1000."""

    term: str = ""
    team_id: str = ""
    not_in_team_id: str = ""
    in_channel_id: str = ""
    not_in_channel_id: str = ""
    in_group_id: str = ""
    not_in_group_id: str = ""
    group_constrained: bool = False
    allow_inactive: bool = False
    without_team: bool = False
    limit: int = 0
    role: str = ""
    roles: list[str] = []
    channel_roles: list[str] = []
    team_roles: list[str] = []


async def page(ctx: Context, actor: Actor, wanted: Wanted, *, number: int, size: int) -> list[wire.Json]:
    """A page of users. Raises 400 for what does not go together, 403, 501 for groups."""
    _judge(wanted)
    among = Among(
        active=wanted.active,
        inactive=wanted.inactive,
        role=wanted.role,
        roles=_roles("roles", wanted.roles),
        team_roles=_roles("teamRoles", wanted.team_roles) if wanted.in_team else (),
        channel_roles=_roles("channelRoles", wanted.channel_roles) if wanted.in_channel else (),
        shared_with=visible.shared_with(actor),
    )
    _require_no_group(wanted.in_group or wanted.not_in_group)
    if wanted.without_team:
        require(can(actor, "list_users_without_team"))
        among = _but(among, without_team=True)
    elif wanted.not_in_channel:
        await _require_in_channel(ctx, actor, wanted.not_in_channel)
        await _require_in_team(ctx, actor, wanted.in_team)
        in_team, outside = TeamId(wanted.in_team), ChannelId(wanted.not_in_channel)
        among = _but(among, in_team=in_team, not_in_channel=outside)
    elif wanted.not_in_team:
        await _require_in_team(ctx, actor, wanted.not_in_team)
        among = _but(among, not_in_team=TeamId(wanted.not_in_team))
    elif wanted.in_team:
        await _require_in_team(ctx, actor, wanted.in_team)
        among = _but(among, in_team=TeamId(wanted.in_team))
    elif wanted.in_channel:
        await _require_in_channel(ctx, actor, wanted.in_channel)
        among = _but(among, in_channel=ChannelId(wanted.in_channel))
    if wanted.sort == "admin":
        found = await people.find_admins_first(ctx.db, among, size, number * size)
    else:
        order = wanted.sort if wanted.sort != "display_name" else ""
        found = await people.find(ctx.db, among, size, number * size, order)
    return _seen(ctx, actor, found)


def _but(among: Among, **changes: object) -> Among:
    return dataclasses.replace(among, **changes)  # type: ignore[arg-type]


def _judge(wanted: Wanted) -> None:
    """Raises 400 as Mattermost does."""
    elsewhere = wanted.not_in_team or wanted.not_in_channel or wanted.without_team
    if wanted.not_in_channel and not wanted.in_team:
        raise errors.invalid_url("team_id")
    if wanted.sort not in _SORTS:
        raise errors.invalid_url("sort")
    groups = wanted.in_group or wanted.not_in_group
    if wanted.sort in ("last_activity_at", "create_at") and (
        not wanted.in_team or elsewhere or wanted.in_channel or groups
    ):
        raise errors.invalid_url("sort")
    if wanted.sort in ("status", "admin") and (not wanted.in_channel or wanted.in_team or elsewhere):
        raise errors.invalid_url("sort")
    if wanted.sort == "display_name" and not groups:
        raise errors.invalid_url("sort")
    if wanted.active and wanted.inactive:
        raise errors.invalid_url("inactive")
    if wanted.role and wanted.role not in ROLES:
        raise errors.invalid_url("role")


def _roles(name: str, said: str) -> tuple[str, ...]:
    """Names of roles between commas. Raises 400 for what is none."""
    roles = tuple(one.strip() for one in said.split(",") if one.strip())
    if not all(one in ROLES for one in roles):
        raise errors.invalid_url(name)
    return roles


def _require_no_group(group_id: str) -> None:
    if group_id:
        raise errors.AppError("api.context.not_implemented.app_error", 501)


async def _require_in_team(ctx: Context, actor: Actor, team_id: str) -> None:
    """Raises 403 unless the actor may `view_team`."""
    member = await ctx.caches.team_members.get((TeamId(team_id), actor.user_id))
    require(can_in_team(actor, member, "view_team"))


async def _require_in_channel(ctx: Context, actor: Actor, channel_id: str) -> None:
    """Raises 403 unless the actor may read the channel as its member: that of a public one is not enough."""
    access = await ctx.caches.access.get((ChannelId(channel_id), actor.user_id))
    require(access is not None and can_in_channel(actor, access, "read_channel"))


async def stats(ctx: Context, actor: Actor, wanted: Wanted, *, deleted: bool) -> wire.Json:
    """How many users there are in a team or a channel, or with a role. deleted: also deactivated ones. Raises 400."""
    require(can(actor, "manage_system"))
    among = Among(
        in_team=TeamId(wanted.in_team),
        in_channel=ChannelId(wanted.in_channel),
        active=not deleted,
        roles=_roles("roles", wanted.roles),
        team_roles=_roles("teamRoles", wanted.team_roles) if wanted.in_team else (),
        channel_roles=_roles("channelRoles", wanted.channel_roles) if wanted.in_channel else (),
    )
    return {"total_users_count": await people.count(ctx.db, among)}


# Searching ------------------------------------------------------------------------------------------------------------


async def search(ctx: Context, actor: Actor, wanted: Search) -> list[wire.Json]:
    """Users whose names begin so, by name, up to limits.FOUND_USERS. Raises 400, 403, 501 for groups."""
    limit = wanted.limit or limits.FOUND_USERS
    if not wanted.term:
        raise errors.invalid_body("term")
    if wanted.not_in_channel_id and not wanted.team_id:
        raise errors.invalid_body("team_id")
    if not 0 < limit <= _MAX_LIMIT:
        raise errors.invalid_body("limit")
    chosen = ((wanted.role,) if wanted.role else (), wanted.roles, wanted.team_roles, wanted.channel_roles)
    for name, roles in zip(("role", "roles", "team_roles", "channel_roles"), chosen, strict=True):
        if not all(one in ROLES for one in roles):
            raise errors.invalid_body(name)
    _require_no_group(wanted.in_group_id or wanted.not_in_group_id)
    for channel_id in filter(None, (wanted.in_channel_id, wanted.not_in_channel_id)):
        await _require_in_channel(ctx, actor, channel_id)
    for team_id in filter(None, (wanted.team_id, wanted.not_in_team_id)):
        await _require_in_team(ctx, actor, team_id)
    among = _beginning(ctx, actor, wanted.term, emails=True)
    if wanted.without_team:
        among = _but(among, without_team=True)
    elif wanted.in_channel_id:
        among = _but(among, in_channel=ChannelId(wanted.in_channel_id), channel_roles=tuple(wanted.channel_roles))
    elif wanted.not_in_channel_id:
        outside = ChannelId(wanted.not_in_channel_id)
        among = _but(among, in_team=TeamId(wanted.team_id), not_in_channel=outside)
    elif wanted.not_in_team_id:
        among = _but(among, not_in_team=TeamId(wanted.not_in_team_id))
    elif wanted.team_id:
        among = _but(among, in_team=TeamId(wanted.team_id), team_roles=tuple(wanted.team_roles))
    among = _but(among, active=not wanted.allow_inactive, role=wanted.role, roles=tuple(wanted.roles))
    return _seen(ctx, actor, await people.find(ctx.db, among, min(limit, limits.FOUND_USERS)))


async def complete(
    ctx: Context, actor: Actor, name: str, *, in_team: str, in_channel: str, limit: int
) -> dict[str, list[wire.Json]]:
    """Whom somebody may mean who types this: members of the channel, of the team, or anybody. Raises 400, 403.

    With a channel also those of its team who are not in it. Addresses are never looked at, as in Mattermost.
    """
    if in_channel:
        await _require_in_channel(ctx, actor, in_channel)
    if in_team:
        await _require_in_team(ctx, actor, in_team)
    if in_channel and not in_team:
        raise errors.AppError("api.user.autocomplete_users.missing_team_id.app_error", 400)
    among = _but(_beginning(ctx, actor, name, emails=False), active=True)
    size = min(limit or limits.FOUND_USERS, limits.FOUND_USERS)
    if not in_channel:
        found = await people.find(ctx.db, _but(among, in_team=TeamId(in_team)), size)
        return {"users": _seen(ctx, actor, found), "out_of_channel": []}
    channel_id = ChannelId(in_channel)
    inside = await people.find(ctx.db, _but(among, in_channel=channel_id), size)
    outside = await people.find_outside(ctx.db, _but(among, in_team=TeamId(in_team)), channel_id, size)
    return {"users": _seen(ctx, actor, inside), "out_of_channel": _seen(ctx, actor, outside)}


def _beginning(ctx: Context, actor: Actor, term: str, *, emails: bool) -> Among:
    """Whose names begin with each word of the term. What privacy settings hide is found by administrators only."""
    privacy, all_of_it = ctx.config.privacy_settings, can(actor, "manage_system")
    words = [word.lstrip("@") for word in term.split()[:_MAX_WORDS]]
    return Among(
        words=tuple(word for word in words if word),
        names=all_of_it or privacy.show_full_name,
        emails=emails and (all_of_it or privacy.show_email_address),
        shared_with=visible.shared_with(actor),
    )


# By what they are called ----------------------------------------------------------------------------------------------


async def by_usernames(ctx: Context, actor: Actor, names: Sequence[str]) -> list[wire.Json]:
    """Users by name; unknown ones are left out. Raises 400 for none and for more than limits.USER_IDS."""
    if not names or len(names) > limits.USER_IDS:
        raise errors.invalid_body("usernames")
    found = await people.find_by_usernames(ctx.db, [name.lower() for name in names])
    return _seen(ctx, actor, await visible.seen(ctx, actor, found))


async def by_email(ctx: Context, actor: Actor, email: str) -> wire.Json:
    """The user of this address. Raises 403 where addresses are not shown, and to guests who do not see them; 404."""
    if not (can(actor, "manage_system") or ctx.config.privacy_settings.show_email_address):
        raise errors.AppError("api.user.get_user_by_email.permissions.app_error", 403)
    return await users.looked_up(ctx, actor, await users_db.find_by_email(ctx.db, email))


async def of_group_channels(ctx: Context, actor: Actor, channel_ids: Sequence[str]) -> dict[str, list[wire.Json]]:
    """The other members of one's group channels, by channel; others are left out. Raises 400."""
    ids = [ChannelId(one) for one in dict.fromkeys(channel_ids) if is_id(one)]
    if not channel_ids or len(channel_ids) > limits.GROUP_CHANNELS:
        raise errors.invalid_body("channel_ids")
    found: dict[str, list[wire.Json]] = {}
    for channel_id, user in await people.find_of_group_channels(ctx.db, ids, actor.user_id):
        found.setdefault(channel_id, []).append(users.seen_by(ctx, actor, user))
    return found


async def known_ids(ctx: Context, actor: Actor) -> list[str]:
    """Ids of those who share a channel with who asks."""
    return list(await people.find_known_ids(ctx.db, actor.user_id))


def _seen(ctx: Context, actor: Actor, found: Iterable[User]) -> list[wire.Json]:
    return [users.seen_by(ctx, actor, user) for user in found]
