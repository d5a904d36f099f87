"""Reactions to posts: SQL of `reactions`. Written under the lock of the channel's head."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from db.drivers import Row
from db.model import limits, shards
from db.model.entities import Post, Reaction
from db.model.ids import ChannelId, PostId, UserId
from db.model.tables import REACTIONS
from db.order.changes import Place
from db.pool.queryable import Queryable, Transaction

Reactions = Mapping[PostId, Sequence[Reaction]]
"""Of some posts, in the order in which they were given."""


class TooManyEmojis(Exception):
    """A post has as many different emojis as it may have, and this is none of them."""


_NUMBERED = (
    f"SELECT {REACTIONS.names()}, row_number() OVER ("  # noqa: S608 (constants)
    "PARTITION BY post_id ORDER BY create_at, user_id, emoji_name) AS place FROM reactions WHERE post_id = ANY(%s)"
)
_SELECT = (
    f"SELECT {REACTIONS.names()} FROM ({_NUMBERED}) numbered"  # noqa: S608 (a constant)
    " WHERE place > %s AND place <= %s ORDER BY create_at, user_id, emoji_name"
)


async def add(tx: Transaction, place: Place, reaction: Reaction, most_emojis: int) -> Reaction | None:
    """Insert a reaction, given at `place`; the one that is there already, None when it is new. Raises TooManyEmojis."""
    key = (reaction.post_id, reaction.user_id, reaction.emoji_name)
    row = await tx.fetch_one(
        f"SELECT {REACTIONS.names()} FROM reactions"  # noqa: S608 (constants)
        " WHERE post_id = %s AND user_id = %s AND emoji_name = %s",
        key,
    )
    if row is not None:
        return Reaction(*row)
    counted = await tx.fetch_one(
        "SELECT count(DISTINCT emoji_name), count(CASE WHEN emoji_name = %s THEN 1 END) FROM reactions"
        " WHERE post_id = %s",
        (reaction.emoji_name, reaction.post_id),
    )
    if counted is not None and counted[0] >= most_emojis and not counted[1]:
        raise TooManyEmojis(reaction.post_id)
    await tx.execute(REACTIONS.insert, (*key, place.at))
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
    """The first reactions to each of these posts, as far as they have any. by_master: as the master says now."""
    reacted = [post for post in posts if post.has_reactions]
    on = None if by_master else {shards.posts(post.channel_id) for post in reacted}
    rows = await db.fetch(_SELECT, ([post.id for post in reacted], 0, limits.REACTIONS), on=on) if reacted else []
    return _by_post(rows)


async def find_for_list(db: Queryable, posts: Sequence[tuple[PostId, ChannelId]]) -> Reactions:
    """The first reactions to the first of these posts: to so many that they fit into one answer.

    Of posts that are not among those nothing is here, so whoever has filled an answer before them needs nothing.
    """
    if not posts:
        return {}
    ids = [post_id for post_id, _ in posts]
    on = {shards.posts(channel_id) for _, channel_id in posts}
    rows = await db.fetch(f"{_SELECT} LIMIT %s", (ids, 0, limits.REACTIONS, limits.LIST_REACTIONS + 1), on=on)
    if len(rows) > limits.LIST_REACTIONS:
        counted = await db.fetch(
            "SELECT post_id, count(*) FROM reactions WHERE post_id = ANY(%s) GROUP BY post_id", (ids,), on=on
        )
        numbers = {row[0]: min(int(row[1]), limits.REACTIONS) for row in counted}
        before = itertools.accumulate(numbers.get(one, 0) for one in ids)
        fitting = [one for one, number in zip(ids, before, strict=True) if number <= limits.LIST_REACTIONS]
        rows = await db.fetch(_SELECT, (fitting, 0, limits.REACTIONS), on=on)
    return _by_post(rows)


async def find_page(db: Queryable, post: Post, offset: int, limit: int) -> list[Reaction]:
    """A page of the reactions to a post, in the order in which they were given."""
    on = (shards.posts(post.channel_id),)
    rows = await db.fetch(_SELECT, ([post.id], offset, offset + limit), on=on) if post.has_reactions else []
    return [Reaction(*row) for row in rows]


def _by_post(rows: Iterable[Row]) -> Reactions:
    found: dict[PostId, list[Reaction]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(Reaction(*row))
    return found
