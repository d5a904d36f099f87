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

UNREAD_POSTS = 5000
"""Looked at to say how many posts are unread after one that a user marks as unread."""
VERSIONS = 100
"""Of what a post said before, the newest."""

KEYWORDS = 50_000
"""Words by which any users are mentioned, in the copy of a worker; where there are more it asks the database."""
USER_KEYWORDS = 100
"""Of a user."""
MENTIONED = 1000
"""By one message, by words or by its thread."""
THREAD_AUTHORS = 1000
"""The newest replies of a thread of which the authors are told of one more, where they want that."""

POST_IDS = 200
PREFERENCES_AT_ONCE = 100
USER_IDS = 1000
"""Named in a request."""
GROUP_CHANNELS = 500
"""Named in a request for their members, of which each has at most 8."""
FOUND_USERS = 100
"""Of one search by how names begin, and so many more for those outside of a channel."""
LOOKED_AT_OUTSIDE = 1000
"""Members of a team of whom those outside of a channel are found while somebody types a name."""
KNOWN_USERS = 10_000
"""Ids of those who share a channel with somebody."""
LOG_LINES = 10_000
"""Of one answer, as in Mattermost."""
NAMES = 200
"""Named in a request, as in Mattermost."""

CHANNELS = 2000
"""Of a user in a team and beside it, as many as a team has at most by default."""
TEAMS = 500
"""Of a user; and of those that a search finds without pages."""
SEARCHED_TEAMS = 10_000
"""Looked at by one search, by display name (decision 0047)."""
NEW_MEMBERS = 256
"""Of a team, by one request, as in Mattermost."""
JOINING = 16
"""Members that one transaction makes: while it goes on nobody posts in the team's default channels."""
COUNTED_POSTS = 20_000
"""Looked at to tell how many posts there are; beyond that the database estimates."""
SESSIONS = 500
"""Of a user, as in Mattermost: one more ends the one used longest ago."""
PREFERENCES = 10_000
PREFERENCE_CHARACTERS = 1_000_000
"""Of a user's preferences, and of their values together."""
CATEGORIES = 500
"""Of a user's sidebar in a team. All of them together hold no more channels than the user is in."""
PRESENT = 10_000
"""Of the users who are not offline."""
