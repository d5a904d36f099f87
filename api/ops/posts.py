"""Posts."""

import msgspec

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from api.params import DEFAULT_PAGE_SIZE, Flag, InThread, InThreads, Page, Size, Text, Time
from app import edits, ephemeral, may, posts, reading, unread
from app.events.wire import Json
from db.model.ids import ChannelId, PostId, UserId

_READS = may.InChannel("read_channel", public="read_public_channel")
_READS_POST = may.OfPost("read_channel", public="read_public_channel")
_NONE = "app.post.get.app_error"
_CONTENT = (
    "api.post.update_post.permissions_time_limit.app_error",
    "api.post.update_post.system_message.app_error",
    "model.post.is_valid.msg.app_error",
    "model.post.is_valid.props.app_error",
)
_EDIT = {"message": "an edited post <new>", "is_pinned": False, "props": {"key": "value"}, "file_ids": []}
_PINS = "`post_edited`"


@operation(
    "POST",
    "/posts",
    verb_asks=(may.InChannel("create_post"),),
    status=201,
    answers=shapes.Post,
    body_name="post",
    errors=(
        "api.post.create_post.can_not_post_to_deleted.error",
        "api.post.create_post.channel_root_id.app_error",
        "api.post.create_post.root_id.app_error",
        "model.post.is_valid.msg.app_error",
        "model.post.is_valid.props.app_error",
        "model.post.is_valid.type.app_error",
        _NONE,
    ),
    example=Example(
        {
            "channel_id": "<private.id>",
            "message": "hello",
            "root_id": "<post.id>",
            "type": "custom_test",
            "props": {"key": "value"},
            "pending_post_id": "pending<new>",
            "file_ids": [],
        }
    ),
    notes="idempotent on `pending_post_id` (400 in another channel, 403 when that may not be read any more);"
    " `create_at` of clients is ignored; `file_ids` are refused until there are files",
)
async def create_post(call: Call, body: posts.Draft, set_online: Flag = True) -> bytes:
    """Write a post; the same pending id gives the same post."""
    return (await posts.create(call.ctx, call.actor, body, set_online=set_online)).encoded


@operation(
    "POST",
    "/posts/ephemeral",
    verb_asks=(may.System("create_post_ephemeral"),),
    status=201,
    answers=shapes.Post,
    body_name="post",
    errors=("model.post.is_valid.msg.app_error", "model.post.is_valid.props.app_error"),
    example=Example({"user_id": "<member.id>", "post": {"channel_id": "<private.id>", "message": "for your eyes"}}),
    notes="`ephemeral_message` to the user; it is stored nowhere",
)
async def create_ephemeral_post(call: Call, body: ephemeral.NewEphemeral) -> Json:
    """Show one user a post."""
    return await ephemeral.create(call.ctx, call.actor, body)


@operation(
    "POST",
    "/posts/ids",
    answers=list[shapes.Post],
    body_name="post_ids",
    errors=("api.post.posts_by_ids.invalid_body.request_error",),
    example=Example(["<post.id>"]),
    notes="up to 200; newest first; what one may not read is missing",
)
async def get_posts_by_ids(call: Call, body: list[str]) -> list[msgspec.Raw]:
    """Posts by their ids."""
    return await reading.by_ids(call.ctx, call.actor, body)


@operation(
    "GET",
    "/posts/{post_id}",
    verb_asks=(_READS_POST,),
    answers=shapes.Post,
    tagged=True,
    errors=(_NONE,),
    notes="`include_deleted` for administrators",
)
async def get_post(call: Call, post_id: PostId, include_deleted: Flag = False) -> Json:
    """A post."""
    return await reading.one(call.ctx, call.actor, post_id, call.tag, deleted=include_deleted)


@operation(
    "GET",
    "/posts/{post_id}/thread",
    verb_asks=(_READS_POST,),
    answers=shapes.PostList,
    tagged=True,
    errors=(_NONE,),
    notes="`perPage` 0: up to 1000; `has_next`; `updatesOnly`: what changed after `fromUpdateAt`, deleted posts too",
)
async def get_thread(call: Call, post_id: PostId, cursor: InThread, threads: InThreads) -> Json:
    """A post and its thread, or a part of it."""
    return await reading.thread(call.ctx, call.actor, post_id, cursor, threads, call.tag)


@operation(
    "GET",
    "/posts/{post_id}/info",
    answers=shapes.PostInfo,
    errors=(_NONE,),
    example=Example(answers={"stranger": 404, "teammate": 404}),
    notes="404 for who could not come to read it",
)
async def get_post_info(call: Call, post_id: PostId) -> Json:
    """In which channel and team a post is."""
    return await reading.info(call.ctx, call.actor, post_id)


@operation(
    "GET",
    "/posts/{post_id}/files/info",
    verb_asks=(_READS_POST,),
    answers=list[shapes.Map],
    errors=(_NONE,),
    notes="empty until there are files",
)
async def get_files_of_post(call: Call, post_id: PostId, include_deleted: Flag = False) -> list[Json]:
    """The files of a post."""
    return await reading.files(call.ctx, call.actor, post_id, deleted=include_deleted)


@operation(
    "PUT",
    "/posts/{post_id}",
    verb_asks=(may.OfPost("edit_post", others="edit_others_posts"),),
    answers=shapes.Post,
    body_name="post",
    errors=(*_CONTENT, "api.post.update_post.can_not_update_post_in_deleted.error", _NONE),
    example=Example({"id": "<post.id>", **_EDIT}),
    notes="message, props, pin; `post_edited`; what changes nothing, such as a retry, is no event",
)
async def update_post(call: Call, post_id: PostId, body: edits.Update) -> Json:
    """Replace what a post says."""
    return await edits.update(call.ctx, call.actor, post_id, body)


