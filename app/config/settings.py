"""The configuration: Mattermost's sections and keys with their defaults, bounds, and what makes a change of them count.

`file.py` reads it; everything else only looks at it, or watches a key (`live.py`).
"""

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from app.config.marks import Applies, Live, Mark, PerNode, Recycle, Restart, Secret, marks_of

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
            secret = Mark.SECRET in marks_of(one) and getattr(self, one.name)
            shown.append(f"{one.name}={MASK if secret else repr(getattr(self, one.name))}")
        return f"{section}({', '.join(shown)})"


def key(name: str, default: Any) -> Any:
    """A field whose key is not the plain PascalCase of its name."""
    if isinstance(default, list):
        return msgspec.field(name=name, default_factory=lambda: list(default))
    return msgspec.field(name=name, default=default)


class ServiceSettings(Section, frozen=True):
    """Addresses, limits and sessions."""

    site_url: Live[str] = key("SiteURL", "")
    listen_address: Restart[PerNode[str]] = ":8065"
    maximum_login_attempts: Live[Positive] = 10
    maximum_payload_size_bytes: Live[Annotated[int, Meta(ge=1024, le=1 << 30)]] = 300_000
    read_timeout: Restart[Positive] = 300
    idle_timeout: Restart[Positive] = 75
    """Seconds for which a connection is kept that asks nothing."""
    proxy_idle_timeout: Restart[Positive] = 620
    """The same for trusted proxies: longer than any of them keeps one (Google's load balancers: 600 s)."""
    header_timeout: Restart[Positive] = 10
    allow_cors_from: Live[str] = ""
    cors_exposed_headers: Live[str] = ""
    cors_allow_credentials: Live[bool] = False
    cors_debug: Live[bool] = False
    tls_strict_transport: Live[bool] = key("TLSStrictTransport", False)
    tls_strict_transport_max_age: Live[NotNegative] = key("TLSStrictTransportMaxAge", 63_072_000)
    trusted_proxies: Live[list[str]] = key("TrustedProxies", ["127.0.0.0/8", "::1/128"])
    trusted_proxy_ip_header: Live[Annotated[list[str], Meta(max_length=16)]] = key(
        "TrustedProxyIPHeader", ["X-Forwarded-For", "X-Real-IP"]
    )
    session_length_web_in_days: Live[Positive] = 180
    session_length_mobile_in_days: Live[Positive] = 180
    experimental_strict_csrf_enforcement: Live[bool] = key("ExperimentalStrictCSRFEnforcement", True)
    enable_developer: Live[bool] = False
    enable_user_typing_messages: Live[bool] = True
    enable_web_socket_event_scope: Live[bool] = True
    """Clients that say where they look get what is typed and reacted there only."""
    enable_post_username_override: Live[bool] = False
    post_edit_time_limit: Live[Annotated[int, Meta(ge=-1)]] = -1
    """Seconds for which a message may be edited; -1: always."""
    unique_emoji_reaction_limit_per_post: Live[Annotated[int, Meta(ge=0, le=500)]] = 50
    """Different emojis on one post."""
    maximum_web_sockets_per_user: Live[Positive] = 20
    allowed_untrusted_internal_connections: Live[str] = ""
    """Hosts, addresses and networks inside, between spaces or commas, that hooks and previews may ask."""
    compatibility_version: Live[str] = "11.7.0"
    """The version of Mattermost that clients are told: they ask for what it has."""
    web_app_directory: Restart[PerNode[str]] = ""
    """A finished build of a web app, with its root.html."""


class TeamSettings(Section, frozen=True):
    """Who may join and how large teams may grow."""

    site_name: Live[Annotated[str, Meta(max_length=30)]] = "mmnode"
    max_users_per_team: Live[Positive] = 50
    max_channels_per_team: Live[Positive] = 2000
    max_notifications_per_channel: Live[Positive] = 1000
    enable_user_creation: Live[bool] = True
    enable_open_server: Live[bool] = False
    enable_user_deactivation: Live[bool] = False
    restrict_creation_to_domains: Live[str] = ""
    enable_custom_user_statuses: Live[bool] = True
    user_status_away_timeout: Live[Positive] = 300
    experimental_default_channels: Live[list[str]] = key("ExperimentalDefaultChannels", [])
    teammate_name_display: Live[Literal["username", "nickname_full_name", "full_name"]] = "username"


