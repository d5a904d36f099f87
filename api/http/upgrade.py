"""The WebSocket upgrade: Origin, who asks, then the socket goes to a ws worker.

The handshake itself is the ws worker's: it gets the request as it stood. While the session is looked up and the
handover is under way, this protocol owns the transport and reads nothing from it.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from api import auth
from api.proxies import Trust, is_https
from app import errors, origins, sessions
from app.context import Context
from app.errors import AppError
from app.ports import Handover, Upgrade
from db.model.errors import DatabaseError
from db.model.tasks import Tasks

log = logging.getLogger(__name__)

PATH = "/api/v4/websocket"
_SINGLE = frozenset({b"origin", b"host", b"authorization", b"x-forwarded-proto"})
MAX_RETRY_AFTER_S = 5
"""Not all at once: whoever is turned away comes back."""


@dataclass(frozen=True)
class Request:
    """An upgrade request. target: path and query as sent. path, query: what became of them, as for any request.

    tail: bytes that followed the head in the same read.
    """

    method: bytes
    target: bytes
    path: str
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    tail: bytes

    def head(self) -> bytes:
        """The request head for the one who makes the handshake."""
        lines = [self.method + b" " + self.target + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers]
        return b"\r\n".join([*lines, b"", b""])


def fields_of(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """The headers by name. Raises 400 where one that decides who may connect is there twice: which one counts?

    Several cookie headers are one (RFC 9113 §8.2.3: what speaks HTTP/2 before us may have split it).
    """
    fields: dict[bytes, str] = {}
    for name, value in headers:
        text = value.decode("latin-1")
        if name == b"cookie" and name in fields:
            text = f"{fields[name]}; {text}"
        elif name in _SINGLE and name in fields:
            raise refused()
        fields[name] = text
    return fields


def refused() -> AppError:
    """As Mattermost refuses an upgrade."""
    return AppError("api.web_socket.connect.upgrade.app_error", 400)


class Upgrader:
    """Starts upgrades and keeps their tasks."""

    def __init__(self, ctx: Context, handover: Handover, trust: Trust) -> None:
        self._ctx = ctx
        self._handover = handover
        self._trust = trust
        self._tasks = Tasks()

    def start(self, transport: asyncio.Transport, request: Request, refuse: Callable[[AppError], None]) -> None:
        """Take the transport over; it is given away in a task, or given back to `refuse`."""
        transport.pause_reading()
        transport.set_protocol(_Waiting(self._tasks.start(self._run(transport, request, refuse))))

    async def _run(self, transport: asyncio.Transport, request: Request, refuse: Callable[[AppError], None]) -> None:
        try:
            upgrade = await self._prepare(transport, request)
            sock = transport.get_extra_info("socket")
            if not await self._handover.offer(sock.fileno(), upgrade):
                raise errors.server_busy(retry_after_s=1 + secrets.randbelow(MAX_RETRY_AFTER_S))
        except AppError as error:
            refuse(error)
        except DatabaseError:
            refuse(errors.server_busy())
        except Exception:
            log.exception("an upgrade failed")
            transport.abort()
        else:
            transport.abort()  # closes our descriptor only: the ws worker has its own

    async def _prepare(self, transport: asyncio.Transport, request: Request) -> Upgrade:
        """Check the request and find out who asks. Raises AppError."""
        if request.path != PATH:
            raise AppError("api.context.404.app_error", 404)
        fields = fields_of(request.headers)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        found = auth.find_token(
            _cookies(fields.get(b"cookie", "")), fields.get(b"authorization"), _token(request.query)
        )
        if not self._may_connect(fields, address, found) or request.method != b"GET":
            raise refused()
        user_id = session_id = ""
        if found is not None:
            # A bad token is as none: the client may still answer the authentication challenge.
            with contextlib.suppress(AppError):
                actor = await sessions.authenticate(self._ctx, found[0])
                user_id, session_id = actor.user_id, actor.session.id
        return Upgrade(
            user_id=user_id, session_id=session_id, client=address, request=request.head(), tail=request.tail
        )

    def _may_connect(self, fields: Mapping[bytes, str], peer: str, found: tuple[str, auth.Source] | None) -> bool:
        """By the page that asks."""
        origin = fields.get(b"origin")
        if origin is None:
            # Bots and drivers send none; a browser always does, and only a browser sends a cookie unasked.
            return found is None or found[1] is not auth.Source.COOKIE
        secure = is_https(fields.get(b"x-forwarded-proto", ""), peer, self._trust.trusts)
        return origins.allowed(origin, fields.get(b"host", ""), self._ctx.config, secure=secure)


class _Waiting(asyncio.Protocol):
    """Owns the transport while its upgrade is under way."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went away, or the socket was given away (then the task is done)."""
        if exc is not None:
            self._task.cancel()


def _cookies(header: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


def _token(query: bytes) -> str | None:
    values = parse_qs(query.decode("latin-1")).get("access_token")
    return values[0] if values else None
