"""Channels, their members and their heads: SQL of `channels`, `channel_heads`, `channel_members`, `channel_events`.

The row lock on a channel's head orders everything that happens in it. Whoever writes takes that lock first and then,
in a new statement (so with a new snapshot), reads and writes the rest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from db.drivers import Row
from db.model import limits, shards
from db.model.entities import Channel, ChannelInfo, ChannelMember, Head, Membership, TeamMember
from db.model.ids import ChannelId, TeamId, UserId
from db.model.settings import Dialect
from db.model.tables import CHANNEL_HEADS, CHANNEL_MEMBERS, CHANNELS, MEMBERSHIPS, TEAM_MEMBERS
from db.order import changes
from db.order.changes import Change, Place
from db.order.locks import Accounts, Scope, TeamAlone
from db.pool.loader import Key, Lookup, lookup_by
from db.pool.queryable import Queryable, Transaction
from db.sql.mysql import channels as mysql

_C, _M = CHANNELS.names("c"), CHANNEL_MEMBERS.names("m")
_MEMBERSHIP, _T = MEMBERSHIPS.names("m"), TEAM_MEMBERS.names("t")
_SELECT = f"SELECT {_C}, {CHANNEL_HEADS.names('h')} FROM channels c JOIN channel_heads h ON h.channel_id = c.id"  # noqa: S608
_UNVIEWED = "FROM post_mentions x WHERE x.user_id = m.user_id AND x.channel_id = m.channel_id AND x.seq > m.viewed_seq"
# Columns and join that give the two counts of unviewed mentions of a member `m`. MariaDB has no LATERAL.
_MENTIONS: dict[Dialect, tuple[str, str]] = {
    "postgres": (
        "n.*",
        f"CROSS JOIN LATERAL (SELECT count(*), count(*) FILTER (WHERE x.is_root) {_UNVIEWED}) n",
    ),
    "mysql": (f"(SELECT count(*) {_UNVIEWED}), (SELECT count(*) {_UNVIEWED} AND x.is_root)", ""),
}


def access_shards(key: Key) -> tuple[shards.Shard, ...]:
    """What an `Access` depends on. key: channel id, user id."""
    channel_id, user_id = key
    return shards.channel(channel_id), shards.user_channels(user_id), shards.user_teams(user_id)


_ACCESS = Lookup(
    "access",
    one=f"SELECT {_C}, {_MEMBERSHIP}, {_T} FROM channels c"  # noqa: S608 (constants)
    " LEFT JOIN channel_members m ON m.channel_id = c.id AND m.user_id = %s"
    " LEFT JOIN team_members t ON t.team_id = c.team_id AND t.user_id = %s AND t.delete_at = 0"
    " WHERE c.id = %s",
    many=f"SELECT k.n, {_C}, {_MEMBERSHIP}, {_T} FROM channels c"  # noqa: S608 (constants)
    " JOIN unnest($1::text[], $2::text[]) WITH ORDINALITY k (channel_id, user_id, n) ON c.id = k.channel_id"
    " LEFT JOIN channel_members m ON m.channel_id = c.id AND m.user_id = k.user_id"
    " LEFT JOIN team_members t ON t.team_id = c.team_id AND t.user_id = k.user_id AND t.delete_at = 0",
    on=access_shards,
    width=2,
    parameters=(1, 1, 0),
)
_HEAD = lookup_by(
    "head",
    columns=CHANNEL_HEADS.names(),
    source="channel_heads",
    key="channel_id",
    on=lambda key: (shards.posts(key[0]),),
)


@dataclass(frozen=True)
class Access:
    """A channel and what ties one user to it: what permission questions about a channel need, in one read.

    Nothing of it changes when somebody writes or reads in the channel.
    """

    channel: ChannelInfo
    member: Membership | None
    team_member: TeamMember | None


async def insert(tx: Transaction, scope: TeamAlone | Accounts, channel: Channel) -> None:
    """Insert the channel and its head. Raises Duplicate with constraint channels_team_id_name_key.

    scope: its team's lock; the accounts' where it is of no team.
    """
    del scope
    await tx.execute(
        CHANNELS.insert,
        CHANNELS.values(channel),
        changes=(shards.channel(channel.id), shards.team_channels(channel.team_id)),
    )
    await tx.execute(
        "INSERT INTO channel_heads (channel_id) VALUES (%s)", (channel.id,), changes=(shards.posts(channel.id),)
    )


async def find(db: Queryable, channel_id: ChannelId) -> Channel | None:
    """The channel of this id, archived ones included."""
    row = await db.fetch_one(f"{_SELECT} WHERE c.id = %s", (channel_id,), on=(), of=_shards)
    return Channel(*row) if row else None


async def find_by_name(db: Queryable, team_id: TeamId, name: str) -> Channel | None:
    """The channel of this name in the team, archived ones included. Team '': direct channels."""
    row = await db.fetch_one(f"{_SELECT} WHERE c.team_id = %s AND c.name = %s", (team_id, name), on=(), of=_shards)
    return Channel(*row) if row else None


def _shards(row: Row) -> tuple[shards.Shard, shards.Shard]:
    return shards.channel(row[0]), shards.posts(row[0])


async def find_access(db: Queryable, channel_id: ChannelId, user_id: UserId) -> Access | None:
    """The channel with the user's memberships of it and of its team; None when there is no such channel."""
    row = await db.load(_ACCESS, (channel_id, user_id))
    if row is None:
        return None
    member = row[CHANNELS.width : CHANNELS.width + MEMBERSHIPS.width]
    team_member = row[CHANNELS.width + MEMBERSHIPS.width :]
    return Access(
        ChannelInfo(*row[: CHANNELS.width]),
        Membership(*member) if member[0] is not None else None,
        TeamMember(*team_member) if team_member[0] is not None else None,
    )


