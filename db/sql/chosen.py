"""Posts chosen one by one, not by their place in a channel: by their ids, flagged by a user, as they were before.

SQL of `posts`, of the preferences that flag them, and of `post_versions`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from db.drivers import Row
from db.model import limits, shards
from db.model.entities import Post
from db.model.ids import PostId, UserId
from db.pool.queryable import Queryable
from db.sql.posts import bounded

FLAGGED = "flagged_post"
"""The category of a user's preferences whose names are the posts that they saved for later."""
_VERSIONS = "SELECT seq, ended_at, edit_at, message, props FROM post_versions WHERE post_id = %s"
_SIZED = "SELECT p.id, p.create_at, octet_length(p.message) + octet_length(p.props) AS size FROM posts p"
_NEWEST_FIRST = "create_at DESC, id DESC"


@dataclass(frozen=True)
class Version:
    """What a post said until the change `seq` of its channel, at `ended_at`. edit_at: when it had come to say so."""

    seq: int
    ended_at: int
    edit_at: int
    message: str
    props: str


def _shards(row: Row) -> tuple[shards.Shard]:
    return (shards.posts(row[1]),)


async def find(db: Queryable, post_ids: Sequence[PostId]) -> list[Post]:
    """Those of these posts that are there, deleted ones included, newest first; early ends by limits.LIST_BYTES."""
    sql = bounded(f"{_SIZED} WHERE p.id = ANY(%s)", _NEWEST_FIRST)
    rows = await db.fetch(sql, (list(post_ids), len(post_ids), 0, limits.LIST_BYTES))
    return [Post(*row) for row in rows]


async def find_flagged(
    db: Queryable, user_id: UserId, *, channel_id: str, team_id: str, offset: int, limit: int
) -> list[Post]:
    """A page of the posts that the user has flagged, newest first: in a channel, in a team and beside it, or in all."""
    condition, values = "", list[str]()
    if channel_id:
        condition, values = " AND p.channel_id = %s", [channel_id]
    elif team_id:
        condition, values = " AND c.team_id IN (%s, '')", [team_id]
    sized = (
        f"{_SIZED} JOIN preferences f ON f.name = p.id JOIN channels c ON c.id = p.channel_id"
        f" WHERE f.user_id = %s AND f.category = '{FLAGGED}' AND p.delete_at = 0{condition}"
    )
    rows = await db.fetch(
        bounded(sized, _NEWEST_FIRST),
        (user_id, *values, limit, offset, limits.LIST_BYTES),
        on=(shards.preferences(user_id),),
        of=_shards,
    )
    return [Post(*row) for row in rows]


async def find_versions(db: Queryable, post_id: PostId) -> list[Version]:
    """What a post said before, the newest first: up to limits.VERSIONS."""
    rows = await db.fetch(f"{_VERSIONS} ORDER BY seq DESC LIMIT %s", (post_id, limits.VERSIONS))
    return [Version(*row) for row in rows]


async def find_version(db: Queryable, post_id: PostId, seq: int) -> Version | None:
    """What a post said until this change of its channel."""
    row = await db.fetch_one(f"{_VERSIONS} AND seq = %s", (post_id, seq))
    return Version(*row) if row else None
