"""Posts that change or go: SQL of `posts` and `post_versions`. All of it under the lock of the channel's head."""

from db.model.entities import Post
from db.model.ids import PostId, UserId
from db.model.settings import Dialect
from db.model.tables import POSTS
from db.order.changes import Place
from db.pool.queryable import Transaction

# Whom a post mentions stands in it: so the rows are found by their key. A reply is the root of no post.
_THREAD = "(p.id = %s OR p.root_id = %s AND p.root_id <> '') AND p.mentions <> '[]'"
_SAME = "x.user_id = u.user_id AND x.channel_id = p.channel_id AND x.seq = p.seq"
_FORGET_MENTIONS: dict[Dialect, str] = {
    "postgres": "DELETE FROM post_mentions x USING posts p, json_array_elements_text(p.mentions::json) u (user_id)"  # noqa: S608 (constants)
    f" WHERE {_THREAD} AND {_SAME}",
    "mysql": "DELETE x FROM posts p JOIN JSON_TABLE(p.mentions, '$[*]' COLUMNS (user_id VARCHAR(26) PATH '$')) u"
    f" JOIN post_mentions x ON {_SAME} WHERE {_THREAD}",
}


async def find(tx: Transaction, post_id: PostId) -> Post | None:
    """The post as it is now; None when it is not there or deleted."""
    row = await tx.fetch_one(f"SELECT {POSTS.names()} FROM posts WHERE id = %s AND delete_at = 0", (post_id,))  # noqa: S608
    return Post(*row) if row else None


async def replace(tx: Transaction, before: Post, after: Post, place: Place, by: UserId) -> None:
    """Write what a post says now; keep what it said."""
    await tx.execute(
        "UPDATE posts SET update_at = %s, edit_at = %s, is_pinned = %s, message = %s, props = %s, hashtags = %s"
        " WHERE id = %s",
        (after.update_at, after.edit_at, after.is_pinned, after.message, after.props, after.hashtags, after.id),
    )
    if (before.message, before.props) != (after.message, after.props):
        await _keep(tx, before, place, by)


async def delete(tx: Transaction, post: Post, place: Place, by: UserId) -> None:
    """Mark a post as deleted, a root with its replies; a reply is counted no more. Nobody is mentioned in them now."""
    at = (place.at, place.at)
    await tx.execute(_FORGET_MENTIONS[tx.dialect], (post.id, post.id))
    await tx.execute("UPDATE posts SET delete_at = %s, update_at = %s WHERE id = %s", (*at, post.id))
    await _keep(tx, post, place, by)
    if not post.root_id:
        await tx.execute(
            "UPDATE posts SET delete_at = %s, update_at = %s WHERE root_id = %s AND root_id <> '' AND delete_at = 0",
            (*at, post.id),
        )
        return
    rows = await tx.fetch(
        "SELECT count(*), coalesce(max(create_at), 0) FROM posts"
        " WHERE root_id = %s AND root_id <> '' AND delete_at = 0",
        (post.root_id,),
    )
    await tx.execute(
        "UPDATE posts SET reply_count = %s, last_reply_at = %s, update_at = %s WHERE id = %s",
        (int(rows[0][0]), int(rows[0][1]), place.at, post.root_id),
    )


async def _keep(tx: Transaction, post: Post, place: Place, by: UserId) -> None:
    await tx.execute(
        "INSERT INTO post_versions (post_id, seq, ended_at, ended_by, update_at, edit_at, message, props)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (post.id, place.seq, place.at, by, post.update_at, post.edit_at, post.message, post.props),
    )
