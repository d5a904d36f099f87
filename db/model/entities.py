"""The rows as typed structs. Field order is column order (`db/model/tables.py`), so a row is `User(*row)`.

Times are milliseconds since 1970 UTC; fields that hold JSON are its text and are passed through unparsed. All are
frozen, because caches hand out one copy to everybody: who needs another makes it (`msgspec.structs.replace`).
"""

from enum import StrEnum

import msgspec

from db.model.ids import ChannelId, PostId, SessionId, TeamId, UserId


class ChannelType(StrEnum):
    """Mattermost's one-letter channel types."""

    OPEN = "O"
    PRIVATE = "P"
    DIRECT = "D"
    GROUP = "G"


class User(msgspec.Struct, frozen=True):
    """A person or bot. `password` is an argon2id hash in its standard encoding."""

    id: UserId
    create_at: int
    update_at: int
    delete_at: int
    username: str
    password: str
    email: str
    email_verified: bool
    nickname: str
    first_name: str
    last_name: str
    position: str
    roles: str
    locale: str
    props: str
    notify_props: str
    timezone: str
    last_password_update: int
    last_picture_update: int
    failed_attempts: int
    allow_marketing: bool


class Session(msgspec.Struct, frozen=True):
    """A login. The token itself is never stored, only its SHA-256."""

    id: SessionId
    token_hash: str
    user_id: UserId
    create_at: int
    expires_at: int
    last_activity_at: int
    device_id: str
    csrf_token: str


class Team(msgspec.Struct, frozen=True):
    """A team. `type` is O (anyone may join) or I (by invitation)."""

    id: TeamId
    create_at: int
    update_at: int
    delete_at: int
    display_name: str
    name: str
    description: str
    email: str
    type: str
    company_name: str
    allowed_domains: str
    invite_id: str
    allow_open_invite: bool
    last_team_icon_update: int


class TeamMember(msgspec.Struct, frozen=True):
    """A user in a team. `delete_at` is not 0 after leaving."""

    team_id: TeamId
    user_id: UserId
    create_at: int
    delete_at: int
    roles: str
    scheme_user: bool
    scheme_admin: bool
    scheme_guest: bool


class ChannelInfo(msgspec.Struct, frozen=True):
    """A channel without its head: what stays as it is when somebody writes.

    `team_id` is '' for direct and group channels.
    """

    id: ChannelId
    create_at: int
    update_at: int
    delete_at: int
    team_id: TeamId
    type: str
    display_name: str
    name: str
    header: str
    purpose: str
    creator_id: str
    extra_update_at: int


class Channel(ChannelInfo, frozen=True):
    """A channel together with its head's counters.

    seq: number of the last recoverable change; anything that clients see in the channel moves it.
    """

    last_post_at: int = 0
    total_msg_count: int = 0
    total_msg_count_root: int = 0
    seq: int = 0


class Head(msgspec.Struct, frozen=True):
    """The counters of a channel, as in `Channel`."""

    last_post_at: int
    total_msg_count: int
    total_msg_count_root: int
    seq: int

    def of(self, info: ChannelInfo) -> Channel:
        """The channel with these counters."""
        return Channel(*msgspec.structs.astuple(info), *msgspec.structs.astuple(self))


class Membership(msgspec.Struct, frozen=True):
    """A user in a channel, without how far they have read. `join_seq`: the channel's sequence number of the joining."""

    channel_id: ChannelId
    user_id: UserId
    roles: str
    scheme_user: bool
    scheme_admin: bool
    scheme_guest: bool
    notify_props: str
    last_update_at: int
    join_seq: int


class ChannelMember(Membership, frozen=True):
    """A user in a channel, with how far they have read."""

    viewed_seq: int
    last_viewed_at: int
    msg_count: int
    msg_count_root: int
    mention_count: int = 0
    mention_count_root: int = 0


class Post(msgspec.Struct, frozen=True):
    """A message. `seq` is its place in the channel; seq order = commit order = create_at order."""

    id: PostId
    channel_id: ChannelId
    seq: int
    create_at: int
    update_at: int
    edit_at: int
    delete_at: int
    is_pinned: bool
    user_id: UserId
    root_id: str
    original_id: str
    message: str
    type: str
    props: str
    hashtags: str
    file_ids: str
    mentions: str
    pending_post_id: str | None
    reply_count: int
    last_reply_at: int
    has_reactions: bool = False


class Reaction(msgspec.Struct, frozen=True):
    """Somebody's emoji on a post."""

    post_id: PostId
    user_id: UserId
    emoji_name: str
    create_at: int


class Status(msgspec.Struct, frozen=True):
    """Presence: online, away, dnd or offline. `manual`: chosen by the user, so nothing automatic changes it."""

    user_id: UserId
    status: str
    manual: bool
    last_activity_at: int
    dnd_end_time: int
    prev_status: str


class Preference(msgspec.Struct, frozen=True):
    """A client's setting, opaque to the server."""

    user_id: UserId
    category: str
    name: str
    value: str


class SidebarCategory(msgspec.Struct, frozen=True):
    """A category of a user's sidebar in a team. channel_ids: a JSON array, in the user's order.

    sorting: '', manual, recent or alpha, for clients. type: favorites, channels, direct_messages or custom.
    """

    user_id: UserId
    team_id: TeamId
    id: str
    sort_order: int
    type: str
    sorting: str
    display_name: str
    muted: bool
    collapsed: bool
    channel_ids: str


class ClusterNode(msgspec.Struct, frozen=True):
    """What a node last wrote about itself; to be believed only when its `mac` is right.

    public_key: of CURVE, Z85. address: `host:port` of the reliable lane as others reach it. left_at, removed_at: 0
    while the node belongs to the cluster. age_ms: how long it was silent when this was read, by the database's clock.
    """

    node_id: str
    incarnation: int
    public_key: str
    address: str
    hostname: str
    version: str
    mac: str
    last_seen_at: int
    left_at: int
    removed_at: int
    age_ms: int
