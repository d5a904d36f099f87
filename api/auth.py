"""Who asks: token from cookie, header or query, then the session; CSRF for cookies.

Whoever sends a body is asked before it, so that nobody's is read, and again once it is here, if that took long: a body
may take minutes, and a session, or an administrator's role, may end meanwhile.

Order (api-v4 rules): cookie MMAUTHTOKEN, `Authorization: BEARER t` (any case), `Authorization: token t`,
`?access_token=`. A token from a cookie must prove, on everything but GET, that the page itself sent the request.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from functools import partial
from urllib.parse import urlsplit

from falcon.asgi import Request, Response

from api import bodies, params
from api.proxies import Proxies, is_https
from app import errors, sessions
from app.config.settings import Config
from app.context import Context
from app.errors import AppError
from app.origin import Origin
from app.permissions import Actor
from db.model.entities import Session

COOKIE_TOKEN, COOKIE_USER, COOKIE_CSRF = "MMAUTHTOKEN", "MMUSERID", "MMCSRF"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LONG_S = 0.5
"""With the time that a change takes to reach every node, well below the two seconds of the oldest answer."""


class Source(Enum):
    """Where a token came from."""

    COOKIE = "cookie"
    HEADER = "header"
    QUERY = "query"


def find_token(cookies: Mapping[str, str], authorization: str | None, query: str | None) -> tuple[str, Source] | None:
    """The token and where it stood."""
    cookie = cookies.get(COOKIE_TOKEN)
    if cookie:
        return cookie, Source.COOKIE
    if authorization:
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() in ("bearer", "token") and token.strip():
            return token.strip(), Source.HEADER
    if query:
        return query, Source.QUERY
    return None


class Authenticator:
    """Answers "who asks" for a request."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._config: Config | None = None
        self._proxies: Proxies

    def origin(self, req: Request) -> Origin:
        """Where a request comes from. Who our proxies are is applied live."""
        if self._config is not self._ctx.config:
            self._config = self._ctx.config
            self._proxies = Proxies(self._config)
        said = [(req.get_header(name.decode()) or "").encode("latin-1", "replace") for name in self._proxies.headers]
        return Origin(
            self._proxies.address(req.remote_addr, said),
            self._proxies.client(req.remote_addr, said),
            req.context.request_id,
        )

    async def actor(self, req: Request, *, whole: bool = True) -> Actor:
        """The session and user. whole: wait for the body, and ask again when that took long. Raises 401."""
        actor = await self.optional(req, whole=whole)
        if actor is None:
            raise errors.session_expired()
        return actor

    async def operator(self, req: Request) -> Actor:
        """As `actor`, for what operates the node; also while there is no master. Raises 401."""
        actor = await self.optional(req, sessions.authenticate_operator)
        if actor is None:
            raise errors.session_expired()
        return actor

    async def optional(
        self,
        req: Request,
        authenticate: Callable[[Context, str], Awaitable[Actor]] = sessions.authenticate,
        *,
        whole: bool = True,
    ) -> Actor | None:
        """The session and user, or None when nobody (valid) asks. whole: as for `actor`.

        Raises 401 for a good cookie that fails CSRF, and 413 when there is a body that is too large.
        """
        found = find_token(req.cookies, req.auth, params.token(req))
        if found is None:
            return None
        token, source = found
        try:
            actor = await authenticate(self._ctx, token)
        except AppError:
            return None
        if req.method not in _SAFE_METHODS:
            if source is Source.COOKIE:
                self._check_csrf(req, actor.session)
            began = time.monotonic()
            if whole:
                await bodies.whole(req, self._ctx)
            if time.monotonic() - began > _LONG_S:
                try:
                    actor = await authenticate(self._ctx, token)
                except AppError:
                    return None
        return Actor(actor.session, actor.user, partial(self.origin, req))

    def _check_csrf(self, req: Request, session: Session) -> None:
        given = req.get_header("X-CSRF-Token") or ""
        if secrets.compare_digest(given.encode(), session.csrf_token.encode()):
            return
        strict = self._ctx.config.service_settings.experimental_strict_csrf_enforcement
        if strict or req.get_header("X-Requested-With") != "XMLHttpRequest":
            raise errors.session_expired()


def set_cookies(ctx: Context, req: Request, resp: Response, session: Session, token: str) -> None:
    """The three cookies of a browser session."""
    max_age_s = (session.expires_at - session.create_at) // 1000
    secure = is_https(req.get_header("X-Forwarded-Proto") or "", req.remote_addr, Proxies(ctx.config).trusts)
    for name, value, http_only in (
        (COOKIE_TOKEN, token, True),
        (COOKIE_USER, session.user_id, False),
        (COOKIE_CSRF, session.csrf_token, False),
    ):
        resp.set_cookie(
            name,
            value,
            max_age=max_age_s,
            path=_cookie_path(ctx),
            secure=secure,
            http_only=http_only,
            same_site="Lax",
        )


def clear_cookies(ctx: Context, resp: Response) -> None:
    """Have the browser forget the session."""
    for name in (COOKIE_TOKEN, COOKIE_USER, COOKIE_CSRF):
        resp.unset_cookie(name, path=_cookie_path(ctx))


def _cookie_path(ctx: Context) -> str:
    return urlsplit(ctx.config.service_settings.site_url).path.rstrip("/") or "/"
