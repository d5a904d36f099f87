"""Teams and members as they are listed, counted and looked for."""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from app import errors, teams, validate
from app.context import Context
from app.errors import AppError
from app.events import wire
from app.permissions import Actor, can, can_in_team, require
from app.visible import require_seen, shared_with
from db.model import limits
from db.model.entities import Team, TeamMember
from db.model.ids import TeamId, UserId, is_id
from db.sql import teams as teams_db
from db.sql import usage

_MOST_PAGES, _PAGE = 1_000_000, 200


class Search(msgspec.Struct, kw_only=True):
    """POST /teams/search. page and per_page: both, or the answer is a plain list."""

    term: str = ""
    page: int | UnsetType = UNSET
    per_page: int | UnsetType = UNSET
    allow_open_invite: bool | UnsetType = UNSET
    group_constrained: bool | UnsetType = UNSET
    exclude_policy_constrained: bool | UnsetType = UNSET


async def page(
    ctx: Context, actor: Actor, number: int, size: int, *, with_count: bool, exclude_policy_constrained: bool
) -> list[wire.Json] | wire.Json:
    """A page of all teams, archived ones too; who may not list private ones gets those that everybody may join.

    Raises 403.
    """
    if exclude_policy_constrained:  # no team is
        require(can(actor, "manage_system"))
    open_only = not can(actor, "list_private_teams")
    if open_only and not can(actor, "list_public_teams"):
        raise AppError("api.team.get_all_teams.insufficient_permissions", 403)
    found = await teams_db.find_page(ctx.db, actor.user_id, number * size, size, open_only=open_only)
    shown = _seen_by(actor, found)
    return {"teams": shown, "total_count": await teams_db.count(ctx.db, open_only=open_only)} if with_count else shown


def _seen_by(actor: Actor, found: Iterable[tuple[Team, TeamMember | None]]) -> list[wire.Json]:
    return [teams.seen_by(actor, team, member) for team, member in found]


async def search(ctx: Context, actor: Actor, wanted: Search) -> list[wire.Json] | wire.Json:
    """Teams whose name or display name holds the term, as far as the actor may list them. Raises 400, 403, 501."""
    number, size = _number(wanted.page, "page", _MOST_PAGES), _number(wanted.per_page, "per_page", _PAGE)
    if wanted.exclude_policy_constrained is not UNSET:
        require(can(actor, "manage_system"))
    private, public = can(actor, "list_private_teams"), can(actor, "list_public_teams")
    if private != public and (number is not None or size is not None):
        which = "private" if private else "public"
        raise AppError(f"api.team.search_teams.pagination_not_implemented.{which}_team_search", 501)
    of_any = private and public
    is_open = _is_open(wanted) if of_any else public
    if not (private or public) or (of_any and _of_groups_only(wanted)):
        rows: list[tuple[Team, TeamMember | None]] = []
        total = 0
    elif number is not None and size is not None:
        rows, total = await teams_db.search(
            ctx.db, actor.user_id, wanted.term, number * size, size, is_open=is_open, counted=True
        )
    else:
        rows, total = await teams_db.search(ctx.db, actor.user_id, wanted.term, 0, limits.TEAMS, is_open=is_open)
    shown = _seen_by(actor, rows)
    return {"teams": shown, "total_count": total} if number is not None and size is not None else shown


def _number(given: int | UnsetType, name: str, most: int) -> int | None:
    if given is UNSET:
        return None
    if not 0 <= given < 1 << 63:
        raise errors.invalid_body(name)
    return min(given, most)


def _is_open(wanted: Search) -> bool | None:
    """Whether only teams that everybody may join are meant, or only the others. No team is bound to groups."""
    if wanted.allow_open_invite is UNSET or wanted.group_constrained is False:
        return None
    return wanted.allow_open_invite


def _of_groups_only(wanted: Search) -> bool:
    return wanted.group_constrained is True and wanted.allow_open_invite is UNSET


async def exists(ctx: Context, actor: Actor, name: str) -> wire.Json:
    """Whether there is a team of this name, an archived one too, that the actor is in or may list.

    Raises 400 for what is no name of a team.
    """
    if not validate.is_team_name(name.lower()):
        raise errors.invalid_url("team_name")
    team = await teams_db.find_by_name(ctx.db, name.lower())
    if team is None:
        return {"exists": False}
    member = await ctx.caches.team_members.get((team.id, actor.user_id))
    listed = can(actor, "list_public_teams" if team.allow_open_invite else "list_private_teams")
    return {"exists": listed or (member is not None and not member.delete_at)}


