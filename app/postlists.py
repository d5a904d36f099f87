"""The lists of posts that clients ask for, as they are sent."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from app import errors
from app.errors import AppError
from app.events import wire
from db.model import limits
from db.model.entities import Post
from db.model.ids import ChannelId, PostId, UserId, is_id
from db.pool.queryable import Queryable
from db.sql import channels, posts, reactions


@dataclass(frozen=True)
class PostList:
    """A list as clients get it: `order` newest first; `posts` by id, encoded, also those that are not in the order.

    has_next: whether it was cut short by its size; None where that is not said.
    """

    order: list[PostId] = field(default_factory=list)
    posts: dict[PostId, msgspec.Raw] = field(default_factory=dict)
    next_post_id: str = ""
    prev_post_id: str = ""
    has_next: bool | None = None

    def json(self) -> wire.Json:
        """Mattermost's PostList."""
        found: wire.Json = {
            "order": self.order,
            "posts": self.posts,
            "next_post_id": self.next_post_id,
            "prev_post_id": self.prev_post_id,
        }
        return found if self.has_next is None else {**found, "has_next": self.has_next}


@dataclass(frozen=True)
class Threads:
    """How lists treat threads. collapsed: only roots in the order. skip: no other posts of the threads.

    deleted: deleted posts stand in their places, too (`app/posts.py` says for whom).
    """

    collapsed: bool = False
    skip: bool = False
    deleted: bool = False

    @property
    def replies(self) -> bool:
        """Whether the other posts of the threads come along."""
        return not self.skip and not self.collapsed


class _Parcel:
    """Encoded posts, until they take limits.LIST_BYTES; the first one always fits."""

    def __init__(self, db: Queryable, threads: Threads) -> None:
        self._db = db
        self._threads = threads
        self._room = limits.LIST_BYTES - 200
        self.posts: dict[PostId, msgspec.Raw] = {}

    async def add(self, wanted: Sequence[Post]) -> list[Post]:
        """Put in posts, the most important first; those that fitted."""
        given = await reactions.find_for_list(
            self._db, [(one.id, one.channel_id) for one in wanted if one.has_reactions]
        )
        participants = await self._participants(wanted)
        for number, post in enumerate(wanted):
            shown = wire.post(
                post, participants.get(post.id), given.get(post.id, ()), with_deleted=self._threads.deleted
            )
            encoded = wire.encode(shown)
            self._room -= len(encoded) + 2 * len(post.id) + 8
            if self._room < 0 and self.posts:
                self._room = 0  # nothing else, so that no hole is left
                return list(wanted[:number])
            self.posts[post.id] = msgspec.Raw(encoded)
        return list(wanted)

    async def _participants(self, wanted: Sequence[Post]) -> dict[str, list[UserId]]:
        roots = [post.id for post in wanted if post.reply_count]
        if not self._threads.collapsed or not roots:
            return {}
        return await posts.find_participants(self._db, roots)


async def page(db: Queryable, channel_id: ChannelId, *, page: int, per_page: int, threads: Threads) -> PostList:
    """The page-th newest `per_page` posts."""
    found = await posts.find_page(
        db,
        channel_id,
        offset=page * per_page,
        limit=per_page,
        roots_only=threads.collapsed,
        deleted=threads.deleted,
    )
    return await _complete(db, channel_id, found, threads)


async def since(db: Queryable, channel_id: ChannelId, since_ms: int, threads: Threads) -> PostList:
    """What was created, changed or deleted after `since_ms`: at most limits.SINCE_POSTS, the newest posts of those.

    When there are more, `has_next` says so and `prev_post_id` names the next older post, so that a client can page on.
    """
    roots = threads.collapsed
    found, cut = await posts.find_since(db, channel_id, since_ms, limit=limits.SINCE_POSTS, roots_only=roots)
    return await _complete(db, channel_id, found, threads, cut=cut, neighbours=False)


async def pinned(db: Queryable, channel_id: ChannelId, after: str) -> PostList:
    """Pinned posts, in Mattermost's order: oldest first. When there are more, `next_post_id` names the next one.

    after: begin after this pinned post. Raises 400 when it is not in the channel.
    """
    anchor = await _anchor(db, channel_id, after, "after") if after else None
    limit = limits.PINNED_POSTS
    found = await posts.find_pinned(db, channel_id, after=anchor.seq if anchor else -1, limit=limit + 1)
    parcel = _Parcel(db, Threads())
    kept = await parcel.add(found[:limit])
    more = await posts.find_pinned(db, channel_id, after=kept[-1].seq, limit=1) if kept else []
    next_id = more[0].id if more else ""
    return PostList([one.id for one in kept], parcel.posts, next_id, has_next=True if more else None)


async def chosen(db: Queryable, found: Sequence[Post]) -> PostList:
    """These posts, in this order, as far as they fit."""
    parcel = _Parcel(db, Threads())
    return PostList([one.id for one in await parcel.add(found)], parcel.posts)


async def beside(
    db: Queryable, channel_id: ChannelId, *, before: str, after: str, page: int, per_page: int, threads: Threads
) -> PostList:
    """A page of posts before or after a post. Raises 400 when that post is not in the channel."""
    anchor = await _anchor(db, channel_id, before or after, "before" if before else "after")
    find = posts.find_before if before else posts.find_after
    found = await find(
        db,
        channel_id,
        anchor.seq,
        offset=page * per_page,
        limit=per_page,
        roots_only=threads.collapsed,
        deleted=threads.deleted,
    )
    if not found and page == 0:
        return PostList(next_post_id=before, prev_post_id=after)
    return await _complete(db, channel_id, found, threads, upwards=not before)