class SqlSettings(Section, frozen=True):
    """The database. With an empty DataSource the node runs its own PostgreSQL in the data directory."""

    driver_name: Restart[Literal["postgres", "mysql"]] = "postgres"
    data_source: Recycle[Secret[str]] = ""
    data_source_replicas: Recycle[Secret[Annotated[list[str], Meta(max_length=8)]]] = key("DataSourceReplicas", [])
    max_open_conns: Recycle[Annotated[int, Meta(ge=2)]] = 100
    max_idle_conns: Recycle[NotNegative] = 20
    conn_max_lifetime_milliseconds: Recycle[Annotated[int, Meta(ge=1000)]] = 3_600_000
    query_timeout: Recycle[Positive] = 30
    read_from_master: Recycle[bool] = False
    replica_lag_max_ms: Recycle[Positive] = 5000
    require_synchronous: Recycle[bool] = False


class ClusterSettings(Section, frozen=True):
    """High availability. `cluster.py` judges it.

    Where to listen: the host of InterNodeListenAddress, else BindAddress, else NetworkInterface's, else all; the two
    ports after the one named are used, too. AdvertiseAddress: how others reach this node, `host` or `host:port`; '' is
    the address it has towards the database. GossipPort and StreamingPort are Mattermost's and have no effect.
    Secret: at least 32 bytes, the same on every node; SecretNext: the other valid one while it is being replaced.
    """

    enable: Restart[bool] = False
    cluster_name: Restart[Annotated[str, Meta(max_length=64)]] = ""
    override_hostname: Restart[PerNode[Annotated[str, Meta(max_length=255)]]] = ""
    network_interface: Restart[PerNode[Annotated[str, Meta(max_length=15)]]] = ""
    bind_address: Restart[PerNode[str]] = ""
    advertise_address: Restart[PerNode[str]] = ""
    use_ip_address: Restart[bool] = True
    read_only_config: Restart[bool] = True
    gossip_port: Restart[Port] = 8074
    streaming_port: Restart[Port] = 8075
    inter_node_listen_address: Restart[PerNode[str]] = ":8075"
    inter_node_urls: Restart[Annotated[list[str], Meta(max_length=64)]] = key("InterNodeUrls", [])
    secret: Live[Secret[Annotated[str, Meta(max_length=1024)]]] = ""
    secret_next: Live[Secret[Annotated[str, Meta(max_length=1024)]]] = ""
    secret_file: Restart[PerNode[str]] = ""
    write_barrier_ms: Live[Annotated[int, Meta(ge=0, le=5000)]] = 50
    peer_timeout_policy: Live[Literal["prompt", "patient"]] = "prompt"
    drain_grace_s: Live[Annotated[int, Meta(ge=0, le=600)]] = 10
    degraded_read_max_s: Live[Annotated[int, Meta(ge=0, le=86_400)]] = 600


class RateLimitSettings(Section, frozen=True):
    """How many requests a client may make, on all nodes together. `api/http/throttle.py` says who counts as one.

    PerSec: the even rate. MaxBurst: how many more than one may come at once. MemoryStoreSize: clients that a worker
    remembers.
    """

    enable: Restart[bool] = False
    per_sec: Restart[Annotated[int, Meta(ge=1, le=1_000_000)]] = 10
    max_burst: Restart[Annotated[int, Meta(ge=1, le=1_000_000)]] = 100
    memory_store_size: Restart[Annotated[int, Meta(ge=1, le=10_000_000)]] = 10_000
    vary_by_remote_addr: Restart[bool] = True
    vary_by_user: Restart[bool] = False
    vary_by_header: Restart[Annotated[str, Meta(max_length=128)]] = ""


class FileSettings(Section, frozen=True):
    """Where uploaded files lie."""

    driver_name: Restart[Literal["local", "amazons3"]] = "local"
    directory: Restart[PerNode[str]] = "./data/"
    max_file_size: Restart[Positive] = 52_428_800


class PasswordSettings(Section, frozen=True):
    """What a password must look like."""

    minimum_length: Live[Annotated[int, Meta(ge=5, le=72)]] = 8
    lowercase: Live[bool] = False
    number: Live[bool] = False
    uppercase: Live[bool] = False
    symbol: Live[bool] = False


class AuditSettings(Section, frozen=True):
    """The audit log. Rows go when they are older, and the oldest when there are more."""

    retention_days: Live[Annotated[int, Meta(ge=1, le=3650)]] = 365
    maximum_rows: Live[Annotated[int, Meta(ge=1000, le=100_000_000)]] = 1_000_000