@operation(
    "PUT",
    "/posts/{post_id}/patch",
    verb_asks=(may.OfPost("edit_post", others="edit_others_posts"),),
    answers=shapes.Post,
    body_name="post",
    errors=(*_CONTENT, "api.post.patch_post.can_not_update_post_in_deleted.error", _NONE),
    example=Example(_EDIT),
    notes="the same for a part of it",
)
async def patch_post(call: Call, post_id: PostId, body: edits.Patch) -> Json:
    """Change a part of a post."""
    return await edits.patch(call.ctx, call.actor, post_id, body)


@operation(
    "DELETE",
    "/posts/{post_id}",
    verb_asks=(may.OfPost("delete_post", others="delete_others_posts"),),
    errors=("api.post.delete_post.can_not_delete_post_in_deleted.error", _NONE),
    example=Example(takes_away=True),
    notes="a root takes its replies along; `post_deleted`, with `delete_by` for administrators",
)
async def delete_post(call: Call, post_id: PostId) -> None:
    """Delete a post."""
    await edits.delete(call.ctx, call.actor, post_id)


@operation("POST", "/posts/{post_id}/pin", verb_asks=(may.OfPost("read_channel"),), errors=(_NONE,), notes=_PINS)
async def pin_post(call: Call, post_id: PostId) -> None:
    """Pin a post to its channel."""
    await edits.pin(call.ctx, call.actor, post_id, pinned=True)


@operation("POST", "/posts/{post_id}/unpin", verb_asks=(may.OfPost("read_channel"),), errors=(_NONE,), notes=_PINS)
async def unpin_post(call: Call, post_id: PostId) -> None:
    """Take a post's pin away."""
    await edits.pin(call.ctx, call.actor, post_id, pinned=False)


@operation(
    "GET",
    "/channels/{channel_id}/pinned",
    verb_asks=(may.InChannel("read_channel"),),
    answers=shapes.PostList,
    notes="oldest first, 200 at once; `?after=` a post",
)
async def get_pinned_posts(call: Call, channel_id: ChannelId, after: Text = "") -> Json:
    """The pinned posts of a channel, for its members."""
    return (await posts.pinned(call.ctx, call.actor, channel_id, after)).json()


@operation(
    "GET",
    "/channels/{channel_id}/posts",
    verb_asks=(_READS,),
    answers=shapes.PostList,
    tagged=True,
    notes="deleted posts in `since` are empty; `include_deleted` for administrators",
)
async def get_posts(
    call: Call,
    channel_id: ChannelId,
    page: Page,
    threads: InThreads,
    since: Time = 0,
    before: Text = "",
    after: Text = "",
) -> Json | bytes:
    """Posts of a channel: a page, or `since` a time, or `before` or `after` a post."""
    wanted = reading.Wanted(page.number, page.size, since, before, after)
    return await reading.of_channel(
        call.ctx, call.actor, channel_id, wanted, threads, call.tag, has_some=call.conditional
    )


@operation(
    "GET",
    "/users/{user_id}/posts/flagged",
    may=(may.SelfOr("edit_other_users"),),
    answers=shapes.PostList,
    notes="newest first, by page; `channel_id`, `team_id`; what one may not read is missing",
)
async def get_flagged_posts(call: Call, user_id: UserId, page: Page, channel_id: Text = "", team_id: Text = "") -> Json:
    """The posts that a user has saved (preferences `flagged_post`)."""
    return await reading.flagged(
        call.ctx,
        call.actor,
        user_id,
        channel_id=channel_id,
        team_id=team_id,
        page=page.number,
        per_page=page.size,
    )


@operation(
    "POST",
    "/users/{user_id}/posts/{post_id}/set_unread",
    may=(may.SelfOr("edit_other_users"),),
    verb_asks=(may.OfPost("read_channel"),),
    answers=shapes.ChannelUnreadAt,
    body_name="unread",
    errors=("app.channel.get_member.missing.app_error", _NONE),
    example=Example({"collapsed_threads_supported": True}, answers={"system_admin": 404}),
    notes="`post_unread` to the user's clients; 404 where the user is no member; up to 5000 posts are counted",
)
async def set_unread(call: Call, user_id: UserId, post_id: PostId, body: unread.SetUnread) -> Json:
    """Mark a channel as unread from a post on."""
    del body
    return await unread.set_unread(call.ctx, call.actor, user_id, post_id)


@operation(
    "GET",
    "/users/{user_id}/channels/{channel_id}/posts/unread",
    may=(may.SelfOr("edit_other_users"),),
    verb_asks=(_READS,),
    answers=shapes.PostList,
    errors=("app.channel.get_member.missing.app_error",),
    example=Example(answers={"system_admin": 404}, in_public={"teammate": 404, "system_admin": 404}, for_others={}),
    notes="404 where the user is no member",
)
async def get_unread_posts(
    call: Call,
    user_id: UserId,
    channel_id: ChannelId,
    threads: InThreads,
    limit_before: Size = DEFAULT_PAGE_SIZE,
    limit_after: Size = DEFAULT_PAGE_SIZE,
) -> Json:
    """Posts around the first one that a user has not read."""
    return await reading.around_unread(
        call.ctx,
        call.actor,
        user_id,
        channel_id,
        threads,
        limit_before=limit_before,
        limit_after=limit_after,
    )
