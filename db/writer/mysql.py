"""Writing a batch of posts on MySQL: one transaction, two sends. It stands for the statement of `db/sql/posts.py`.

    1. BEGIN; lock the heads in order; which channels are open; who is a member; which posts are known; the clock; which
       roots live
    2. posts, heads, authors' views, roots, mentions; COMMIT

Numbers and times are given out here, between the two, under the heads' locks.
"""

# ruff: noqa: S608 (every value goes through `literal`)

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from db.drivers import Row
from db.drivers.mysql import position_of, position_sql, read_dsn
from db.drivers.mysql_connection import MySQLConnection
from db.drivers.mysql_tables import NOW_MS
from db.drivers.mysql_text import literal, values
from db.model.ids import PostId
from db.model.numbers import BEFORE
from db.pool.generation import Generation
from db.pool.pool import Database
from db.sql.posts import NewPost, Written, mentions_json
from db.writer.outcome import LOCK_WAIT_S, Landed, landed


@dataclass
class _Head:
    """What a channel's head becomes."""

    seq: int
    last_at: int
    total: int
    total_root: int


@dataclass
class _Plan:
    """Rows to be written, by table."""

    posts: list[tuple[object, ...]] = field(default_factory=list)
    heads: dict[str, _Head] = field(default_factory=dict)
    viewed: dict[tuple[str, str], tuple[int, int, int, int]] = field(default_factory=dict)
    replies: dict[str, tuple[int, int]] = field(default_factory=dict)
    mentions: list[tuple[object, ...]] = field(default_factory=list)


class MySQLBatchConnection:
    """A `BatchConnection`."""

    def __init__(self, connection: MySQLConnection, database: Database, generation: Generation) -> None:
        self._connection = connection
        self._database = database
        self._generation = generation

    @classmethod
    async def open(cls, database: Database) -> "MySQLBatchConnection":
        """Connect to the master of now. Raises Unavailable when it must not be used."""
        generation = database.current()
        settings = generation.settings
        connection = await MySQLConnection.open(read_dsn(settings.dsn), settings, multi_statements=True)
        try:
            facts = await generation.driver.facts(connection)
            database.check(facts)
            connection.met(facts)
            await connection.run_all([f"SET innodb_lock_wait_timeout = {LOCK_WAIT_S}"])
        except BaseException:
            connection.close()
            raise
        self = cls(connection, database, generation)
        database.attach(self)
        return self

    @property
    def closed(self) -> bool:
        """See `BatchConnection`: also once the pool was recycled, or the server has closed an idle connection."""
        if self._database.current() is self._generation and self._connection.is_alive():
            return False
        self._connection.close()
        return True

    async def write(self, batch: Sequence[NewPost]) -> Landed:
        """See `BatchConnection`."""
        await self._database.writable()
        then = [position_sql(self._connection)] if self._database.wants_position else []
        try:
            begin = self._connection.begin
            answers = await self._connection.run_all([*begin, *_questions(batch)])
            heads, open_channels, members, known, clock, *roots = answers[len(begin) :]
            plan, results = _place(batch, heads, open_channels, members, known, clock[0][0], *roots)
            answers = await self._connection.run_all([*_changes(plan), "COMMIT", *self._connection.end, *then])
            await self._database.confirm(self._connection)
        except BaseException:
            await self._connection.roll_back()
            raise
        position = position_of(answers[-1][0]) if then else None
        return landed(self._database, self._connection.term, batch, results, position)

    def close(self) -> None:
        """See `BatchConnection`."""
        self._connection.close()


def _questions(batch: Sequence[NewPost]) -> list[str]:
    channels = ", ".join(literal(channel_id) for channel_id in sorted({post.channel_id for post in batch}))
    authors = " OR ".join(
        f"channel_id = {literal(channel_id)} AND user_id = {literal(user_id)}"
        for channel_id, user_id in sorted({(post.channel_id, post.user_id) for post in batch})
    )
    ids = ", ".join(literal(post.id) for post in batch)
    posts = f"SELECT id, user_id, pending_post_id, seq, create_at FROM posts WHERE id IN ({ids})"
    keys = " OR ".join(
        f"user_id = {literal(post.user_id)} AND pending_post_id = {literal(post.pending_post_id)}"
        for post in batch
        if post.pending_post_id is not None
    )
    if keys:
        posts += f" UNION ALL SELECT id, user_id, pending_post_id, seq, create_at FROM posts WHERE {keys}"
    roots = ", ".join(literal(root_id) for root_id in sorted({post.root_id for post in batch if post.root_id}))
    living = f"SELECT id, channel_id FROM posts WHERE id IN ({roots}) AND root_id = '' AND delete_at = 0"
    return [
        f"SELECT channel_id, greatest(seq, {BEFORE['mysql']}), last_update_at, total_msg_count, total_msg_count_root"
        f" FROM channel_heads WHERE channel_id IN ({channels}) ORDER BY channel_id FOR UPDATE",
        f"SELECT id FROM channels WHERE id IN ({channels}) AND delete_at = 0",
        f"SELECT channel_id, user_id FROM channel_members WHERE {authors}",
        posts,
        f"SELECT {NOW_MS}",
        *([living] if roots else []),
    ]