async def find_head(db: Queryable, channel_id: ChannelId) -> Head | None:
    """The counters of a channel."""
    row = await db.load(_HEAD, (channel_id,))
    return Head(*row) if row else None


async def find_heads(db: Queryable, channel_ids: Sequence[ChannelId]) -> dict[ChannelId, Head]:
    """The counters of these channels."""
    rows = await db.fetch(
        f"SELECT channel_id, {CHANNEL_HEADS.names()} FROM channel_heads WHERE channel_id = ANY(%s)",  # noqa: S608 (constants)
        (list(channel_ids),),
        on=[shards.posts(one) for one in channel_ids],
    )
    return {row[0]: Head(*row[1:]) for row in rows}


async def find_of_user(db: Queryable, user_id: UserId, team_id: TeamId, page: int = 0) -> list[ChannelInfo]:
    """A page of the user's channels of the team, direct and group ones, by display name, archived ones last."""
    rows = await db.fetch(
        f"SELECT {_C} FROM channels c JOIN channel_members m ON m.channel_id = c.id"  # noqa: S608 (constants)
        " WHERE m.user_id = %s AND c.team_id IN (%s, '')"
        " ORDER BY c.delete_at <> 0, c.display_name, c.id LIMIT %s OFFSET %s",
        (user_id, team_id, limits.CHANNELS, page * limits.CHANNELS),
        on=(shards.user_channels(user_id),),
        of=lambda row: (shards.channel(row[0]),),
    )
    return [ChannelInfo(*row) for row in rows]


def shards_of_all(found: Iterable[ChannelInfo]) -> list[shards.Shard]:
    """The rows of these channels."""
    return [shards.channel(channel.id) for channel in found]


async def find_team_ids(db: Queryable, channel_ids: Sequence[ChannelId]) -> dict[ChannelId, TeamId]:
    """The teams of those of these channels that there are; '' for direct and group ones."""
    rows = await db.fetch("SELECT id, team_id FROM channels WHERE id = ANY(%s)", (list(channel_ids),), on=(), of=_of_id)
    return {row[0]: row[1] for row in rows}


def _of_id(row: Row) -> tuple[shards.Shard]:
    return (shards.channel(row[0]),)


