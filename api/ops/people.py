"""Lists of users, searches, completions."""

from typing import Annotated

from api import shapes
from api.call import Call
from api.example import Example
from api.operation import operation
from api.params import Flag, Keys, Page, Part, Size, Text, email, flag, text
from app import may, people
from app.events.wire import Json

_TEXT = {"type": "string"}
_TRUTH = {"type": "boolean", "default": False}
_TEXTS = (
    "in_team", "not_in_team", "in_channel", "not_in_channel", "in_group", "not_in_group", "role", "roles",
    "channel_roles", "team_roles", "sort",
)  # fmt: skip
_FLAGS = ("without_team", "active", "inactive")

Wanted = Annotated[
    people.Wanted,
    Keys(
        lambda req: people.Wanted(
            **{name: text(req, name) for name in _TEXTS},
            **{name: flag(req, name) for name in _FLAGS},
        ),
        dict.fromkeys(_TEXTS, _TEXT) | dict.fromkeys(_FLAGS, _TRUTH),
    ),
]
Counted = Annotated[
    people.Wanted,
    Keys(
        lambda req: people.Wanted(
            **{name: text(req, name) for name in ("in_team", "in_channel", "roles", "channel_roles", "team_roles")}
        ),
        dict.fromkeys(("in_team", "in_channel", "roles", "channel_roles", "team_roles"), _TEXT),
    ),
]
Email = Annotated[str, Part(lambda value, _: email(value))]


@operation(
    "GET",
    "/users",
    answers=list[shapes.User],
    notes="by name; `sort`: in a team `last_activity_at`, `create_at`, in a channel `status`, `admin`; guests get those"
    " who share a channel with them; groups are 501",
)
async def get_users(call: Call, page: Page, wanted: Wanted) -> list[Json]:
    """Users."""
    return await people.page(call.ctx, call.actor, wanted, number=page.number, size=page.size)


@operation(
    "GET",
    "/users/stats/filtered",
    verb_asks=(may.System("manage_system"),),
    answers=shapes.UsersStats,
)
async def get_filtered_stats(call: Call, wanted: Counted, include_deleted: Flag = False) -> Json:
    """How many users there are of a kind."""
    return await people.stats(call.ctx, call.actor, wanted, deleted=include_deleted)


@operation(
    "POST",
    "/users/search",
    answers=list[shapes.User],
    body_name="props",
    example=Example({"term": "<member.username>", "allow_inactive": False, "limit": 10}),
    notes="each word of `term` begins a name; up to 100, by name",
)
async def search_users(call: Call, body: people.Search) -> list[Json]:
    """Users whose names begin so."""
    return await people.search(call.ctx, call.actor, body)


@operation(
    "GET",
    "/users/autocomplete",
    answers=shapes.UserAutocomplete,
    errors=("api.user.autocomplete_users.missing_team_id.app_error",),
    notes="`in_channel` needs `in_team`, and then `out_of_channel` are those of the team who are not in it",
)
async def autocomplete_users(
    call: Call, name: Text = "", in_team: Text = "", in_channel: Text = "", limit: Size = 100
) -> dict[str, list[Json]]:
    """Whom somebody may mean who types this."""
    return await people.complete(call.ctx, call.actor, name, in_team=in_team, in_channel=in_channel, limit=limit)


@operation(
    "POST",
    "/users/usernames",
    answers=list[shapes.User],
    body_name="usernames",
    example=Example(["<member.username>"]),
)
async def get_users_by_usernames(call: Call, body: list[str]) -> list[Json]:
    """Users by name; unknown ones are left out."""
    return await people.by_usernames(call.ctx, call.actor, body)


@operation(
    "GET",
    "/users/email/{email}",
    answers=shapes.User,
    errors=("api.user.get_user_by_email.permissions.app_error", "app.user.missing_account.const"),
    example=Example(path={"email": "<member.email>"}),
    notes="where addresses are shown, and to administrators",
)
async def get_user_by_email(call: Call, email: Email) -> Json:
    """A user by address."""
    return await people.by_email(call.ctx, call.actor, email)


@operation(
    "POST",
    "/users/group_channels",
    answers=dict[str, list[shapes.User]],
    body_name="channel_ids",
    example=Example(["<private.id>"]),
    notes="one's own group channels, without oneself; others are left out",
)
async def get_users_of_group_channels(call: Call, body: list[str]) -> dict[str, list[Json]]:
    """The members of group channels."""
    return await people.of_group_channels(call.ctx, call.actor, body)


@operation("GET", "/users/known", answers=list[str], notes="up to 10,000")
async def get_known_users(call: Call) -> list[str]:
    """Ids of those who share a channel with who asks."""
    return await people.known_ids(call.ctx, call.actor)
