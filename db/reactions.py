"""Reactions to posts: SQL of `reactions`. Written under the lock of the channel's head."""

from collections.abc import Iterable, Mapping, Sequence

from db import shards
from db.changes import Place
from db.entities import Post, Reaction
from db.ids import PostId, UserId
from db.queryable import Queryable, Transaction

Reactions = Mapping[PostId, Sequence[Reaction]]
"""Of some posts, in the order in which they were given."""


async def add(tx: Transaction, place: Place, reaction: Reaction) -> Reaction | None:
    """Insert a reaction, given at `place`; the one that is there already, None when it is new."""
    key = (reaction.post_id, reaction.user_id, reaction.emoji_name)
    row = await tx.fetch_one(
        "SELECT post_id, user_id, emoji_name, create_at FROM reactions"
        " WHERE post_id = %s AND user_id = %s AND emoji_name = %s",
        key,
    )
    if row is not None:
        return Reaction(*row)
    await tx.execute(
        "INSERT INTO reactions (post_id, user_id, emoji_name, create_at) VALUES (%s, %s, %s, %s)",
        (*key, place.at),
    )
    await tx.execute(
        "UPDATE posts SET has_reactions = TRUE, update_at = %s WHERE id = %s", (place.at, reaction.post_id)
    )
    return None


async def remove(tx: Transaction, place: Place, post_id: PostId, user_id: UserId, emoji_name: str) -> bool:
    """Delete a reaction; whether there was one."""
    gone = await tx.execute(
        "DELETE FROM reactions WHERE post_id = %s AND user_id = %s AND emoji_name = %s", (post_id, user_id, emoji_name)
    )
    if not gone:
        return False
    others = await tx.fetch("SELECT 1 FROM reactions WHERE post_id = %s LIMIT 1", (post_id,))
    await tx.execute(
        "UPDATE posts SET has_reactions = %s, update_at = %s WHERE id = %s", (bool(others), place.at, post_id)
    )
    return True


async def find(db: Queryable, posts: Iterable[Post], *, by_master: bool = False) -> Reactions:
    """The reactions to these posts, as far as they have any. by_master: as the master says now."""
    reacted = [post for post in posts if post.has_reactions]
    if not reacted:
        return {}
    rows = await db.fetch(
        "SELECT post_id, user_id, emoji_name, create_at FROM reactions WHERE post_id = ANY(%s) ORDER BY create_at",
        ([post.id for post in reacted],),
        on=None if by_master else {shards.posts(post.channel_id) for post in reacted},
    )
    found: dict[PostId, list[Reaction]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(Reaction(*row))
    return found
