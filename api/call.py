"""What an operation gets of its request, and what of the answer is its own: no more than this reaches `api/ops`."""

from typing import Generic, NamedTuple, TypeVar

from falcon.asgi import BoundedStream, Request, Response

from api import auth, replies
from app.context import Context
from app.origin import Origin
from app.permissions import Actor
from db.model.entities import Session

A = TypeVar("A", Actor, Actor | None)


class Reply(NamedTuple):
    """An answer with another status than the operation's."""

    body: object
    status: int


class NotModified(Exception):
    """The client has this very state already: 304."""


class Asked(Generic[A]):
    """A request whose sender is known. actor: None where nobody is logged in, and need not be."""

    __slots__ = ("_auth", "_req", "_resp", "actor", "ctx")

    actor: A

    def __init__(self, ctx: Context, by: auth.Authenticator, actor: A, req: Request, resp: Response) -> None:
        self.ctx = ctx
        self.actor = actor
        self._auth = by
        self._req = req
        self._resp = resp

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        return self._auth.origin(self._req)

    @property
    def conditional(self) -> bool:
        """Whether the client has some state already."""
        return bool(self._req.if_none_match)

    def tag(self, *parts: object) -> None:
        """Name the state that is answered (ETag). Raises NotModified where the client has it; see `app.ports.Tag`."""
        if replies.not_modified(self._req, self._resp, self.ctx.client_config.version, *parts):
            raise NotModified

    def keep(self, seconds: int, *parts: object) -> None:
        """As `tag` for bytes that are always the same for these parts: clients may keep them for so long unasked."""
        self._resp.set_header("Cache-Control", f"max-age={seconds}, private")
        if replies.not_modified(self._req, self._resp, *parts, exact=True):
            raise NotModified

    def begin_session(self, session: Session, token: str) -> None:
        """Tell the client its token: in a header, and in cookies where the page itself asks."""
        if self._req.get_header("X-Requested-With") == "XMLHttpRequest":
            auth.set_cookies(self.ctx, self._req, self._resp, session, token)
        self._resp.set_header("Token", token)

    def end_session(self) -> None:
        """Have the browser forget it."""
        auth.clear_cookies(self.ctx, self._resp)

    @property
    def stream(self) -> BoundedStream:
        """The body as it comes, of an operation that `streams`: nobody has looked at its size."""
        return self._req.stream

    async def ask_again(self) -> None:
        """Of an operation that `streams`, once its body is here: who asks may have been forbidden meanwhile.

        Raises 401.
        """
        self.actor = await self._auth.actor(self._req, whole=False)


Call = Asked[Actor]
Visit = Asked[Actor | None]
