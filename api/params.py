"""Parts of the path and of the query: checked here, so that nothing malformed goes further.

No handler reads the query itself (a test looks): whatever comes out of here may go to a database.
"""

from falcon.asgi import Request

from app import errors, validate
from app.permissions import Actor
from app.postlists import Threads
from db.model.ids import ChannelId, PostId, TeamId, UserId, is_id

DEFAULT_PAGE_SIZE = 60
MAX_PAGE_SIZE = 200
_MAX_BIGINT = 2**63 - 1
_MAX_DIGITS = 19
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def user_id(value: str, actor: Actor) -> UserId:
    """A user's id; `me` is the one who asks. Raises 400."""
    return actor.user_id if value == "me" else UserId(_id(value, "user_id"))


def team_id(value: str) -> TeamId:
    """A team's id. Raises 400."""
    return TeamId(_id(value, "team_id"))


def channel_id(value: str) -> ChannelId:
    """A channel's id. Raises 400."""
    return ChannelId(_id(value, "channel_id"))


def post_id(value: str) -> PostId:
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


def emoji_name(value: str) -> str:
    """The name of an emoji. Raises 400."""
    if not validate.is_emoji_name(value):
        raise errors.invalid_url("emoji_name")
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


def flag(req: Request, key: str, *, default: bool = False) -> bool:
    """A truth value of the query, as Go's ParseBool takes it; what is none is the default."""
    written = req.get_param(key, default="")
    return True if written in _TRUE else False if written in _FALSE else default


def token(req: Request) -> str | None:
    """The credential `access_token` as it was sent: only its hash goes further."""
    return req.get_param("access_token")


def page(req: Request) -> tuple[int, int]:
    """The page and its size."""
    return (
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
