"""Parts of the path and of the query, by the types of a handler's parameters: nothing malformed goes further.

    async def on(call: Call, user_id: UserId, page: Page, include_deleted: Flag = False)
                             path: OF_PATH     query: the marker of an Annotated, the key is the parameter's name

No handler sees the request itself: whatever comes out of here may go to a database.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from falcon.asgi import Request

from app import errors, roles, validate
from app.permissions import Actor
from app.postlists import Cursor, Threads
from db.model import limits
from db.model.ids import ChannelId, PostId, TeamId, UserId, is_id

Schema = Mapping[str, object]
"""Of OpenAPI."""

DEFAULT_PAGE_SIZE = 60
MAX_PAGE_SIZE = 200
_MAX_BIGINT = 2**63 - 1
_MAX_DIGITS = 19
_DEFAULT_CATEGORY = re.compile("(favorites|channels|direct_messages)_[a-z0-9]{26}_[a-z0-9]{26}")
_WORD = re.compile("[A-Za-z0-9_-]{1,32}")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def user_id(value: str, actor: Actor) -> UserId:
    """A user's id; `me` is the one who asks. Raises 400."""
    return actor.user_id if value == "me" else UserId(_id(value, "user_id"))


def team_id(value: str, _actor: object = None) -> TeamId:
    """A team's id. Raises 400."""
    return TeamId(_id(value, "team_id"))


def channel_id(value: str, _actor: object = None) -> ChannelId:
    """A channel's id. Raises 400."""
    return ChannelId(_id(value, "channel_id"))


def post_id(value: str, _actor: object = None) -> PostId:
    """A post's id. Raises 400."""
    return PostId(_id(value, "post_id"))


def _id(value: str, name: str) -> str:
    if not is_id(value):
        raise errors.invalid_url(name)
    return value


def name(value: str, what: str) -> str:
    """A name in the path: printable, at most 64 characters. Raises 400."""
    if not 1 <= len(value) <= 64 or not value.isprintable():
        raise errors.invalid_url(what)
    return value


def email(value: str) -> str:
    """An address in the path, in lower case. Raises 400."""
    address = value.strip().lower()
    if not validate.is_email(address):
        raise errors.invalid_url("email")
    return address


def emoji_name(value: str) -> str:
    """The name of an emoji. Raises 400."""
    if not validate.is_emoji_name(value):
        raise errors.invalid_url("emoji_name")
    return value


def category_id(value: str) -> str:
    """The id of a category of a sidebar: a plain one, or that of one that everybody has. Raises 400."""
    if not is_id(value) and not _DEFAULT_CATEGORY.fullmatch(value):
        raise errors.invalid_url("category_id")
    return value


def _word(value: str, what: str) -> str:
    """The category or the name of a preference. Raises 400."""
    if not _WORD.fullmatch(value):
        raise errors.invalid_url(what)
    return value


def role_name(value: str) -> str:
    """The name of a role. Raises 400."""
    if not roles.is_name(value):
        raise errors.invalid_url("role_name")
    return value


_JOB_TYPES = frozenset(
    {
        "active_users", "cloud", "data_retention", "elasticsearch_post_aggregation", "elasticsearch_post_indexing",
        "expiry_notify", "export_delete", "export_process", "extract_content", "import_delete", "import_process",
        "ldap_sync", "message_export", "migrations", "plugins", "product_notices", "resend_invitation_email",
    }
)  # fmt: skip


def job_type(value: str) -> str:
    """A kind of job of Mattermost's. Raises 400."""
    if value not in _JOB_TYPES:
        raise errors.invalid_url("job_type")
    return value


def text(req: Request, key: str, default: str = "") -> str:
    """A text of the query. Raises 400 for a NUL character, which no database holds."""
    found = req.get_param(key, default=default)
    if "\0" in found:
        raise errors.invalid_url(key)
    return found


def number(req: Request, key: str, default: int, *, most: int = _MAX_BIGINT) -> int:
    """A number of the query, from 0 to `most`; Mattermost takes the default for what is none, and so do we."""
    found = _digits(req, key)
    return default if found is None else min(found, most)


def strict_number(req: Request, key: str) -> int | None:
    """A number of the query; None when it is not given. Raises 400 for anything else, and beyond 64 bits."""
    found = _digits(req, key)
    if found is None and req.get_param(key):
        raise errors.invalid_url(key)
    if found is not None and found > _MAX_BIGINT:
        raise errors.invalid_url(key)
    return found


def _digits(req: Request, key: str) -> int | None:
    """What the digits 0 to 9 say, 2⁶³ for anything longer than any number of 64 bits; None for anything else.

    `int` takes signs, spaces, underscores and digits of other scripts, too, and fails at more than 4,300 of them.
    """
    written = req.get_param(key, default="")
    if not written.isdecimal() or not written.isascii():
        return None
    significant = written.lstrip("0")
    return int(significant or "0") if len(significant) <= _MAX_DIGITS else _MAX_BIGINT + 1


def flag(req: Request, key: str, default: bool = False) -> bool:
    """A truth value of the query, as Go's ParseBool takes it; what is none is the default."""
    written = req.get_param(key, default="")
    return True if written in _TRUE else False if written in _FALSE else default


def token(req: Request) -> str | None:
    """The credential `access_token` as it was sent: only its hash goes further."""
    return req.get_param("access_token")


class PageOf(NamedTuple):
    """Which page of a list, and how many it holds."""

    number: int
    size: int


