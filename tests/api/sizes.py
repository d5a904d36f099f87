"""By operation whose request or answer grows with the data: the bound of `db/model/limits.py` on it."""

from typing import get_args, get_origin

from api.operation import Operation
from api.ops import absent
from api.params import MAX_PAGE_SIZE
from api.shapes import PostList
from app import roles
from db.model import limits

# Items of one answer.
ANSWERS = {
    "GET /api/v4/channels/{channel_id}/posts": max(limits.SINCE_POSTS, MAX_PAGE_SIZE),
    "GET /api/v4/users/{user_id}/channels/{channel_id}/posts/unread": 2 * MAX_PAGE_SIZE,
    "GET /api/v4/posts/{post_id}/thread": limits.THREAD_POSTS + 1,
    "GET /api/v4/posts/{post_id}/edit_history": limits.VERSIONS,
    "GET /api/v4/users/{user_id}/posts/flagged": MAX_PAGE_SIZE,
    "GET /api/v4/channels/{channel_id}/pinned": limits.PINNED_POSTS,
    "GET /api/v4/posts/{post_id}/reactions": limits.REACTIONS,
    "GET /api/v4/channels/{channel_id}/members": MAX_PAGE_SIZE,
    "GET /api/v4/teams": MAX_PAGE_SIZE,
    "POST /api/v4/teams/search": limits.TEAMS,
    "GET /api/v4/teams/{team_id}/members": MAX_PAGE_SIZE,
    "GET /api/v4/users": MAX_PAGE_SIZE,
    "GET /api/v4/users/known": limits.KNOWN_USERS,
    "POST /api/v4/users/search": limits.FOUND_USERS,
    "GET /api/v4/users/{user_id}/teams": limits.TEAMS,
    "GET /api/v4/users/{user_id}/teams/members": limits.TEAMS,
    "GET /api/v4/users/{user_id}/teams/unread": limits.TEAMS,
    "GET /api/v4/users/{user_id}/teams/{team_id}/channels": limits.CHANNELS,
    "GET /api/v4/users/{user_id}/teams/{team_id}/channels/members": limits.CHANNELS,
    "GET /api/v4/users/{user_id}/sessions": limits.SESSIONS,
    "GET /api/v4/users/{user_id}/preferences": limits.PREFERENCES,
    "GET /api/v4/users/{user_id}/preferences/{category}": limits.PREFERENCES,
    "GET /api/v4/users/{user_id}/teams/{team_id}/channels/categories/order": limits.CATEGORIES,
    "GET /api/v4/logs": limits.LOG_LINES,
    "POST /api/v4/logs/query": limits.LOG_LINES,
    "GET /api/v4/audits": MAX_PAGE_SIZE,
    "GET /api/v4/users/{user_id}/audits": MAX_PAGE_SIZE,
}
# Ids in one request.
REQUESTS = {
    "POST /api/v4/users/ids": limits.USER_IDS,
    "POST /api/v4/users/status/ids": limits.USER_IDS,
    "POST /api/v4/users/usernames": limits.USER_IDS,
    "POST /api/v4/users/group_channels": limits.GROUP_CHANNELS,
    "POST /api/v4/posts/ids": limits.POST_IDS,
    "POST /api/v4/posts/ids/reactions": limits.POST_IDS,
    "POST /api/v4/teams/{team_id}/members/batch": limits.NEW_MEMBERS,
    "POST /api/v4/teams/{team_id}/members/ids": limits.USER_IDS,
    "POST /api/v4/channels/direct": 2,
    "PUT /api/v4/users/{user_id}/preferences": limits.PREFERENCES_AT_ONCE,
    "POST /api/v4/users/{user_id}/preferences/delete": limits.PREFERENCES_AT_ONCE,
    "PUT /api/v4/users/{user_id}/teams/{team_id}/channels/categories": limits.CATEGORIES,
    "PUT /api/v4/users/{user_id}/teams/{team_id}/channels/categories/order": limits.CATEGORIES,
    "POST /api/v4/roles/names": roles.MAX_NAMES,
    "POST /api/v4/groups/names": limits.NAMES,
    "POST /api/v4/emoji/names": limits.NAMES,
    "POST /api/v4/permissions/ancillary": limits.NAMES,
    "PUT /api/v4/system/notices/view": limits.NAMES,
}
# As many as there are nodes, roles, migrations, figures or time zones; none until there are files.
FIXED = frozenset(
    {
        "GET /api/v4/analytics/old",
        "GET /api/v4/cluster/status",
        "GET /api/v4/posts/{post_id}/files/info",
        "GET /api/v4/roles",
        "GET /api/v4/system/schema/version",
        "GET /api/v4/system/timezones",
    }
)


def grows(operation: Operation) -> bool:
    """Whether its answer or its request is a list. A post has at most limits.REACTIONS of its reactions with it."""
    kinds = (operation.answers, operation.body, *get_args(operation.answers))
    return any(kind is PostList or get_origin(kind) is list for kind in kinds)


# Nothing, as the feature is off; some take names, of which there is a most (REQUESTS).
EMPTY = frozenset(one.title for one in vars(absent).values() if isinstance(one, Operation) and grows(one)) - frozenset(
    REQUESTS
)
