"""What /config/client and X-Version-Id tell clients: a flat map of texts ("true", "false", numbers as digits).

The keys are those of Mattermost 5.37. Features that this server does not offer are said to be off, so that clients
hide them. Without a session only the limited set is given.
"""

import hashlib
from typing import Final

import msgspec

from app.config.settings import Config
from app.version import BUILD_NUMBER, MATTERMOST_VERSION, VERSION

# Off, empty or of no meaning here.
_FIXED_LIMITED: Final[dict[str, str]] = {
    "AboutLink": "",
    "AndroidAppDownloadLink": "",
    "AndroidLatestVersion": "",
    "AndroidMinVersion": "",
    "AppDownloadLink": "",
    "AsymmetricSigningPublicKey": "",
    "BuildDate": "",
    "BuildEnterpriseReady": "false",
    "BuildHash": VERSION,
    "BuildHashEnterprise": "none",
    "BuildNumber": BUILD_NUMBER,
    "CustomBrandText": "",
    "CustomDescriptionText": "",
    "DefaultTheme": "default",
    "DesktopLatestVersion": "",
    "DesktopMinVersion": "",
    "DiagnosticId": "",
    "DiagnosticsEnabled": "false",
    "EmailLoginButtonBorderColor": "",
    "EmailLoginButtonColor": "",
    "EmailLoginButtonTextColor": "",
    "EnableBotAccountCreation": "false",
    "EnableComplianceExport": "false",
    "EnableCustomBrand": "false",
    "EnableCustomEmoji": "false",
    "EnableDiagnostics": "false",
    "EnableFile": "true",
    "EnableLdap": "false",
    "EnableMultifactorAuthentication": "false",
    "EnableSaml": "false",
    "EnableSignUpWithGitLab": "false",
    "EnableSignUpWithGoogle": "false",
    "EnableSignUpWithOffice365": "false",
    "EnableSignUpWithOpenId": "false",
    "EnableThemeSelection": "true",
    "EnforceMultifactorAuthentication": "false",
    "ExperimentalClientSideCertCheck": "secondary",
    "ExperimentalClientSideCertEnable": "false",
    "FeatureFlagAppsEnabled": "false",
    "ForgotPasswordLink": "",
    "GuestAccountsEnforceMultifactorAuthentication": "false",
    "HasImageProxy": "false",
    "HelpLink": "",
    "IosAppDownloadLink": "",
    "IosLatestVersion": "",
    "IosMinVersion": "",
    "LdapLoginButtonBorderColor": "",
    "LdapLoginButtonColor": "",
    "LdapLoginButtonTextColor": "",
    "LdapLoginFieldName": "",
    "MobileExternalBrowser": "false",
    "NoAccounts": "false",
    "PluginsEnabled": "false",
    "PrivacyPolicyLink": "",
    "ReportAProblemLink": "",
    "SamlLoginButtonText": "",
    "SupportEmail": "",
    "TelemetryId": "",
    "TermsOfServiceLink": "",
    "WebsocketPort": "80",
    "WebsocketSecurePort": "443",
    "WebsocketURL": "",
}
_FIXED_FULL: Final[dict[str, str]] = {
    "AllowCustomThemes": "true",
    "AllowSyncedDrafts": "false",
    "AllowedThemes": "",
    "AppsPluginEnabled": "false",
    "BannerColor": "#f2a93b",
    "BannerText": "",
    "BannerTextColor": "#333333",
    "AllowBannerDismissal": "true",
    "CloseUnusedDirectMessages": "false",
    "CollapsedThreads": "disabled",
    "CWSURL": "",
    "CustomTermsOfServiceReAcceptancePeriod": "365",
    "CustomUrlSchemes": "",
    "DataRetentionEnableFileDeletion": "false",
    "DataRetentionEnableMessageDeletion": "false",
    "DisableLegacyMFA": "true",
    "EmailNotificationContentsType": "full",
    "EnableAPITeamDeletion": "false",
    "EnableAutocomplete": "true",
    "EnableBanner": "false",
    "EnableChannelViewedMessages": "true",
    "EnableCluster": "false",
    "EnableCommands": "false",
    "EnableCompliance": "false",
    "EnableConfirmNotificationsToChannel": "true",
    "EnableCustomGroups": "false",
    "EnableCustomTermsOfService": "false",
    "EnableEmailBatching": "false",
    "EnableEmailInvitations": "false",
    "EnableEmojiPicker": "true",
    "EnableFileAttachments": "false",
    "EnableGifPicker": "false",
    "EnableIncomingWebhooks": "false",
    "EnableInlineLatex": "false",
    "EnableJoinLeaveMessageByDefault": "true",
    "EnableLatex": "false",
    "EnableLegacySidebar": "false",
    "EnableLinkPreviews": "false",
    "EnableMarketplace": "false",
    "EnableMetrics": "false",
    "EnableMobileFileDownload": "true",
    "EnableMobileFileUpload": "true",
    "EnableOAuthServiceProvider": "false",
    "EnableOutgoingWebhooks": "false",
    "EnablePermalinkPreviews": "false",
    "EnablePostIconOverride": "false",
    "EnablePreviewFeatures": "true",
    "EnablePreviewModeBanner": "false",
    "EnablePublicLink": "false",
    "EnableReliableWebSockets": "true",
    "EnableSVGs": "false",
    "EnableSendNotificationsToAll": "false",
    "EnableTesting": "false",
    "EnableTimedDND": "true",
    "EnableTutorial": "true",
    "EnableUserAccessTokens": "false",
    "EnableUserDeactivation": "false",
    "ExperimentalCloudBilling": "false",
    "ExperimentalCloudUserLimit": "0",
    "ExperimentalDataPrefetch": "true",
    "ExperimentalEnableAuthenticationTransfer": "false",
    "ExperimentalEnableAutomaticReplies": "false",
    "ExperimentalEnableClickToReply": "false",
    "ExperimentalEnableDefaultChannelLeaveJoinMessages": "true",
    "ExperimentalEnablePostMetadata": "false",
    "ExperimentalGroupUnreadChannels": "disabled",
    "ExperimentalHideTownSquareinLHS": "false",
    "ExperimentalPrimaryTeam": "",
    "ExperimentalSharedChannels": "false",
    "ExperimentalTimezone": "true",
    "ExperimentalTownSquareIsReadOnly": "false",
    "ExperimentalViewArchivedChannels": "true",
    "ExtendSessionLengthWithActivity": "false",
    "FeatureFlagTestFeature": "off",
    "FileLevel": "INFO",
    "GfycatApiKey": "",
    "GfycatApiSecret": "",
    "GoogleDeveloperKey": "",
    "IsDefaultMarketplace": "true",
    "LdapFirstNameAttributeSet": "false",
    "LdapLastNameAttributeSet": "false",
    "LdapNicknameAttributeSet": "false",
    "LdapPictureAttributeSet": "false",
    "LdapPositionAttributeSet": "false",
    "LockTeammateNameDisplay": "false",
    "ManagedResourcePaths": "",
    "RequireEmailVerification": "false",
    "RestrictDirectMessage": "any",
    "RestrictSystemAdmin": "false",
    "RunJobs": "true",
    "SQLDriverName": "",
    "SamlFirstNameAttributeSet": "false",
    "SamlLastNameAttributeSet": "false",
    "SamlNicknameAttributeSet": "false",
    "SamlPositionAttributeSet": "false",
    "SchemaVersion": "",
    "SendEmailNotifications": "false",
    "SendPushNotifications": "false",
    "TimeBetweenUserTypingUpdatesMilliseconds": "5000",
    "UseAnonymousURLs": "false",
    "UserStatusAwayTimeout": "",
    "WarnMetricsEnabled": "false",
}


