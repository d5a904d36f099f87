"""Posts, and the two statements that write a batch of them: SQL of the tables `posts` and `post_mentions`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from db.drivers import Row, pipeline, postgres
from db.drivers.pipeline import Statement
from db.model import limits, shards
from db.model.entities import Post
from db.model.ids import ChannelId, PostId, UserId
from db.model.numbers import BEFORE
from db.model.tables import POSTS
from db.pool.loader import lookup_by
from db.pool.queryable import Queryable

_SELECT = f"SELECT {POSTS.names()} FROM posts"  # noqa: S608 (a constant)
_ROOTS_ONLY = "AND root_id = ''"
UNCOUNTED = frozenset(
    {"system_join_channel", "system_leave_channel", "system_add_to_channel", "system_remove_from_channel",
     "system_join_team", "system_leave_team", "system_add_to_team", "system_remove_from_team"}
)  # fmt: skip
"""The types of posts that make a channel unread for nobody."""
_SIZED = "SELECT id, seq, update_at, octet_length(message) + octet_length(props) AS size FROM posts"
_P = POSTS.names("p")


def bounded(sized: str, order: str) -> str:
    """The posts that `sized` (a query of _SIZED) chooses, in this order, until their texts take a number of bytes.

    The last parameters are limit, offset and that number. Only what is narrow is sorted and summed up.
    """
    before = f"sum(size) OVER (ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    order_p = ", ".join("p." + column for column in order.split(", "))
    return (
        f"SELECT {_P} FROM (SELECT id, {before} AS before_it"  # noqa: S608 (constants)
        f" FROM ({sized} ORDER BY {order} LIMIT %s OFFSET %s) chosen) summed"
        f" JOIN posts p ON p.id = summed.id WHERE coalesce(before_it, 0) < %s ORDER BY {order_p}"
    )


@dataclass(frozen=True)
class NewPost:
    """A post to be written. The channel's head gives it its `seq` and time.

    mentions: ids of the mentioned users. counts: whether it makes the channel unread (join and leave messages do
    not). member_required: the author must be a member of the channel at the moment of the write. root_id: '', or a
    root of the channel, which must not be deleted then.
    """

    id: PostId
    channel_id: ChannelId
    user_id: UserId
    root_id: str
    message: str
    type: str
    props: str
    hashtags: str
    mentions: tuple[UserId, ...]
    pending_post_id: str | None
    counts: bool
    member_required: bool

    @property
    def key(self) -> tuple[str, str] | None:
        """The idempotency key, or None when the client gave none."""
        return (self.user_id, self.pending_post_id) if self.pending_post_id else None


@dataclass(frozen=True)
class Written:
    """What the database made of a `NewPost`.

    created: False when a post with the same idempotency key was there before; then `id` is that post's.
    """

    id: PostId
    seq: int
    create_at: int
    created: bool


# A batch is one transaction of two statements. Between them a new snapshot is taken, so that the second sees all
# that was committed before the first got its locks.
LOCK, WRITE, POSITION = "lock_heads", "write_posts", "position"
_LOCK_SQL = "SELECT channel_id FROM channel_heads WHERE channel_id = ANY($1) ORDER BY channel_id FOR NO KEY UPDATE"
# known:  the same idempotency key, or the same id (an earlier try of ours whose answer was lost)
# Of a root only the id stands in a WHERE: the planner is to have no other index to choose.
# placed: the new ones with their place. now = GREATEST(clock, last change + 1 ms): times in a channel only grow.
_WRITE_SQL = f"""
WITH input AS (
    SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::bool[], $13::bool[])
        AS i (n, id, channel_id, user_id, root_id, message, type, props, hashtags, mentions, pending_post_id,
              counts, member_required)
), known AS (
    SELECT i.n, p.id, p.seq, p.create_at FROM input i
        JOIN posts p ON p.user_id = i.user_id AND p.pending_post_id = i.pending_post_id
    UNION
    SELECT i.n, p.id, p.seq, p.create_at FROM input i JOIN posts p ON p.id = i.id
), placed AS (
    SELECT i.*, greatest(h.seq, clock.before) + row_number() OVER earlier AS seq,
        greatest((extract(epoch FROM clock.now) * 1000)::bigint, h.last_update_at + 1)
            + row_number() OVER earlier - 1 AS create_at,
        h.total_msg_count + count(*) FILTER (WHERE i.counts) OVER earlier AS total,
        h.total_msg_count_root + count(*) FILTER (WHERE i.counts AND i.root_id = '') OVER earlier AS total_root
    FROM input i
        JOIN channels c ON c.id = i.channel_id AND c.delete_at = 0
        JOIN channel_heads h ON h.channel_id = i.channel_id
        CROSS JOIN (SELECT clock_timestamp() AS now, {BEFORE["postgres"]} AS before OFFSET 0) clock
    WHERE NOT EXISTS (SELECT FROM known k WHERE k.n = i.n)
        AND (NOT i.member_required OR EXISTS (
            SELECT FROM channel_members m WHERE m.channel_id = i.channel_id AND m.user_id = i.user_id))
        AND (i.root_id = '' OR (
            SELECT r.delete_at = 0 AND r.root_id = '' AND r.channel_id = i.channel_id FROM posts r
            WHERE r.id = i.root_id))
    WINDOW earlier AS (PARTITION BY i.channel_id ORDER BY i.n)
), written AS (
    INSERT INTO posts (id, channel_id, seq, create_at, update_at, user_id, root_id, message, type, props, hashtags,
                       mentions, pending_post_id)
    SELECT id, channel_id, seq, create_at, create_at, user_id, root_id, message, type, props, hashtags, mentions,
           pending_post_id FROM placed
), heads AS (
    UPDATE channel_heads h SET seq = last.seq, last_post_at = last.create_at, last_update_at = last.create_at,
        total_msg_count = last.total, total_msg_count_root = last.total_root, changed_xid = pg_current_xact_id()
    FROM (SELECT DISTINCT ON (channel_id) * FROM placed ORDER BY channel_id, seq DESC) last
    WHERE h.channel_id = last.channel_id
), viewed AS (
    UPDATE channel_members m SET viewed_seq = last.seq, last_viewed_at = last.create_at, msg_count = last.total,
        msg_count_root = last.total_root
    FROM (SELECT DISTINCT ON (channel_id, user_id) * FROM placed ORDER BY channel_id, user_id, seq DESC) last
    WHERE m.channel_id = last.channel_id AND m.user_id = last.user_id
), roots AS (
    UPDATE posts r SET reply_count = r.reply_count + replies.number, last_reply_at = replies.newest,
        update_at = replies.newest
    FROM (SELECT root_id, count(*) AS number, max(create_at) AS newest FROM placed WHERE root_id <> ''
          GROUP BY root_id) replies
    WHERE r.id = replies.root_id
), mentioned AS (
    INSERT INTO post_mentions (user_id, channel_id, seq, is_root)
    SELECT DISTINCT user_id, channel_id, seq, root_id = '' FROM (
        SELECT json_array_elements_text(mentions::json) AS user_id, channel_id, seq, root_id
        FROM placed WHERE mentions <> '[]') each
)
SELECT n, id, seq, create_at, TRUE FROM placed UNION ALL SELECT n, id, seq, create_at, FALSE FROM known
"""  # noqa: S608 (constants)
STATEMENTS = {
    LOCK: Statement(_LOCK_SQL, (pipeline.TEXT_ARRAY_OID,)),
    POSITION: Statement(postgres.POSITION_SQL),
    WRITE: Statement(
        _WRITE_SQL,
        (
            pipeline.INT4_ARRAY_OID,
            *[pipeline.TEXT_ARRAY_OID] * 10,
            pipeline.BOOL_ARRAY_OID,
            pipeline.BOOL_ARRAY_OID,
        ),
    ),
}


def batch_calls(batch: Sequence[NewPost]) -> list[tuple[str, list[bytes]]]:
    """The calls of `STATEMENTS` that write `batch`, with their parameters."""
    text = pipeline.text_array
    return [
        (LOCK, [text(sorted({post.channel_id for post in batch}))]),
        (
            WRITE,
            [
                pipeline.int4_array(range(len(batch))),
                text([post.id for post in batch]),
                text([post.channel_id for post in batch]),
                text([post.user_id for post in batch]),
                text([post.root_id for post in batch]),
                text([post.message for post in batch]),
                text([post.type for post in batch]),
                text([post.props for post in batch]),
                text([post.hashtags for post in batch]),
                text([mentions_json(post.mentions) for post in batch]),
                text([post.pending_post_id for post in batch]),
                pipeline.bool_array([post.counts for post in batch]),
                pipeline.bool_array([post.member_required for post in batch]),
            ],
        ),
    ]


def changed(batch: Iterable[NewPost]) -> set[shards.Shard]:
    """What writing these posts changes."""
    found = set()
    for post in batch:
        found.add(shards.posts(post.channel_id))
        found.add(shards.viewed(post.channel_id, post.user_id))
    return found


def batch_results(rows: Iterable[Row], size: int) -> list[Written | None]:
    """What the rows of WRITE say of each post of the batch; None: refused (channel or root gone, author no member)."""
    results: list[Written | None] = [None] * size
    for n, post_id, seq, create_at, created in rows:
        results[n] = Written(PostId(post_id), seq, create_at, created)
    return results


def mentions_json(mentions: Sequence[UserId]) -> str:
    """Ids as a JSON array (they need no escaping)."""
    return '["' + '","'.join(mentions) + '"]' if mentions else "[]"


def _shards(row: Row) -> tuple[shards.Shard]:
    return (shards.posts(row[1]),)


_BY_ID = lookup_by("post", columns=POSTS.names(), source="posts", key="id", of=_shards)


async def find(db: Queryable, post_id: PostId) -> Post | None:
    """The post of this id, deleted ones included."""
    row = await db.load(_BY_ID, (post_id,))
    return Post(*row) if row else None


async def find_many(db: Queryable, post_ids: Sequence[PostId]) -> list[Post]:
    """Those of these posts that are there, deleted ones included, as the master says."""
    rows = await db.fetch(f"{_SELECT} WHERE id = ANY(%s)", (list(post_ids),)) if post_ids else []
    return [Post(*row) for row in rows]


async def find_places(db: Queryable, post_ids: Sequence[PostId]) -> list[tuple[PostId, ChannelId, bool]]:
    """(id, channel, whether reactions are to be seen) of those of these posts that are there, as the master says."""
    rows = await db.fetch(
        "SELECT id, channel_id, has_reactions AND delete_at = 0 FROM posts WHERE id = ANY(%s)", (list(post_ids),)
    )
    return [(row[0], row[1], bool(row[2])) for row in rows]


def _kept(roots_only: bool, deleted: bool) -> str:
    """The conditions of a list: only roots, only what is not deleted."""
    return f"{'TRUE' if deleted else 'delete_at = 0'} {_ROOTS_ONLY if roots_only else ''}"


async def find_page(
    db: Queryable, channel_id: ChannelId, *, offset: int, limit: int, roots_only: bool, deleted: bool = False
) -> list[Post]:
    """A page of the channel's posts, newest first. As all lists here it may end early, by limits.LIST_BYTES."""
    return await _find_run(db, channel_id, _kept(roots_only, deleted), (), "seq DESC", limit, offset)