async def find_positions(db: Queryable, user_id: UserId) -> dict[ChannelId, tuple[int, int]]:
    """(join_seq, seq now) of all channels the user is a member of, archived ones left out; as the master says."""
    rows = await db.fetch(
        "SELECT m.channel_id, m.join_seq, h.seq FROM channel_members m JOIN channels c ON c.id = m.channel_id"
        " JOIN channel_heads h ON h.channel_id = m.channel_id WHERE m.user_id = %s AND c.delete_at = 0",
        (user_id,),
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in rows}


async def find_seqs(db: Queryable, channel_ids: Sequence[ChannelId]) -> dict[ChannelId, tuple[int, int]]:
    """(seq now, trimmed_seq) of these channels, as the master says."""
    rows = await db.fetch(
        "SELECT channel_id, seq, trimmed_seq FROM channel_heads WHERE channel_id = ANY(%s)", (list(channel_ids),)
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in rows}


async def find_events(
    db: Queryable, channel_id: ChannelId, after: int, upto: int, limit: int
) -> list[tuple[int, str, str, str]]:
    """(seq, kind, ref, payload) of up to `limit` changes that are no posts, after a number, as the master says."""
    rows = await db.fetch(
        "SELECT seq, kind, ref, payload FROM channel_events WHERE channel_id = %s AND seq > %s AND seq <= %s"
        " ORDER BY seq LIMIT %s",
        (channel_id, after, upto, limit),
    )
    return [(int(row[0]), row[1], row[2], row[3]) for row in rows]


async def has_change(db: Queryable, channel_id: ChannelId, seq: int) -> bool:
    """Whether a change of the channel has this number, as the master says; one that was trimmed is not found."""
    row = await db.fetch_one(
        "SELECT EXISTS(SELECT 1 FROM posts WHERE channel_id = %s AND seq = %s)"
        " OR EXISTS(SELECT 1 FROM channel_events WHERE channel_id = %s AND seq = %s)",
        (channel_id, seq, channel_id, seq),
    )
    return bool(row and row[0])


async def count_of_team(db: Queryable, team_id: TeamId) -> int:
    """How many channels the team has, archived ones left out."""
    row = await db.fetch_one(
        "SELECT count(*) FROM channels WHERE team_id = %s AND delete_at = 0",
        (team_id,),
        on=(shards.team_channels(team_id),),
    )
    return int(row[0]) if row else 0


async def find_member(db: Queryable, channel_id: ChannelId, user_id: UserId) -> ChannelMember | None:
    """The membership with its counts of unviewed mentions."""
    counts, join = _MENTIONS[db.dialect]
    row = await db.fetch_one(
        f"SELECT {_M}, {counts} FROM channel_members m {join}"  # noqa: S608 (constants)
        " WHERE m.channel_id = %s AND m.user_id = %s",
        (channel_id, user_id),
        on=(shards.user_channels(user_id), shards.viewed(channel_id, user_id), shards.posts(channel_id)),
    )
    return ChannelMember(*row) if row else None


def _member_shards(row: Row) -> tuple[shards.Shard, shards.Shard]:
    return shards.viewed(row[0], row[1]), shards.posts(row[0])


async def find_members(db: Queryable, channel_id: ChannelId, offset: int, limit: int) -> list[ChannelMember]:
    """A page of the channel's members, in the order of their ids."""
    counts, join = _MENTIONS[db.dialect]
    rows = await db.fetch(
        f"SELECT {_M}, {counts} FROM (SELECT * FROM channel_members WHERE channel_id = %s"  # noqa: S608 (constants)
        f" ORDER BY user_id LIMIT %s OFFSET %s) m {join} ORDER BY m.user_id",
        (channel_id, limit, offset),
        on=(shards.channel_members(channel_id), shards.posts(channel_id)),
        of=_member_shards,
    )
    return [ChannelMember(*row) for row in rows]


async def find_memberships(db: Queryable, user_id: UserId, team_id: TeamId, page: int = 0) -> list[ChannelMember]:
    """A page of the user's memberships in the team's channels and in direct and group channels."""
    counts, join = _MENTIONS[db.dialect]
    rows = await db.fetch(
        f"SELECT {_M}, {counts} FROM channel_members m JOIN channels c ON c.id = m.channel_id {join}"  # noqa: S608
        " WHERE m.user_id = %s AND c.team_id IN (%s, '') AND c.delete_at = 0 ORDER BY m.channel_id LIMIT %s OFFSET %s",
        (user_id, team_id, limits.CHANNELS, page * limits.CHANNELS),
        on=(shards.user_channels(user_id),),
        of=_member_shards,
    )
    return [ChannelMember(*row) for row in rows]


