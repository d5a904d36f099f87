"""What clients ask of features that are not there: the true answer, nothing. `app/config/client.py` says they are off.

They ask at each first load, whether a feature is on or not, and take an error for one of the server.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from api import shapes
from api.call import Call, Visit
from api.example import Example
from api.operation import Login, operation
from api.params import JobType, Page, Text
from app import errors, may, users
from app.errors import AppError
from db.model import limits
from db.model.ids import TeamId, UserId

_OFF = "the feature is off: nothing"
_MISSING = dict.fromkeys(("stranger", "teammate", "member", "team_admin", "system_admin"), 404)
_SELF_IN_TEAM = (may.SelfOr("edit_other_users"), may.InTeam("view_team"))
Nothing = list[dict[str, Any]]


# Plugins, integrations -----------------------------------------------------------------------------------------------


@operation("GET", "/plugins", may=(may.System("sysconsole_read_plugins"),), answers=shapes.Plugins, notes=_OFF)
async def get_plugins(_call: Call) -> Mapping[str, list[Any]]:
    """The plugins."""
    return {"active": [], "inactive": []}


@operation("GET", "/plugins/webapp", login=Login.NONE, answers=Nothing, notes=_OFF)
async def get_webapp_plugins(_visit: Visit) -> list[Any]:
    """The plugins that web apps load."""
    return []


@operation("GET", "/plugins/statuses", may=(may.System("sysconsole_read_plugins"),), answers=Nothing, notes=_OFF)
async def get_plugin_statuses(_call: Call) -> list[Any]:
    """How the plugins are."""
    return []


@operation("GET", "/plugins/marketplace", may=(may.System("sysconsole_read_plugins"),), answers=Nothing, notes=_OFF)
async def get_marketplace_plugins(_call: Call) -> list[Any]:
    """Plugins that could be installed."""
    return []


@operation("GET", "/oauth/apps", may=(may.System("manage_oauth"),), answers=Nothing, notes=_OFF)
async def get_oauth_apps(_call: Call, page: Page) -> list[Any]:
    """Applications that may ask for users."""
    del page
    return []


@operation("GET", "/oauth/outgoing_connections", answers=Nothing, notes=_OFF)
async def get_outgoing_oauth_connections(_call: Call) -> list[Any]:
    """Connections to others' OAuth."""
    return []


@operation("GET", "/commands", answers=Nothing, notes=_OFF)
async def get_commands(_call: Call, team_id: Text = "", custom_only: Text = "") -> list[Any]:
    """The slash commands of a team."""
    del team_id, custom_only
    return []


@operation("GET", "/teams/{team_id}/commands/autocomplete", may=(may.InTeam("view_team"),), answers=Nothing, notes=_OFF)
async def get_autocomplete_commands(_call: Call, team_id: TeamId) -> list[Any]:
    """Slash commands to choose from."""
    del team_id
    return []


@operation(
    "GET",
    "/teams/{team_id}/commands/autocomplete_suggestions",
    may=(may.InTeam("view_team"),),
    answers=Nothing,
    notes=_OFF,
)
async def get_command_suggestions(_call: Call, team_id: TeamId, user_input: Text = "") -> list[Any]:
    """How what is written could go on as a slash command."""
    del team_id, user_input
    return []


@operation("GET", "/agents", answers=Nothing, notes=_OFF)
async def get_agents(_call: Call) -> list[Any]:
    """Language models' agents."""
    return []


@operation("GET", "/agents/status", answers=shapes.AgentsStatus, notes=_OFF)
async def get_agents_status(_call: Call) -> Mapping[str, object]:
    """Whether there are agents."""
    return {"available": False, "reason": "app.agents.bridge.not_available.plugin_not_active"}


@operation("GET", "/llmservices", answers=Nothing, notes=_OFF)
async def get_llm_services(_call: Call) -> list[Any]:
    """Language models."""
    return []


# Groups, attributes, terms -------------------------------------------------------------------------------------------


