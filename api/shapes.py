"""What is answered, as types in Mattermost's field names: for documents, and for tests, which look at every answer."""

from typing import Any, Literal, NotRequired, TypedDict

Map = dict[str, Any]


class Done(TypedDict):
    """For what has nothing else to say: clients parse every body."""

    status: Literal["OK"]


class User(TypedDict):
    """An account, as who asks may see it."""

    id: str
    create_at: int
    update_at: int
    delete_at: int
    username: str
    auth_data: str
    auth_service: str
    email: str
    nickname: str
    first_name: str
    last_name: str
    position: str
    roles: str
    props: Map
    locale: str
    timezone: Map
    disable_welcome_email: bool
    last_picture_update: NotRequired[int]
    email_verified: NotRequired[bool]
    notify_props: NotRequired[Map]
    last_password_update: NotRequired[int]
    failed_attempts: NotRequired[int]
    allow_marketing: NotRequired[bool]


class UsersStats(TypedDict):
    """How many accounts."""

    total_users_count: int


class UserAutocomplete(TypedDict):
    """Whom somebody may mean."""

    users: list[User]
    out_of_channel: list[User]


class LoginType(TypedDict):
    """By which service somebody logs in: '' for a password."""

    auth_service: str


class Session(TypedDict):
    """A session, without its token."""

    id: str
    token: str
    create_at: int
    expires_at: int
    last_activity_at: int
    user_id: str
    device_id: str
    roles: str
    is_oauth: bool
    expired_notify: bool
    props: Map
    team_members: list[Map]
    local: bool


class Audit(TypedDict):
    """A row of the audit log."""

    id: str
    create_at: int
    user_id: str
    action: str
    extra_info: str
    ip_address: str
    session_id: str


class Status(TypedDict):
    """The presence of a user."""

    user_id: str
    status: Literal["online", "away", "dnd", "offline"]
    manual: bool
    last_activity_at: int
    dnd_end_time: int


class Team(TypedDict):
    """A team, as who asks may see it."""

    id: str
    create_at: int
    update_at: int
    delete_at: int
    display_name: str
    name: str
    description: str
    email: str
    type: Literal["O", "I"]
    company_name: str
    allowed_domains: str
    invite_id: str
    allow_open_invite: bool
    last_team_icon_update: int
    scheme_id: str | None
    group_constrained: bool | None
    policy_id: str | None


class TeamMember(TypedDict):
    """A membership of a team."""

    team_id: str
    user_id: str
    roles: str
    delete_at: int
    scheme_guest: bool
    scheme_user: bool
    scheme_admin: bool
    explicit_roles: str


class TeamsWithCount(TypedDict):
    """A page of teams, and how many there are on all pages."""

    teams: list[Team]
    total_count: int


class TeamExists(TypedDict):
    """Whether there is a team of a name, as far as one may know of it."""

    exists: bool


class TeamInvitation(TypedDict):
    """The team that an invitation leads to."""

    id: str
    name: str
    display_name: str
    description: str


class TeamStats(TypedDict):
    """How many members of a team, and of these whose accounts are active."""

    team_id: str
    total_member_count: int
    active_member_count: int


class TeamUnread(TypedDict):
    """What a user has not read in a team."""

    team_id: str
    msg_count: int
    mention_count: int
    mention_count_root: int
    msg_count_root: int
    thread_count: int
    thread_mention_count: int
    thread_urgent_mention_count: int


class TeamsUsage(TypedDict):
    """How many teams."""

    active: int
    cloud_archived: int


class PostsUsage(TypedDict):
    """About how many messages."""

    count: int


class Channel(TypedDict):
    """A channel with its counters."""

    id: str
    create_at: int
    update_at: int
    delete_at: int
    team_id: str
    type: Literal["O", "P", "D", "G"]
    display_name: str
    name: str
    header: str
    purpose: str
    last_post_at: int
    total_msg_count: int
    extra_update_at: int
    creator_id: str
    scheme_id: str | None
    props: Map | None
    group_constrained: bool | None
    shared: bool | None
    total_msg_count_root: int
    policy_id: str | None


class ChannelMember(TypedDict):
    """A membership of a channel; of others' -1 and {} for what is theirs."""

    channel_id: str
    user_id: str
    roles: str
    last_viewed_at: int
    msg_count: int
    mention_count: int
    mention_count_root: int
    msg_count_root: int
    notify_props: Map
    last_update_at: int
    scheme_guest: bool
    scheme_user: bool
    scheme_admin: bool
    explicit_roles: str


