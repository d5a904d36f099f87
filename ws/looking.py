"""Where the user of a client looks, as web apps since 9 say it: by `presence`, at each change. Sans-I/O."""

from collections.abc import Mapping
from typing import Any

from db.model.ids import is_id


class Looking:
    """The open channel, and the channels of the threads that are open beside it and in the view of threads; '' none."""

    __slots__ = ("_aside", "_channel", "_threads")

    def __init__(self) -> None:
        self._channel = self._aside = self._threads = ""

    def __contains__(self, channel_id: str) -> bool:
        return channel_id in (self._channel, self._aside, self._threads)

    def tell(self, data: Mapping[str, Any]) -> str:
        """Take over what a client says; the name of what is wrong in it, '' when all is well.

        channel_id; or team_id, which scopes nothing; or thread_channel_id with is_thread_view.
        """
        for name in ("channel_id", "team_id", "thread_channel_id"):
            if name in data and data[name] != "" and not is_id(data[name]):
                return name
        if "channel_id" in data:
            self._channel = data["channel_id"]
        if "thread_channel_id" in data:
            if data.get("is_thread_view") is True:
                self._threads = data["thread_channel_id"]
            else:
                self._aside = data["thread_channel_id"]
        return ""
