"""Reactions to posts."""

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from api.params import EmojiName, PageNumber
from app import may, reactions
from app.events import wire
from app.events.wire import Json
from db.model.ids import PostId, UserId

_NONE = "app.post.get.app_error"


@operation(
    "POST",
    "/reactions",
    verb_asks=(may.OfPost("add_reaction"),),
    answers=shapes.Reaction,
    body_name="reaction",
    errors=(
        "api.reaction.save.archived_channel.app_error",
        "api.reaction.save_reaction.invalid.app_error",
        "api.reaction.save_reaction.user_id.app_error",
        "app.reaction.save.save.too_many_reactions",
        "model.reaction.is_valid.emoji_name.app_error",
        _NONE,
    ),
    example=Example({"user_id": "<self.id>", "post_id": "<post.id>", "emoji_name": "emoji<new>"}),
    notes="200 as Mattermost answers, whatever its documents say; idempotent; `reaction_added`",
)
async def add_reaction(call: Call, body: reactions.NewReaction) -> Json:
    """React to a post."""
    return wire.reaction(await reactions.add(call.ctx, call.actor, body))


@operation(
    "GET",
    "/posts/{post_id}/reactions",
    verb_asks=(may.OfPost("read_channel"),),
    answers=list[shapes.Reaction],
    errors=(_NONE,),
    notes="1000 a `page`; posts carry theirs in `metadata.reactions`, with `has_reactions`; of a deleted post 404",
)
async def get_reactions(call: Call, post_id: PostId, page: PageNumber) -> list[Json]:
    """The reactions to a post."""
    return await reactions.of_post(call.ctx, call.actor, post_id, page)


@operation(
    "POST",
    "/posts/ids/reactions",
    verb_asks=(may.OfPost("read_channel"),),
    answers=dict[str, list[shapes.Reaction]],
    body_name="post_ids",
    example=Example(["<post.id>"]),
    notes="of a deleted post none",
)
async def get_reactions_of_posts(call: Call, body: list[str]) -> dict[str, list[Json]]:
    """The reactions to many posts, by post."""
    return await reactions.of_posts(call.ctx, call.actor, body)


@operation(
    "DELETE",
    "/users/{user_id}/posts/{post_id}/reactions/{emoji_name}",
    verb_asks=(may.SelfOr("remove_others_reactions"), may.OfPost("remove_reaction")),
    errors=("api.reaction.delete.archived_channel.app_error", _NONE),
    notes="one that is not there is no error; `reaction_removed`",
)
async def remove_reaction(call: Call, user_id: UserId, post_id: PostId, emoji_name: EmojiName) -> None:
    """Take a reaction back."""
    await reactions.remove(call.ctx, call.actor, user_id, post_id, emoji_name)
