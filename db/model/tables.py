"""The tables whose rows others may hold a copy of, each described once: its columns, and what a change of it is.

tables.py ──> the columns of statements (`db/sql/`)         ──> names of what changed (`db/model/shards.py`)
          ──> the triggers of both dialects (`db/pool/triggers.py`), which migrations create and a test compares
          ──> what each poll looks after (`db/pool/guards.py`, `db/sql/mysql/witnesses.py`)
"""

from dataclasses import dataclass
from enum import StrEnum, unique

import msgspec

from db.model import entities


@unique
class Namespace(StrEnum):
    """What can change: the words of the outbox (`cluster_log.namespace`), of at most 32 letters; they never change."""

    USER = "user"
    SESSION = "session"
    STATUS = "status"
    PREFERENCES = "preferences"
    SIDEBAR = "sidebar"
    MENTION_KEYS = "mention_keys"
    TEAM = "team"
    TEAM_CHANNELS = "team_channels"
    TEAM_MEMBERS = "team_members"
    USER_TEAMS = "user_teams"
    CHANNEL = "channel"
    CHANNEL_MEMBERS = "channel_members"
    USER_CHANNELS = "user_channels"
    CLUSTER_NODE = "cluster_node"
    POSTS = "posts"
    """The posts of a channel: no trigger tells of it, but each poll reads which heads of channels moved."""
    VIEWED = "viewed"
    """How far a member has read: it changes with every post they write or view, so nobody is told and keeps a copy."""


EVERYTHING = "*"
"""In the place of a namespace: anything may have changed (migration 0020)."""


@dataclass(frozen=True)
class Tells:
    """A change of a row is one of this object. key: the column with its id, of which the old and the new value count.

    sockets: what a WebSocket may do depends on it, so whoever holds one of that user or session looks again.
    """

    namespace: Namespace
    key: str
    sockets: bool = False


@dataclass(frozen=True)
class Reaches:
    """A change of one column is one of objects that rows of other tables name, which have this row's id as `user_id`.

    name: of the trigger. those: (namespace, the table, its column with the object's id).
    """

    name: str
    column: str
    those: tuple[tuple[Namespace, str, str], ...]


@dataclass(frozen=True)
class Table:
    """columns: in the order of the entity that a row becomes. beside: those that are in no entity.

    tells: empty where no row trigger is. counts: the columns whose change is told of; empty: any. witness: the column
    by which a row is found again where TRUNCATE fires no trigger (decision 0035), '' where no copies are kept.
    """

    name: str
    columns: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    tells: tuple[Tells, ...] = ()
    counts: tuple[str, ...] = ()
    reaches: Reaches | None = None
    witness: str = ""

    def names(self, alias: str = "") -> str:
        """The columns, separated by commas."""
        return ", ".join(f"{alias}.{column}" if alias else column for column in map(quoted, self.columns))

    @property
    def insert(self) -> str:
        """The statement that inserts a row of all columns."""
        return f"INSERT INTO {self.name} ({self.names()}) VALUES ({', '.join(['%s'] * self.width)})"  # noqa: S608

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.columns)

    def values(self, entity: msgspec.Struct) -> tuple[object, ...]:
        """What `insert` takes of an entity, whose fields begin with the columns."""
        return msgspec.structs.astuple(entity)[: self.width]


def quoted(column: str) -> str:
    """A column's name as both dialects understand it (sessions of MySQL run with ANSI_QUOTES)."""
    return f'"{column}"' if column in ("manual", "key") else column


_MEMBERSHIPS = Reaches(
    "activation",
    "delete_at",
    (
        (Namespace.CHANNEL_MEMBERS, "channel_members", "channel_id"),
        (Namespace.TEAM_MEMBERS, "team_members", "team_id"),
    ),
)
"""Who is deactivated is not counted as a member."""
_READ = ("viewed_seq", "last_viewed_at", "msg_count", "msg_count_root")
"""Of a member: how far they have read."""
_COUNTED = ("mention_count", "mention_count_root")
"""Of a member: no columns, they are counted when they are read."""

