"""Of which web pages a browser may talk to us: one rule for sockets and for REST. Sans-I/O.

A page of the SiteURL, of an origin in AllowCorsFrom, or of the host that the request is for. The SiteURL's counts also
where a proxy rewrites Host, as in Mattermost.
"""

from urllib.parse import urlsplit

from app.config.settings import Config

_PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str, int]
"""Scheme, host and port, as RFC 6454 §5 compares them."""


def allowed(origin: str, host: str, config: Config, *, secure: bool = False) -> bool:
    """Whether a page of `origin` may use us. Anything may stand in either header.

    host: of the request, with its port. secure: the client's own connection is known to be encrypted: a page that came
    without encryption may be anybody's then. An https page is taken also where that is not known, because a proxy that
    ends TLS need not say so.
    """
    service = config.service_settings
    listed = service.allow_cors_from.split()
    if "*" in listed or origin in listed:
        return True
    asked = parse(origin)
    if asked is None:
        return False
    if asked in {parse(one.rstrip("/")) for one in listed} or asked == of_url(service.site_url):
        return True
    scheme = asked[0]
    return not (secure and scheme == "http") and asked == parse(f"{scheme}://{host}")


def parse(text: str) -> Origin | None:
    """An origin as browsers send it, `scheme://host[:port]`; None for anything else."""
    scheme, separator, authority = text.lower().partition("://")
    if scheme not in _PORTS or not separator or not authority or set(authority) & set("/?#@\\ \t\r\n"):
        return None
    return of_url(text)


def of_url(url: str) -> Origin | None:
    """The origin of an http or https URL; None for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # brackets, or a port that is no number
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port
