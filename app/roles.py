"""Mattermost's built-in roles and the permissions they carry (the names are Mattermost's: clients test for them).

A role belongs to one scope, which its name begins with. It carries nothing outside of it, and nobody can be given it
there, whatever a row of the database holds (decision 0026).
"""

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from app import errors
from app.errors import AppError
from db.model.entities import Membership, TeamMember

Scope = Literal["channel", "team", "system"]

_CHANNEL_GUEST = (
    "read_channel add_reaction remove_reaction upload_file edit_post create_post use_channel_mentions"
    " use_slash_commands"
)
_CHANNEL_USER = (
    "read_channel add_reaction remove_reaction manage_public_channel_members upload_file get_public_link create_post"
    " use_slash_commands manage_public_channel_properties delete_public_channel manage_private_channel_properties"
    " delete_private_channel manage_private_channel_members delete_post edit_post use_channel_mentions"
)
_CHANNEL_ADMIN = "manage_channel_roles use_group_mentions use_channel_mentions"
_TEAM_GUEST = "view_team"
_TEAM_USER = (
    "list_team_channels join_public_channels read_public_channel view_team create_public_channel"
    " create_private_channel invite_user add_user_to_team"
)
_TEAM_ADMIN = (
    "remove_user_from_team manage_team import_team manage_team_roles manage_channel_roles manage_slash_commands"
    " manage_others_slash_commands manage_incoming_webhooks manage_outgoing_webhooks manage_others_incoming_webhooks"
    " manage_others_outgoing_webhooks delete_post delete_others_posts convert_public_channel_to_private"
    " convert_private_channel_to_public manage_public_channel_members manage_private_channel_members"
)
_SYSTEM_GUEST = "create_direct_channel create_group_channel"
_SYSTEM_USER = (
    "list_public_teams join_public_teams create_direct_channel create_group_channel view_members create_team"
    " create_emojis delete_emojis"
)
_SYSTEM_ADMIN = (
    "assign_system_admin_role manage_system manage_roles manage_jobs manage_bots read_bots manage_others_bots"
    " create_bot create_user_access_token read_user_access_token revoke_user_access_token edit_other_users"
    " edit_others_posts delete_others_emojis list_private_teams join_private_teams list_users_without_team"
    " remove_others_reactions promote_guest demote_to_guest invite_guest create_post_public create_post_ephemeral"
    " delete_public_channel delete_private_channel manage_oauth manage_system_wide_oauth permanent_delete_user"
    " view_members sysconsole_read_environment_high_availability sysconsole_read_environment_database"
    " sysconsole_write_environment_high_availability sysconsole_write_environment_database reload_config"
    " sysconsole_write_user_management_users sysconsole_read_plugins read_license_information"
    " recycle_database_connections invalidate_caches"
)
_PERSONAL_ACCESS_TOKEN = "create_user_access_token read_user_access_token revoke_user_access_token"  # noqa: S105


def _set(*texts: str) -> frozenset[str]:
    return frozenset(" ".join(texts).split())


ADMINISTRATOR: Final = "system_admin"
ROLES: Final[dict[str, frozenset[str]]] = {
    "channel_guest": _set(_CHANNEL_GUEST),
    "channel_user": _set(_CHANNEL_USER),
    "channel_admin": _set(_CHANNEL_ADMIN),
    "team_guest": _set(_TEAM_GUEST),
    "team_user": _set(_TEAM_USER),
    "team_admin": _set(_TEAM_ADMIN),
    "team_post_all": _set("create_post use_channel_mentions"),
    "team_post_all_public": _set("create_post_public use_channel_mentions"),
    "system_guest": _set(_SYSTEM_GUEST),
    "system_user": _set(_SYSTEM_USER),
    "system_post_all": _set("create_post use_channel_mentions"),
    "system_post_all_public": _set("create_post_public use_channel_mentions"),
    "system_user_access_token": _set(_PERSONAL_ACCESS_TOKEN),
    # The administrator may do all that anybody may.
    "system_admin": _set(
        _SYSTEM_ADMIN,
        _SYSTEM_USER,
        _TEAM_USER,
        _TEAM_ADMIN,
        _CHANNEL_USER,
        _CHANNEL_ADMIN,
        _PERSONAL_ACCESS_TOKEN,
    ),
}


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
    own, other = ("system_guest", "system_user") if guest else ("system_user", "system_guest")
    good = all(name in _OF_SCOPE["system"] for name in roles) and own in roles and other not in roles
    if not good or (guest and ADMINISTRATOR in roles):
        raise errors.invalid_body("roles")
    return " ".join(roles)


def _refused(scope: str, why: str) -> AppError:
    if scope == "channel":
        return AppError(f"api.channel.update_channel_member_roles.{why}.app_error", 400)
    return AppError(f"api.team.update_team_member_roles.{why}.app_error", 400)
