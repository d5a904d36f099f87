"""What clients are told: events built once and encoded once, at their origin.

A frame is the event's JSON up to its last member; every socket adds its own `,"seq":N}`. Encodings and audiences:
`docs/protocol.md` of the project, after Mattermost 5.37.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from app.config.settings import PrivacySettings
from app.events import wire
from app.events.names import Care, Name, Room
from app.permissions import Viewer
from db.model.entities import (
    ChannelInfo,
    ChannelMember,
    ChannelType,
    Post,
    Preference,
    Reaction,
    Team,
    TeamMember,
    User,
)
from db.model.ids import ChannelId, PostId, SessionId, TeamId, UserId


class Audience(msgspec.Struct, array_like=True, frozen=True):
    """Who gets an event: the first of connection, user, channel, team that is set; none set: everybody.

    omit_users and omit_connection_id never get it.
    """

    user_id: str = ""
    channel_id: str = ""
    team_id: str = ""
    omit_users: tuple[str, ...] = ()
    connection_id: str = ""
    omit_connection_id: str = ""

    @property
    def room(self) -> Room:
        """Of which kind it is; a connection is one of its user's."""
        if self.user_id or self.connection_id:
            return Room.USER
        if self.channel_id:
            return Room.CHANNEL
        return Room.TEAM if self.team_id else Room.EVERYBODY


class Event(msgspec.Struct, array_like=True, frozen=True, tag="event"):
    """An event for clients. seq: its number in the channel when it is recoverable, else 0.

    sensitive: the frame that system administrators get in place of the other one; empty when all get the same. Both
    copies are one event with one number, so that nobody gets both and nobody none (decision 0018).
    """

    name: str
    audience: Audience
    seq: int
    frame: bytes
    sensitive: bytes = b""


class ChannelMembership(msgspec.Struct, array_like=True, frozen=True, tag="channel_membership"):
    """A user joined (or left) a channel: who holds the user's sockets routes by it from now on.

    seq: the user hears what comes after this number of the channel.
    """

    user_id: str
    channel_id: str
    joined: bool
    seq: int = 0


class TeamMembership(msgspec.Struct, array_like=True, frozen=True, tag="team_membership"):
    """A user joined (or left) a team."""

    user_id: str
    team_id: str
    joined: bool


class SessionClosed(msgspec.Struct, array_like=True, frozen=True, tag="session_closed"):
    """A session has ended: its sockets are to be closed."""

    session_id: str


class EverySessionClosed(msgspec.Struct, array_like=True, frozen=True, tag="every_session_closed"):
    """All sessions have ended: all sockets are to be closed."""


class Changed(msgspec.Struct, array_like=True, frozen=True, tag="changed"):
    """Rows that somebody changed, whoever it was: (namespace, key). From a relay to its workers.

    Only what sockets depend on: `db.model.tables.OF_SOCKETS`.
    """

    pairs: tuple[tuple[str, str], ...]


class Moved(msgspec.Struct, array_like=True, frozen=True, tag="moved"):
    """How far channels have come, by the database: (channel id, seq). From a relay to its workers."""

    heads: tuple[tuple[str, int], ...]


class Presence(msgspec.Struct, array_like=True, frozen=True, tag="presence"):
    """What a worker saw of users; goes to the relay only.

    kind: connected, disconnected, active, ended (the accounts are deactivated), held (these are all the users the
    worker has connections of), or restate (what they are is to be stored again).
    """

    kind: str
    user_ids: tuple[str, ...]


KEY_BYTES = 8
MAX_COUNTS = 1000
_Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
_Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class Admitted(msgspec.Struct, array_like=True, frozen=True, tag="admitted"):
    """How many requests a worker has admitted under its rate limit, by key; goes to the other api workers only."""

    counts: Annotated[tuple[tuple[_Key, _Count], ...], Meta(max_length=MAX_COUNTS)]


class Claim(msgspec.Struct, array_like=True, frozen=True, tag="claim"):
    """A client came back to another ws worker than the one that has its connection: that one is to give it away.

    seq: the number of the event that the client expects. reply_to: the address of who asks. id: of this claim.
    everybody: all ws workers are asked; those that know nothing of the connection say nothing.
    """

    id: str
    reply_to: str
    connection_id: str
    user_id: str
    session_id: str
    seq: int
    everybody: bool = False


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """An event of a connection that is given away.

    room: the channel or team whose members it is for, '' when it is for others. plain: what those get who are no
    administrators, empty when that is the same.
    """

    body: bytes
    best_effort: bool
    room: str = ""
    plain: bytes = b""


