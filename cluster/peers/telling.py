"""What the other nodes tell their clients, for how long: no client hears another version at each request. Sans-I/O.

A client asks another node each time, and reads its configuration again whenever the version differs. So all nodes tell
the same (`app.config.client.together`). A lower version counts at once, before its node serves; one that goes counts
for a while longer, because a node that is started again is soon back.
"""

from collections.abc import Mapping

from app.config.client import Told, together

STAYS_S = 15.0


class Telling:
    """Of the peers of one node."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[Told, float]] = {}

    def look(self, live: Mapping[str, str], now: float) -> Told | None:
        """What they tell together; None while nobody tells anything. live: by node, what those tell that are there."""
        for node_id, text in live.items():
            told = Told.read(text)
            if told is not None:
                self._heard[node_id] = told, now
        for node_id in [one for one, (_, heard_at) in self._heard.items() if now - heard_at > STAYS_S]:
            del self._heard[node_id]
        return together([told for told, _ in self._heard.values()])
