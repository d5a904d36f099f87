"""By operation: whether its request or its answer grows with the data, and the bound of `db/model/limits.py` on it."""

from api.params import MAX_PAGE_SIZE
from db.model import limits

# Items of one answer.
ANSWERS = {
    "GET /api/v4/channels/{channel_id}/posts": max(limits.SINCE_POSTS, MAX_PAGE_SIZE),
    "GET /api/v4/users/{user_id}/channels/{channel_id}/posts/unread": 2 * MAX_PAGE_SIZE,
    "GET /api/v4/posts/{post_id}/thread": limits.THREAD_POSTS + 1,
    "GET /api/v4/channels/{channel_id}/pinned": limits.PINNED_POSTS,
    "GET /api/v4/posts/{post_id}/reactions": limits.REACTIONS,
    "GET /api/v4/channels/{channel_id}/members": MAX_PAGE_SIZE,
    "GET /api/v4/users/{user_id}/teams": limits.TEAMS,
    "GET /api/v4/users/{user_id}/teams/{team_id}/channels": limits.CHANNELS,
    "GET /api/v4/users/{user_id}/teams/{team_id}/channels/members": limits.CHANNELS,
    "GET /api/v4/users/{user_id}/sessions": limits.SESSIONS,
    "GET /api/v4/audits": MAX_PAGE_SIZE,
    "GET /api/v4/users/{user_id}/audits": MAX_PAGE_SIZE,
}
# Ids in one request.
REQUESTS = {
    "POST /api/v4/users/ids": limits.USER_IDS,
    "POST /api/v4/users/status/ids": limits.USER_IDS,
    "POST /api/v4/posts/ids/reactions": limits.POST_IDS,
    "POST /api/v4/channels/direct": 2,
}
# One thing, or as many as there are nodes or settings. A post has at most limits.REACTIONS of its reactions with it.
FIXED = frozenset(
    f"{method} /api/{path}"
    for method, paths in {
        "GET": (
            "v3/general/ping v4/system/ping v4/websocket v4/config v4/config/client v4/license/client v4/cluster/status"
            " v4/users/{user_id} v4/users/username/{username} v4/users/{user_id}/status v4/teams/name/{name}"
            " v4/teams/{team_id}/channels/name/{channel_name} v4/channels/{channel_id} v4/channels/{channel_id}/stats"
            " v4/posts/{post_id}"
        ),
        "HEAD": "v3/general/ping v4/system/ping",
        "POST": (
            "v4/users v4/users/login v4/users/logout v4/users/{user_id}/typing v4/users/{user_id}/sessions/revoke"
            " v4/users/{user_id}/sessions/revoke/all v4/users/sessions/revoke/all v4/teams v4/teams/{team_id}/members"
            " v4/channels v4/channels/{channel_id}/members v4/channels/members/{user_id}/view v4/posts"
            " v4/posts/{post_id}/pin v4/posts/{post_id}/unpin v4/reactions v4/config/reload v4/database/recycle"
            " v4/caches/invalidate v4/users/{user_id}/reset_failed_attempts"
        ),
        "PUT": (
            "v4/users/{user_id}/active v4/users/{user_id}/roles v4/users/{user_id}/status"
            " v4/teams/{team_id}/members/{user_id}/roles v4/teams/{team_id}/members/{user_id}/schemeRoles"
            " v4/channels/{channel_id}/members/{user_id}/roles v4/channels/{channel_id}/members/{user_id}/schemeRoles"
            " v4/posts/{post_id} v4/posts/{post_id}/patch"
        ),
        "DELETE": (
            "v4/channels/{channel_id}/members/{user_id} v4/teams/{team_id}/members/{user_id} v4/posts/{post_id}"
            " v4/users/{user_id}/posts/{post_id}/reactions/{emoji_name}"
        ),
    }.items()
    for path in paths.split()
)