def page(req: Request) -> PageOf:
    """`page` and `per_page`."""
    return PageOf(
        number(req, "page", 0, most=1_000_000),
        number(req, "per_page", DEFAULT_PAGE_SIZE, most=MAX_PAGE_SIZE),
    )


def threads(req: Request) -> Threads:
    """How a list of posts is to treat threads and what is deleted."""
    return Threads(
        collapsed=flag(req, "collapsedThreads"),
        skip=flag(req, "skipFetchThreads"),
        deleted=flag(req, "include_deleted"),
    )


def cursor(req: Request) -> Cursor:
    """`perPage`, `direction`, `fromPost`, `fromCreateAt`, `fromUpdateAt`, `updatesOnly`, Raises 400."""
    limit = strict_number(req, "perPage") or 0
    if limit > MAX_PAGE_SIZE:
        raise errors.invalid_url("perPage")
    direction = text(req, "direction")
    if direction not in ("", "up", "down"):
        raise errors.invalid_url("direction")
    last, create_at = text(req, "fromPost"), strict_number(req, "fromCreateAt") or 0
    if last and not create_at:
        raise errors.invalid_url("fromCreateAt")
    update_at, updates_only = strict_number(req, "fromUpdateAt") or 0, flag(req, "updatesOnly")
    if (update_at and create_at) or (updates_only and not update_at):
        raise errors.invalid_url("fromUpdateAt")
    if updates_only and direction == "up":
        raise errors.invalid_url("updatesOnly")
    return Cursor(limit or limits.THREAD_POSTS, direction == "up", last, create_at, update_at, updates_only)


# What parameters of handlers may be ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the path. read: raises 400. needs_session: it depends on who asks."""

    read: Callable[[str, Any], str]
    needs_session: bool = False


@dataclass(frozen=True, eq=False)
class Key:
    """A key of the query, by the name of the parameter; what is not given is the parameter's default."""

    read: Callable[[Request, str, Any], object]
    schema: Schema


@dataclass(frozen=True, eq=False)
class Keys:
    """Keys of the query that make one value."""

    read: Callable[[Request], object]
    schemas: Mapping[str, Schema]


_TEXT: Schema = {"type": "string"}
_TRUTH: Schema = {"type": "boolean", "default": False}
_TIME: Schema = {"type": "integer", "format": "int64", "minimum": 0}


def _size(most: int) -> dict[str, object]:
    return {"type": "integer", "minimum": 0, "maximum": most, "default": min(DEFAULT_PAGE_SIZE, most)}


OF_PATH: Mapping[object, Part] = {
    UserId: Part(user_id, needs_session=True),
    TeamId: Part(team_id),
    ChannelId: Part(channel_id),
    PostId: Part(post_id),
}

Username = Annotated[str, Part(lambda value, _: name(value, "username"))]
TeamName = Annotated[str, Part(lambda value, _: name(value, "name"))]
InviteId = Annotated[str, Part(lambda value, _: _id(value, "invite_id"))]
ChannelName = Annotated[str, Part(lambda value, _: name(value, "channel_name"))]
JobType = Annotated[str, Part(lambda value, _: job_type(value))]
VersionId = Annotated[str, Part(lambda value, _: _id(value, "version_id"))]
EmojiName = Annotated[str, Part(lambda value, _: emoji_name(value))]
CategoryId = Annotated[str, Part(lambda value, _: category_id(value))]
PreferenceCategory = Annotated[str, Part(lambda value, _: _word(value, "category"))]
PreferenceName = Annotated[str, Part(lambda value, _: _word(value, "preference_name"))]
RoleId = Annotated[str, Part(lambda value, _: _id(value, "role_id"))]
RoleName = Annotated[str, Part(lambda value, _: role_name(value))]

Text = Annotated[str, Key(text, _TEXT)]
Flag = Annotated[bool, Key(flag, _TRUTH)]
Time = Annotated[int, Key(lambda req, key, default: strict_number(req, key) or default, _TIME)]
"""Milliseconds since 1970."""
Seconds = Annotated[
    int, Key(lambda req, key, default: default if (given := strict_number(req, key)) is None else given, _TIME)
]
Size = Annotated[
    int, Key(lambda req, key, default: number(req, key, default, most=MAX_PAGE_SIZE), _size(MAX_PAGE_SIZE))
]

LogPage = Annotated[
    PageOf,
    Keys(
        lambda req: PageOf(
            number(req, "page", 0, most=1_000_000),
            number(req, "logs_per_page", limits.LOG_LINES, most=limits.LOG_LINES),
        ),
        {"page": _size(0) | {"maximum": 1_000_000}, "logs_per_page": _size(limits.LOG_LINES)},
    ),
]
Page = Annotated[PageOf, Keys(page, {"page": _size(0) | {"maximum": 1_000_000}, "per_page": _size(MAX_PAGE_SIZE)})]
PageNumber = Annotated[int, Keys(lambda req: page(req).number, {"page": _size(0) | {"maximum": 1_000_000}})]
InThreads = Annotated[
    Threads, Keys(threads, {"collapsedThreads": _TRUTH, "skipFetchThreads": _TRUTH, "include_deleted": _TRUTH})
]
InThread = Annotated[
    Cursor,
    Keys(
        cursor,
        {
            "perPage": _size(MAX_PAGE_SIZE),
            "direction": _TEXT,
            "fromPost": _TEXT,
            "fromCreateAt": _TIME,
            "fromUpdateAt": _TIME,
            "updatesOnly": _TRUTH,
        },
    ),
]
