"""What a user has not read, by team."""

from typing import NamedTuple

from db.model import limits
from db.model.ids import ChannelId, TeamId, UserId
from db.model.settings import Dialect
from db.pool.queryable import Queryable

_MUTED: dict[Dialect, str] = {
    "postgres": "m.notify_props::json ->> 'mark_unread' = 'mention'",
    "mysql": "json_value(m.notify_props, '$.mark_unread') = 'mention'",
}


class Unread(NamedTuple):
    """Of a team: messages of channels that are not muted, and mentions; those that are no replies among them."""

    team_id: TeamId
    messages: int
    messages_root: int
    mentions: int
    mentions_root: int


async def find(db: Queryable, user_id: UserId, team_id: TeamId | None = None) -> list[Unread]:
    """Of each team of which the user has channels, or of this one, by the ids of the teams; without archived channels.

    One walk over the user's channels, and one over their mentions that are not viewed, whatever is in the channels.
    It is the master that answers: any post in any of them changes it.
    """

    def counted(column: str) -> str:
        return (
            f"sum(CASE WHEN {_MUTED[db.dialect]} OR m.{column} > h.total_{column} THEN 0"
            f" ELSE h.total_{column} - m.{column} END)"
        )

    of_team = "c.team_id = %s" if team_id is not None else "c.team_id <> ''"
    rows = await db.fetch(
        f"SELECT c.team_id, {counted('msg_count')}, {counted('msg_count_root')},"  # noqa: S608 (constants)
        " coalesce(sum(n.mentions), 0), coalesce(sum(n.roots), 0)"
        " FROM channel_members m JOIN channels c ON c.id = m.channel_id AND c.delete_at = 0"
        " JOIN channel_heads h ON h.channel_id = m.channel_id"
        " LEFT JOIN (SELECT x.channel_id, count(*) AS mentions, sum(CASE WHEN x.is_root THEN 1 ELSE 0 END) AS roots"
        " FROM post_mentions x JOIN channel_members v ON v.channel_id = x.channel_id AND v.user_id = x.user_id"
        " WHERE x.user_id = %s AND x.seq > v.viewed_seq GROUP BY x.channel_id) n ON n.channel_id = m.channel_id"
        f" WHERE m.user_id = %s AND {of_team} GROUP BY c.team_id ORDER BY c.team_id LIMIT %s",
        (user_id, user_id, *([team_id] if team_id is not None else []), limits.TEAMS),
    )
    return [Unread(row[0], *map(int, row[1:])) for row in rows]


async def find_channel_ids(db: Queryable, user_id: UserId, team_id: TeamId) -> list[ChannelId]:
    """The user's channels of the team in which there is something that they have not read."""
    rows = await db.fetch(
        "SELECT m.channel_id FROM channel_members m JOIN channels c ON c.id = m.channel_id AND c.delete_at = 0"
        " JOIN channel_heads h ON h.channel_id = m.channel_id"
        " WHERE m.user_id = %s AND c.team_id = %s AND (m.msg_count < h.total_msg_count"
        " OR EXISTS (SELECT 1 FROM post_mentions x"
        " WHERE x.user_id = m.user_id AND x.channel_id = m.channel_id AND x.seq > m.viewed_seq))"
        " ORDER BY m.channel_id",
        (user_id, team_id),
    )
    return [row[0] for row in rows]
