"""Posts that are stored nowhere: for the eyes of one user, who misses them where no client of theirs is open."""

from db.model.entities import Post
from db.model.ids import ChannelId, PostId, UserId, new_id

EPHEMERAL = "system_ephemeral"


def build(
    channel_id: ChannelId, user_id: UserId, message: str, *, root_id: str, props: str, at_ms: int, post_id: str = ""
) -> Post:
    """Such a post. user_id: by whom it is, '' for the system."""
    return Post(
        id=PostId(post_id or new_id()),
        channel_id=channel_id,
        seq=0,
        create_at=at_ms,
        update_at=at_ms,
        edit_at=0,
        delete_at=0,
        is_pinned=False,
        user_id=user_id,
        root_id=root_id,
        original_id="",
        message=message,
        type=EPHEMERAL,
        props=props,
        hashtags="",
        file_ids="[]",
        mentions="[]",
        pending_post_id=None,
        reply_count=0,
        last_reply_at=0,
    )