def _place(
    batch: Sequence[NewPost],
    heads: Iterable[Row],
    open_channels: Iterable[Row],
    members: Iterable[Row],
    known: Sequence[Row],
    now_ms: int,
    roots: Iterable[Row] = (),
) -> tuple[_Plan, list[Written | None]]:
    """Give the new posts their numbers and times, in the order of the batch. Times in a channel only grow."""
    there = {row[0] for row in open_channels}
    belongs = {(row[0], row[1]) for row in members}
    living = {(row[0], row[1]) for row in roots}
    by_id = {row[0]: row for row in known}
    by_key = {(row[1], row[2]): row for row in known if row[2] is not None}
    head_of = {
        channel_id: _Head(seq, max(now_ms - 1, last_at), total, total_root)
        for channel_id, seq, last_at, total, total_root in heads
        if channel_id in there
    }
    plan = _Plan()
    results: list[Written | None] = []
    for post in batch:
        row = by_key.get((post.user_id, post.pending_post_id)) or by_id.get(post.id)
        if row is not None:
            results.append(Written(PostId(row[0]), row[3], row[4], created=False))
            continue
        head = head_of.get(post.channel_id)
        if (
            head is None
            or (post.member_required and (post.channel_id, post.user_id) not in belongs)
            or (post.root_id and (post.root_id, post.channel_id) not in living)
        ):
            results.append(None)
            continue
        head.seq += 1
        head.last_at += 1
        head.total += post.counts
        head.total_root += post.counts and not post.root_id
        _add(plan, post, head)
        results.append(Written(post.id, head.seq, head.last_at, created=True))
    return plan, results


def _add(plan: _Plan, post: NewPost, head: _Head) -> None:
    at = head.last_at
    plan.posts.append(
        (post.id, post.channel_id, head.seq, at, at, post.user_id, post.root_id, post.message, post.type, post.props,
         post.hashtags, mentions_json(post.mentions), post.pending_post_id)
    )  # fmt: skip
    plan.heads[post.channel_id] = head
    plan.viewed[post.channel_id, post.user_id] = (head.seq, at, head.total, head.total_root)
    if post.root_id:
        plan.replies[post.root_id] = (plan.replies.get(post.root_id, (0, 0))[0] + 1, at)
    for user_id in sorted(set(post.mentions)):
        plan.mentions.append((user_id, post.channel_id, head.seq, not post.root_id))


def _changes(plan: _Plan) -> list[str]:
    if not plan.posts:
        return []
    heads = values(
        (channel_id, head.seq, head.last_at, head.last_at, head.total, head.total_root, head.last_at)
        for channel_id, head in sorted(plan.heads.items())
    )
    viewed = _table(
        ("channel_id", "user_id", "seq", "at", "total", "total_root"),
        ((*key, *row) for key, row in sorted(plan.viewed.items())),
    )
    changes = [
        "INSERT INTO posts (id, channel_id, seq, create_at, update_at, user_id, root_id, message, type, props,"
        f" hashtags, mentions, pending_post_id) VALUES {values(plan.posts)}",
        # All heads are there, and locked: only the second half ever runs.
        "INSERT INTO channel_heads (channel_id, seq, last_post_at, last_update_at, total_msg_count,"
        f" total_msg_count_root, changed_at) VALUES {heads} ON DUPLICATE KEY UPDATE seq = VALUES(seq),"
        " last_post_at = VALUES(last_post_at), last_update_at = VALUES(last_update_at),"
        " total_msg_count = VALUES(total_msg_count), total_msg_count_root = VALUES(total_msg_count_root),"
        " changed_at = VALUES(changed_at)",
        f"UPDATE {viewed} v JOIN channel_members m ON m.channel_id = v.channel_id AND m.user_id = v.user_id"
        " SET m.viewed_seq = v.seq, m.last_viewed_at = v.at, m.msg_count = v.total, m.msg_count_root = v.total_root",
    ]
    if plan.replies:
        replies = _table(("root_id", "number", "newest"), ((key, *row) for key, row in sorted(plan.replies.items())))
        changes.append(
            f"UPDATE {replies} n JOIN posts r ON r.id = n.root_id SET r.reply_count = r.reply_count + n.number,"
            " r.last_reply_at = n.newest, r.update_at = n.newest"
        )
    if plan.mentions:
        changes.append(f"INSERT INTO post_mentions (user_id, channel_id, seq, is_root) VALUES {values(plan.mentions)}")
    return changes


def _table(columns: Sequence[str], rows: Iterable[tuple[object, ...]]) -> str:
    """These rows as a table inside a statement."""
    first, *rest = [[literal(value) for value in row] for row in rows]
    named = ", ".join(f"{value} AS {column}" for value, column in zip(first, columns, strict=True))
    return "(SELECT " + " UNION ALL SELECT ".join([named, *map(", ".join, rest)]) + ")"