class Given(msgspec.Struct, array_like=True, frozen=True, tag="given"):
    """The answer to a claim.

    given: the connection is the claimant's now, with these frames from the number asked for on, and with all events of
    these channels up to these numbers among them or delivered before. moved_to: the address of the worker that has it
    meanwhile.
    """

    id: str
    given: bool
    moved_to: str = ""
    frames: tuple[Frame, ...] = ()
    positions: dict[str, int] = {}


class Leaving(msgspec.Struct, array_like=True, frozen=True, tag="leaving"):
    """A ws worker stops: who is willing to keep its connections is to say so.

    reply_to: its address. node: how the addresses of workers begin that stop with it, '' when it stops alone.
    """

    reply_to: str
    node: str = ""


class Willing(msgspec.Struct, array_like=True, frozen=True, tag="willing"):
    """The answer to `Leaving`: this ws worker stays, and keeps what it is given."""

    address: str


class Parcel(msgspec.Struct, array_like=True, frozen=True):
    """A connection of a worker that stops. Numbers point into `frames` and `heads` of the `Parcels` that it comes in.

    seq: the number of its next event, the first of `queue`. dead: the events before it, the last one at the end; -1
    where one is not known. heads: how far it has each channel of its user. age_s: for how long nobody has served it.
    """

    connection_id: str
    user_id: str
    session_id: str
    seq: int
    dead: tuple[int, ...]
    queue: tuple[int, ...]
    heads: tuple[int, ...]
    age_s: float


class Parcels(msgspec.Struct, array_like=True, frozen=True, tag="parcels"):
    """Connections of a worker that stops, for one of those that are willing. What they share is there once.

    told: digests of events without a number in a channel that they need not be told, of the last seconds.
    """

    id: str
    reply_to: str
    frames: tuple[Frame, ...]
    heads: tuple[tuple[str, int], ...]
    parcels: tuple[Parcel, ...]
    told: tuple[bytes, ...] = ()


class Kept(msgspec.Struct, array_like=True, frozen=True, tag="kept"):
    """The answer to `Parcels`: whether all of them are kept."""

    id: str
    kept: bool


class Void(msgspec.Struct, array_like=True, frozen=True, tag="void"):
    """These connections are elsewhere after all: whoever was given them by the worker that stops is to forget them."""

    connection_ids: tuple[str, ...]


class Lack(msgspec.Struct, array_like=True, frozen=True, tag="lack"):
    """A ws worker cannot read from its master what a channel has beyond a number: a worker of another node is to.

    id: of this question. reply_to: the address of who asks.
    """

    id: str
    reply_to: str
    channel_id: str
    after: int


class Lent(msgspec.Struct, array_like=True, frozen=True, tag="lent"):
    """The answer to a lack: `app.replay.Found`."""

    id: str
    upto: int
    end: int
    events: tuple[Event, ...] = ()
    trimmed: bool = False
    lost: bool = False