async def count_members(db: Queryable, channel_id: ChannelId) -> int:
    """How many members the channel has whose accounts are active."""
    row = await db.fetch_one(
        "SELECT count(*) FROM channel_members m JOIN users u ON u.id = m.user_id AND u.delete_at = 0"
        " WHERE m.channel_id = %s",
        (channel_id,),
        on=(shards.channel_members(channel_id),),
    )
    return int(row[0]) if row else 0


async def add_member(
    tx: Transaction, scope: Scope, place: Place, change: Change, *, notify_props: str, admin: bool
) -> ChannelMember | None:
    """Add the user whom the change is about, and record it; None when they are a member already, or it is archived.

    scope: as in `insert`; a team's may be shared. The number and the time of the place become those of the joining.
    """
    del scope
    channel_id, user_id = place.channel_id, UserId(change.ref)
    head = await tx.fetch_one(
        "SELECT h.total_msg_count, h.total_msg_count_root, concat(' ', u.roles, ' ') LIKE %s FROM channel_heads h"
        " LEFT JOIN users u ON u.id = %s"
        " JOIN channels c ON c.id = h.channel_id AND c.delete_at = 0"
        " LEFT JOIN channel_members m ON m.channel_id = h.channel_id AND m.user_id = %s"
        " WHERE h.channel_id = %s AND m.user_id IS NULL",
        ("% system_guest %", user_id, user_id, channel_id),
    )
    if head is None:
        return None
    seq, at, (total, total_root, guest) = place.seq, place.at, head
    user, admin, guest = not guest, admin and not guest, bool(guest)
    member = ChannelMember(
        channel_id, user_id, "", user, admin, guest, notify_props, at, seq, seq, at, total, total_root
    )
    await tx.execute(
        CHANNEL_MEMBERS.insert,
        CHANNEL_MEMBERS.values(member),
        changes=(shards.channel_members(channel_id), shards.user_channels(user_id), shards.posts(channel_id)),
    )
    await changes.record(tx, place, change)
    return member


async def view(db: Queryable, user_id: UserId, channel_ids: Sequence[ChannelId]) -> dict[ChannelId, int]:
    """Mark these channels as read by the user; last viewed time by channel, for those they are a member of.

    Memberships are locked in the order of their channels, as batches of posts lock heads: see `db/order/locks.py`.
    """
    if db.dialect == "mysql":
        return await mysql.view(db, user_id, channel_ids)
    rows = await db.write(
        """
        WITH locked AS (
            SELECT channel_id FROM channel_members WHERE user_id = %s AND channel_id = ANY(%s)
            ORDER BY channel_id FOR NO KEY UPDATE
        ), viewed AS (
            UPDATE channel_members m SET viewed_seq = greatest(m.viewed_seq, h.seq),
                msg_count = greatest(m.msg_count, h.total_msg_count),
                msg_count_root = greatest(m.msg_count_root, h.total_msg_count_root),
                last_viewed_at = greatest(m.last_viewed_at, h.last_post_at)
            FROM locked l JOIN channel_heads h ON h.channel_id = l.channel_id
            WHERE m.channel_id = l.channel_id AND m.user_id = %s
            RETURNING m.channel_id, m.viewed_seq, m.last_viewed_at
        ), forgotten AS (
            DELETE FROM post_mentions x USING viewed
            WHERE x.user_id = %s AND x.channel_id = viewed.channel_id AND x.seq <= viewed.viewed_seq
        )
        SELECT channel_id, last_viewed_at FROM viewed
        """,
        (user_id, list(channel_ids), user_id, user_id),
        changes=[shards.viewed(channel_id, user_id) for channel_id in channel_ids],
    )
    return {row[0]: row[1] for row in rows}
