"""What answers tell browsers whose page is of another origin: CORS, as Mattermost's ServiceSettings say.

`AllowCorsFrom`, `CorsExposedHeaders`, `CorsAllowCredentials`, `CorsDebug`. The server puts them on, under whatever
answers (`server.py`), so that refusals carry them, too: without them a page could not tell a 401 from a network that is
down. A foreign page that is not allowed is answered without them, and its browser keeps the answer from it.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from falcon.asgi import Request

from api.proxies import Trust, is_https
from app import origins
from app.config.settings import Config

log = logging.getLogger(__name__)

Headers = list[tuple[bytes, bytes]]

METHODS: Final = b"POST, GET, OPTIONS, PUT, PATCH, DELETE"
MAX_AGE_S: Final = 86_400
_FIELD_NAMES = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z, -]{1,4096}")
_PROTO = b"x-forwarded-proto"
_METHOD, _WANTED = b"access-control-request-method", b"access-control-request-headers"
_VARY = (b"vary", b"Origin")
_VARY_PREFLIGHT = (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")


def is_preflight(req: Request) -> bool:
    """Whether a browser asks if it may send a request (Fetch §3.2.2): that is answered 204, before anything else."""
    return req.method == "OPTIONS" and bool(
        req.get_header("Origin") and req.get_header("Access-Control-Request-Method")
    )


def headers_of(scope: Mapping[str, Any], config: Config, trust: Trust) -> Headers:
    """What goes with the answer to a request, whatever it will be; none where no page but the node's own may ask."""
    service = config.service_settings
    if not service.allow_cors_from and not service.site_url:
        return []
    sent: Mapping[bytes, list[bytes]] = _sent(scope["headers"])
    preflight = scope["method"] == "OPTIONS" and _METHOD in sent
    headers = [_VARY_PREFLIGHT if preflight else _VARY]
    given = sent.get(b"origin", [])
    if not given:
        return headers
    origin = given[0].decode("latin-1")
    host = b"".join(sent.get(b"host", [])).decode("latin-1")
    proto = b"".join(sent.get(_PROTO, [])).decode("latin-1")
    peer = scope["client"][0] if scope["client"] else ""
    secure = is_https(proto, peer, trust.trusts)
    allowed = len(given) == 1 and origins.allowed(origin, host, config, secure=secure)
    if service.cors_debug:
        log.info("a request of a page", extra={"origin": origin, "allowed": allowed, "preflight": preflight})
    if not allowed:
        return headers
    everybody = "*" in service.allow_cors_from.split()
    headers.append((b"access-control-allow-origin", b"*" if everybody else given[0]))
    if service.cors_allow_credentials and not everybody:  # browsers refuse both together (Fetch §3.2.5)
        headers.append((b"access-control-allow-credentials", b"true"))
    if preflight:
        headers += [(b"access-control-allow-methods", METHODS), (b"access-control-max-age", b"%d" % MAX_AGE_S)]
        wanted = b", ".join(sent.get(_WANTED, []))
        if _FIELD_NAMES.fullmatch(wanted):
            headers.append((b"access-control-allow-headers", wanted))
    elif exposed := ", ".join(service.cors_exposed_headers.split()):
        headers.append((b"access-control-expose-headers", exposed.encode()))
    return headers


def _sent(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """The values of the headers that count here."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in (b"origin", b"host", _PROTO, _METHOD, _WANTED):
            found.setdefault(name, []).append(value)
    return found