@operation("GET", "/groups", answers=Nothing, notes=_OFF)
async def get_groups(_call: Call, page: Page) -> list[Any]:
    """Groups of users."""
    del page
    return []


@operation(
    "POST",
    "/groups/names",
    answers=Nothing,
    body_name="group_names",
    example=Example(["developers"]),
    notes=f"{_OFF}; at most {limits.NAMES}",
)
async def get_groups_by_names(_call: Call, body: list[str]) -> list[Any]:
    """Groups by their names."""
    _bounded(body, "group_names")
    return []


@operation("GET", "/custom_profile_attributes/fields", answers=Nothing, notes=_OFF)
async def get_profile_attribute_fields(_call: Call) -> list[Any]:
    """Which further fields profiles have."""
    return []


@operation(
    "GET",
    "/users/{user_id}/custom_profile_attributes",
    answers=dict[str, Any],
    errors=("app.user.missing_account.const",),
    notes=_OFF,
)
async def get_profile_attributes(call: Call, user_id: UserId) -> Mapping[str, Any]:
    """What a user has in them."""
    await users.get(call.ctx, user_id)
    return {}


@operation(
    "GET",
    "/terms_of_service",
    answers=dict[str, Any],
    errors=("app.terms_of_service.get.no_rows.app_error",),
    example=Example(answers=_MISSING),
    notes="404, as in Mattermost where there are none",
)
async def get_terms_of_service(_call: Call) -> None:
    """Terms that users have to accept."""
    raise AppError("app.terms_of_service.get.no_rows.app_error", 404)


@operation(
    "GET",
    "/brand/image",
    login=Login.NONE,
    answers=dict[str, Any],
    errors=("api.context.404.app_error",),
    example=Example(answers={**_MISSING, "nobody": 404}),
    notes="404, as in Mattermost where there is none",
)
async def get_brand_image(_visit: Visit) -> None:
    """The picture of the login page."""
    raise AppError("api.context.404.app_error", 404)


# Emojis --------------------------------------------------------------------------------------------------------------


class EmojiSearch(msgspec.Struct, kw_only=True):
    """POST /emoji/search."""

    term: Annotated[str, msgspec.Meta(max_length=64)]
    prefix_only: bool = False


@operation("GET", "/emoji", answers=Nothing, notes=_OFF)
async def get_emojis(_call: Call, page: Page, sort: Text = "") -> list[Any]:
    """Emojis of this server's own."""
    del page, sort
    return []


@operation(
    "POST",
    "/emoji/names",
    answers=Nothing,
    body_name="names",
    errors=("api.emoji.get_multiple_by_name_too_many.request_error",),
    example=Example(["party"]),
    notes=f"{_OFF}; at most {limits.NAMES}",
)
async def get_emojis_by_names(_call: Call, body: list[str]) -> list[Any]:
    """The same by their names."""
    if len(body) > limits.NAMES:
        raise AppError("api.emoji.get_multiple_by_name_too_many.request_error", 400, MaxNames=limits.NAMES)
    return []


@operation("POST", "/emoji/search", answers=Nothing, body_name="term", example=Example({"term": "par"}), notes=_OFF)
async def search_emojis(_call: Call, body: EmojiSearch) -> list[Any]:
    """The same by a part of the name."""
    if not body.term:
        raise errors.invalid_body("term")
    return []


@operation("GET", "/emoji/autocomplete", answers=Nothing, example=Example(query="?name=par"), notes=_OFF)
async def autocomplete_emojis(_call: Call, name: Text = "") -> list[Any]:
    """The same by how the name begins."""
    if not name:
        raise errors.invalid_url("name")
    return []


# Drafts, scheduled posts, threads ------------------------------------------------------------------------------------


