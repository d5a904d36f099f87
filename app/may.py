"""Who may, as data: what an operation of the API declares, and the one function that asks it.

A rule is asked before a verb (`ask`), or the verb asks it itself, where it is audited, depends on a row, or has to hold
under a lock (decision 0027): then the declaration says what the verb does, and the tests hold the verb to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app import errors, teams, users
from app.context import Context
from app.permissions import Actor, can, can_in_channel_or_public, require
from db.model.ids import ChannelId, TeamId, UserId


@dataclass(frozen=True)
class System:
    """Whose system roles carry the permission."""

    permission: str


@dataclass(frozen=True)
class SelfOr:
    """The user themselves, and whose system roles carry the permission. user: the parameter that names the user."""

    permission: str
    user: str = "user_id"


@dataclass(frozen=True)
class InTeam:
    """Whose roles carry the permission in the team. team: the parameter, or field of the body, that names it."""

    permission: str
    team: str = "team_id"


@dataclass(frozen=True)
class InChannel:
    """Whose roles carry the permission in the channel.

    public: in a public channel who has this permission in its team, too. channel: as `InTeam.team`.
    """

    permission: str
    public: str = ""
    channel: str = "channel_id"


@dataclass(frozen=True)
class OfPost:
    """Whose roles carry the permission in the post's channel; `others`: this one for a post of somebody else's.

    public: as for `InChannel`. Only verbs ask it: they have the post.
    """

    permission: str
    others: str = ""
    public: str = ""


Asked = System | SelfOr | InTeam | InChannel
Rule = Asked | OfPost
ERRORS: Mapping[type, str] = {SelfOr: "app.user.missing_account.const", InTeam: "app.team.get.find.app_error"}
"""What `ask` answers, beside the lack of a permission."""


async def ask(ctx: Context, actor: Actor, rules: Sequence[Asked], named: Mapping[str, str]) -> None:
    """Raises 403 unless the actor may by every rule; 404 where who might is told that there is no such thing.

    named: ids by the names of parameters.
    """
    for rule in rules:
        match rule:
            case System(permission):
                require(can(actor, permission))
            case SelfOr(permission, user):
                await users.require_self_or(ctx, actor, UserId(named[user]), permission)
            case InTeam(permission, team):
                await teams.require_in(ctx, actor, TeamId(named[team]), permission)
            case InChannel(permission, public, channel):
                access = await ctx.caches.access.get((ChannelId(named[channel]), actor.user_id))
                if access is None:
                    raise errors.forbidden()
                require(can_in_channel_or_public(actor, access, permission, public))
