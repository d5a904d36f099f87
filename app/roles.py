"""Mattermost's built-in roles and the permissions they carry (the names are Mattermost's: clients test for them).

A role belongs to one scope, which its name begins with. It carries nothing outside of it, and nobody can be given it
there, whatever a row of the database holds (decision 0026).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from app import errors
from app.errors import AppError
from app.permissionlists import PERMISSIONS, UNMANAGED
from db.model.entities import Membership, TeamMember, User
from db.model.ids import derived_id

Scope = Literal["channel", "team", "system"]

ADMINISTRATOR: Final = "system_admin"
GUEST: Final = "system_guest"
ROLES: Final[dict[str, frozenset[str]]] = {name: frozenset(carried) for name, carried in PERMISSIONS.items()}
_OF_SCOPE: Final[dict[Scope, dict[str, frozenset[str]]]] = {
    scope: {name: role for name, role in ROLES.items() if name.startswith(f"{scope}_")}
    for scope in ("channel", "team", "system")
}


def granted(scope: Scope, role_names: str, permission: str) -> bool:
    """Whether any of the roles (names separated by spaces) carries the permission there. Others of them carry none."""
    roles = _OF_SCOPE[scope]
    for name in role_names.split():
        role = roles.get(name)
        if role is not None and permission in role:
            return True
    return False


# What clients are told of roles ---------------------------------------------------------------------------------------

MAX_NAMES: Final = 100
"""In one question, as in Mattermost."""
_SINCE_MS: Final = 1_767_225_600_000
"""When they were made, which is asked of nothing; the same on all nodes."""
_TITLES: Final = {"system_guest": "global_guest", "system_user": "global_user", "system_admin": "global_admin"}
_NAME = re.compile("[a-z0-9_]{1,64}")


def _told(name: str) -> dict[str, Any]:
    title = f"authentication.roles.{_TITLES.get(name, name)}"
    return {
        "id": derived_id(f"role:{name}"),
        "name": name,
        "display_name": f"{title}.name",
        "description": f"{title}.description",
        "create_at": _SINCE_MS,
        "update_at": _SINCE_MS,
        "delete_at": 0,
        "permissions": PERMISSIONS[name],
        "scheme_managed": name not in UNMANAGED,
        "built_in": True,
    }


ALL: Final[Mapping[str, Mapping[str, Any]]] = {name: _told(name) for name in PERMISSIONS}
"""By name, as clients see them; nobody changes one."""
_BY_ID: Final = {role["id"]: role for role in ALL.values()}


def is_name(text: str) -> bool:
    """Whether a role might have this name."""
    return _NAME.fullmatch(text) is not None


def by_id(role_id: str) -> Mapping[str, Any]:
    """The role of this id. Raises 404."""
    if role_id not in _BY_ID:
        raise AppError("app.role.get.app_error", 404)
    return _BY_ID[role_id]


def by_name(name: str) -> Mapping[str, Any]:
    """The role of this name. Raises 404."""
    if name not in ALL:
        raise AppError("app.role.get_by_name.app_error", 404)
    return ALL[name]


def by_names(names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Those that there are, in the order of the question. Raises 400 for none at all, too many, or what is no name."""
    wanted = dict.fromkeys(name for name in names if name.strip())
    if not names:
        raise errors.invalid_body("rolenames")
    if len(wanted) > MAX_NAMES:
        raise AppError("api.roles.get_multiple_by_name_too_many.request_error", 400, MaxNames=MAX_NAMES)
    if not all(map(is_name, wanted)):
        raise errors.invalid_body("rolename")
    return [ALL[name] for name in wanted if name in ALL]


# Giving them ----------------------------------------------------------------------------------------------------------


def is_guest(user: User) -> bool:
    """Whether the account is a guest's."""
    return GUEST in user.roles.split()


class Names(msgspec.Struct, kw_only=True):
    """PUT …/roles: names separated by spaces."""

    roles: str


class Scheme(msgspec.Struct, kw_only=True):
    """PUT …/schemeRoles: which roles of its scheme a member is to have. scheme_guest: never by this operation."""

    scheme_user: bool
    scheme_admin: bool
    scheme_guest: bool = False


@dataclass(frozen=True)
class Chosen:
    """What a member is to be: user and admin of the scheme, and the names of roles beside it."""

    user: bool
    admin: bool
    beside: str


def chosen(scope: Literal["channel", "team"], member: Membership | TeamMember, wanted: str | Scheme) -> Chosen:
    """What these names (separated by spaces) or flags make of the member. Raises 400.

    The refusals and their order are Mattermost's: a name that is no role, a role of another scope, then what would
    make or unmake a guest, or would leave a member who is neither guest nor user.
    """
    guest = member.scheme_guest
    if isinstance(wanted, Scheme):
        if guest:
            raise _refused(scope, "guest")
        if wanted.scheme_guest:
            raise _refused(scope, "user_and_guest")
        if not wanted.scheme_user:
            raise _refused(scope, "unset_user_scheme")
        return Chosen(wanted.scheme_user, wanted.scheme_admin, member.roles)
    roles = wanted.split()
    if not all(name in ROLES for name in roles):
        raise AppError("app.role.get_by_name.app_error", 400)
    if not all(name in _OF_SCOPE[scope] for name in roles):
        raise _refused(scope, "scheme_role")
    of_scheme = as_guest, as_user, as_admin = f"{scope}_guest", f"{scope}_user", f"{scope}_admin"
    if as_guest in roles and as_user in roles:
        raise _refused(scope, "guest_and_user")
    if as_guest in roles and as_admin in roles:
        raise _refused(scope, "guest_and_admin")
    if (as_guest in roles) != guest:
        raise _refused(scope, "changing_guest_role")
    if not guest and as_user not in roles:
        raise _refused(scope, "unset_user_scheme")
    beside = dict.fromkeys(name for name in roles if name not in of_scheme)
    return Chosen(as_user in roles, as_admin in roles, " ".join(beside))


def chosen_of_system(names: str, *, guest: bool) -> str:
    """Names of system roles for a user who is a guest, or is none. Raises 400.

    Every user is a `system_user` or a guest, and stays what they are: no account is left without any role, and
    `system_admin` alone is refused, as in Mattermost.
    """
    roles = list(dict.fromkeys(names.split()))
    own, other = (GUEST, "system_user") if guest else ("system_user", GUEST)
    good = all(name in _OF_SCOPE["system"] for name in roles) and own in roles and other not in roles
    if not good or (guest and ADMINISTRATOR in roles):
        raise errors.invalid_body("roles")
    return " ".join(roles)


def _refused(scope: str, why: str) -> AppError:
    if scope == "channel":
        return AppError(f"api.channel.update_channel_member_roles.{why}.app_error", 400)
    return AppError(f"api.team.update_team_member_roles.{why}.app_error", 400)