class ChannelStats(TypedDict):
    """Numbers of a channel."""

    channel_id: str
    member_count: int
    guest_count: int
    pinnedpost_count: int


class Viewed(TypedDict):
    """When channels were last read, by their ids."""

    status: Literal["OK"]
    last_viewed_at_times: dict[str, int]


class Post(TypedDict):
    """A post; of a deleted one its content is empty."""

    id: str
    create_at: int
    update_at: int
    edit_at: int
    delete_at: int
    is_pinned: bool
    user_id: str
    channel_id: str
    root_id: str
    parent_id: str
    original_id: str
    message: str
    type: str
    props: Map
    hashtags: str
    pending_post_id: str
    reply_count: int
    last_reply_at: int
    participants: list[Map] | None
    metadata: Map
    has_reactions: NotRequired[bool]
    file_ids: NotRequired[list[str]]


class PostList(TypedDict):
    """Posts by id, and the order in which they are shown."""

    order: list[str]
    posts: dict[str, Post]
    next_post_id: str
    prev_post_id: str
    has_next: NotRequired[bool]


class PostInfo(TypedDict):
    """Where a post is, and whether who asks is there."""

    channel_id: str
    channel_type: Literal["O", "P", "D", "G"]
    channel_display_name: str
    has_joined_channel: bool
    team_id: str
    team_type: str
    team_display_name: str
    has_joined_team: bool


class ChannelUnreadAt(TypedDict):
    """How far a user has read a channel after they marked it as unread."""

    team_id: str
    user_id: str
    channel_id: str
    last_viewed_at: int
    msg_count: int
    msg_count_root: int
    mention_count: int
    mention_count_root: int
    urgent_mention_count: int


class Reaction(TypedDict):
    """A reaction to a post."""

    user_id: str
    post_id: str
    emoji_name: str
    create_at: int
    update_at: int
    delete_at: int
    remote_id: str | None


class Preference(TypedDict):
    """A setting of a user's clients."""

    user_id: str
    category: str
    name: str
    value: str


class SidebarCategory(TypedDict):
    """A category of a sidebar with its channels."""

    id: str
    user_id: str
    team_id: str
    sort_order: int
    sorting: Literal["", "manual", "recent", "alpha"]
    type: Literal["favorites", "channels", "direct_messages", "custom"]
    display_name: str
    muted: bool
    collapsed: bool
    channel_ids: list[str]


class SidebarCategories(TypedDict):
    """All categories of a sidebar, and their order."""

    categories: list[SidebarCategory]
    order: list[str]


class Role(TypedDict):
    """A role with its permissions."""

    id: str
    name: str
    display_name: str
    description: str
    create_at: int
    update_at: int
    delete_at: int
    permissions: list[str]
    scheme_managed: bool
    built_in: bool


class Plugins(TypedDict):
    """Plugins by whether they run."""

    active: list[Map]
    inactive: list[Map]


class AgentsStatus(TypedDict):
    """Whether there are agents; reason: an id of Mattermost's where there are none."""

    available: bool
    reason: str


class Threads(TypedDict):
    """Threads that are followed."""

    total: int
    total_unread_threads: int
    total_unread_mentions: int
    total_unread_urgent_mentions: int
    threads: list[Map]


class ServerBusy(TypedDict):
    """Whether the servers are declared busy. expires: seconds since 1970, 0 for never."""

    busy: bool
    expires: int
    expires_ts: str


class Figure(TypedDict):
    """A figure of the installation."""

    name: str
    value: int


class Migration(TypedDict):
    """A migration of the database."""

    version: int
    name: str


class Ping(TypedDict):
    """Whether the node should get traffic."""

    status: Literal["OK", "UNHEALTHY"]
    AndroidLatestVersion: str
    AndroidMinVersion: str
    DesktopLatestVersion: str
    DesktopMinVersion: str
    IosLatestVersion: str
    IosMinVersion: str
    reason: NotRequired[str]
    waits_for: NotRequired[str]
    database_status: NotRequired[str]
    filestore_status: NotRequired[str]


class PingV3(TypedDict):
    """The same, as server 3.9 answered it."""

    server_time: str
    version: str
    reason: NotRequired[str]
    waits_for: NotRequired[str]


class Operated(TypedDict):
    """What came of a command to the node, or to all nodes."""

    status: Literal["OK", "FAIL"]
    nodes: NotRequired[dict[str, Map]]
    applied: NotRequired[list[str]]
    recycle_needed: NotRequired[list[str]]
    restart_needed: NotRequired[list[str]]
