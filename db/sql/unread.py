"""How far a member has read, set back: SQL of `channel_members` and `post_mentions`.

A member's counts are differences to those of the channel's head (decision 0007), which never go back: what was deleted,
and what makes nothing unread, is counted here by looking at the posts.
"""

from dataclasses import dataclass

from db.model import limits, shards
from db.model.entities import Post
from db.model.ids import UserId
from db.model.settings import Dialect
from db.order.changes import Place
from db.pool.queryable import Transaction
from db.sql.posts import UNCOUNTED

_TYPES = ", ".join(f"'{one}'" for one in sorted(UNCOUNTED))
_FROM_POST = (
    "(SELECT seq, root_id, type, mentions FROM posts WHERE channel_id = %s AND seq >= %s AND delete_at = 0"
    " ORDER BY seq LIMIT %s) p"
)
_NAMED = f"SELECT %s, %s, seq, root_id = '' FROM {_FROM_POST} WHERE mentions LIKE %s"  # noqa: S608 (constants)
_REMEMBER: dict[Dialect, str] = {
    "postgres": f"INSERT INTO post_mentions (user_id, channel_id, seq, is_root) {_NAMED} ON CONFLICT DO NOTHING",
    "mysql": f"INSERT IGNORE INTO post_mentions (user_id, channel_id, seq, is_root) {_NAMED}",
}


@dataclass(frozen=True)
class Unread:
    """How far a member has read, and what is unread: as in `ChannelMember`."""

    last_viewed_at: int
    msg_count: int
    msg_count_root: int
    mention_count: int
    mention_count_root: int


async def set_from(tx: Transaction, place: Place, post: Post, user_id: UserId) -> Unread | None:
    """The user has read all before this post and nothing since; None when they are no member of its channel.

    place: of the post's channel, whose number is not used up: no post comes or goes meanwhile. Of what comes after the
    post limits.UNREAD_POSTS are looked at: so many are counted at most.
    """
    channel_id = place.channel_id
    head = await tx.fetch_one(
        "SELECT h.total_msg_count, h.total_msg_count_root FROM channel_heads h JOIN channel_members m"
        " ON m.channel_id = h.channel_id AND m.user_id = %s WHERE h.channel_id = %s",
        (user_id, channel_id),
    )
    run = (channel_id, post.seq, limits.UNREAD_POSTS)
    counted = await tx.fetch_one(
        f"SELECT count(*), coalesce(sum(CASE WHEN root_id = '' THEN 1 ELSE 0 END), 0) FROM {_FROM_POST}"  # noqa: S608
        f" WHERE type NOT IN ({_TYPES})",
        run,
    )
    if head is None or counted is None:
        return None
    viewed_at, read, read_root = post.create_at - 1, head[0] - int(counted[0]), head[1] - int(counted[1])
    await tx.execute(
        "UPDATE channel_members SET viewed_seq = %s, last_viewed_at = %s, msg_count = %s, msg_count_root = %s"
        " WHERE channel_id = %s AND user_id = %s",
        (post.seq - 1, viewed_at, read, read_root, channel_id, user_id),
        changes=(shards.viewed(channel_id, user_id),),
    )
    await tx.execute(_REMEMBER[tx.dialect], (user_id, channel_id, *run, f'%"{user_id}"%'))
    mentions = await tx.fetch_one(
        "SELECT count(*), coalesce(sum(CASE WHEN is_root THEN 1 ELSE 0 END), 0) FROM post_mentions"
        " WHERE user_id = %s AND channel_id = %s AND seq >= %s",
        (user_id, channel_id, post.seq),
    )
    number, roots = mentions or (0, 0)
    return Unread(viewed_at, read, read_root, int(number), int(roots))
