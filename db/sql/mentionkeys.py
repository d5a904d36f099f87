"""By which words users are mentioned beside their names, and who is mentioned by a message: SQL of `mention_keys`.

The table says in rows what users say in `notify_props` (decision 0050). Who writes a user's first name or
`notify_props` calls `replace` in the same transaction.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from db.model import limits, shards
from db.model.entities import User
from db.model.ids import ChannelId, PostId, UserId
from db.model.settings import Dialect
from db.pool.queryable import Queryable, Transaction

WORDS = "words"
"""The kind of key that is a word of a message."""
REPLIES = "replies"
"""The kind of key that is `any` or `root`: a user is to be told of replies in threads that they wrote in, or began."""
_LONGEST = 64
_OF_USER = "SELECT kind, keyword FROM mention_keys WHERE user_id = %s"
_INSERT: dict[Dialect, str] = {
    "postgres": "INSERT INTO mention_keys (kind, keyword, user_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
    "mysql": "INSERT IGNORE INTO mention_keys (kind, keyword, user_id) VALUES (%s, %s, %s)",
}
_MEMBERS = "JOIN channel_members m ON m.user_id = k.user_id AND m.channel_id = %s"
_ACTIVE = "JOIN users u ON u.id = k.user_id AND u.delete_at = 0"


class _Props(msgspec.Struct):
    mention_keys: str = ""
    first_name: str = ""
    comments: str = ""


def of(user: User) -> set[tuple[str, str]]:
    """The user's keys, as (kind, keyword): words in lower case, the first name as it is."""
    try:
        props = msgspec.json.decode(user.notify_props, type=_Props)
    except msgspec.MsgspecError:  # written by hand
        return set()
    words = dict.fromkeys(word.strip().lower() for word in props.mention_keys.split(","))
    if props.first_name == "true":
        words[user.first_name.strip()] = None
    good = [word for word in words if word and len(word) <= _LONGEST and len(word.split()) == 1]
    keys = {(WORDS, word) for word in good[: limits.USER_KEYWORDS]}
    return keys | {(REPLIES, props.comments)} if props.comments in ("any", "root") else keys


async def replace(tx: Transaction, user: User) -> None:
    """Bring the user's keys into line with what the row of the user says. What stays the same invalidates nothing."""
    wanted = of(user)
    there = {(row[0], row[1]) for row in await tx.fetch(_OF_USER, (user.id,))}
    for kind, keyword in sorted(there - wanted):
        await tx.execute(
            "DELETE FROM mention_keys WHERE kind = %s AND keyword = %s AND user_id = %s",
            (kind, keyword, user.id),
            changes=(shards.mention_keys(kind),),
        )
    for kind, keyword in sorted(wanted - there):
        await tx.execute(_INSERT[tx.dialect], (kind, keyword, user.id), changes=(shards.mention_keys(kind),))


async def find(db: Queryable, kind: str) -> list[str]:
    """The keys of a kind that anybody has: one more than limits.KEYWORDS where there are more."""
    rows = await db.fetch(
        "SELECT DISTINCT keyword FROM mention_keys WHERE kind = %s LIMIT %s",
        (kind, limits.KEYWORDS + 1),
        on=(shards.mention_keys(kind),),
    )
    return [row[0] for row in rows]


@dataclass(frozen=True)
class Named:
    """An active user whose name stands in a message. member: of its channel. in_team: of the channel's team."""

    id: UserId
    username: str
    member: bool
    in_team: bool


async def find_named(db: Queryable, channel_id: ChannelId, team_id: str, names: Sequence[str]) -> list[Named]:
    """The users of these names, in lower case, by name."""
    rows = await db.fetch(
        "SELECT u.id, u.username, m.user_id IS NOT NULL, t.user_id IS NOT NULL FROM users u"
        " LEFT JOIN channel_members m ON m.user_id = u.id AND m.channel_id = %s"
        " LEFT JOIN team_members t ON t.user_id = u.id AND t.team_id = %s AND t.delete_at = 0"
        " WHERE u.username = ANY(%s) AND u.delete_at = 0 ORDER BY u.username",
        (channel_id, team_id, list(names)),
    )
    return [Named(row[0], row[1], bool(row[2]), bool(row[3])) for row in rows]


async def find_by_words(db: Queryable, channel_id: ChannelId, words: Collection[str]) -> list[UserId]:
    """The active members of the channel who have one of these words as a key."""
    rows = await db.fetch(
        f"SELECT DISTINCT k.user_id FROM mention_keys k {_MEMBERS} {_ACTIVE}"  # noqa: S608 (constants)
        f" WHERE k.kind = '{WORDS}' AND k.keyword = ANY(%s) LIMIT %s",
        (channel_id, list(words), limits.MENTIONED),
    )
    return [row[0] for row in rows]


async def find_in_thread(db: Queryable, channel_id: ChannelId, root_id: PostId, author_id: UserId) -> list[UserId]:
    """The active members who want to be told of a reply: author_id is the author of the root."""
    rows = await db.fetch(
        f"SELECT k.user_id FROM mention_keys k {_MEMBERS} {_ACTIVE} JOIN (SELECT %s AS author_id"  # noqa: S608 (constants)
        " UNION SELECT newest.user_id FROM (SELECT user_id FROM posts WHERE root_id = %s AND root_id <> ''"
        " AND delete_at = 0 ORDER BY seq DESC LIMIT %s) newest) authors ON authors.author_id = k.user_id"
        f" WHERE k.kind = '{REPLIES}' AND (k.keyword = 'any' OR k.user_id = %s) LIMIT %s",
        (channel_id, author_id, root_id, limits.THREAD_AUTHORS, author_id, limits.MENTIONED),
    )
    return [row[0] for row in rows]


async def find_members(db: Queryable, channel_id: ChannelId, limit: int) -> list[tuple[UserId, str, str, bool]]:
    """(id, `notify_props` of the user, of the member, whether online) of up to `limit` active members."""
    rows = await db.fetch(
        "SELECT u.id, u.notify_props, m.notify_props, s.status FROM channel_members m"
        " JOIN users u ON u.id = m.user_id AND u.delete_at = 0 LEFT JOIN statuses s ON s.user_id = m.user_id"
        " WHERE m.channel_id = %s LIMIT %s",
        (channel_id, limit),
    )
    return [(row[0], row[1], row[2], row[3] == "online") for row in rows]
