"""Rate limits (RateLimitSettings): which requests count, by what they are told apart, what the answers say.

    server.py ──scope──> Throttle ──key──> app/ratelimit.py        over the limit: 429, before anything else is done
                          │   ▲
                     every 100 ms: how many of each key were admitted, by the bus, to all other api workers

Keys are hashes under a key of the installation: neither addresses nor tokens leave the worker.

By address a peer that seems to be a proxy which nobody named (`Trust.is_forgotten`) would be one client with all whom
it speaks for. Of such a one only what fails counts: guesses are limited, the people behind it are not locked out.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from falcon.asgi import Request

from api import auth, params, replies, table
from api.proxies import Trust
from app.context import Context
from app.errors import AppError
from app.events import messages as events
from app.ratelimit import RateLimiter, Verdict
from db.model.ids import new_id

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope

TELL_S = 0.1
_FAILED = 400
_LONGEST = 512

Headers = list[tuple[bytes, bytes]]


class _Key(NamedTuple):
    """only_failures: a request counts when its answer says that it failed."""

    key: bytes
    only_failures: bool


class Throttle:
    """hash_key: the same in all workers of the cluster. now_ns: of a clock that only goes forward."""

    def __init__(
        self, ctx: Context, hash_key: bytes, trust: Trust, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._ctx = ctx
        self._hash_key = hash_key
        self._trust = trust
        self._now_ns = now_ns
        settings = ctx.config.rate_limit_settings
        self._by_user, self._by_address = settings.vary_by_user, settings.vary_by_remote_addr
        self._header = settings.vary_by_header.lower().encode()
        self._limiter = RateLimiter(settings.per_sec, settings.max_burst, settings.memory_store_size)
        self._timer: asyncio.TimerHandle | None = None

    def check(self, scope: "HTTPScope") -> Verdict | None:
        """Count a request; None for one that does not count."""
        found = self._key_of(scope)
        return None if found is None else self._decide(found)

    def screen(self, app: "ASGI3Application", scope: "HTTPScope") -> "tuple[ASGI3Application, Headers]":
        """Count a request: what is to answer it, and the headers that go with the answer."""
        found = self._key_of(scope)
        if found is None:
            return app, []
        verdict = self._decide(found)
        if not verdict.admitted:
            return partial(self._refuse, verdict), headers_of(verdict)
        return partial(self._watch, app, found.key) if found.only_failures else app, headers_of(verdict)

    def _key_of(self, scope: "HTTPScope") -> _Key | None:
        path = scope["path"]
        if not path.startswith("/api/") or (path.rstrip("/") in table.UNCOUNTED and not scope["query_string"]):
            return None
        return self._key(scope)

    def _decide(self, found: _Key) -> Verdict:
        return self._limiter.look(found.key, self._now_ns()) if found.only_failures else self._admit(found.key)

    def _admit(self, key: bytes) -> Verdict:
        verdict = self._limiter.admit(key, self._now_ns())
        if verdict.admitted:
            self._tell_soon()
        return verdict

    async def _watch(
        self,
        app: "ASGI3Application",
        key: bytes,
        scope: "HTTPScope",
        receive: "ASGIReceiveCallable",
        send: "ASGISendCallable",
    ) -> None:
        """Count the request when it fails."""

        async def watched(message: "ASGISendEvent") -> None:
            if message["type"] == "http.response.start" and message["status"] >= _FAILED:
                self._admit(key)
            await send(message)

        await app(scope, receive, watched)

    async def _refuse(
        self, verdict: Verdict, _scope: "HTTPScope", _receive: "ASGIReceiveCallable", send: "ASGISendCallable"
    ) -> None:
        """An ASGI application that says so."""
        request_id = new_id()
        body = replies.error_body(error_of(verdict), request_id)
        headers = {
            **replies.common_headers(request_id, self._ctx.client_config.version_id),
            "Content-Type": replies.JSON,
            "Content-Length": str(len(body)),
        }
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 429, "headers": encoded, "trailers": False})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    # Keys ----------------------------------------------------------------------------------------------------------

    def _key(self, scope: "HTTPScope") -> _Key | None:
        """By what Mattermost tells clients apart: the token, else the address, and a header; None: by nothing."""
        who = b""
        only_failures = False
        if self._by_user and (token := _token(scope)):
            who = b"token " + token.encode("utf-8", "surrogatepass")
        elif self._by_address and (client := scope["client"]) is not None:
            said = [_header(scope, name)[-_LONGEST:] for name in self._trust.headers]
            who = b"client " + self._trust.client(client[0], said).encode()
            only_failures = any(said) and self._trust.is_forgotten(client[0])
        value = _header(scope, self._header).lower() if self._header else b""
        if not who and not value:
            return None
        key = blake2b(who + b"\n" + value, digest_size=events.KEY_BYTES, key=self._hash_key).digest()
        return _Key(key, only_failures)

    # The other workers ---------------------------------------------------------------------------------------------

    def handle(self, message: events.Message) -> None:
        """A message of another api worker."""
        if isinstance(message, events.Admitted):
            now_ns = self._now_ns()
            for key, number in message.counts:
                self._limiter.apply(key, number, now_ns)

    def _tell_soon(self) -> None:
        if self._limiter.urgent:
            self._tell()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TELL_S, self._tell)

    def _tell(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        counts = iter(self._limiter.take().items())
        while some := tuple(itertools.islice(counts, events.MAX_COUNTS)):
            self._ctx.bus.publish(events.Admitted(some))


def headers_of(verdict: Verdict) -> Headers:
    """What every answer to a request that counts says; times are whole seconds, rounded up."""
    headers = [
        (b"x-ratelimit-limit", b"%d" % verdict.limit),
        (b"x-ratelimit-remaining", b"%d" % verdict.remaining),
        (b"x-ratelimit-reset", b"%d" % _seconds(verdict.reset_ns)),
    ]
    if not verdict.admitted:
        headers.append((b"retry-after", b"%d" % _seconds(verdict.retry_ns)))
    return headers


def error_of(_verdict: Verdict) -> AppError:
    """429. `headers_of` says when to come back."""
    return AppError("api.context.rate_limit.app_error", 429)


def _seconds(ns: int) -> int:
    return -(-ns // 1_000_000_000)


def _header(scope: "HTTPScope", name: bytes) -> bytes:
    """The value of a header; of one that came more than once all of them, as one list."""
    return b",".join([value for key, value in scope["headers"] if key == name])


def _token(scope: "HTTPScope") -> str:
    """The token that the session will be looked up by: as Falcon reads it, wherever that could be another."""
    authorization = [value for key, value in scope["headers"] if key == b"authorization"]
    if len(authorization) < 2 and not scope["query_string"] and not _header(scope, b"cookie"):
        found = auth.find_token({}, authorization[0].decode("latin-1"), None) if authorization else None
        return found[0] if found is not None else ""
    try:
        req = Request(scope, _nothing)  # type: ignore[arg-type]
    except UnicodeDecodeError:
        return ""
    found = auth.find_token(req.cookies, req.auth, params.token(req))
    return found[0] if found is not None else ""


async def _nothing() -> dict[str, object]:
    return {"type": "http.disconnect"}
