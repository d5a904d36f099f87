"""The configuration: Mattermost's sections and keys with their defaults, and what a reload may change.

`configfile.py` reads it; everything else only looks at it.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
LogLevel = Literal["DEBUG", "INFO", "WARN", "ERROR"]

MASK = "*" * 32
"""What stands in the place of a secret."""


class Section(Struct, frozen=True, kw_only=True, rename="pascal"):
    """One section of config.json. Its `repr` tells no secret."""

    def __repr__(self) -> str:
        section = type(self).__name__
        shown = []
        for one in msgspec.structs.fields(self):
            secret = f"{section}.{one.encode_name}" in SECRET_KEYS and getattr(self, one.name)
            shown.append(f"{one.name}={MASK if secret else repr(getattr(self, one.name))}")
        return f"{section}({', '.join(shown)})"


def key(name: str, default: Any) -> Any:
    """A field whose key is not the plain PascalCase of its name."""
    if isinstance(default, list):
        return msgspec.field(name=name, default_factory=lambda: list(default))
    return msgspec.field(name=name, default=default)


class ServiceSettings(Section, frozen=True):
    """Addresses, limits and sessions."""

    site_url: str = key("SiteURL", "")
    listen_address: str = ":8065"
    maximum_login_attempts: Positive = 10
    maximum_payload_size_bytes: Annotated[int, Meta(ge=1024, le=1 << 30)] = 300_000
    read_timeout: Positive = 300
    idle_timeout: Positive = 75
    """Seconds for which a connection is kept that asks nothing."""
    proxy_idle_timeout: Positive = 620
    """The same for trusted proxies: longer than any of them keeps one (Google's load balancers: 600 s)."""
    header_timeout: Positive = 10
    allow_cors_from: str = ""
    cors_exposed_headers: str = ""
    cors_allow_credentials: bool = False
    cors_debug: bool = False
    tls_strict_transport: bool = key("TLSStrictTransport", False)
    tls_strict_transport_max_age: NotNegative = key("TLSStrictTransportMaxAge", 63_072_000)
    trusted_proxies: list[str] = key("TrustedProxies", ["127.0.0.0/8", "::1/128"])
    trusted_proxy_ip_header: Annotated[list[str], Meta(max_length=16)] = key(
        "TrustedProxyIPHeader", ["X-Forwarded-For", "X-Real-IP"]
    )
    session_length_web_in_days: Positive = 180
    session_length_mobile_in_days: Positive = 180
    experimental_strict_csrf_enforcement: bool = key("ExperimentalStrictCSRFEnforcement", True)
    enable_developer: bool = False
    enable_user_typing_messages: bool = True
    enable_post_username_override: bool = False
    post_edit_time_limit: Annotated[int, Meta(ge=-1)] = -1
    """Seconds for which a message may be edited; -1: always."""
    unique_emoji_reaction_limit_per_post: Annotated[int, Meta(ge=0, le=500)] = 50
    """Different emojis on one post."""
    maximum_web_sockets_per_user: Positive = 20


class TeamSettings(Section, frozen=True):
    """Who may join and how large teams may grow."""

    site_name: Annotated[str, Meta(max_length=30)] = "mmnode"
    max_users_per_team: Positive = 50
    max_channels_per_team: Positive = 2000
    max_notifications_per_channel: Positive = 1000
    enable_user_creation: bool = True
    enable_open_server: bool = False
    enable_user_deactivation: bool = False
    restrict_creation_to_domains: str = ""
    user_status_away_timeout: Positive = 300
    experimental_default_channels: list[str] = key("ExperimentalDefaultChannels", [])
    teammate_name_display: Literal["username", "nickname_full_name", "full_name"] = "username"


class SqlSettings(Section, frozen=True):
    """The database. With an empty DataSource the node runs its own PostgreSQL in the data directory."""

    driver_name: Literal["postgres", "mysql"] = "postgres"
    data_source: str = ""
    data_source_replicas: Annotated[list[str], Meta(max_length=8)] = key("DataSourceReplicas", [])
    max_open_conns: Annotated[int, Meta(ge=2)] = 100
    max_idle_conns: NotNegative = 20
    conn_max_lifetime_milliseconds: Annotated[int, Meta(ge=1000)] = 3_600_000
    query_timeout: Positive = 30
    read_from_master: bool = False
    replica_lag_max_ms: Positive = 5000
    require_synchronous: bool = False


class ClusterSettings(Section, frozen=True):
    """High availability. `clusterconfig.py` judges it.

    Where to listen: the host of InterNodeListenAddress, else BindAddress, else NetworkInterface's, else all; the two
    ports after the one named are used, too. AdvertiseAddress: how others reach this node, `host` or `host:port`; '' is
    the address it has towards the database. GossipPort and StreamingPort are Mattermost's and have no effect.
    Secret: at least 32 bytes, the same on every node; SecretNext: the other valid one while it is being replaced.
    """

    enable: bool = False
    cluster_name: Annotated[str, Meta(max_length=64)] = ""
    override_hostname: Annotated[str, Meta(max_length=255)] = ""
    network_interface: Annotated[str, Meta(max_length=15)] = ""
    bind_address: str = ""
    advertise_address: str = ""
    use_ip_address: bool = True
    read_only_config: bool = True
    gossip_port: Port = 8074
    streaming_port: Port = 8075
    inter_node_listen_address: str = ":8075"
    inter_node_urls: Annotated[list[str], Meta(max_length=64)] = key("InterNodeUrls", [])
    secret: Annotated[str, Meta(max_length=1024)] = ""
    secret_next: Annotated[str, Meta(max_length=1024)] = ""
    secret_file: str = ""
    write_barrier_ms: Annotated[int, Meta(ge=0, le=5000)] = 50
    peer_timeout_policy: Literal["prompt", "patient"] = "prompt"
    drain_grace_s: Annotated[int, Meta(ge=0, le=600)] = 10
    degraded_read_max_s: Annotated[int, Meta(ge=0, le=86_400)] = 600


class RateLimitSettings(Section, frozen=True):
    """How many requests a client may make, on all nodes together. `api/throttle.py` says who counts as one.

    PerSec: the even rate. MaxBurst: how many more than one may come at once. MemoryStoreSize: clients that a worker
    remembers.
    """

    enable: bool = False
    per_sec: Annotated[int, Meta(ge=1, le=1_000_000)] = 10
    max_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    memory_store_size: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    vary_by_remote_addr: bool = True
    vary_by_user: bool = False
    vary_by_header: Annotated[str, Meta(max_length=128)] = ""


class FileSettings(Section, frozen=True):
    """Where uploaded files lie."""

    driver_name: Literal["local", "amazons3"] = "local"
    directory: str = "./data/"
    max_file_size: Positive = 52_428_800


class PasswordSettings(Section, frozen=True):
    """What a password must look like."""

    minimum_length: Annotated[int, Meta(ge=5, le=72)] = 8
    lowercase: bool = False
    number: bool = False
    uppercase: bool = False
    symbol: bool = False


class AuditSettings(Section, frozen=True):
    """The audit log. Rows go when they are older, and the oldest when there are more."""

    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 365
    maximum_rows: Annotated[int, Meta(ge=1000, le=100_000_000)] = 1_000_000


class EmailSettings(Section, frozen=True):
    """Signing up and in."""

    enable_sign_up_with_email: bool = True
    enable_sign_in_with_email: bool = True
    enable_sign_in_with_username: bool = True


class PrivacySettings(Section, frozen=True):
    """What users see of each other."""

    show_email_address: bool = True
    show_full_name: bool = True


class LocalizationSettings(Section, frozen=True):
    """Languages."""

    default_server_locale: str = "en"
    default_client_locale: str = "en"
    available_locales: str = ""


class LogSettings(Section, frozen=True):
    """Where the log goes. Console is the standard error stream."""

    enable_console: bool = True
    console_level: LogLevel = "INFO"
    console_json: bool = False
    enable_file: bool = False
    file_level: LogLevel = "INFO"
    file_location: str = ""


class Config(Struct, frozen=True, kw_only=True, rename="pascal"):
    """The whole configuration. Immutable: a reload replaces it."""

    service_settings: ServiceSettings = ServiceSettings()
    team_settings: TeamSettings = TeamSettings()
    sql_settings: SqlSettings = SqlSettings()
    cluster_settings: ClusterSettings = ClusterSettings()
    rate_limit_settings: RateLimitSettings = RateLimitSettings()
    file_settings: FileSettings = FileSettings()
    password_settings: PasswordSettings = PasswordSettings()
    audit_settings: AuditSettings = AuditSettings()
    email_settings: EmailSettings = EmailSettings()
    privacy_settings: PrivacySettings = PrivacySettings()
    localization_settings: LocalizationSettings = LocalizationSettings()
    log_settings: LogSettings = LogSettings()


# Read once at start: a reload reports a change of these as pending and goes on with the old value.
RESTART_NEEDED = frozenset(
    {
        "ServiceSettings.ListenAddress",
        "ServiceSettings.HeaderTimeout",
        "ServiceSettings.ReadTimeout",
        "ServiceSettings.IdleTimeout",
        "ServiceSettings.ProxyIdleTimeout",
        "LocalizationSettings.DefaultServerLocale",
        "SqlSettings.DriverName",
        "ClusterSettings",
        "RateLimitSettings",
        "FileSettings",
    }
)
# Of sections that need a restart, what a reload applies all the same: a secret is replaced while the nodes run.
LIVE = frozenset(
    f"ClusterSettings.{key}"
    for key in ("Secret", "SecretNext", "WriteBarrierMs", "PeerTimeoutPolicy", "DrainGraceS", "DegradedReadMaxS")
)
# A reload reads what begins so; it is applied when the connections are recycled.
RECYCLE_NEEDED = "SqlSettings."
SECRET_KEYS = frozenset(
    {
        "SqlSettings.DataSource",
        "SqlSettings.DataSourceReplicas",
        "ClusterSettings.Secret",
        "ClusterSettings.SecretNext",
    }
)


def split_address(address: str) -> tuple[str, int]:
    """`host:port` as (host, port); an empty host means all interfaces. Raises ValueError in words for operators."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("must be host:port or :port, with a port from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets: [::1]:8065")
    return host, int(port)


def differences(old: Config, new: Config) -> list[str]:
    """Dotted keys whose values differ."""
    found = []
    for section in msgspec.structs.fields(Config):
        before, after = getattr(old, section.name), getattr(new, section.name)
        for one in msgspec.structs.fields(section.type):
            if getattr(before, one.name) != getattr(after, one.name):
                found.append(f"{section.encode_name}.{one.encode_name}")
    return found


def needs_restart(dotted: str) -> bool:
    """Whether a change of this key waits for a restart."""
    return dotted not in LIVE and (dotted in RESTART_NEEDED or dotted.partition(".")[0] in RESTART_NEEDED)


def apply_live(old: Config, new: Config) -> Config:
    """The new configuration, with the old values of everything that needs a restart."""
    merged: dict[str, Section] = {}
    for section in msgspec.structs.fields(Config):
        before, after = getattr(old, section.name), getattr(new, section.name)
        kept = {
            one.name: getattr(before, one.name)
            for one in msgspec.structs.fields(section.type)
            if needs_restart(f"{section.encode_name}.{one.encode_name}")
        }
        merged[section.name] = msgspec.structs.replace(after, **kept)
    return Config(**merged)  # type: ignore[arg-type]


def to_json(config: Config) -> bytes:
    """The configuration as it goes to worker processes; `from_json` reads it back. Holds secrets."""
    return msgspec.json.encode(config)


def from_json(data: bytes) -> Config:
    """See `to_json`."""
    return msgspec.json.decode(data, type=Config)