@operation(
    "GET",
    "/posts/scheduled/team/{team_id}",
    may=(may.InTeam("view_team"),),
    answers=dict[str, Nothing],
    notes=f"{_OFF}; `directChannels` with `?includeDirectChannels=true`",
)
async def get_scheduled_posts(
    _call: Call,
    team_id: TeamId,
    includeDirectChannels: Text = "",
) -> Mapping[str, list[Any]]:
    """One's scheduled posts of a team."""
    direct: dict[str, list[Any]] = {"directChannels": []} if includeDirectChannels == "true" else {}
    return {team_id: [], **direct}


@operation("GET", "/users/{user_id}/teams/{team_id}/drafts", may=_SELF_IN_TEAM, answers=Nothing, notes=_OFF)
async def get_drafts(_call: Call, user_id: UserId, team_id: TeamId) -> list[Any]:
    """One's drafts of a team."""
    del user_id, team_id
    return []


@operation("GET", "/users/{user_id}/teams/{team_id}/threads", may=_SELF_IN_TEAM, answers=shapes.Threads, notes=_OFF)
async def get_threads_of_user(_call: Call, user_id: UserId, team_id: TeamId) -> Mapping[str, object]:
    """The threads that a user follows in a team."""
    del user_id, team_id
    return {
        "total": 0,
        "total_unread_threads": 0,
        "total_unread_mentions": 0,
        "total_unread_urgent_mentions": 0,
        "threads": [],
    }


# The installation ----------------------------------------------------------------------------------------------------


@operation("GET", "/limits/server", answers=dict[str, int], notes="zeros: there are no limits")
async def get_server_limits(_call: Call) -> Mapping[str, int]:
    """What the licence limits."""
    return dict.fromkeys(
        (
            "activeUserCount",
            "lastAccessiblePostTime",
            "maxUsersHardLimit",
            "maxUsersLimit",
            "postHistoryLimit",
            "singleChannelGuestCount",
            "singleChannelGuestLimit",
        ),
        0,
    )


@operation("GET", "/license/load_metric", answers=dict[str, int], notes="0: no number of users is paid for")
async def get_license_load(_call: Call) -> Mapping[str, int]:
    """How much of what the licence allows is used."""
    return {"load": 0}


@operation("GET", "/trial-license/prev", may=(may.System("read_license_information"),), answers=dict[str, str])
async def get_previous_trial(_call: Call) -> Mapping[str, str]:
    """A trial licence that there was: none."""
    return {"IsLicensed": "false"}


@operation("GET", "/system/notices/{team_id}", may=(may.InTeam("view_team"),), answers=Nothing, notes=_OFF)
async def get_notices(_call: Call, team_id: TeamId) -> list[Any]:
    """News of the product."""
    del team_id
    return []


@operation(
    "PUT",
    "/system/notices/view",
    body_name="notices",
    example=Example(["notice"]),
    notes=f"there are none, so nothing is kept; at most {limits.NAMES}",
)
async def view_notices(_call: Call, body: list[str]) -> None:
    """Some were read."""
    _bounded(body, "notices")


@operation("GET", "/jobs", may=(may.System("manage_jobs"),), answers=Nothing, notes=_OFF)
async def get_jobs(_call: Call, page: Page, job_type: Text = "", status: Text = "") -> list[Any]:
    """Work in the background that administrators start."""
    del page, job_type, status
    return []


@operation(
    "GET",
    "/jobs/type/{job_type}",
    may=(may.System("manage_jobs"),),
    answers=Nothing,
    example=Example(path={"job_type": "data_retention"}),
    notes=_OFF,
)
async def get_jobs_by_type(_call: Call, job_type: JobType, page: Page) -> list[Any]:
    """The same of one kind."""
    del job_type, page
    return []


@operation("GET", "/redirect_location", answers=dict[str, str], notes="link previews are off: always empty")
async def get_redirect_location(_call: Call, url: Text = "") -> Mapping[str, str]:
    """Where an address leads."""
    del url
    return {"location": ""}


def _bounded(names: list[str], what: str) -> None:
    """Raises 400 for more than limits.NAMES."""
    if len(names) > limits.NAMES:
        raise errors.invalid_body(what)