async def invite_info(ctx: Context, invite_id: str) -> wire.Json:
    """What everybody may know of the team that an invitation leads to. Raises 403 for one that is not open, 404."""
    team = await teams.by_invitation(ctx, invite_id)
    if team.type != "O":
        raise AppError("api.team.get_invite_info.not_open_team", 403)
    return {"id": team.id, "name": team.name, "display_name": team.display_name, "description": team.description}


async def stats(ctx: Context, actor: Actor, team_id: TeamId) -> wire.Json:
    """How many members a team has. Guests count whom they know of."""
    if can(actor, "view_members"):
        total, active = await ctx.caches.team_counts.get(team_id) or (0, 0)
    else:
        total, active = await teams_db.counts(ctx.db, team_id, actor.user_id)
    return {"team_id": team_id, "total_member_count": total, "active_member_count": active}


async def icon(ctx: Context, actor: Actor, team_id: TeamId) -> None:
    """Raises 404: no team has a picture yet; 403 for who may not know of the team."""
    team = await ctx.caches.teams.get(team_id)
    if team is None:
        raise AppError("app.team.get.find.app_error", 404)
    member = await ctx.caches.team_members.get((team_id, actor.user_id))
    require(can_in_team(actor, member, "view_team") or teams.is_open(team))
    raise AppError("api.team.get_team_icon.read_file.app_error", 404)


async def invite_by_email(ctx: Context, actor: Actor, team_id: TeamId) -> None:
    """Raises 403, and 501: there is no e-mail yet."""
    await teams.require_in(ctx, actor, team_id, "invite_user")
    await teams.require_in(ctx, actor, team_id, "add_user_to_team")
    raise AppError("api.team.invite_members.disabled.app_error", 501)


# Members


async def members(
    ctx: Context, actor: Actor, team_id: TeamId, number: int, size: int, *, by_name: bool, active_only: bool
) -> list[wire.Json]:
    """A page of the members of a team."""
    found = await teams_db.find_members_page(
        ctx.db, team_id, number * size, size, by_name=by_name, active_only=active_only, seer=shared_with(actor)
    )
    return [wire.team_member(one) for one in found]


async def member(ctx: Context, actor: Actor, team_id: TeamId, user_id: UserId) -> wire.Json:
    """A membership, one that has ended too. Raises 403 for a guest who may not know of the user, 404."""
    await require_seen(ctx, actor, user_id)
    found = await ctx.caches.team_members.get((team_id, user_id))
    if found is None:
        raise AppError("app.team.get_member.missing.app_error", 404)
    return wire.team_member(found)


async def members_by_ids(ctx: Context, actor: Actor, team_id: TeamId, ids: Sequence[str]) -> list[wire.Json]:
    """The memberships of these users that have not ended. Raises 400 for none and for more than limits.USER_IDS."""
    if not ids or len(ids) > limits.USER_IDS:
        raise errors.invalid_body("user_ids")
    wanted = [UserId(one) for one in dict.fromkeys(ids) if is_id(one)]
    found = await teams_db.find_members(ctx.db, team_id, wanted, shared_with(actor)) if wanted else []
    return [wire.team_member(one) for one in found]


async def memberships(ctx: Context, user_id: UserId, number: int) -> list[wire.Json]:
    """A page of a user's memberships of teams, those that have ended too."""
    return [wire.team_member(one) for one in await teams_db.find_memberships(ctx.db, user_id, number)]


# Usage


async def teams_usage(ctx: Context) -> wire.Json:
    """How many teams are not archived. No team is archived by a limit of a cloud."""
    return {"active": await teams_db.count(ctx.db, archived=False), "cloud_archived": 0}


async def posts_usage(ctx: Context) -> wire.Json:
    """About how many messages there are, see `rounded`."""
    return {"count": rounded(await usage.posts(ctx.db))}


def rounded(number: int) -> int:
    """Down to its first digit, below 1000 to 0: 54,321 is 50,000 (Mattermost's RoundOffToZeroesResolution of 3)."""
    step: int = max(1000, 10 ** (len(str(number)) - 1))
    return number // step * step
