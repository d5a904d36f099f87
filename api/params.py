"""Parts of the path and of the query: checked here, so that nothing malformed goes further."""

from falcon.asgi import Request

from app import errors, validate
from app.permissions import Actor
from app.postlists import Threads
from db.ids import ChannelId, PostId, TeamId, UserId, is_id

DEFAULT_PAGE_SIZE = 60
MAX_PAGE_SIZE = 200
_MAX_BIGINT = 2**63 - 1


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


def number(req: Request, key: str, default: int, *, most: int = _MAX_BIGINT) -> int:
    """A number of the query, from 0 to `most`; Mattermost takes the default for what is none, and so do we."""
    text = req.get_param(key)
    if not text or not text.isdecimal() or not text.isascii():
        return default
    return min(int(text[:19]), most)


def strict_number(req: Request, key: str) -> int | None:
    """A number of the query; None when it is not given. Raises 400 for anything else."""
    text = req.get_param(key)
    if text is None or text == "":
        return None
    if not text.isdecimal() or not text.isascii() or int(text[:20]) > _MAX_BIGINT:
        raise errors.invalid_url(key)
    return int(text)


def flag(req: Request, key: str) -> bool:
    """A truth value of the query; absent is false."""
    return req.get_param(key, default="").lower() in ("true", "1", "t")


def page(req: Request) -> tuple[int, int]:
    """The page and its size."""
    return (
        number(req, "page", 0, most=1_000_000),
        number(req, "per_page", DEFAULT_PAGE_SIZE, most=MAX_PAGE_SIZE),
    )


def threads(req: Request) -> Threads:
    """How a list of posts is to treat threads."""
    return Threads(collapsed=flag(req, "collapsedThreads"), skip=flag(req, "skipFetchThreads"))
