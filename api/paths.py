"""Where a request leads: the path as it was sent becomes one that routes can be compared with.

This is the only place that takes a target apart, before anything looks at the path: routing, rate limits and upgrades
see the same one. Sans-I/O.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

NOWHERE: Final = "/api/"
"""What a path becomes that leads nowhere: no normalised path, as these end in no slash, and rate limits count it."""

# Where Mattermost's API has both words and ids in the same place: the words. An operation that is not here yet is
# unknown, and not one with a bad id. `me` is an id.
WORDS: Final[Mapping[str, frozenset[str]]] = {
    place: frozenset(words.split())
    for place, words in {
        "/access_control_policies": "activate cel search",
        "/channels": "direct group group_search members search stats",
        "/channels/{}/members": "ids",
        "/commands": "execute",
        "/content_flagging": "config fields flag",
        "/emoji": "autocomplete name names search",
        "/files": "search",
        "/groups": "names",
        "/imports": "delete",
        "/jobs": "type",
        "/oauth/outgoing_connections": "validate",
        "/plugins": "install_from_url marketplace statuses webapp",
        "/posts": "ephemeral ids rewrite schedule scheduled search",
        "/remotecluster": "accept_invite confirm_invite msg ping upload",
        "/roles": "name names",
        "/sharedchannels": "remote_info users",
        "/system/notices": "view",
        "/teams": "invite invites members name search stats",
        "/teams/{}/members": "batch ids invite",
        "/users": "autocomplete email group_channels ids invalid_emails known login logout mfa migrate_auth"
        " notify-admin password search sessions stats status tokens trial-notify-admin username usernames",
        "/users/{}/posts": "flagged",
        "/users/{}/preferences": "delete",
        "/users/{}/teams": "members unread",
        "/users/{}/teams/{}/channels/categories": "order",
        "/users/{}/teams/{}/threads": "mention_counts read",
    }.items()
}  # fmt: skip


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


@lru_cache(512)
def words_of(template: str, prefix: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """Each variable part of a route with the words that Mattermost has in its place, where it has any.

    template: of the route, `/api/v4/users/{user_id}`. prefix: of the API, `/api/v4`.
    """
    found = []
    place = ""
    for part in template.removeprefix(prefix).strip("/").split("/"):
        if part.startswith("{"):
            if place in WORDS:
                found.append((part[1:-1], WORDS[place]))
            part = "{}"
        place += f"/{part}"
    return tuple(found)