async def around_unread(
    db: Queryable, user_id: UserId, channel_id: ChannelId, *, limit_before: int, limit_after: int, threads: Threads
) -> PostList:
    """Posts around the first one the user has not read; the newest `limit_before` when all is read."""
    member = await channels.find_member(db, channel_id, user_id)
    if member is None:
        raise AppError("app.channel.get_member.missing.app_error", 404)
    roots, deleted = threads.collapsed, threads.deleted
    unread = await posts.find_after(
        db, channel_id, member.viewed_seq, offset=0, limit=limit_after, roots_only=roots, deleted=deleted
    )
    if unread:
        read = await posts.find_before(
            db, channel_id, unread[-1].seq, offset=0, limit=limit_before, roots_only=roots, deleted=deleted
        )
        return await _complete(db, channel_id, read, threads, unread=unread)
    newest = await posts.find_page(db, channel_id, offset=0, limit=limit_before, roots_only=roots, deleted=deleted)
    return await _complete(db, channel_id, newest, threads)


@dataclass(frozen=True)
class Cursor:
    """Which part of a thread: up to `limit` posts beyond one, upwards from the newest or downwards from the root.

    post_id, create_at: of the last post of the part before, '' and 0 for the first part; the time alone will do.
    update_at: what changed after that time instead, in the order of the changes. updates_only: nothing but that, also
    what was deleted.
    """

    limit: int
    up: bool = False
    post_id: str = ""
    create_at: int = 0
    update_at: int = 0
    updates_only: bool = False


async def thread(db: Queryable, post: Post, cursor: Cursor, threads: Threads) -> PostList:
    """A post and a part of its thread, in the order of the cursor. `has_next`: whether there is more beyond it."""
    root = await posts.find(db, PostId(post.root_id)) if post.root_id else post
    parcel = _Parcel(db, threads)
    if cursor.updates_only:
        return await _updates(db, post, root, cursor, parcel)
    await parcel.add([post])
    if threads.skip or root is None or (root.delete_at and not threads.deleted):
        return PostList([post.id], parcel.posts, has_next=False)
    replies = await posts.find_replies(
        db,
        root,
        beyond=("update_at", cursor.update_at) if cursor.update_at else await _beyond(db, root, cursor),
        newest_first=cursor.up,
        limit=cursor.limit + 1,
        deleted=threads.deleted,
    )
    part = list(replies)
    if cursor.up and (not cursor.create_at or root.create_at < cursor.create_at):
        part.append(root)
    elif not cursor.up and cursor.create_at < root.create_at:
        part.insert(0, root)
    wanted = [one for one in part[: cursor.limit] if one.id != post.id]
    kept = await parcel.add(wanted)
    has_next = len(part) > cursor.limit or len(kept) < len(wanted)
    return PostList([post.id, *(one.id for one in kept)], parcel.posts, has_next=has_next)


async def _updates(db: Queryable, post: Post, root: Post | None, cursor: Cursor, parcel: _Parcel) -> PostList:
    """What changed in a thread after a time, in the order of the changes."""
    root = root or post
    replies = await posts.find_replies(
        db,
        root,
        beyond=("update_at", cursor.update_at),
        newest_first=False,
        limit=cursor.limit + 1,
        deleted=True,
    )
    changed = [root] * (root.update_at > cursor.update_at) + replies
    changed.sort(key=lambda one: (one.update_at, one.seq))
    kept = await parcel.add(changed[: cursor.limit])
    return PostList([one.id for one in kept], parcel.posts, has_next=len(kept) < len(changed))


async def _beyond(db: Queryable, root: Post, cursor: Cursor) -> tuple[str, int] | None:
    if not cursor.create_at:
        return None
    last = await posts.find(db, PostId(cursor.post_id)) if is_id(cursor.post_id) else None
    if last is not None and root.id in (last.id, last.root_id):
        return "seq", last.seq
    return "create_at", cursor.create_at


async def _anchor(db: Queryable, channel_id: ChannelId, post_id: str, name: str) -> Post:
    anchor = await posts.find(db, PostId(post_id)) if is_id(post_id) else None
    if anchor is None or anchor.channel_id != channel_id:
        raise errors.invalid_url(name)
    return anchor


async def _complete(
    db: Queryable,
    channel_id: ChannelId,
    found: list[Post],
    threads: Threads,
    *,
    unread: Sequence[Post] = (),
    upwards: bool = False,
    cut: bool = False,
    neighbours: bool = True,
) -> PostList:
    """Add reactions, threads and the ids of the neighbours to a run of posts.

    unread: the run before it. upwards: when it is too much, the oldest stay. cut: there is more.
    """
    parcel = _Parcel(db, threads)
    order = (await parcel.add(unread[::-1]))[::-1]
    order += (await parcel.add(found[::-1]))[::-1] if upwards else await parcel.add(found)
    if not order:
        return PostList()
    cut = cut or len(order) < len(unread) + len(found)
    await parcel.add(await posts.find_threads(db, order, replies=threads.replies, deleted=threads.deleted))
    newer = older = ""
    if neighbours or cut:
        newer, older = await posts.find_neighbour_ids(
            db, channel_id, order[0].seq, order[-1].seq, roots_only=threads.collapsed, deleted=threads.deleted
        )
    return PostList([one.id for one in order], parcel.posts, newer, older, True if cut else None)
