"""What each role of the world (`world.py`) may, worked out from the rules that an operation declares and from the roles.

Where the path names a user, it is the one who asks. The team is closed, the channel private, the post the team_admin's.
"""

from collections.abc import Mapping

from api.operation import Login, Operation
from app.may import InChannel, InTeam, OfPost, Rule, SelfOr, System
from app.roles import Scope, granted
from tests.api.world import ROLES

_NAMES: Mapping[Scope, Mapping[str, str]] = {
    "system": dict.fromkeys(ROLES[1:], "system_user") | {"system_admin": "system_user system_admin"},
    "team": {"teammate": "team_user", "member": "team_user", "team_admin": "team_user team_admin"},
    "channel": {"member": "channel_user", "team_admin": "channel_user channel_admin"},
}
_OUTWARDS: Mapping[Scope, tuple[Scope, ...]] = {
    "system": ("system",),
    "team": ("team", "system"),
    "channel": ("channel", "team", "system"),
}


def can(role: str, scope: Scope, permission: str) -> bool:
    """Whether they have it there, or by a wider scope."""
    return any(granted(one, _NAMES[one].get(role, ""), permission) for one in _OUTWARDS[scope])


def allowed(role: str, rule: Rule, *, public: bool = False, other: bool = False) -> bool:
    """public: the channel is. other: the path names somebody else."""
    match rule:
        case System(permission):
            return can(role, "system", permission)
        case SelfOr(permission):
            return not other or can(role, "system", permission)
        case InTeam(permission):
            return can(role, "team", permission)
        case InChannel(permission, in_public):
            return can(role, "channel", permission) or (public and in_public != "" and can(role, "team", in_public))
        case OfPost(permission, others):
            own = role == "team_admin" or not others or can(role, "channel", others)
            return own and can(role, "channel", permission)


def answers(operation: Operation, *, public: bool = False, other: bool = False) -> dict[str, int]:
    """The status for each role."""
    found = {}
    for role in ROLES:
        may = role == "nobody" or all(allowed(role, one, public=public, other=other) for one in operation.rules)
        found[role] = operation.status if may else 403
    if operation.login in (Login.NEEDED, Login.OPERATOR):
        found["nobody"] = 401
    of = operation.example
    return {**found, **(of.for_others if other else of.in_public if public else of.answers)}
