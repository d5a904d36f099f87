"""Which signs of life are worth telling: one a second and user is as good as all (away comes after minutes).

And how often it is told that they type: each time goes to everybody in the channel, so that one client which says it
all the time would keep every ws worker busy. Clients say it every 5 s, for each channel.
"""

from db.ids import UserId

EVERY_MS = 1_000
MAX_REMEMBERED = 10_000
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