Message = (
    Event
    | ChannelMembership
    | TeamMembership
    | SessionClosed
    | Presence
    | Changed
    | Moved
    | EverySessionClosed
    | Admitted
    | Claim
    | Given
    | Leaving
    | Willing
    | Parcels
    | Kept
    | Void
    | Lack
    | Lent
)
TAGS = frozenset(str(one.__struct_config__.tag) for one in get_args(Message))
"""The kinds of messages, by the word that says so on the bus."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Message])
_parts = msgspec.msgpack.Decoder(list[msgspec.Raw])
_one = msgspec.msgpack.Decoder(Message)
_tag = msgspec.msgpack.Decoder(Annotated[str, Meta(max_length=32)])
_ARRAY_16 = struct.Struct(">BH")


def encode(message: Message) -> bytes:
    """A message for a bundle."""
    return _encoder.encode(message)


def bundle(messages: Sequence[bytes]) -> bytes:
    """Up to 65,535 encoded messages as they cross the bus together."""
    return b"".join((_ARRAY_16.pack(0xDC, len(messages)), *messages))


def unbundle(data: bytes) -> list[Message]:
    """The messages that crossed the bus, in order. Raises msgspec.ValidationError or DecodeError on anything else."""
    try:
        messages: list[Message] = _decoder.decode(data)
    except UnicodeDecodeError as error:  # a tag that is no text
        raise msgspec.DecodeError(str(error)) from error
    return messages


def read(data: bytes) -> tuple[list[Message], list[str]]:
    """The same, without what this version cannot read: the kinds of that stand beside, '' for what has none.

    A later version may have kinds that this one does not know; what comes with them in a bundle is for us all the same.
    """
    try:
        return unbundle(data), []
    except msgspec.ValidationError:
        messages, unread = [], []
    for part in _parts.decode(data):
        try:
            messages.append(_one.decode(part))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            unread.append(_kind_of(part))
    return messages, unread


def _kind_of(part: msgspec.Raw) -> str:
    try:
        return str(_tag.decode(_parts.decode(part)[0]))
    except (msgspec.MsgspecError, UnicodeDecodeError, IndexError):
        return ""


def build(name: Name, data: dict[str, Any], audience: Audience, seq: int = 0) -> Event:
    """An event with its frame. A recoverable one says its number in the channel, for clients of our own.

    Raises ValueError for an audience that the name is not for, or a number that it must have or must not have.
    """
    care = name.rooms.get(audience.room)
    if care is None or (care is Care.RECOVERABLE) != (seq > 0):
        raise ValueError(f"{name} with number {seq} to {audience.room.value}")
    return encoded(name.value, data, audience, seq)


def encoded(name: str, data: dict[str, Any], audience: Audience, seq: int = 0) -> Event:
    """The same of any name, and nothing is checked."""
    body = wire.encode(
        {
            "event": name,
            "data": data,
            "broadcast": {
                "omit_users": dict.fromkeys(audience.omit_users, True) or None,
                "user_id": audience.user_id,
                "channel_id": audience.channel_id,
                "team_id": audience.team_id,
                "connection_id": audience.connection_id,
                "omit_connection_id": audience.omit_connection_id,
            },
            **({"channel_seq": seq} if seq else {}),
        }
    )
    return Event(name, audience, seq, body[:-1])


def posted(
    post: Post,
    channel: ChannelInfo,
    mentions: Sequence[UserId],
    *,
    set_online: bool,
    sender_name: str,
    reactions: Sequence[Reaction] = (),
) -> Event:
    """A new post, to the members of its channel."""
    return created(post, channel, mentions, set_online=set_online, sender_name=sender_name, reactions=reactions)[0]


def created(
    post: Post,
    channel: ChannelInfo,
    mentions: Sequence[UserId],
    *,
    set_online: bool,
    sender_name: str,
    reactions: Sequence[Reaction] = (),
) -> tuple[Event, bytes]:
    """The same, and the post's JSON as it stands there: it is made once, for the event and for who wrote it."""
    sender_name = f"@{sender_name}"
    encoded = wire.encode(wire.post(post, reactions=reactions))
    data: dict[str, Any] = {
        "channel_display_name": sender_name if channel.type == ChannelType.DIRECT else channel.display_name,
        "channel_name": channel.name,
        "channel_type": channel.type,
        "post": encoded.decode(),
        "sender_name": sender_name,
        "set_online": set_online,
        "team_id": channel.team_id,
    }
    if mentions:
        data["mentions"] = wire.encode(mentions).decode()
    return build(Name.POSTED, data, Audience(channel_id=channel.id), post.seq), encoded


def typing(user_id: UserId, channel_id: ChannelId, parent_id: str) -> Event:
    """Somebody is typing, to the other members of the channel."""
    return build(
        Name.TYPING,
        {"parent_id": parent_id, "user_id": user_id},
        Audience(channel_id=channel_id, omit_users=(user_id,)),
    )


def channel_viewed(user_id: UserId, channel_id: ChannelId, times: Mapping[ChannelId, int], version: int) -> Event:
    """The user has read channels, to all their clients.

    times: when, by channel. version: the major one of Mattermost that is spoken: until 6 only `channel_id` is told of.
    """
    audience = Audience(user_id=user_id)
    if version < 7:
        return build(Name.CHANNEL_VIEWED, {"channel_id": channel_id}, audience)
    return build(Name.MULTIPLE_CHANNELS_VIEWED, {"channel_times": times}, audience)


