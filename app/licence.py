"""What clients take for the licence. There is none to buy: it says which of the features are there that need one.

The keys are those of Mattermost, as texts. A page of its web app or console opens when `SkuShortName` is of a class
that has it, and the feature's key is "true".
"""

from collections.abc import Mapping
from typing import Final

SKU: Final = "mmnode"
_THERE: Final = ("Cluster", "Metrics")
_NOT_THERE: Final = (
    "Announcement",
    "Cloud",
    "Compliance",
    "CustomPermissionsSchemes",
    "CustomTermsOfService",
    "DataRetention",
    "Elasticsearch",
    "EmailNotificationContents",
    "EnterprisePlugins",
    "GoogleOAuth",
    "GuestAccounts",
    "GuestAccountsPermissions",
    "IDLoadedPushNotifications",
    "LDAP",
    "LDAPGroups",
    "LockTeammateNameDisplay",
    "MFA",
    "MHPNS",
    "MessageExport",
    "Office365OAuth",
    "OpenId",
    "OutgoingOAuthConnections",
    "RemoteClusterService",
    "SAML",
    "SharedChannels",
)

LIMITED: Final[Mapping[str, str]] = {
    "IsLicensed": "true",
    "IsTrial": "false",
    "IsGovSku": "false",
    "SkuShortName": "enterprise",
    "Users": "0",
    **dict.fromkeys(_THERE, "true"),
    **dict.fromkeys(_NOT_THERE, "false"),
}
"""For everybody."""
FULL: Final[Mapping[str, str]] = {
    **LIMITED,
    "Id": "",
    "SkuName": SKU,
    "Name": SKU,
    "Email": "",
    "Company": "",
    "IssuedAt": "0",
    "StartsAt": "0",
    "ExpiresAt": "4102444800000",
}
"""For administrators; it ends in 2100."""
