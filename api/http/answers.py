"""What every answer carries, whoever made it: what browsers may do with it, whether it may be kept; and gzip.

Everything that leaves by HTTP passes here: `cycle.py` asks for the answers of the application and of the rate limits,
`connection.py` for those to requests that never reached it.
"""

import asyncio
import base64
import hashlib
import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from api import replies
from app.config.settings import Config
from app.errors import AppError

if TYPE_CHECKING:
    from uvicorn._types import HTTPResponseStartEvent, HTTPScope

PACK_FROM_BYTES = 1400
"""What fits into one packet stays as it is."""
PACKED_KEPT_BYTES = 8 << 20
LEVEL = 1
_APART_FROM_BYTES = 128 * 1024
"""zlib lets go of the interpreter; the loop does not wait for what takes longer than a millisecond or two."""
_PACKED_TYPES = (b"application/json", b"application/javascript", b"image/svg+xml", b"text/")
_NOT_PACKED = frozenset({204, 206, 304})

NO_PAGE = b"default-src 'none'; frame-ancestors 'none'"
PAGE = (
    b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    b"frame-ancestors 'self'"
)


def policy_of(page: bytes) -> str:
    """A Content-Security-Policy under which this page's own scripts and styles run, and no others that stand in it."""
    policy = PAGE.decode()
    for element in ("script", "style"):
        inline = re.findall(rb"<%b>(.*?)</%b>" % (element.encode(), element.encode()), page, re.DOTALL)
        hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(one).digest()).decode()}'" for one in inline]
        policy += "; " + " ".join([f"{element}-src 'self'", *hashes])
    return policy


class Answers:
    """One for a worker. config: the configuration of now."""

    def __init__(self, config: Callable[[], Config]) -> None:
        self._now = config
        self._config = config()
        self._common = _common(self._config)
        self._blocks: dict[tuple[bool, bool, bool], bytes] = {}
        self._packed: OrderedDict[bytes, bytes] = OrderedDict()
        self._packed_bytes = 0

    def standing(self, scope: "HTTPScope", given: Mapping[bytes, bytes]) -> bytes:
        """Lines for the head, besides those that the answer's maker has `given`: what it gave stays."""
        path = scope["path"]
        of_api = path.startswith("/api/") or path == "/api"
        return self._lines(of_api, scope["method"] == "GET", given)

    def _lines(self, of_api: bool, is_read: bool, given: Mapping[bytes, bytes]) -> bytes:
        if self._config is not self._now():
            self._config = self._now()
            self._common = _common(self._config)
            self._blocks.clear()
        key = of_api, is_read, b"etag" in given
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = _lines(self._headers(*key), {})
        if b"cache-control" in given or b"content-security-policy" in given or b"expires" in given:
            return _lines(self._headers(*key), given)
        return block

    def _headers(self, of_api: bool, is_read: bool, has_etag: bool) -> Mapping[bytes, bytes]:
        headers = dict(self._common)
        headers[b"content-security-policy"] = NO_PAGE if of_api else PAGE
        headers[b"cache-control"] = b"no-cache, private" if has_etag or not of_api else b"no-store"
        if is_read:
            headers[b"expires"] = b"0"  # Mattermost's
        return headers

    def raw(self, error: AppError, headers: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
        """A whole answer with Mattermost's error JSON, after which the connection ends."""
        return replies.raw_error(error, headers, self._lines(True, False, {}))

    async def packed(self, scope: "HTTPScope", start: "HTTPResponseStartEvent", body: bytes) -> bytes | None:
        """The body as gzip; None when it is to go as it is."""
        if len(body) < PACK_FROM_BYTES or scope["method"] == "HEAD" or start["status"] in _NOT_PACKED:
            return None
        accepted = b",".join([value for name, value in scope["headers"] if name == b"accept-encoding"])
        if not accepted or not accepts_gzip(accepted):
            return None
        headers = dict(start.get("headers", ()))
        if b"content-encoding" in headers or not headers.get(b"content-type", b"").startswith(_PACKED_TYPES):
            return None
        known = self._packed.get(body)  # pages come from a cache: the same object, whose hash is known
        if known is not None:
            self._packed.move_to_end(body)
            return known
        packed = await asyncio.to_thread(_pack, body) if len(body) >= _APART_FROM_BYTES else _pack(body)
        self._keep(body, packed)
        return packed

    def _keep(self, body: bytes, packed: bytes) -> None:
        if len(body) + len(packed) > PACKED_KEPT_BYTES // 8 or body in self._packed:
            return
        self._packed[body] = packed
        self._packed_bytes += len(body) + len(packed)
        while self._packed_bytes > PACKED_KEPT_BYTES:
            self._packed_bytes -= sum(map(len, self._packed.popitem(last=False)))


def _common(config: Config) -> Mapping[bytes, bytes]:
    service = config.service_settings
    headers = {
        b"vary": b"Accept-Encoding",
        b"x-content-type-options": b"nosniff",
        b"x-frame-options": b"SAMEORIGIN",
        b"referrer-policy": b"no-referrer",
    }
    if service.tls_strict_transport:
        headers[b"strict-transport-security"] = b"max-age=%d" % service.tls_strict_transport_max_age
    return headers


def _lines(headers: Mapping[bytes, bytes], given: Mapping[bytes, bytes]) -> bytes:
    """Those that are not given; what an answer varies by adds up (RFC 9110 §12.5.5)."""
    return b"".join(b"%b: %b\r\n" % one for one in headers.items() if one[0] == b"vary" or one[0] not in given)


def _pack(body: bytes) -> bytes:
    return zlib.compress(body, LEVEL, wbits=31)


def accepts_gzip(value: bytes) -> bool:
    """Whether an Accept-Encoding takes gzip."""
    return accepts(value, (b"gzip", b"x-gzip"))


@lru_cache(256)
def accepts(value: bytes, names: tuple[bytes, ...]) -> bool:
    """Whether an Accept-Encoding takes a coding (RFC 9110 §12.5.3): named, or covered by *, and not with q=0."""
    found: dict[bytes, bool] = {}
    for one in value.lower().split(b","):
        coding, _, parameters = one.partition(b";")
        name, _, weight = parameters.strip().partition(b"=")
        try:
            wanted = name.strip() != b"q" or float(weight) > 0
        except ValueError:
            wanted = False
        found[coding.strip()] = wanted
    return next((found[name] for name in names if name in found), found.get(b"*", False))