def post_unread(user_id: UserId, channel: ChannelInfo, post_id: PostId, unread: dict[str, int]) -> Event:
    """The user has marked a channel as unread from a post on, to all their clients. unread: counts, by name."""
    audience = Audience(user_id=user_id, channel_id=channel.id, team_id=channel.team_id)
    return build(Name.POST_UNREAD, {"post_id": post_id, **unread}, audience)


def ephemeral_message(user_id: UserId, post: Post) -> Event:
    """A post for one user's eyes, which is stored nowhere. The post is JSON in a text."""
    audience = Audience(user_id=user_id, channel_id=post.channel_id)
    return build(Name.EPHEMERAL_MESSAGE, {"post": wire.encode(wire.post(post)).decode()}, audience)


def channel_created(user_id: UserId, channel: ChannelInfo) -> Event:
    """A channel was created, to its creator."""
    return build(
        Name.CHANNEL_CREATED, {"channel_id": channel.id, "team_id": channel.team_id}, Audience(user_id=user_id)
    )


def direct_added(creator_id: UserId, teammate_id: UserId, channel_id: ChannelId) -> Event:
    """A direct channel was opened, to both."""
    return build(
        Name.DIRECT_ADDED,
        {"creator_id": creator_id, "teammate_id": teammate_id},
        Audience(channel_id=channel_id),
    )


def you_were_removed(user_id: UserId, channel: ChannelInfo, remover_id: UserId) -> Event:
    """A user left a channel or was removed, to that user, who does not get what goes to the channel any more."""
    data = {"channel_id": channel.id, "remover_id": remover_id}
    return build(Name.USER_REMOVED, data, Audience(user_id=user_id))


def leave_team(user_id: UserId, team_id: TeamId, *, to_user: bool) -> Event:
    """A user left a team: to those who stay, or to the user."""
    audience = Audience(user_id=user_id) if to_user else Audience(team_id=team_id)
    return build(Name.LEAVE_TEAM, {"user_id": user_id, "team_id": team_id}, audience)


def channel_member_updated(member: ChannelMember, privacy: PrivacySettings) -> Event:
    """What a user is in a channel has changed, to that user. The member is JSON in a text."""
    seen = wire.encode(wire.channel_member(member, Viewer(privacy, member.user_id))).decode()
    return build(Name.CHANNEL_MEMBER_UPDATED, {"channelMember": seen}, Audience(user_id=member.user_id))


def memberrole_updated(member: TeamMember) -> Event:
    """What a user is in a team has changed, to that user. The member is JSON in a text."""
    seen = wire.encode(wire.team_member(member)).decode()
    return build(Name.MEMBERROLE_UPDATED, {"member": seen}, Audience(user_id=member.user_id))


def user_updated(user: User, privacy: PrivacySettings) -> tuple[Event, Event]:
    """A user has changed: to all others as they may see it, in two copies (decision 0018), and to the user."""
    others = Audience(omit_users=(user.id,))

    def seen(audience: Audience, viewer: Viewer) -> Event:
        return build(Name.USER_UPDATED, {"user": wire.user(user, viewer)}, audience)

    told = seen(others, Viewer(privacy))
    whole = seen(others, Viewer(privacy, administrator=True)).frame
    return msgspec.structs.replace(told, sensitive=whole), seen(Audience(user_id=user.id), Viewer(privacy, user.id))


def user_role_updated(user_id: UserId, roles: str) -> Event:
    """The system roles of a user have changed, to that user."""
    return build(Name.USER_ROLE_UPDATED, {"user_id": user_id, "roles": roles}, Audience(user_id=user_id))


def user_activation_status_change() -> Event:
    """Somebody was deactivated or activated again, to everybody."""
    return build(Name.USER_ACTIVATION_STATUS_CHANGE, {}, Audience())


def added_to_team(user_id: UserId, team_id: TeamId) -> Event:
    """A user joined a team, to that user."""
    return build(Name.ADDED_TO_TEAM, {"team_id": team_id, "user_id": user_id}, Audience(user_id=user_id))


def team_changed(name: Name, team: Team) -> Event:
    """A team has changed, is archived or is back, to its members: JSON in a text, without address and invitation."""
    seen = wire.encode(wire.team(team, show_email=False, show_invitation=False)).decode()
    return build(name, {"team": seen}, Audience(team_id=team.id))


