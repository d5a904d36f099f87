"""Teams that change: their texts, who may join, their invitation, archived and back."""

from collections.abc import Callable

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from app import errors, teams, validate
from app.audit import audited
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.events import wire
from app.events.names import Name
from app.permissions import Actor, can_in_team, require
from db.model.entities import Team, TeamMember
from db.model.ids import TeamId, new_id
from db.order import clock, locks
from db.pool.queryable import Queryable, Transaction
from db.sql import teams as teams_db


class Update(msgspec.Struct, kw_only=True):
    """PUT /teams/{team_id}: what is left out becomes empty. Mattermost's other fields are not changed by it."""

    id: str = ""
    display_name: str = ""
    description: str = ""
    company_name: str = ""
    allowed_domains: str = ""
    allow_open_invite: bool = False


class Patch(msgspec.Struct, kw_only=True):
    """PUT /teams/{team_id}/patch: what is left out stays."""

    display_name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    company_name: str | UnsetType = UNSET
    allowed_domains: str | UnsetType = UNSET
    allow_open_invite: bool | UnsetType = UNSET


@audited("updateTeam", "team_id")
async def update(ctx: Context, actor: Actor, team_id: TeamId, body: Update) -> wire.Json:
    """Replace what a team says of itself. Raises 400, 403, 404."""
    if body.id != team_id:
        raise errors.invalid_body("id")
    fields = msgspec.structs.asdict(body)
    del fields["id"]
    return await _change(ctx, actor, team_id, lambda team: replace(team, **fields))


@audited("patchTeam", "team_id")
async def patch(ctx: Context, actor: Actor, team_id: TeamId, body: Patch) -> wire.Json:
    """Replace a part of it. Where not everybody may join any more there is another invitation. Raises 400, 403, 404."""
    fields = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}

    def alter(team: Team) -> Team:
        closes = team.allow_open_invite and body.allow_open_invite is False
        return replace(team, **fields, **({"invite_id": new_id()} if closes else {}))

    return await _change(ctx, actor, team_id, alter)


@audited("updateTeamPrivacy", "team_id", "privacy")
async def set_privacy(ctx: Context, actor: Actor, team_id: TeamId, privacy: str) -> wire.Json:
    """O: everybody may join. I: by invitation, a new one. Raises 400, 403, 404."""
    if privacy not in ("O", "I"):
        raise errors.invalid_body("privacy")
    is_open = privacy == "O"

    def alter(team: Team) -> Team:
        if (team.type, team.allow_open_invite) == (privacy, is_open):
            return team
        kept = team.invite_id if is_open else new_id()
        return replace(team, type=privacy, allow_open_invite=is_open, invite_id=kept)

    return await _change(ctx, actor, team_id, alter)


@audited("regenerateTeamInviteId", "team_id")
async def regenerate_invitation(ctx: Context, actor: Actor, team_id: TeamId) -> wire.Json:
    """Another invitation; the one before leads nowhere. Raises 403, 404."""
    return await _change(ctx, actor, team_id, lambda team: replace(team, invite_id=new_id()))


@audited("deleteTeam", "team_id")
async def archive(ctx: Context, actor: Actor, team_id: TeamId, *, permanent: bool) -> None:
    """Archive a team: its members are not shown it any more. Raises 401 for `permanent`, 403, 404.

    As in Mattermost its channels stay as they are for who is in them, and nobody joins it or them.
    """
    if permanent:  # Mattermost has a setting for that, which is off by default
        await teams.require_in(ctx, actor, team_id, "manage_team")
        raise AppError("api.user.delete_team.not_enabled.app_error", 401)
    await _change(ctx, actor, team_id, lambda team: team, archived=True, tells=Name.DELETE_TEAM)


@audited("restoreTeam", "team_id")
async def restore(ctx: Context, actor: Actor, team_id: TeamId) -> wire.Json:
    """Take an archived team back. Raises 403, 404."""
    return await _change(ctx, actor, team_id, lambda team: team, archived=False, tells=Name.RESTORE_TEAM)


async def _change(
    ctx: Context,
    actor: Actor,
    team_id: TeamId,
    alter: Callable[[Team], Team],
    *,
    archived: bool | None = None,
    tells: Name = Name.UPDATE_TEAM,
) -> wire.Json:
    """Store what `alter` makes of the team, and tell its members; the team as the actor may see it.

    archived: what it is to be afterwards; None: as it is. What changes nothing is neither stored nor told.
    """

    async def judge(db: Queryable) -> tuple[Team, Team, TeamMember | None]:
        member = await teams_db.find_member(db, team_id, actor.user_id)
        require(can_in_team(actor, member, "manage_team"))
        before = await teams_db.find(db, team_id)
        if before is None:
            raise AppError("app.team.get.find.app_error", 404)
        after = alter(before)
        _check(ctx, before, after)
        return before, after, member

    await judge(ctx.db)

    async def write(tx: Transaction) -> tuple[Team, bool, TeamMember | None]:
        lock = await locks.team(tx, team_id)
        before, after, member = await judge(tx)
        now_ms = max(await clock.now_ms(tx), before.update_at + 1)
        if archived is not None and archived != bool(before.delete_at):
            after = replace(after, delete_at=now_ms if archived else 0)
        if after == before:
            return before, False, member
        after = replace(after, update_at=now_ms)
        await teams_db.update(tx, lock, after)
        return after, True, member

    team, changed, member = await ctx.db.transact(write)
    if changed:
        ctx.bus.publish(events.team_changed(tells, team))
    return teams.seen_by(actor, team, member)


def _check(ctx: Context, before: Team, after: Team) -> None:
    """Raises 400 for texts that may not be, and domains that the system does not allow."""
    teams.check(after)
    if after.allowed_domains != before.allowed_domains:
        allowed = validate.domains_of(ctx.config.team_settings.restrict_creation_to_domains)
        for domain in validate.domains_of(after.allowed_domains):
            if allowed and domain not in allowed:
                raise AppError("api.team.update_restricted_domains.mismatch.app_error", 400, Domain=domain)
