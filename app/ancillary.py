"""Which other permissions a page of Mattermost's console needs beside its own: those that this server asks."""

from collections.abc import Iterable, Mapping
from typing import Final

_BESIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "sysconsole_read_about_edition_and_license": ("read_license_information",),
    "sysconsole_read_user_management_channels": ("read_public_channel", "read_channel"),
    "sysconsole_read_user_management_teams": ("list_private_teams", "list_public_teams", "view_team"),
    "sysconsole_write_environment_database": ("recycle_database_connections",),
    "sysconsole_write_environment_web_server": ("reload_config", "invalidate_caches"),
    "sysconsole_write_user_management_users": ("edit_other_users", "demote_to_guest", "promote_guest"),
}


def with_ancillary(permissions: Iterable[str]) -> list[str]:
    """These, then what they need beside, each once."""
    asked = list(dict.fromkeys(permissions))
    return list(dict.fromkeys([*asked, *(one for name in asked for one in _BESIDE.get(name, ()))]))