async def find_since(
    db: Queryable, channel_id: ChannelId, since_ms: int, *, limit: int, roots_only: bool
) -> tuple[list[Post], bool]:
    """Posts that were created, changed or deleted after `since_ms`, newest first, and whether these are not all.

    Then they are the newest posts of those, so that all others are older than the last one here.
    """
    condition = f"update_at > %s {_ROOTS_ONLY if roots_only else ''}"
    found = await _find_run(db, channel_id, condition, (since_ms,), "update_at DESC, seq DESC", limit)
    if len(found) < limit and sum(len((one.message + one.props).encode()) for one in found) < limits.LIST_BYTES:
        return sorted(found, key=lambda post: -post.seq), False
    return await _find_run(db, channel_id, condition, (since_ms,), "seq DESC", limit), True


async def find_before(
    db: Queryable,
    channel_id: ChannelId,
    seq: int,
    *,
    offset: int,
    limit: int,
    roots_only: bool,
    deleted: bool = False,
) -> list[Post]:
    """Up to `limit` posts older than `seq`, newest first, after leaving out the `offset` nearest."""
    condition = f"seq < %s AND {_kept(roots_only, deleted)}"
    return await _find_run(db, channel_id, condition, (seq,), "seq DESC", limit, offset)


async def find_after(
    db: Queryable,
    channel_id: ChannelId,
    seq: int,
    *,
    offset: int,
    limit: int,
    roots_only: bool,
    deleted: bool = False,
) -> list[Post]:
    """Up to `limit` posts newer than `seq`, newest first, after leaving out the `offset` nearest."""
    condition = f"seq > %s AND {_kept(roots_only, deleted)}"
    return (await _find_run(db, channel_id, condition, (seq,), "seq", limit, offset))[::-1]


