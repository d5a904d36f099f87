"""The permissions of Mattermost's built-in roles, as data: what its version 11 gives each by default.

Beside those, what clients of before ask for by an older name (`manage_incoming_webhooks`), as nothing that a member
might do is taken away. Left out on purpose, because `read_channel` is here what it was there before 8.0, the right to
read what is written, and because who is in a channel is asked again when a post is committed (decision 0027):
`read_channel` of the roles of the console, and what team administrators may do there in channels that they are not in.
"""

from typing import Final


def _sysconsole(access: str, area: str, parts: str) -> str:
    return " ".join(f"sysconsole_{access}_{area}_{part}" for part in parts.split())


_ENVIRONMENT = (
    "web_server database elasticsearch file_storage image_proxy smtp push_notification_server high_availability"
    " rate_limiting logging session_lengths performance_monitoring developer"
)
_SITE = (
    "customization localization users_and_teams notifications announcement_banner emoji posts"
    " file_sharing_and_downloads public_links notices"
)
_AUTHENTICATION = "signup email password mfa ldap saml openid guest_access"
_INTEGRATIONS = "integration_management bot_accounts gif cors"
_COMPLIANCE = "data_retention_policy compliance_export compliance_monitoring custom_terms_of_service"
_REPORTING = "site_statistics team_statistics server_logs"
_MANAGED = "groups teams channels permissions"


def _console(access: str) -> str:
    """Every part of the system console."""
    parts = (
        _sysconsole(access, "about", "edition_and_license"),
        _sysconsole(access, "reporting", _REPORTING),
        _sysconsole(access, "user_management", f"users {_MANAGED} system_roles"),
        _sysconsole(access, "environment", f"{_ENVIRONMENT} mobile_security"),
        _sysconsole(access, "site", f"{_SITE} ip_filters"),
        _sysconsole(access, "authentication", _AUTHENTICATION),
        _sysconsole(access, "integrations", _INTEGRATIONS),
        _sysconsole(access, "compliance", _COMPLIANCE),
        _sysconsole(access, "experimental", "features feature_flags bleve"),
        f"sysconsole_{access}_products_boards sysconsole_{access}_plugins sysconsole_{access}_billing",
    )
    return " ".join(parts)


# What comes along with parts of the console: the requests that its pages make.
_SEES_CHANNELS = "read_public_channel read_public_channel_groups read_private_channel_groups"
_SEES_TEAMS = "list_private_teams list_public_teams view_team"
_SEES_LOGS = "get_logs get_analytics"
_RUNS_CHANNELS = (
    "manage_public_channel_properties manage_private_channel_properties manage_private_channel_members"
    " manage_public_channel_members delete_private_channel delete_public_channel manage_channel_roles"
    " convert_public_channel_to_private convert_private_channel_to_public"
    " manage_public_channel_auto_translation manage_private_channel_auto_translation"
)
_RUNS_TEAMS = (
    "manage_team manage_team_roles remove_user_from_team join_private_teams join_public_teams add_user_to_team"
)
_RUNS_SERVERS = (
    "test_site_url reload_config invalidate_caches recycle_database_connections test_elasticsearch"
    " create_elasticsearch_post_indexing_job manage_elasticsearch_post_indexing_job"
    " create_elasticsearch_post_aggregation_job manage_elasticsearch_post_aggregation_job"
    " purge_elasticsearch_indexes test_s3 test_email"
)
_SEES_SEARCH = "read_elasticsearch_post_indexing_job read_elasticsearch_post_aggregation_job"
_SEES_DIRECTORY = "test_ldap read_ldap_sync_job"

_BOOKMARKS = " ".join(
    f"{what}_bookmark_{kind}_channel" for kind in ("public", "private") for what in ("add", "edit", "delete", "order")
)
_BANNERS = "manage_public_channel_banner manage_private_channel_banner manage_channel_access_rules"
_TRANSLATION = "manage_public_channel_auto_translation manage_private_channel_auto_translation"
_GROUPS_OF_CHANNELS = "read_public_channel_groups read_private_channel_groups"
_CUSTOM_GROUPS = (
    "create_custom_group edit_custom_group delete_custom_group restore_custom_group manage_custom_group_members"
)
_PERSONAL_ACCESS_TOKEN = "create_user_access_token read_user_access_token revoke_user_access_token"  # noqa: S105
_PLAYBOOK_ADMIN = (
    "playbook_public_manage_members playbook_public_manage_roles playbook_public_manage_properties"
    " playbook_private_manage_members playbook_private_manage_roles playbook_private_manage_properties"
    " playbook_public_make_private"
)
_PLAYBOOK_MEMBER = (
    "playbook_public_view playbook_public_manage_members playbook_public_manage_properties playbook_private_view"
    " playbook_private_manage_members playbook_private_manage_properties run_create"
)
_RUN_ADMIN = "run_manage_members run_manage_properties"