USERS = Table(
    "users",
    entities.User.__struct_fields__,
    beside=("custom_status_ends_at",),
    tells=(Tells(Namespace.USER, "id", sockets=True),),
    reaches=_MEMBERSHIPS,
    witness="id",
)
SESSIONS = Table(
    "sessions",
    entities.Session.__struct_fields__,
    tells=(Tells(Namespace.SESSION, "id", sockets=True),),
    counts=("token_hash", "user_id", "expires_at", "device_id", "csrf_token"),
    witness="id",
)
TEAMS = Table("teams", entities.Team.__struct_fields__, tells=(Tells(Namespace.TEAM, "id"),), witness="id")
TEAM_MEMBERS = Table(
    "team_members",
    entities.TeamMember.__struct_fields__,
    tells=(Tells(Namespace.TEAM_MEMBERS, "team_id"), Tells(Namespace.USER_TEAMS, "user_id", sockets=True)),
    witness="team_id",
)
CHANNELS = Table(
    "channels",
    entities.ChannelInfo.__struct_fields__,
    tells=(Tells(Namespace.CHANNEL, "id"), Tells(Namespace.TEAM_CHANNELS, "team_id")),
    witness="id",
)
CHANNEL_MEMBERS = Table(
    "channel_members",
    tuple(one for one in entities.ChannelMember.__struct_fields__ if one not in _COUNTED),
    tells=(Tells(Namespace.CHANNEL_MEMBERS, "channel_id"), Tells(Namespace.USER_CHANNELS, "user_id", sockets=True)),
    counts=("roles", "scheme_user", "scheme_admin", "scheme_guest", "notify_props", "join_seq"),
    witness="channel_id",
)
MEMBERSHIPS = Table("channel_members", entities.Membership.__struct_fields__, beside=_READ)
"""The columns of `CHANNEL_MEMBERS` that do not change when somebody reads."""
CHANNEL_HEADS = Table(
    "channel_heads",
    entities.Head.__struct_fields__,
    beside=("channel_id", "last_update_at", "trimmed_seq"),
    witness="channel_id",
)
CHANNEL_EVENTS = Table("channel_events", ("channel_id", "seq", "create_at", "kind", "ref", "payload"))
POSTS = Table("posts", entities.Post.__struct_fields__, witness="id")
POST_VERSIONS = Table(
    "post_versions", ("post_id", "seq", "ended_at", "ended_by", "update_at", "edit_at", "message", "props")
)
POST_MENTIONS = Table("post_mentions", ("user_id", "channel_id", "seq", "is_root"))
REACTIONS = Table("reactions", entities.Reaction.__struct_fields__, witness="post_id")
STATUSES = Table(
    "statuses", entities.Status.__struct_fields__, tells=(Tells(Namespace.STATUS, "user_id"),), witness="user_id"
)
PREFERENCES = Table(
    "preferences",
    entities.Preference.__struct_fields__,
    tells=(Tells(Namespace.PREFERENCES, "user_id"),),
    witness="user_id",
)
SIDEBAR_CATEGORIES = Table(
    "sidebar_categories",
    entities.SidebarCategory.__struct_fields__,
    tells=(Tells(Namespace.SIDEBAR, "user_id"),),
    witness="user_id",
)
MENTION_KEYS = Table(
    "mention_keys", ("kind", "keyword", "user_id"), tells=(Tells(Namespace.MENTION_KEYS, "kind"),), witness="user_id"
)
SYSTEMS = Table("systems", ("name", "value"))
CLUSTER_NODES = Table(
    "cluster_nodes",
    tuple(one for one in entities.ClusterNode.__struct_fields__ if one != "age_ms"),
    tells=(Tells(Namespace.CLUSTER_NODE, "node_id"),),
    counts=("incarnation", "public_key", "address", "mac", "left_at", "removed_at"),
    witness="node_id",
)
CLUSTER_LOG = Table("cluster_log", ("id", "namespace", "key", "create_at"))

TABLES = (
    USERS,
    SESSIONS,
    TEAMS,
    TEAM_MEMBERS,
    CHANNELS,
    CHANNEL_MEMBERS,
    CHANNEL_HEADS,
    CHANNEL_EVENTS,
    POSTS,
    POST_VERSIONS,
    POST_MENTIONS,
    REACTIONS,
    STATUSES,
    PREFERENCES,
    SIDEBAR_CATEGORIES,
    MENTION_KEYS,
    SYSTEMS,
    CLUSTER_NODES,
    CLUSTER_LOG,
)
"""Those of which anybody keeps copies, or learns of changes. Not here: audits, leases, wrong passwords."""

OF_SOCKETS: frozenset[str] = frozenset(one.namespace for table in TABLES for one in table.tells if one.sockets)
"""The namespaces that ws workers are told of."""
TOLD = frozenset(one.namespace for table in TABLES for one in table.tells) | {Namespace.POSTS}
"""The namespaces of which every node hears within 2 s: copies may depend on these only."""
