"""How much one request may name and one answer may hold: every bound on what grows with the data (decision 0028).

Enforced where it is read: by LIMIT or a running sum in SQL, before it is in memory. `tests/api/sizes.py` has all
operations. Where an answer stops short its client goes on by `page`, or by the ids at the ends of a list of posts
(docs/api.md).
"""

LIST_BYTES = 2 << 20
"""Of a list of posts as it is sent; the first post comes in any case."""
SINCE_POSTS = 1000
"""Of a list since a time, as in Mattermost."""
THREAD_POSTS = 1000
"""Of one answer with a thread."""
REPLIES_ALONG = 200
"""That a list brings along of the threads it touches, the newest."""
PARTICIPANTS = 20
"""Named of each thread in a list, those who replied last."""
PINNED_POSTS = 200
"""Of one answer with the pinned posts of a channel."""

REACTIONS = 1000
"""Of a post, wherever they are listed: the first."""
LIST_REACTIONS = LIST_BYTES // 150
"""Read for one list of posts. One is 182 bytes and more, so the list is full before they are used up."""

POST_IDS = 200
USER_IDS = 1000
"""Named in a request."""
LOG_LINES = 10_000
"""Of one answer, as in Mattermost."""
NAMES = 200
"""Named in a request, as in Mattermost."""

CHANNELS = 2000
"""Of a user in a team and beside it, as many as a team has at most by default."""
TEAMS = 500
"""Of a user."""
SESSIONS = 500
"""Of a user, as in Mattermost: one more ends the one used longest ago."""
PRESENT = 10_000
"""Of the users who are not offline."""
