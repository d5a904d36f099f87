"""The categories of sidebars."""

from typing import Any

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from api.params import CategoryId
from app import categories, may
from app.events.wire import Json
from db.model.ids import TeamId, UserId

_BASE = "/users/{user_id}/teams/{team_id}/channels/categories"
_MAY = (may.SelfOr("edit_other_users"), may.InTeam("view_team"))
_ERRORS = ("app.channel.sidebar_categories.app_error",)
_DRAFT: dict[str, Any] = {
    "user_id": "<self>",
    "team_id": "<team.id>",
    "sorting": "alpha",
    "display_name": "A category",
    "muted": False,
    "collapsed": True,
    "channel_ids": [],
}
_CHANNELS = _DRAFT | {"id": "channels_<self>_<team.id>"}
_ORDER = ["channels_<self>_<team.id>", "favorites_<self>_<team.id>", "direct_messages_<self>_<team.id>"]
_NOT_THERE = {"system_admin": 404}
_IN_NO_TEAM = "404 for who is not in the team"


@operation("GET", _BASE, may=_MAY, answers=shapes.SidebarCategories, notes="none for who is not in the team")
async def get_categories(call: Call, user_id: UserId, team_id: TeamId) -> Json:
    """The categories of a user's sidebar in a team."""
    return await categories.of_user(call.ctx, user_id, team_id)


@operation(
    "POST",
    _BASE,
    may=_MAY,
    answers=shapes.SidebarCategory,
    body_name="category",
    errors=_ERRORS,
    example=Example(_DRAFT, answers=_NOT_THERE, for_others={"system_admin": 400}),
    notes=f"{_IN_NO_TEAM}; the body names user and team, too; `sidebar_category_created`",
)
async def create_category(call: Call, user_id: UserId, team_id: TeamId, body: categories.Draft) -> Json:
    """Make a category of one's own."""
    return await categories.create(call.ctx, user_id, team_id, body)


@operation(
    "PUT",
    _BASE,
    may=_MAY,
    answers=list[shapes.SidebarCategory],
    body_name="category",
    errors=_ERRORS,
    example=Example([_CHANNELS], answers=_NOT_THERE, for_others={"system_admin": 400}),
    notes=f"{_IN_NO_TEAM}; their channels leave all other categories; favorites are preferences, too; channels of a"
    " category that becomes muted are muted; `sidebar_category_updated`",
)
async def update_categories(call: Call, user_id: UserId, team_id: TeamId, body: list[categories.Draft]) -> list[Json]:
    """Change some categories."""
    return await categories.update(call.ctx, user_id, team_id, body)


@operation("GET", f"{_BASE}/order", may=_MAY, answers=list[str])
async def get_category_order(call: Call, user_id: UserId, team_id: TeamId) -> list[str]:
    """The order of the categories."""
    return await categories.order(call.ctx, user_id, team_id)


@operation(
    "PUT",
    f"{_BASE}/order",
    may=_MAY,
    answers=list[str],
    body_name="category",
    errors=_ERRORS,
    example=Example(_ORDER, answers=_NOT_THERE, for_others={"system_admin": 400}),
    notes=f"{_IN_NO_TEAM}; those that are not named come last; `sidebar_category_order_updated`",
)
async def set_category_order(call: Call, user_id: UserId, team_id: TeamId, body: list[str]) -> list[str]:
    """Put the categories into an order."""
    return await categories.set_order(call.ctx, user_id, team_id, body)


@operation(
    "GET",
    f"{_BASE}/{{category_id}}",
    may=_MAY,
    answers=shapes.SidebarCategory,
    errors=_ERRORS,
    example=Example(answers=_NOT_THERE, for_others=_NOT_THERE),
    notes="404 for administrators when there is none",
)
async def get_category(call: Call, user_id: UserId, team_id: TeamId, category_id: CategoryId) -> Json:
    """A category."""
    return await categories.get(call.ctx, call.actor, user_id, team_id, category_id)


@operation(
    "PUT",
    f"{_BASE}/{{category_id}}",
    may=_MAY,
    answers=shapes.SidebarCategory,
    body_name="category",
    errors=_ERRORS,
    example=Example(_CHANNELS, answers=_NOT_THERE, for_others={"system_admin": 400}),
    notes=f"{_IN_NO_TEAM}; as for several",
)
async def update_category(
    call: Call, user_id: UserId, team_id: TeamId, category_id: CategoryId, body: categories.Draft
) -> Json:
    """Change a category."""
    return await categories.update_one(call.ctx, call.actor, user_id, team_id, category_id, body)


@operation(
    "DELETE",
    f"{_BASE}/{{category_id}}",
    may=_MAY,
    errors=_ERRORS,
    example=Example(
        answers={"teammate": 400, "member": 400, "team_admin": 400, "system_admin": 404}, for_others=_NOT_THERE
    ),
    notes="400 for one that everybody has; its channels are where those without a category are;"
    " `sidebar_category_deleted`",
)
async def delete_category(call: Call, user_id: UserId, team_id: TeamId, category_id: CategoryId) -> None:
    """Delete a category of one's own."""
    await categories.delete(call.ctx, call.actor, user_id, team_id, category_id)