async def _find_run(
    db: Queryable,
    channel_id: ChannelId,
    condition: str,
    parameters: tuple[int, ...],
    order: str,
    limit: int,
    offset: int = 0,
) -> list[Post]:
    sql = bounded(f"{_SIZED} WHERE channel_id = %s AND {condition}", order)
    values = (channel_id, *parameters, limit, offset, limits.LIST_BYTES)
    rows = await db.fetch(sql, values, on=(shards.posts(channel_id),))
    return [Post(*row) for row in rows]


async def find_range(db: Queryable, channel_id: ChannelId, after: int, upto: int, limit: int) -> list[Post]:
    """Up to `limit` posts with numbers beyond `after` up to `upto`, oldest first, as the master says."""
    rows = await db.fetch(
        f"{_SELECT} WHERE channel_id = %s AND seq > %s AND seq <= %s AND delete_at = 0 ORDER BY seq LIMIT %s",
        (channel_id, after, upto, limit),
    )
    return [Post(*row) for row in rows]


async def find_pinned(db: Queryable, channel_id: ChannelId, *, after: int, limit: int) -> list[Post]:
    """Up to `limit` of the channel's pinned posts newer than the number `after`, oldest first."""
    return await _find_run(db, channel_id, "is_pinned AND delete_at = 0 AND seq > %s", (after,), "seq", limit)


