"""Where a request leads: the path as it was sent becomes one that routes can be compared with.

This is the only place that takes a target apart, before anything looks at the path: routing, rate limits and upgrades
see the same one. Sans-I/O.
"""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

NOWHERE: Final = "/api/"
"""What a path becomes that leads nowhere: no normalised path, as these end in no slash, and rate limits count it."""


@lru_cache(16)
def base_of(site_url: str) -> str:
    """The path of SiteURL below which the node serves, decoded: '/mattermost', or '' when it has none."""
    parts = [part for part in unquote(urlsplit(site_url).path).split("/") if part]
    return "/" + "/".join(parts) if parts else ""


def normalise(path: str, base: str) -> str | None:
    """The path below `base`, decoded, with one slash between its parts and none at its end ('/' is the root).

    path: as it was sent, percent-encoded and without its query. base: of `base_of`. None: it leads nowhere. It is not
    below `base`; or it has a part `.` or `..`, or an encoded slash: clients resolve dots and no part of ours holds a
    slash, so who sends them wants this node to see another path than those before it saw.
    """
    if not path.startswith("/"):
        return None
    if "%" in path:
        if "%2f" in path.lower():
            return None
        path = unquote(path)
    if "//" in path or path.endswith("/"):
        path = "/" + "/".join([part for part in path.split("/") if part])
    if "/." in path and not {".", ".."}.isdisjoint(path.split("/")):
        return None
    if not base:
        return path
    if path == base:
        return "/"
    return path[len(base) :] if path.startswith(f"{base}/") else None


def authority_of(target: bytes) -> bytes:
    """The host, and the port if it is said, of a target in absolute-form, `http://host:port/path`."""
    authority = re.split(rb"[/?#]", target.partition(b"://")[2], maxsplit=1)[0]
    return authority.rpartition(b"@")[2]
