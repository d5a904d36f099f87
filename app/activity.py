"""Which signs of life are worth telling: one a second and user is as good as all (away comes after minutes).

And how often it is told that they type: each time goes to everybody in the channel, so that one client which says it
all the time would keep every ws worker busy. Clients say it every 5 s, for each channel.
"""

from db.model.ids import SessionId, UserId

EVERY_MS = 1_000
MAX_REMEMBERED = 10_000
TOUCH_EVERY_MS = 300_000
TYPING_EVERY_MS = 250
TYPING_BURST = 20


class Activity:
    """Of one worker, sans-I/O."""

    def __init__(self) -> None:
        self._told_ms: dict[UserId, int] = {}

    def is_news(self, user_id: UserId, now_ms: int) -> bool:
        """Whether to tell that the user did something: not told within the last second. Takes it as told."""
        told_ms = self._told_ms.pop(user_id, None)
        if told_ms is not None and 0 <= now_ms - told_ms < EVERY_MS:
            self._told_ms[user_id] = told_ms
            return False
        self._told_ms[user_id] = now_ms  # last in the order of the dictionary
        if len(self._told_ms) > MAX_REMEMBERED:
            del self._told_ms[next(iter(self._told_ms))]
        return True


class Touched:
    """Of one worker, sans-I/O: when the activity of a session was noted last, by the clock of this node.

    What the row says of it is by the database's clock, which may be another: it is believed once, so that a node whose
    clock is wrong does not write at each request.
    """

    def __init__(self) -> None:
        self._at_ms: dict[SessionId, int] = {}

    def is_due(self, session_id: SessionId, last_activity_at: int, now_ms: int) -> bool:
        """Whether to note that a session is used. Takes it as noted then."""
        at_ms = self._at_ms.get(session_id, last_activity_at)
        if 0 <= now_ms - at_ms <= TOUCH_EVERY_MS:
            return False
        self._at_ms.pop(session_id, None)
        self._at_ms[session_id] = now_ms  # last in the order of the dictionary
        if len(self._at_ms) > MAX_REMEMBERED:
            del self._at_ms[next(iter(self._at_ms))]
        return True


class Typing:
    """Of one worker, sans-I/O: 20 times at once, then 4 times a second for each user, in all channels together."""

    def __init__(self) -> None:
        self._paid_until_ms: dict[UserId, int] = {}

    def may_tell(self, user_id: UserId, now_ms: int) -> bool:
        """Whether to tell that the user types. Takes it as told then."""
        most_ms = now_ms + TYPING_BURST * TYPING_EVERY_MS
        until_ms = min(max(self._paid_until_ms.pop(user_id, 0), now_ms), most_ms)  # a clock may have jumped back
        told = until_ms + TYPING_EVERY_MS <= most_ms
        self._paid_until_ms[user_id] = until_ms + TYPING_EVERY_MS * told  # last in the order of the dictionary
        if len(self._paid_until_ms) > MAX_REMEMBERED:
            del self._paid_until_ms[next(iter(self._paid_until_ms))]
        return told