_ADMINISTRATOR_ALONE = (
    "assign_system_admin_role manage_system manage_roles read_audits manage_jobs read_jobs manage_bots read_bots"
    " read_others_bots manage_others_bots create_bot edit_other_users read_other_users_teams edit_others_posts"
    " delete_others_emojis list_users_without_team remove_others_reactions promote_guest demote_to_guest invite_guest"
    " create_post_ephemeral manage_oauth manage_system_wide_oauth manage_outgoing_oauth_connections"
    " permanent_delete_user edit_brand manage_shared_channels manage_secure_connections read_license_information"
    " manage_license_information playbook_private_make_public invalidate_email_invite"
    " download_compliance_export_result create_compliance_export_job manage_compliance_export_job"
    " read_compliance_export_job create_data_retention_job manage_data_retention_job read_data_retention_job"
    " create_ldap_sync_job manage_ldap_sync_job add_ldap_public_cert remove_ldap_public_cert add_ldap_private_cert"
    " remove_ldap_private_cert get_saml_metadata_from_idp add_saml_public_cert add_saml_private_cert"
    " add_saml_idp_cert remove_saml_public_cert remove_saml_private_cert remove_saml_idp_cert get_saml_cert_status"
)

_OF_ALL_BUT_ADMINISTRATORS: Final[dict[str, tuple[str, ...]]] = {
    "channel_guest": (
        "read_channel read_channel_content add_reaction remove_reaction upload_file edit_post edit_file_attachment"
        " create_post use_channel_mentions use_slash_commands",
    ),
    "channel_user": (
        "read_channel read_channel_content add_reaction remove_reaction manage_public_channel_members upload_file"
        " get_public_link create_post use_slash_commands manage_public_channel_properties delete_public_channel"
        " manage_private_channel_properties delete_private_channel manage_private_channel_members delete_post edit_post"
        " edit_file_attachment use_channel_mentions use_group_mentions",
        _BOOKMARKS,
        _GROUPS_OF_CHANNELS,
    ),
    "channel_admin": (
        "manage_channel_roles use_group_mentions use_channel_mentions create_post add_reaction remove_reaction"
        " upload_file manage_public_channel_members manage_private_channel_members",
        _BOOKMARKS,
        _BANNERS,
        _TRANSLATION,
        _GROUPS_OF_CHANNELS,
    ),
    "team_guest": ("view_team",),
    "team_user": (
        "list_team_channels join_public_channels read_public_channel view_team create_public_channel"
        " playbook_public_create playbook_private_create create_private_channel invite_user add_user_to_team",
    ),
    "team_admin": (
        "remove_user_from_team manage_team import_team manage_team_roles manage_channel_roles manage_slash_commands"
        " manage_own_slash_commands manage_others_slash_commands manage_incoming_webhooks manage_own_incoming_webhooks"
        " manage_others_incoming_webhooks bypass_incoming_webhook_channel_lock manage_outgoing_webhooks"
        " manage_own_outgoing_webhooks manage_others_outgoing_webhooks delete_post delete_others_posts"
        " convert_public_channel_to_private convert_private_channel_to_public manage_public_channel_members"
        " manage_private_channel_members manage_team_access_rules use_group_mentions use_channel_mentions"
        " playbook_public_manage_roles playbook_private_manage_roles",
        _BOOKMARKS,
        _BANNERS,
        _TRANSLATION,
        _GROUPS_OF_CHANNELS,
    ),
    "team_post_all": ("create_post use_channel_mentions use_group_mentions upload_file",),
    "team_post_all_public": ("create_post_public use_channel_mentions use_group_mentions",),
    "system_guest": ("create_direct_channel create_group_channel",),
    "system_user": (
        "list_public_teams join_public_teams create_direct_channel create_group_channel view_members create_team"
        " create_emojis delete_emojis",
        _CUSTOM_GROUPS,
    ),
    "system_post_all": ("create_post use_channel_mentions use_group_mentions upload_file",),
    "system_post_all_public": ("create_post_public use_channel_mentions use_group_mentions",),
    "system_user_access_token": (_PERSONAL_ACCESS_TOKEN,),
    "system_user_manager": (
        _sysconsole("read", "user_management", _MANAGED),
        _sysconsole("write", "user_management", "groups teams channels"),
        _sysconsole("read", "authentication", _AUTHENTICATION),
        _SEES_CHANNELS,
        _SEES_TEAMS,
        _SEES_DIRECTORY,
        _RUNS_CHANNELS,
        _RUNS_TEAMS,
    ),
    "system_read_only_admin": (
        _sysconsole("read", "about", "edition_and_license"),
        _sysconsole("read", "reporting", _REPORTING),
        _sysconsole("read", "user_management", f"users {_MANAGED}"),
        _sysconsole("read", "environment", f"{_ENVIRONMENT} mobile_security"),
        _sysconsole("read", "site", _SITE),
        _sysconsole("read", "authentication", _AUTHENTICATION),
        _sysconsole("read", "integrations", _INTEGRATIONS),
        _sysconsole("read", "compliance", _COMPLIANCE),
        _sysconsole("read", "experimental", "features feature_flags"),
        "sysconsole_read_plugins sysconsole_read_products_boards",
        "read_license_information read_other_users_teams read_data_retention_job read_compliance_export_job"
        " download_compliance_export_result read_audits",
        _SEES_CHANNELS,
        _SEES_TEAMS,
        _SEES_LOGS,
        _SEES_SEARCH,
        _SEES_DIRECTORY,
    ),
    "system_manager": (
        _sysconsole("read", "about", "edition_and_license"),
        _sysconsole("read", "reporting", _REPORTING),
        _sysconsole("read", "user_management", _MANAGED),
        _sysconsole("write", "user_management", _MANAGED),
        _sysconsole("read", "environment", _ENVIRONMENT),
        _sysconsole("write", "environment", _ENVIRONMENT),
        _sysconsole("read", "site", _SITE),
        _sysconsole("write", "site", _SITE),
        _sysconsole("read", "authentication", _AUTHENTICATION),
        _sysconsole("read", "integrations", _INTEGRATIONS),
        _sysconsole("write", "integrations", _INTEGRATIONS),
        "sysconsole_read_plugins sysconsole_read_products_boards sysconsole_write_products_boards",
        "read_license_information edit_brand manage_outgoing_oauth_connections",
        _SEES_CHANNELS,
        _SEES_TEAMS,
        _SEES_LOGS,
        _SEES_SEARCH,
        _SEES_DIRECTORY,
        _RUNS_CHANNELS,
        _RUNS_TEAMS,
        _RUNS_SERVERS,
    ),
    "system_custom_group_admin": (_CUSTOM_GROUPS,),
    "system_shared_channel_manager": ("manage_shared_channels",),
    "custom_group_user": (),
    "playbook_admin": (_PLAYBOOK_ADMIN,),
    "playbook_member": (_PLAYBOOK_MEMBER,),
    "run_admin": (_RUN_ADMIN,),
    "run_member": ("run_view",),
}
_OF_ALL = [text for texts in _OF_ALL_BUT_ADMINISTRATORS.values() for text in texts]

PERMISSIONS: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(dict.fromkeys(" ".join(texts).split()))
    for name, texts in {
        **_OF_ALL_BUT_ADMINISTRATORS,
        # The administrator may do all that anybody may.
        "system_admin": (_ADMINISTRATOR_ALONE, _console("read"), _console("write"), *_OF_ALL),
    }.items()
}
"""By the name of the role, each permission once."""
UNMANAGED: Final = frozenset(
    {"team_post_all", "team_post_all_public", "system_post_all", "system_post_all_public", "system_user_access_token",
     "system_user_manager", "system_read_only_admin", "system_manager", "system_custom_group_admin",
     "system_shared_channel_manager", "custom_group_user"}
)  # fmt: skip
"""Roles that no scheme gives to everybody of some kind: they are given one by one."""
