"""The configuration in use in one process, and who copies something of it.

Who reads a value at each use needs nothing of this. Who keeps a copy, or hands it to something that does, watches the
key: called at once, and again at each reload that changes it, so that start and reload cannot differ.
"""

from collections.abc import Callable
from typing import Any

from app.config.marks import Applies
from app.config.settings import KEYS, Config, value_of


class Settings:
    """config: in use; replaced, never changed."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._watchers: list[tuple[str, Callable[[Any], None]]] = []
        self._users: list[Callable[[Config], None]] = []

    def watch(self, dotted: str, use: Callable[[Any], None]) -> None:
        """Call `use` with the value of a key, `ClusterSettings.WriteBarrierMs`: now, and whenever a reload changes it.

        Raises KeyError for what is no key, ValueError for one that no reload applies.
        """
        if KEYS[dotted].applies is not Applies.LIVE:
            raise ValueError(f"{dotted} waits for a {KEYS[dotted].applies.value}: nobody would be called")
        self._watchers.append((dotted, use))
        use(value_of(self.config, dotted))

    def on_reload(self, use: Callable[[Config], None]) -> None:
        """Call `use` with the whole configuration: now, and at each reload, after those who watch a key."""
        self._users.append(use)
        use(self.config)

    def replace(self, config: Config) -> None:
        """Use another configuration from now on."""
        before, self.config = self.config, config
        for dotted, use in self._watchers:
            if value_of(before, dotted) != value_of(config, dotted):
                use(value_of(config, dotted))
        for user in self._users:
            user(config)
