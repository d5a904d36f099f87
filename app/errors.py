"""AppError: what a client is told when something may not or cannot happen, with Mattermost's error ids.

The texts are ours, in English; `{name}` is filled from the parameters. An id without a text here is a fault that the
tests find.
"""

from itertools import combinations
from typing import Final

_PASSWORD_RULES: Final = {
    "_lowercase": "at least one lowercase letter",
    "_uppercase": "at least one uppercase letter",
    "_number": "at least one number",
    "_symbol": 'at least one symbol (e.g. "~!@#$%^&*()")',
}


def _password_messages() -> dict[str, str]:
    """Each id of Mattermost names the rules that a password broke."""
    return {
        f"model.user.is_valid.pwd{''.join(broken)}.app_error": "Your password must contain at least {Min} characters"
        f" made up of {', '.join(_PASSWORD_RULES[one] for one in broken)}."
        for number in range(len(_PASSWORD_RULES) + 1)
        for broken in combinations(_PASSWORD_RULES, number)
    }


MESSAGES: Final[dict[str, str]] = {
    **_password_messages(),
    "api.admin.file_read_error": "Error reading log file.",
    "api.channel.add_user.to.channel.failed.deleted.app_error": "Failed to add user to channel because they have been"
    " removed from the team.",
    "api.channel.add_user_to_channel.deleted.app_error": "The channel has been archived or deleted.",
    "api.channel.add_user_to_channel.type.app_error": "Can not add user to this channel type.",
    "api.channel.create_channel.direct_channel.app_error": "Must use createDirectChannel API service for direct"
    " message channel creation.",
    "api.channel.create_channel.max_channel_limit.app_error": "Cannot create more than {MaxChannelsPerTeam} channels"
    " for current team.",
    "api.channel.create_direct_channel.invalid_user.app_error": "Invalid user ID for direct channel creation.",
    "api.custom_status.disabled": "Custom status feature has been disabled. Please contact your system administrator"
    " for details.",
    "api.custom_status.recent_custom_statuses.delete.app_error": "Failed to delete the recent status. Please try adding"
    " status first or contact your system administrator for details.",
    "api.database.recycle.app_error": "The database connections were not recycled: {Reason}.",
    "api.channel.remove_channel_member.type.app_error": "Unable to remove a user from a channel of this type.",
    "api.channel.remove.default.app_error": "Unable to remove user from the default channel {Channel}.",
    "api.channel.update_channel_member_roles.changing_guest_role.app_error": "Invalid channel member update: You can't"
    " add or remove the guest role manually.",
    "api.channel.update_channel_member_roles.guest.app_error": "Invalid channel member update: A guest cannot be made"
    " channel member or channel admin, please promote as a user first.",
    "api.channel.update_channel_member_roles.guest_and_admin.app_error": "Invalid channel member update: A user must be"
    " a guest or an admin but not both.",
    "api.channel.update_channel_member_roles.guest_and_user.app_error": "Invalid channel member update: A user must be"
    " a guest or a user but not both.",
    "api.channel.update_channel_member_roles.scheme_role.app_error": "The provided role is managed by a Scheme and"
    " therefore cannot be applied directly to a Channel Member.",
    "api.channel.update_channel_member_roles.unset_user_scheme.app_error": "Invalid channel member update: The user"
    " scheme role must always be set.",
    "api.channel.update_channel_member_roles.user_and_guest.app_error": "Invalid channel member update: A user must be"
    " a guest or a user but not both.",
    "api.caches.invalidate.app_error": "The caches were not purged: {Reason}.",
    "api.cluster.status.app_error": "The state of the cluster is not known: {Reason}.",
    "api.config.reload.app_error": "The configuration was not reloaded: {Reason}.",
    "api.config.update_config.clear_siteurl.app_error": "Site URL cannot be cleared.",
    "api.config.update_config.invalid.app_error": "The configuration cannot be used: {Problems}.",
    "api.config.client.old_format.app_error": "New format for the client configuration is not supported yet. Please"
    " specify format=old in the query string.",
    "api.context.404.app_error": "Sorry, we could not find the page.",
    "api.context.405.app_error": "Method not allowed.",
    "api.context.internal.app_error": "The server has run into a problem. It is in the server's log under the"
    " request id.",
    "api.context.not_implemented.app_error": "This operation is not offered by this server.",
    "api.context.invalid_body_param.app_error": "Invalid or missing {Name} in request body.",
    "api.context.invalid_param.app_error": "Invalid {Name} parameter.",
    "api.context.invalid_url_param.app_error": "Invalid or missing {Name} parameter in request URL.",
    "api.context.permissions.app_error": "You do not have the appropriate permissions.",
    "api.context.rate_limit.app_error": "Too many requests. Please try again later.",
    "api.context.request_body_too_large.app_error": "Request body too large. Limit: {MaximumPayloadSizeBytes} bytes.",
    "api.context.server_busy.app_error": "Server is busy, non-critical services are temporarily unavailable.",
    "api.context.session_expired.app_error": "Invalid or expired session, please login again.",
    "api.emoji.get_multiple_by_name_too_many.request_error": "Unable to get that many emojis by name. Only {MaxNames}"
    " emojis can be requested at once.",
    "api.license.client.old_format.app_error": "New format for the client license is not supported yet. Please"
    " specify format=old in the query string.",
    "api.post.create_post.can_not_post_to_deleted.error": "Can not post to deleted channel.",
    "api.post.create_post.channel_root_id.app_error": "Invalid ChannelId for RootId parameter.",
    "api.post.delete_post.can_not_delete_post_in_deleted.error": "Can not delete a post in a deleted channel.",
    "api.post.patch_post.can_not_update_post_in_deleted.error": "Can not update a post in a deleted channel.",
    "api.post.posts_by_ids.invalid_body.request_error": "Invalid request body. At most {MaxLength} ids are allowed.",
    "api.post.update_post.can_not_update_post_in_deleted.error": "Can not update a post in a deleted channel.",
    "api.post.update_post.permissions_time_limit.app_error": "Post edit is only allowed for {timeLimit} seconds."
    " Please ask your System Administrator for details.",
    "api.post.update_post.system_message.app_error": "Unable to update system message.",
    "api.preference.delete_preferences.delete.app_error": "Unable to delete user preferences.",
    "api.preference.preferences_category.get.app_error": "Unable to get user preferences.",
    "api.preference.update_preferences.set.app_error": "Unable to set user preferences.",
    "api.reaction.delete.archived_channel.app_error": "You cannot remove a reaction in an archived channel.",
    "api.reaction.save.archived_channel.app_error": "You cannot react in an archived channel.",
    "api.reaction.save_reaction.invalid.app_error": "Reaction is not valid.",
    "api.reaction.save_reaction.user_id.app_error": "You cannot save reaction for the other user.",
    "api.post.create_post.root_id.app_error": "Invalid RootId parameter.",
    "api.roles.get_multiple_by_name_too_many.request_error": "Cannot request this many roles at once. Only {MaxNames}"
    " can be requested.",
    "api.team.add_user_to_team.missing_parameter.app_error": "Parameter required to add user to team.",
    "api.team.add_user_to_team_from_invite.guest.app_error": "Guests cannot join teams by an invitation link.",
    "api.team.get_all_teams.insufficient_permissions": "You don't have the appropriate permissions to list all teams.",
    "api.team.get_invite_info.not_open_team": "Invite is invalid because this is not an open team.",
    "api.team.get_team_icon.read_file.app_error": "Unable to read the team icon file.",
    "api.team.invite_members.disabled.app_error": "Email invitations are disabled.",
    "api.team.join_user_to_team.allowed_domains.app_error": "The user cannot be added as the domain associated with"
    " the account is not permitted. Contact your System Administrator for additional details.",
    "api.team.search_teams.pagination_not_implemented.private_team_search": "Pagination is not implemented for"
    " searches of private teams only.",
    "api.team.search_teams.pagination_not_implemented.public_team_search": "Pagination is not implemented for"
    " searches of public teams only.",
    "api.team.update_restricted_domains.mismatch.app_error": "Restricting team to {Domain} is not allowed by the system"
    " config. Please contact your system administrator.",
    "api.team.update_team_member_roles.changing_guest_role.app_error": "Invalid team member update: You can't"
    " add or remove the guest role manually.",
    "api.team.update_team_member_roles.guest.app_error": "Invalid team member update: A guest cannot be made"
    " team member or team admin, please promote as a user first.",
    "api.team.update_team_member_roles.guest_and_admin.app_error": "Invalid team member update: A user must be"
    " a guest or an admin but not both.",
    "api.team.update_team_member_roles.guest_and_user.app_error": "Invalid team member update: A user must be"
    " a guest or a user but not both.",
    "api.team.update_team_member_roles.scheme_role.app_error": "The provided role is managed by a Scheme and"
    " therefore cannot be applied directly to a Team Member.",
    "api.team.update_team_member_roles.unset_user_scheme.app_error": "Invalid team member update: The user"
    " scheme role must always be set.",
    "api.team.update_team_member_roles.user_and_guest.app_error": "Invalid team member update: A user must be"
    " a guest or a user but not both.",
    "api.team.demote_user_to_guest.disabled.error": "Guest accounts are disabled.",
    "api.user.autocomplete_users.missing_team_id.app_error": "Team id parameter is required to autocomplete by"
    " channel.",
    "api.user.delete_team.not_enabled.app_error": "Permanent team deletion feature is not enabled. Please contact your"
    " System Administrator.",
    "api.user.check_user_login_attempts.too_many.app_error": "There were too many failed password attempts. Please wait"
    " a while, then try again.",
    "api.user.check_user_password.invalid.app_error": "Login failed because of invalid password.",
    "api.user.create_user.accepted_domain.app_error": "The email you provided does not belong to an accepted domain."
    " Please contact your administrator or sign up with a different email.",
    "api.user.create_user.disabled.app_error": "User creation is disabled.",
    "api.user.create_user.no_open_server": "This server does not allow open signups. Please speak with your"
    " Administrator to receive an invitation.",
    "api.user.create_user.signup_email_disabled.app_error": "User sign-up with email is disabled.",
    "api.user.create_user.signup_link_invalid.app_error": "The signup link does not appear to be valid.",
    "api.user.delete_user.not_enabled.app_error": "Permanent user deletion feature is not enabled. Please contact your"
    " System Administrator.",
    "api.user.demote_user_to_guest.already_guest.app_error": "Unable to convert the user to guest because is already a"
    " guest.",
    "api.user.get_user_by_email.permissions.app_error": "Unable to get user by email.",
    "api.user.login.blank_pwd.app_error": "Password field must not be blank.",
    "api.user.login.busy.app_error": "Too many people are logging in at the moment. Please try again.",
    "api.user.login.inactive.app_error": "Login failed because your account has been deactivated. Please contact an"
    " administrator.",
    "api.user.login.invalid_credentials_email": "Enter a valid email and/or password.",
    "api.user.login.invalid_credentials_email_username": "Enter a valid email or username and/or password.",
    "api.user.login.invalid_credentials_username": "Enter a valid username and/or password.",
    "api.user.promote_guest_to_user.no_guest.app_error": "Unable to convert the guest to regular user because is not a"
    " guest.",
    "api.user.update_active.not_enable.app_error": "You cannot deactivate yourself because this feature is not enabled."
    " Please contact your System Administrator.",
    "api.user.update_password.incorrect.app_error": "The current password you entered is incorrect. Please check that"
    " Caps Lock is off and try again.",
    "api.user.update_user.accepted_domain.app_error": "The email you provided does not belong to an accepted domain."
    " Please contact your administrator or use a different email.",
    "api.web_socket.connect.upgrade.app_error": "Failed to upgrade websocket connection.",
    "api.web_socket_router.bad_action.app_error": "Unknown WebSocket action.",
    "api.web_socket_router.bad_seq.app_error": "Invalid sequence for WebSocket message.",
    "api.web_socket_router.no_action.app_error": "No websocket action.",
    "api.web_socket_router.not_authenticated.app_error": "WebSocket connection is not authenticated. Please log in"
    " and try again.",
    "api.websocket_handler.invalid_param.app_error": "Invalid {Name} parameter.",
    "api.websocket_handler.server_busy.app_error": "Server is busy, non-critical services are temporarily unavailable.",
    "app.channel.get.existing.app_error": "Unable to find the existing channel.",
    "app.channel.add_member.deleted_user.app_error": "Unable to add the user as a channel member: their account is"
    " deactivated.",
    "app.channel.get_by_name.missing.app_error": "Channel does not exist.",
    "app.channel.get_member.missing.app_error": "No channel member found for that user ID and channel ID.",
    "app.channel.sidebar_categories.app_error": "Failed to get or change the categories of the sidebar.",
    "app.channel.get_channels.not_found.app_error": "No channels were found.",
    "app.post.get.app_error": "Unable to get the post.",
    "app.post.restore_post_version.not_an_history_item.app_error": "The version is none of the history of the post.",
    "app.preference.get.app_error": "We encountered an error while finding preferences.",
    "app.preference.save.updating.app_error": "We encountered an error while updating preferences: there are too many.",
    "app.role.get.app_error": "Unable to get role.",
    "app.role.get_by_name.app_error": "Unable to get role.",
    "app.save_config.app_error": "An error occurred saving the configuration: {Reason}.",
    "app.team.add_member.deleted_user.app_error": "Unable to add the user to the team: their account is deactivated.",
    "app.reaction.save.save.too_many_reactions": "Reaction limit has been reached for this post.",
    "app.team.get.find.app_error": "Unable to find the existing team.",
    "app.team.get_by_invite_id.finding.app_error": "Unable to find the existing team.",
    "app.team.get_by_name.missing.app_error": "Unable to find the existing team.",
    "app.team.get_member.missing.app_error": "No team member found for that user ID and team ID.",
    "app.team.join_user_to_team.max_accounts.app_error": "This team has reached the maximum number of allowed"
    " accounts. Contact your System Administrator to set a higher limit.",
    "app.terms_of_service.get.no_rows.app_error": "No terms of service found.",
    "app.user.last_administrator.app_error": "The last active System Administrator can be neither demoted nor"
    " deactivated.",
    "app.user.missing_account.const": "Unable to find the user.",
    "app.user.save.email_exists.app_error": "An account with that email already exists.",
    "app.user.save.username_exists.app_error": "An account with that username already exists.",
    "ent.cluster.save_config.error": "System Console is set to read-only when High Availability is enabled.",
    "model.channel.is_valid.2_or_more.app_error": "Name must be 2 or more lowercase alphanumeric characters.",
    "model.channel.is_valid.display_name.app_error": "Invalid display name.",
    "model.channel.is_valid.header.app_error": "Invalid header.",
    "model.channel.is_valid.name.app_error": "Invalid channel name. User ids are not permitted in channel name for"
    " non-direct message channels.",
    "model.channel.is_valid.purpose.app_error": "Invalid purpose.",
    "model.channel.is_valid.type.app_error": "Invalid type.",
    "model.post.is_valid.msg.app_error": "Post Message property is longer than the maximum permitted length.",
    "model.post.is_valid.props.app_error": "Invalid props.",
    "model.post.is_valid.type.app_error": "Invalid type.",
    "model.preference.is_valid.category.app_error": "Invalid category.",
    "model.preference.is_valid.limit_visible_dms_gms.app_error": "Invalid value for limit visible dms.",
    "model.preference.is_valid.name.app_error": "Invalid name.",
    "model.preference.is_valid.theme.app_error": "Invalid theme.",
    "model.preference.is_valid.value.app_error": "Value is too long.",
    "model.reaction.is_valid.emoji_name.app_error": "Invalid emoji name.",
    "model.team.is_valid.characters.app_error": "Name must be 2 or more lowercase alphanumeric characters.",
    "model.team.is_valid.company.app_error": "Invalid company name.",
    "model.team.is_valid.description.app_error": "Invalid description.",
    "model.team.is_valid.domains.app_error": "Invalid allowed domains.",
    "model.team.is_valid.name.app_error": "Invalid name.",
    "model.team.is_valid.reserved.app_error": "This URL is unavailable. Please try another.",
    "model.team.is_valid.type.app_error": "Invalid type.",
    "model.team.is_valid.url.app_error": "Invalid URL Identifier.",
    "model.user.is_valid.email.app_error": "Invalid email.",
    "model.user.is_valid.first_name.app_error": "Invalid first name.",
    "model.user.is_valid.last_name.app_error": "Invalid last name.",
    "model.user.is_valid.locale.app_error": "Invalid locale.",
    "model.user.is_valid.nickname.app_error": "Invalid nickname.",
    "model.user.is_valid.position.app_error": "Invalid position: must not be longer than 128 characters.",
    "model.user.is_valid.props.app_error": "Invalid props.",
    "model.user.is_valid.pwd_max_length.app_error": "Your password must contain at most {Max} characters.",
    "model.user.is_valid.pwd_min_length.app_error": "Your password must contain at least {Min} characters.",
    "model.user.is_valid.pwd_own_name.app_error": "Your password must be neither your username nor your email.",
    "model.user.is_valid.username.app_error": "Username must begin with a letter, and contain between 3 to 64"
    ' lowercase characters made up of numbers, letters, and the symbols ".", "-", and "_".',
    "store.sql_channel.save_channel.exists.app_error": "A channel with that name already exists on the same team.",
    "store.sql_team.save_team.existing.app_error": "A team with that name already exists.",
}