def _text(value: bool | int | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class ClientConfig:
    """Both sets as ready JSON, and the version string that changes with them."""

    def __init__(self, config: Config) -> None:
        limited = {name: _text(value) for name, value in {**_FIXED_LIMITED, **_limited(config)}.items()}
        full = {name: _text(value) for name, value in {**limited, **_FIXED_FULL, **_full(config)}.items()}
        self.limited: bytes = msgspec.json.encode(dict(sorted(limited.items())))
        self.full: bytes = msgspec.json.encode(dict(sorted(full.items())))
        digest = hashlib.md5(self.full, usedforsecurity=False).hexdigest()
        # <version>.<build>.<md5 of the client configuration>.<licensed>: clients reload when it changes.
        self.major_version: int = int(limited["Version"].split(".", 1)[0])
        """Of the Mattermost that clients are told this is."""
        self.version_id: str = f"{MATTERMOST_VERSION}.{BUILD_NUMBER}.{digest}.false"


def _limited(config: Config) -> dict[str, bool | int | str]:
    service, team, email = config.service_settings, config.team_settings, config.email_settings
    locales, password = config.localization_settings, config.password_settings
    return {
        "AvailableLocales": locales.available_locales,
        "DefaultClientLocale": locales.default_client_locale,
        "EnableGuestAccounts": config.guest_accounts_settings.enable,
        "EnableOpenServer": team.enable_open_server,
        "EnableSignInWithEmail": email.enable_sign_in_with_email,
        "EnableSignInWithUsername": email.enable_sign_in_with_username,
        "EnableSignUpWithEmail": email.enable_sign_up_with_email,
        "EnableUserCreation": team.enable_user_creation,
        "PasswordMinimumLength": password.minimum_length,
        "PasswordRequireLowercase": password.lowercase,
        "PasswordRequireNumber": password.number,
        "PasswordRequireSymbol": password.symbol,
        "PasswordRequireUppercase": password.uppercase,
        "SiteName": team.site_name,
        "SiteURL": service.site_url.rstrip("/"),
        "Version": MATTERMOST_VERSION,
    }


def _full(config: Config) -> dict[str, bool | int | str]:
    service, team = config.service_settings, config.team_settings
    return {
        "EnableCustomUserStatuses": team.enable_custom_user_statuses,
        "EnableDeveloper": service.enable_developer,
        "EnablePostUsernameOverride": service.enable_post_username_override,
        "FeatureFlagWebSocketEventScope": service.enable_web_socket_event_scope,
        "EnableUserTypingMessages": service.enable_user_typing_messages,
        "ExperimentalEnablePostMetadata": True,
        "MaxFileSize": config.file_settings.max_file_size,
        "MaxNotificationsPerChannel": team.max_notifications_per_channel,
        "PostEditTimeLimit": service.post_edit_time_limit,
        "SQLDriverName": config.sql_settings.driver_name,
        "ShowEmailAddress": config.privacy_settings.show_email_address,
        "ShowFullName": config.privacy_settings.show_full_name,
        "TeammateNameDisplay": team.teammate_name_display,
        "UniqueEmojiReactionLimitPerPost": service.unique_emoji_reaction_limit_per_post,
        "UserStatusAwayTimeout": team.user_status_away_timeout,
        "EnableCluster": config.cluster_settings.enable,
    }
