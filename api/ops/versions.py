"""What posts said before they were edited."""

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from api.params import VersionId
from app import history, may
from app.events.wire import Json
from db.model.ids import PostId

_NONE = "app.post.get.app_error"
_OWN = may.OfPost("edit_post")
_ALONE = {"member": 403, "system_admin": 403}
"""It is the team_admin's."""


@operation(
    "GET",
    "/posts/{post_id}/edit_history",
    verb_asks=(_OWN,),
    answers=list[shapes.Post],
    errors=(_NONE,),
    example=Example(answers=_ALONE),
    notes="of one's own posts only, newest first, the last 100; 404 where it was never edited",
)
async def get_edit_history(call: Call, post_id: PostId) -> list[Json]:
    """What a post said before it was edited."""
    return await history.versions(call.ctx, call.actor, post_id)


@operation(
    "POST",
    "/posts/{post_id}/restore/{version_id}",
    verb_asks=(_OWN,),
    answers=shapes.Post,
    errors=(
        "api.post.patch_post.can_not_update_post_in_deleted.error",
        "api.post.update_post.permissions_time_limit.app_error",
        "api.post.update_post.system_message.app_error",
        "app.post.restore_post_version.not_an_history_item.app_error",
        "model.post.is_valid.msg.app_error",
        _NONE,
    ),
    example=Example(answers={**_ALONE, "team_admin": 400}),
    notes="of one's own posts only; the message alone comes back, as another edit",
)
async def restore_version(call: Call, post_id: PostId, version_id: VersionId) -> Json:
    """Let a post say again what it said."""
    return await history.restore(call.ctx, call.actor, post_id, version_id)