class AppError(Exception):
    """An answer of Mattermost's error JSON.

    error_id: Mattermost's id, a key of MESSAGES. status: HTTP status. parameters: fill the text.
    retry_after_s: for 429 and 503, when the client may come back.
    """

    def __init__(self, error_id: str, status: int, *, retry_after_s: int | None = None, **parameters: object) -> None:
        super().__init__(error_id)
        self.id = error_id
        self.status = status
        self.retry_after_s = retry_after_s
        self.message = MESSAGES[error_id].format(**parameters)


def forbidden() -> AppError:
    """403: the session's roles do not carry the permission."""
    return AppError("api.context.permissions.app_error", 403)


def session_expired() -> AppError:
    """401: no session, an unknown token, an expired session or a failed CSRF check."""
    return AppError("api.context.session_expired.app_error", 401)


def invalid_body(name: str) -> AppError:
    """400: a field of the body, or the body itself."""
    return AppError("api.context.invalid_body_param.app_error", 400, Name=name)


def invalid_url(name: str) -> AppError:
    """400: a part of the path or of the query."""
    return AppError("api.context.invalid_url_param.app_error", 400, Name=name)


def server_busy(retry_after_s: int = 1) -> AppError:
    """503: the database cannot be reached or a queue is full; nothing is known to have happened."""
    return AppError("api.context.server_busy.app_error", 503, retry_after_s=retry_after_s)