class EmailSettings(Section, frozen=True):
    """Signing up and in."""

    enable_sign_up_with_email: Live[bool] = True
    enable_sign_in_with_email: Live[bool] = True
    enable_sign_in_with_username: Live[bool] = True


class GuestAccountsSettings(Section, frozen=True):
    """Accounts that see only whom they share a channel with."""

    enable: Live[bool] = False


class PrivacySettings(Section, frozen=True):
    """What users see of each other."""

    show_email_address: Live[bool] = True
    show_full_name: Live[bool] = True


class LocalizationSettings(Section, frozen=True):
    """Languages."""

    default_server_locale: Restart[str] = "en"
    default_client_locale: Live[str] = "en"
    available_locales: Live[str] = ""


class MetricsSettings(Section, frozen=True):
    """What Prometheus reads. ListenAddress: a port alone is on this machine only (in Mattermost: on all addresses)."""

    enable: Restart[bool] = False
    listen_address: Restart[PerNode[str]] = ":8067"


class LogSettings(Section, frozen=True):
    """Where the log goes. Console is the standard error stream."""

    enable_console: Live[bool] = True
    console_level: Live[PerNode[LogLevel]] = "INFO"
    console_json: Live[bool] = False
    enable_file: Live[bool] = False
    file_level: Live[PerNode[LogLevel]] = "INFO"
    file_location: Live[PerNode[str]] = ""


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
    guest_accounts_settings: GuestAccountsSettings = GuestAccountsSettings()
    privacy_settings: PrivacySettings = PrivacySettings()
    localization_settings: LocalizationSettings = LocalizationSettings()
    metrics_settings: MetricsSettings = MetricsSettings()
    log_settings: LogSettings = LogSettings()


class Key(NamedTuple):
    """One key. section, name: the attributes of `Config` and its section. kind: with bounds, for `msgspec.convert`."""

    section: str
    name: str
    kind: Any
    default: Any
    applies: Applies
    marks: frozenset[Mark]


def keys_of(config: type[Struct]) -> dict[str, Key]:
    """All keys, dotted (`SqlSettings.DataSource`). Raises TypeError for one that does not say what applies it."""
    found = {}
    for section in msgspec.structs.fields(config):
        for one in msgspec.structs.fields(section.type):
            dotted, marks = f"{section.encode_name}.{one.encode_name}", marks_of(one)
            said = [mark for mark in marks if isinstance(mark, Applies)]
            if len(said) != 1:
                raise TypeError(f"{dotted}: must be one of Live[…], Recycle[…], Restart[…]")
            default = one.default if one.default_factory is msgspec.NODEFAULT else one.default_factory()
            others = frozenset(mark for mark in marks if isinstance(mark, Mark))
            found[dotted] = Key(section.name, one.name, one.type, default, said[0], others)
    return found


KEYS = keys_of(Config)
SECRET_KEYS = frozenset(dotted for dotted, key in KEYS.items() if Mark.SECRET in key.marks)


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


def value_of(config: Config, dotted: str) -> Any:
    """The value of a key. Raises KeyError where there is none."""
    found = KEYS[dotted]
    return getattr(getattr(config, found.section), found.name)


def masked(config: Config) -> dict[str, dict[str, Any]]:
    """By section and key, with 32 asterisks for every secret."""
    found: dict[str, dict[str, Any]] = msgspec.to_builtins(config)
    for dotted in SECRET_KEYS:
        section, _, name = dotted.partition(".")
        value = found[section][name]
        found[section][name] = [MASK] * len(value) if isinstance(value, list) else MASK if value else ""
    return found


def differences(old: Config, new: Config) -> list[str]:
    """Dotted keys whose values differ."""
    return [dotted for dotted in KEYS if value_of(old, dotted) != value_of(new, dotted)]


def needs_restart(dotted: str) -> bool:
    """Whether a change of this key waits for a restart."""
    return KEYS[dotted].applies is Applies.RESTART


def apply_live(old: Config, new: Config) -> Config:
    """The new configuration, with the old values of everything that needs a restart."""
    kept: dict[str, dict[str, Any]] = {}
    for dotted, one in KEYS.items():
        if one.applies is Applies.RESTART:
            kept.setdefault(one.section, {})[one.name] = value_of(old, dotted)
    merged = {section: msgspec.structs.replace(getattr(new, section), **values) for section, values in kept.items()}
    return msgspec.structs.replace(new, **merged)
