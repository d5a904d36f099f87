"""Which signs of life are worth telling: one a second and user is as good as all (away comes after minutes)."""

from db.ids import UserId

EVERY_MS = 1_000
MAX_REMEMBERED = 10_000


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
