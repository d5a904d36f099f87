"""A small WebSocket client that checks what every client counts on: sequence numbers without holes."""

import contextlib
import json
import socket
import threading
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.rig.rest import Rest
from tests.rig.wait import until

Frame = dict[str, Any]


class Socket:
    """A connection whose frames are collected in the background.

    events: in the order of arrival. replies: by the number of the request. closed: the close code, or None.
    """

    def __init__(self, connection: ClientConnection, first: int = 0) -> None:
        """first: the number of the first event."""
        self._connection = connection
        self._first = first
        self._next_request = 1
        self.events: list[Frame] = []
        self.replies: dict[int, Frame] = {}
        self.closed: int | None = None
        self.faults: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, who: Rest, query: str = "", **options: Any) -> "Socket":
        """Connect with the user's token in the header and wait for hello."""
        headers = {"Authorization": f"Bearer {who.token}"}
        opened = cls(_connect(who.url, query, additional_headers=headers, **options))
        opened.expect("hello")
        return opened

    def break_off(self) -> None:
        """Close the TCP connection without a word."""
        self._connection.socket.shutdown(socket.SHUT_RDWR)

    @property
    def next_seq(self) -> int:
        """The number of the event that is expected next."""
        return self._first + len(self.events)

    @classmethod
    def resume(cls, who: Rest, connection_id: str, sequence: int, *, first: int | None = None) -> "Socket":
        """Come back with this id, expecting this number; first: the number that comes, where it is another one."""
        headers = {"Authorization": f"Bearer {who.token}"}
        query = f"connection_id={connection_id}&sequence_number={sequence}"
        return cls(_connect(who.url, query, additional_headers=headers), sequence if first is None else first)

    @classmethod
    def resume_by_challenge(cls, who: Rest, connection_id: str, sequence: int, *, first: int | None = None) -> "Socket":
        """The same, without a header: who it is says the first message."""
        query = f"connection_id={connection_id}&sequence_number={sequence}"
        opened = cls(_connect(who.url, query), sequence if first is None else first)
        opened.send("authentication_challenge", {"token": who.token})
        return opened

    @classmethod
    def open_bare(cls, url: str, query: str = "", **options: Any) -> "Socket":
        """Connect without saying who."""
        return cls(_connect(url, query, **options))

    def _read(self) -> None:
        try:
            for text in self._connection:
                frame = json.loads(text)
                if "seq_reply" in frame:
                    self.replies[frame["seq_reply"]] = frame
                    continue
                if frame["seq"] != self._first + len(self.events):
                    self.faults.append(f"event {self._first + len(self.events)} has number {frame['seq']}")
                self.events.append(frame)
        except ConnectionClosed:
            pass
        self.closed = self._connection.close_code or 1006

    def ask(self, action: str, data: Frame | None = None, timeout_s: float = 10.0) -> Frame:
        """Send a request and wait for its reply."""
        number = self.send(action, data)
        until(lambda: number in self.replies, timeout_s, f"a reply to {action}")
        return self.replies[number]

    def send(self, action: str, data: Frame | None = None) -> int:
        """Send a request; its number."""
        number = self._next_request
        self._next_request += 1
        self._connection.send(json.dumps({"seq": number, "action": action, "data": data}))
        return number

    def send_raw(self, data: str | bytes) -> None:
        """Send a frame as it is."""
        self._connection.send(data)

    def named(self, name: str, **data: Any) -> list[Frame]:
        """The events of this name with these values in their data."""
        return [
            event
            for event in list(self.events)
            if event["event"] == name and all(event["data"].get(key) == value for key, value in data.items())
        ]

    def expect(self, name: str, timeout_s: float = 10.0, **data: Any) -> Frame:
        """Wait for an event."""
        found = until(lambda: self.named(name, **data), timeout_s, f"an event {name} {data}")
        return found[0]

    def posts(self) -> list[dict[str, Any]]:
        """The posts that arrived, in order."""
        return [json.loads(event["data"]["post"]) for event in self.named("posted")]

    def expect_post(self, message: str, timeout_s: float = 10.0) -> dict[str, Any]:
        """Wait for a post with this text."""
        found = until(
            lambda: [post for post in self.posts() if post["message"] == message], timeout_s, f"a post {message!r}"
        )
        return found[0]

    def expect_closed(self, timeout_s: float = 10.0) -> int:
        """Wait until the connection is closed; the close code, 1006 when there was none."""
        until(lambda: self.closed is not None, timeout_s, "the socket to be closed")
        assert self.closed is not None
        return self.closed

    def close(self) -> None:
        """Close, and make sure that no number was missing."""
        self._connection.close()
        self._thread.join(5)
        assert not self.faults, self.faults


def _connect(url: str, query: str, **options: Any) -> ClientConnection:
    address = url.replace("http", "ws", 1) + "/api/v4/websocket" + (f"?{query}" if query else "")
    connection: ClientConnection = contextlib.ExitStack().enter_context(
        connect(address, compression=None, max_size=None, **options)
    )
    return connection
