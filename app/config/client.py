"""What /config/client and X-Version-Id tell clients: a flat map of texts ("true", "false", numbers as digits).

The keys are those that clients from 5.37 to 11 read. Features that this server does not offer are said to be off, so
that clients hide them. Without a session only the limited set is given.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from app.config.settings import Config
from app.validate import MAX_POST_RUNES
from app.version import BUILD_NUMBER, VERSION, numbers_of

_DIGEST_DIGITS = 32
_DIGEST = re.compile(f"[0-9a-f]{{{_DIGEST_DIGITS}}}")
_MOST_DIGESTS = 6

# Off, empty or of no meaning here.
_FIXED_LIMITED: Final[dict[str, str]] = {
    "AboutLink": "",
    "AllowDownloadLogs": "false",
    "AndroidAppDownloadLink": "",
    "AndroidLatestVersion": "",
    "AndroidMinVersion": "",
    "AppDownloadLink": "",
    "AsymmetricSigningPublicKey": "",
    "BuildDate": "",
    "BuildEnterpriseReady": "true",
    "BuildHash": VERSION,
    "BuildHashEnterprise": "none",
    "BuildNumber": BUILD_NUMBER,
    "CustomBrandText": "",
    "CustomDescriptionText": "",
    "CustomTermsOfServiceId": "",
    "DefaultTheme": "default",
    "DesktopLatestVersion": "",
    "DesktopMinVersion": "",
    "DiagnosticId": "",
    "DiagnosticsEnabled": "false",
    "DisableRefetchingOnBrowserFocus": "false",
    "EmailLoginButtonBorderColor": "",
    "EmailLoginButtonColor": "",
    "EmailLoginButtonTextColor": "",
    "EnableAskCommunityLink": "false",
    "EnableBotAccountCreation": "false",
    "EnableClientMetrics": "true",
    "EnableComplianceExport": "false",
    "EnableCustomBrand": "false",
    "EnableCustomEmoji": "false",
    "EnableDesktopLandingPage": "true",
    "EnableDiagnostics": "false",
    "EnableExperimentalLocales": "false",
    "EnableFile": "true",
    "EnableGuestMagicLink": "false",
    "EnableLdap": "false",
    "EnableMultifactorAuthentication": "false",
    "EnableOnboardingFlow": "false",
    "EnableSaml": "false",
    "EnableSignUpWithGitLab": "false",
    "EnableSignUpWithGoogle": "false",
    "EnableSignUpWithOffice365": "false",
    "EnableSignUpWithOpenId": "false",
    "EnableThemeSelection": "true",
    "EnableUserStatuses": "true",
    "EnforceMultifactorAuthentication": "false",
    "ExperimentalClientSideCertCheck": "secondary",
    "ExperimentalClientSideCertEnable": "false",
    "FeatureFlagAppsEnabled": "false",
    "FeatureFlagCallsEnabled": "false",
    "ForgotPasswordLink": "",
    "GitLabButtonColor": "",
    "GitLabButtonText": "",
    "GuestAccountsEnforceMultifactorAuthentication": "false",
    "HasImageProxy": "false",
    "HelpLink": "",
    "HideGuestTags": "false",
    "IosAppDownloadLink": "",
    "IosLatestVersion": "",
    "IosMinVersion": "",
    "IsFipsEnabled": "false",
    "LdapLoginButtonBorderColor": "",
    "LdapLoginButtonColor": "",
    "LdapLoginButtonTextColor": "",
    "LdapLoginFieldName": "",
    "MobileExternalBrowser": "false",
    "NoAccounts": "false",
    "OpenIdButtonColor": "",
    "OpenIdButtonText": "",
    "PasswordEnableForgotLink": "false",
    "PluginsEnabled": "false",
    "PrivacyPolicyLink": "",
    "ReportAProblemLink": "",
    "ReportAProblemMail": "",
    "ReportAProblemType": "hidden",
    "SamlLoginButtonBorderColor": "",
    "SamlLoginButtonColor": "",
    "SamlLoginButtonText": "",
    "SamlLoginButtonTextColor": "",
    "ServiceEnvironment": "production",
    "SupportEmail": "",
    "TelemetryId": "",
    "TermsOfServiceLink": "",
    "UpgradedFromTE": "false",
    "WebsocketPort": "80",
    "WebsocketSecurePort": "443",
    "WebsocketURL": "",
}
_FIXED_FULL: Final[dict[str, str]] = {
    "AllowBannerDismissal": "true",
    "AllowCustomThemes": "true",
    "AllowPersistentNotifications": "false",
    "AllowPersistentNotificationsForGuests": "false",
    "AllowSyncedDrafts": "false",
    "AllowedThemes": "",
    "AppsPluginEnabled": "false",
    "AutoTranslationLanguages": "",
    "BannerColor": "#f2a93b",
    "BannerText": "",
    "BannerTextColor": "#333333",
    "BurnOnReadDurationSeconds": "600",
    "BurnOnReadMaximumTimeToLiveSeconds": "604800",
    "CWSMock": "false",
    "CWSURL": "",
    "CloseUnusedDirectMessages": "false",
    "CollapsedThreads": "disabled",
    "ContentFlaggingEnabled": "false",
    "CustomTermsOfServiceReAcceptancePeriod": "365",
    "CustomUrlSchemes": "",
    "DataRetentionEnableFileDeletion": "false",
    "DataRetentionEnableMessageDeletion": "false",
    "DataRetentionFileRetentionHours": "0",
    "DataRetentionMessageRetentionHours": "0",
    "DelayChannelAutocomplete": "false",
    "DeleteAccountLink": "",
    "DisableAppBar": "true",
    "DisableLegacyMFA": "true",
    "DisableWakeUpReconnectHandler": "false",
    "EmailNotificationContentsType": "full",
    "EnableAPITeamDeletion": "false",
    "EnableAttributeBasedAccessControl": "false",
    "EnableAutoTranslation": "false",
    "EnableAutocomplete": "true",
    "EnableBanner": "false",
    "EnableBurnOnRead": "false",
    "EnableChannelCategorySorting": "false",
    "EnableChannelViewedMessages": "true",
    "EnableClientPerformanceDebugging": "false",
    "EnableCluster": "false",
    "EnableCommands": "false",
    "EnableCompliance": "false",
    "EnableConfirmNotificationsToChannel": "true",
    "EnableCrossTeamSearch": "false",
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
    "EnableLastActiveTime": "true",
    "EnableLatex": "false",
    "EnableLegacySidebar": "false",
    "EnableLinkPreviews": "false",
    "EnableMarketplace": "false",
    "EnableMetrics": "false",
    "EnableMobileFileDownload": "true",
    "EnableMobileFileUpload": "true",
    "EnableOAuthServiceProvider": "false",
    "EnableOutgoingOAuthConnections": "false",
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
    "EnableUserManagedAttributes": "false",
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
    "ExperimentalRemoteClusterService": "false",
    "ExperimentalSharedChannels": "false",
    "ExperimentalTimezone": "true",
    "ExperimentalTownSquareIsReadOnly": "false",
    "ExperimentalViewArchivedChannels": "true",
    "ExtendSessionLengthWithActivity": "false",
    "FeatureFlagAttributeBasedAccessControl": "false",
    "FeatureFlagAutoTranslation": "false",
    "FeatureFlagBurnOnRead": "false",
    "FeatureFlagChannelBookmarks": "false",
    "FeatureFlagChannelPermissionPolicies": "false",
    "FeatureFlagClassificationMarkings": "false",
    "FeatureFlagContentFlagging": "false",
    "FeatureFlagCustomProfileAttributes": "false",
    "FeatureFlagManagedChannelCategories": "false",
    "FeatureFlagOnboardingTourTips": "false",
    "FeatureFlagPermissionPolicies": "false",
    "FeatureFlagPolicySimulation": "false",
    "FeatureFlagPostPriority": "false",
    "FeatureFlagPropertyFieldRank": "false",
    "FeatureFlagScheduledPosts": "false",
    "FeatureFlagSessionAttributes": "false",
    "FeatureFlagTeamMembershipAccessControl": "false",
    "FeatureFlagTestFeature": "off",
    "FeatureFlagWebSocketEventScope": "false",
    "FileLevel": "INFO",
    "GfycatApiKey": "",
    "GfycatApiSecret": "",
    "GiphySdkKey": "",
    "GoogleDeveloperKey": "",
    "InstallationDate": "",
    "IsDefaultMarketplace": "true",
    "LdapFirstNameAttributeSet": "false",
    "LdapLastNameAttributeSet": "false",
    "LdapNicknameAttributeSet": "false",
    "LdapPictureAttributeSet": "false",
    "LdapPositionAttributeSet": "false",
    "LockTeammateNameDisplay": "false",
    "ManagedResourcePaths": "",
    "MaximumPersonalAccessTokenLifetimeDays": "0",
    "MinimumHashtagLength": "3",
    "PersistentNotificationIntervalMinutes": "5",
    "PersistentNotificationMaxCount": "6",
    "PersistentNotificationMaxRecipients": "5",
    "PostAcknowledgements": "false",
    "PostPriority": "false",
    "RequireEmailVerification": "false",
    "RestrictDMAndGMAutotranslation": "false",
    "RestrictDirectMessage": "any",
    "RestrictSystemAdmin": "false",
    "RunJobs": "true",
    "SQLDriverName": "",
    "SamlFirstNameAttributeSet": "false",
    "SamlLastNameAttributeSet": "false",
    "SamlNicknameAttributeSet": "false",
    "SamlPositionAttributeSet": "false",
    "ScheduledPosts": "false",
    "SchemaVersion": "",
    "SendEmailNotifications": "false",
    "SendPushNotifications": "false",
    "TimeBetweenUserTypingUpdatesMilliseconds": "5000",
    "UseAnonymousURLs": "false",
    "UserStatusAwayTimeout": "",
    "UsersStatusAndProfileFetchingPollIntervalMilliseconds": "3000",
    "WarnMetricsEnabled": "false",
    "WranglerAllowedEmailDomain": "",
    "WranglerMoveThreadFromDirectMessageChannelEnable": "false",
    "WranglerMoveThreadFromGroupMessageChannelEnable": "false",
    "WranglerMoveThreadFromPrivateChannelEnable": "false",
    "WranglerMoveThreadMaxCount": "0",
    "WranglerPermittedWranglerRoles": "",
    "YoutubeReferrerPolicy": "false",
}


def _text(value: bool | int | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Told(NamedTuple):
    """What a node tells clients: its version of Mattermost, and which configurations there are on all nodes."""

    version: str
    digests: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join([self.version, *self.digests])

    @classmethod
    def read(cls, text: str) -> "Told | None":
        """Of what another process wrote; None for anything else."""
        version, *digests = text.split(" ")
        good = numbers_of(version) is not None and digests and all(map(_DIGEST.fullmatch, digests))
        return cls(version, tuple(digests)) if good else None


def together(told: Sequence[Told]) -> Told | None:
    """What nodes tell that are asked by turns: the lowest version, and all their configurations; None of nobody.

    A client that takes up what is new when it is told of it takes it up once all nodes have it: until then the set is
    another one.
    """
    if not told:
        return None
    lowest = min((one.version for one in told), key=lambda version: numbers_of(version) or ())
    digests = sorted({digest for one in told for digest in one.digests})
    return Told(lowest, tuple(digests[:_MOST_DIGESTS]))


class ClientConfig:
    """Both sets as ready JSON, and the version string that changes with them. peers: what other nodes tell."""

    def __init__(self, config: Config, peers: Told | None = None) -> None:
        self.peers = peers
        limited = {name: _text(value) for name, value in {**_FIXED_LIMITED, **_limited(config)}.items()}
        full = {name: _text(value) for name, value in {**limited, **_FIXED_FULL, **_full(config)}.items()}
        digest = hashlib.md5(_json(full), usedforsecurity=False).hexdigest()
        self.own = Told(config.service_settings.compatibility_version, (digest,))
        """What this node would tell if it were alone."""
        told = together([self.own] if peers is None else [self.own, peers])
        assert told is not None
        self.version: str = told.version
        """Of Mattermost, which all nodes tell alike."""
        self.major_version: int = (numbers_of(told.version) or (0,))[0]
        self.limited: bytes = _json(limited | {"Version": told.version})
        self.full: bytes = _json(full | {"Version": told.version})
        if told != self.own:
            digest = hashlib.md5(str(told).encode(), usedforsecurity=False).hexdigest()
        # <version>.<build>.<digest of the client configuration>.<licensed>: clients read it again when it changes.
        self.version_id: str = f"{told.version}.{BUILD_NUMBER}.{digest}.true"


def _json(values: Mapping[str, str]) -> bytes:
    return msgspec.json.encode(dict(sorted(values.items())))


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
        "Version": service.compatibility_version,
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
        "MaxPostSize": MAX_POST_RUNES,
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
