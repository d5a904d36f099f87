"""Preferences of users."""

from typing import Any

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from api.params import PreferenceCategory, PreferenceName
from app import may, preferences
from app.events.wire import Json
from db.model.ids import UserId

_OWN = (may.SelfOr("edit_other_users"),)
_KEEPS: dict[str, Any] = {"user_id": "<self>", "category": "display_settings", "name": "use_military_time"}
_NO_NAME = "the body names the user, too"


@operation("GET", "/users/{user_id}/preferences", may=_OWN, answers=list[shapes.Preference])
async def get_preferences(call: Call, user_id: UserId) -> list[Json]:
    """A user's preferences."""
    return await preferences.of_user(call.ctx, user_id)


@operation(
    "PUT",
    "/users/{user_id}/preferences",
    may=_OWN,
    body_name="preferences",
    errors=(
        "api.preference.update_preferences.set.app_error",
        "app.preference.save.updating.app_error",
        "model.preference.is_valid.*",
    ),
    example=Example([_KEEPS | {"value": "true"}], for_others={"system_admin": 403}),
    notes=f"at most 100; {_NO_NAME}; `preferences_changed`; of `flagged_post` only posts that one may read (400, 403);"
    " `favorite_channel` moves the channel in the sidebar",
)
async def save_preferences(call: Call, user_id: UserId, body: list[preferences.Given]) -> None:
    """Keep some preferences."""
    await preferences.save(call.ctx, call.actor, user_id, body)


@operation(
    "POST",
    "/users/{user_id}/preferences/delete",
    may=_OWN,
    body_name="preferences",
    errors=("api.preference.delete_preferences.delete.app_error",),
    example=Example([_KEEPS], for_others={"system_admin": 403}),
    notes=f"at most 100; {_NO_NAME}; `preferences_deleted`",
)
async def delete_preferences(call: Call, user_id: UserId, body: list[preferences.Given]) -> None:
    """Forget some preferences."""
    await preferences.delete(call.ctx, user_id, body)


@operation(
    "GET",
    "/users/{user_id}/preferences/{category}",
    may=_OWN,
    answers=list[shapes.Preference],
    errors=("api.preference.preferences_category.get.app_error",),
    notes="404 where there are none",
)
async def get_preferences_of_category(call: Call, user_id: UserId, category: PreferenceCategory) -> list[Json]:
    """A user's preferences of a category."""
    return await preferences.of_category(call.ctx, user_id, category)


@operation(
    "GET",
    "/users/{user_id}/preferences/{category}/name/{preference_name}",
    may=_OWN,
    answers=shapes.Preference,
    errors=("app.preference.get.app_error",),
    example=Example(for_others={"system_admin": 400}),
    notes="400 where there is none",
)
async def get_preference(
    call: Call, user_id: UserId, category: PreferenceCategory, preference_name: PreferenceName
) -> Json:
    """A preference of a user."""
    return await preferences.get(call.ctx, user_id, category, preference_name)
