"""Mattermost's built-in roles and the permissions they carry (the names are Mattermost's: clients test for them)."""

from typing import Final

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
    " sysconsole_write_user_management_users"
    " recycle_database_connections invalidate_caches"
)
_PERSONAL_ACCESS_TOKEN = "create_user_access_token read_user_access_token revoke_user_access_token"  # noqa: S105


def _set(*texts: str) -> frozenset[str]:
    return frozenset(" ".join(texts).split())


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


def granted(role_names: str, permission: str) -> bool:
    """Whether any of the roles (names separated by spaces) carries the permission. Unknown roles carry none."""
    for name in role_names.split():
        role = ROLES.get(name)
        if role is not None and permission in role:
            return True
    return False