async def find_threads(db: Queryable, posts: Sequence[Post], *, replies: bool, deleted: bool = False) -> list[Post]:
    """The roots of these posts that are not among them and, with `replies`, the newest other posts of their threads."""
    here = {post.id for post in posts}
    on = {shards.posts(post.channel_id) for post in posts}
    missing = {post.root_id for post in posts if post.root_id} - here
    touched = {post.root_id or post.id for post in posts if post.root_id or post.reply_count}
    found: list[Post] = []
    for wanted, condition, limit in (
        (missing, "id = ANY(%s)", len(missing)),
        (touched if replies else (), "root_id = ANY(%s) AND root_id <> ''", limits.REPLIES_ALONG + len(here)),
    ):
        if wanted:
            sql = bounded(f"{_SIZED} WHERE {condition} AND {_kept(False, deleted)}", "seq DESC")
            rows = await db.fetch(sql, (list(wanted), limit, 0, limits.LIST_BYTES), on=on)
            others = [post for post in (Post(*row) for row in rows) if post.id not in here]
            found += others[: max(len(missing), limits.REPLIES_ALONG)]
    return found


async def find_replies(
    db: Queryable,
    root: Post,
    *,
    beyond: tuple[str, int] | None,
    newest_first: bool,
    limit: int,
    deleted: bool = False,
) -> list[Post]:
    """Up to `limit` replies. beyond: `seq`, `create_at` or `update_at`, and the value after which they begin.

    They are in that order.
    """
    column, value = beyond or ("seq", 2**63 - 1 if newest_first else -1)
    assert column in ("seq", "create_at", "update_at")
    columns = ("update_at", "seq") if column == "update_at" else ("seq",)
    order = ", ".join(f"{one} DESC" if newest_first else one for one in columns)
    later = f"AND {column} {'<' if newest_first else '>'} %s"
    sql = bounded(f"{_SIZED} WHERE root_id = %s AND root_id <> '' AND {_kept(False, deleted)} {later}", order)
    on = (shards.posts(root.channel_id),)
    rows = await db.fetch(sql, (root.id, value, limit, 0, limits.LIST_BYTES), on=on)
    return [Post(*row) for row in rows]


async def find_neighbour_ids(
    db: Queryable,
    channel_id: ChannelId,
    newest_seq: int,
    oldest_seq: int,
    *,
    roots_only: bool = False,
    deleted: bool = False,
) -> tuple[str, str]:
    """Ids of the post after `newest_seq` and of the post before `oldest_seq`; '' where there is none."""
    kept = _kept(roots_only, deleted)
    row = await db.fetch_one(
        f"SELECT (SELECT id FROM posts WHERE channel_id = %s AND seq > %s AND {kept} ORDER BY seq LIMIT 1),"  # noqa: S608
        f" (SELECT id FROM posts WHERE channel_id = %s AND seq < %s AND {kept} ORDER BY seq DESC LIMIT 1)",
        (channel_id, newest_seq, channel_id, oldest_seq),
        on=(shards.posts(channel_id),),
    )
    return (row[0] or "", row[1] or "") if row else ("", "")


async def find_participants(db: Queryable, root_ids: Sequence[PostId]) -> dict[str, list[UserId]]:
    """Authors of the replies of each thread, latest reply first (collapsed threads): up to limits.PARTICIPANTS."""
    rows = await db.fetch(
        "SELECT root_id, user_id FROM (SELECT root_id, user_id, max(seq) AS latest,"
        " row_number() OVER (PARTITION BY root_id ORDER BY max(seq) DESC) AS place FROM posts"
        " WHERE root_id = ANY(%s) AND root_id <> '' AND delete_at = 0 GROUP BY root_id, user_id) placed"
        " WHERE place <= %s ORDER BY latest DESC",
        (list(root_ids), limits.PARTICIPANTS),
    )
    found: dict[str, list[UserId]] = {}
    for root_id, user_id in rows:
        found.setdefault(root_id, []).append(user_id)
    return found
