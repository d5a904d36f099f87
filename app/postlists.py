"""The lists of posts that clients ask for, as they are sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app import errors, wire
from app.errors import AppError
from db import channels, posts, reactions
from db.entities import Post
from db.ids import ChannelId, PostId, UserId, is_id
from db.queryable import Queryable
from db.reactions import Reactions

MAX_SINCE = 1000


@dataclass(frozen=True)
class PostList:
    """A list as clients get it: `order` newest first; `extra` are thread posts that are not in the order."""

    order: list[Post]
    extra: list[Post]
    next_post_id: str = ""
    prev_post_id: str = ""
    participants: Mapping[str, list[UserId]] = field(default_factory=dict)
    reactions: Reactions = field(default_factory=dict)

    def json(self) -> wire.Json:
        """Mattermost's PostList."""
        return {
            "order": [post.id for post in self.order],
            "posts": {
                post.id: wire.post(post, self.participants.get(post.id), self.reactions.get(post.id, ()))
                for post in (*self.order, *self.extra)
            },
            "next_post_id": self.next_post_id,
            "prev_post_id": self.prev_post_id,
        }


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
    """What was created, changed or deleted after `since_ms`: at most 1000 posts, the latest changes.

    When there are more, `prev_post_id` names the next older post, so that a client can page on.
    """
    found = await posts.find_since(db, channel_id, since_ms, limit=MAX_SINCE, roots_only=threads.collapsed)
    return await _complete(db, channel_id, found, threads, neighbours=len(found) == MAX_SINCE)


async def pinned(db: Queryable, channel_id: ChannelId) -> PostList:
    """The pinned posts, in Mattermost's order: oldest first."""
    found = await posts.find_pinned(db, channel_id)
    return PostList(found, [], reactions=await reactions.find(db, found))


async def beside(
    db: Queryable, channel_id: ChannelId, *, before: str, after: str, page: int, per_page: int, threads: Threads
) -> PostList:
    """A page of posts before or after a post. Raises 400 when that post is not in the channel."""
    anchor_id = before or after
    anchor = await posts.find(db, PostId(anchor_id)) if is_id(anchor_id) else None
    if anchor is None or anchor.channel_id != channel_id:
        raise errors.invalid_url("before" if before else "after")
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
        return PostList([], [], next_post_id=before, prev_post_id=after)
    return await _complete(db, channel_id, found, threads)


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
        return await _complete(db, channel_id, unread + read, threads)
    newest = await posts.find_page(db, channel_id, offset=0, limit=limit_before, roots_only=roots, deleted=deleted)
    return await _complete(db, channel_id, newest, threads)


async def _complete(
    db: Queryable, channel_id: ChannelId, found: list[Post], threads: Threads, *, neighbours: bool = True
) -> PostList:
    """Add threads, reactions and the ids of the neighbours to a run of posts."""
    if not found:
        return PostList([], [])
    extra = await posts.find_threads(db, found, replies=threads.replies, deleted=threads.deleted)
    newer = older = ""
    if neighbours:
        newer, older = await posts.find_neighbour_ids(
            db, channel_id, found[0].seq, found[-1].seq, roots_only=threads.collapsed, deleted=threads.deleted
        )
    participants = await _participants(db, found, threads)
    return PostList(found, extra, newer, older, participants, await reactions.find(db, (*found, *extra)))


async def _participants(db: Queryable, found: Sequence[Post], threads: Threads) -> dict[str, list[UserId]]:
    roots = [post.id for post in found if post.reply_count]
    if not threads.collapsed or not roots:
        return {}
    return await posts.find_participants(db, roots)