def new_user(user_id: UserId) -> Event:
    """An account was created, to everybody."""
    return build(Name.NEW_USER, {"user_id": user_id}, Audience())


PREFERENCES_BYTES = 64 << 10
"""Of one event with preferences, before it is a text within another; more of them make more events."""
_CATEGORIES_BYTES = 64 << 10
"""Of the categories in an event; more are left out, and clients ask for them."""


def preferences_changed(user_id: UserId, preferences: Sequence[Preference]) -> list[Event]:
    """Preferences were saved, to that user. They are JSON in a text."""
    return _of_preferences(Name.PREFERENCES_CHANGED, user_id, preferences)


def preferences_deleted(user_id: UserId, preferences: Sequence[Preference]) -> list[Event]:
    """Preferences are gone, to that user. They are JSON in a text."""
    return _of_preferences(Name.PREFERENCES_DELETED, user_id, preferences)


def _of_preferences(name: Name, user_id: UserId, preferences: Sequence[Preference]) -> list[Event]:
    parts: list[list[bytes]] = []
    size = 0
    for one in preferences:
        encoded_one = wire.encode(wire.preference(one))
        size += len(encoded_one) + 1
        if not parts or size > PREFERENCES_BYTES:
            parts.append([])
            size = len(encoded_one)
        parts[-1].append(encoded_one)
    told = [{"preferences": f"[{b','.join(part).decode()}]"} for part in parts]
    return [build(name, data, Audience(user_id=user_id)) for data in told]


def sidebar_category_created(user_id: UserId, team_id: TeamId, category_id: str) -> Event:
    """A category was made, to that user."""
    audience = Audience(user_id=user_id, team_id=team_id)
    return build(Name.SIDEBAR_CATEGORY_CREATED, {"category_id": category_id}, audience)


def sidebar_category_updated(user_id: UserId, team_id: TeamId, categories: Sequence[wire.Json] = ()) -> Event:
    """Categories of a team have changed, to that user: these, as JSON in a text; none: clients ask for all."""
    told = wire.encode(categories)
    data = {"updatedCategories": told.decode()} if categories and len(told) <= _CATEGORIES_BYTES else {}
    return build(Name.SIDEBAR_CATEGORY_UPDATED, data, Audience(user_id=user_id, team_id=team_id))


def sidebar_category_deleted(user_id: UserId, team_id: TeamId, category_id: str) -> Event:
    """A category is gone, to that user."""
    audience = Audience(user_id=user_id, team_id=team_id)
    return build(Name.SIDEBAR_CATEGORY_DELETED, {"category_id": category_id}, audience)


def sidebar_category_order_updated(user_id: UserId, team_id: TeamId, order: Sequence[str]) -> Event:
    """The categories of a team are in another order, to that user."""
    audience = Audience(user_id=user_id, team_id=team_id)
    return build(Name.SIDEBAR_CATEGORY_ORDER_UPDATED, {"order": order}, audience)


def status_change(user_id: UserId, status: str) -> Event:
    """The user's presence changed, to their own clients (others ask for it)."""
    return build(Name.STATUS_CHANGE, {"status": status, "user_id": user_id}, Audience(user_id=user_id))


def hello(
    user_id: UserId,
    connection_id: str,
    server_version: str,
    hostname: str,
    *,
    db_gen: str = "",
    refetch: list[str] | None = None,
) -> Event:
    """The first event of a connection. refetch: to a client that said how far it is in its channels."""
    data: dict[str, Any] = {
        "connection_id": connection_id,
        "server_version": server_version,
        "server_hostname": hostname,
    }
    if refetch is not None:
        data |= {"db_gen": db_gen, "refetch": refetch}
    return build(Name.HELLO, data, Audience(user_id=user_id))


def active(user_id: UserId) -> Presence:
    """The user did something."""
    return Presence("active", (user_id,))


def presence_ended(user_id: UserId) -> Presence:
    """The user's account is deactivated."""
    return Presence("ended", (user_id,))


def presence_restated(user_ids: Sequence[UserId]) -> Presence:
    """What these users are is not known any more: whoever holds connections of them is to store it again."""
    return Presence("restate", tuple(user_ids))


def session_closed(session_id: SessionId) -> SessionClosed:
    """A session has ended."""
    return SessionClosed(session_id)
