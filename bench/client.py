"""A reference client: what Mattermost's own clients do when their WebSocket breaks, and no more.

The document: "it will automatically attempt to re-establish a connection every three seconds with a backoff. After the
connection is established, the client attempts to receive any messages that were sent while it was disconnected."

    closed ──3 s + jitter (from the 8th failure on 3 s · n², at most 300 s)──> connect, with connection_id and number
      ▲                                                                               │
      │                            no hello: events go on <──────────────────────────┤
      └── a number is missing <──  hello, the same id     <──────────────────────────┤
                                   hello, another id: fetch by REST what was missed <─┘

`Connection` is the state machine, sans-I/O; `Client` is a thread around it.
"""

import contextlib
import json
import random
import threading
from collections.abc import Sequence
from enum import Enum
from typing import Any

import requests
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

MIN_RETRY_S = 3.0
MAX_RETRY_S = 300.0
JITTER_S = 2.0
PATIENT_FAILURES = 7
"""So many failures in a row before retries become rarer."""
MISSING_NUMBER = 4001

Frame = dict[str, Any]


class Verdict(Enum):
    """What a frame means to the client."""

    REPLY = "to a request, without a number"
    EVENT = "the next one"
    MISSED = "the next one; and events of the connection before it will never come: fetch"
    GAP = "numbers are missing: close, and come back with the number that is expected"


class Connection:
    """Where a client is, over all its sockets. Sans-I/O."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.connection_id = ""
        self.expected = 0
        self.failures = 0

    def query(self) -> str:
        """What the next socket asks for."""
        return f"connection_id={self.connection_id}&sequence_number={self.expected}"

    def opened(self) -> None:
        """The handshake was accepted."""
        self.failures = 0

    def closed(self) -> float:
        """The socket is gone, or there was none; the seconds to wait before the next attempt."""
        self.failures += 1
        retry_s = MIN_RETRY_S
        if self.failures > PATIENT_FAILURES:
            retry_s = min(MAX_RETRY_S, MIN_RETRY_S * self.failures**2)
        return retry_s + self._chance.random() * JITTER_S

    def received(self, frame: Frame) -> Verdict:
        """A frame has come."""
        if frame.get("seq_reply"):
            return Verdict.REPLY
        missed = False
        if frame["event"] == "hello":
            connection_id = frame["data"]["connection_id"]
            if connection_id != self.connection_id:
                missed = self.connection_id != ""
                self.expected = 0
            self.connection_id = connection_id
        if frame["seq"] != self.expected:
            return Verdict.GAP
        self.expected += 1
        return Verdict.MISSED if missed else Verdict.EVENT


class Client:
    """Follows some channels as one user, wherever it can connect, until `close`.

    urls: nodes or balancers; after a failure it tries the next one. posts: by id, in the order in which they were
    learned, by event or by REST. connected, fetched: how often.
    """

    def __init__(
        self, urls: Sequence[str], token: str, channel_ids: Sequence[str], *, seed: int = 0, timeout_s: float = 5.0
    ) -> None:
        self._urls = list(urls)
        self._headers = {"Authorization": f"Bearer {token}"}
        self._channels = dict.fromkeys(channel_ids, 0)
        """The latest change of a post that is known, in ms."""
        self._timeout_s = timeout_s
        self._stop = threading.Event()
        self._fetch_due = False
        """Stays until a fetch succeeds: the socket may break again before."""
        self.connection = Connection(random.Random(seed))
        self.live = threading.Event()
        self.posts: dict[str, dict[str, Any]] = {}
        self.connected = 0
        self.fetched = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Stop; within `timeout_s`."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        attempt = 0
        while not self._stop.is_set():
            url = self._urls[attempt % len(self._urls)]
            attempt += 1
            with contextlib.suppress(OSError, InvalidHandshake, ConnectionClosed, requests.RequestException):
                self._follow(url)
            self.live.clear()
            self._stop.wait(self.connection.closed())

    def _follow(self, url: str) -> None:
        address = url.replace("http", "ws", 1) + f"/api/v4/websocket?{self.connection.query()}"
        with connect(
            address, additional_headers=self._headers, compression=None, max_size=None, open_timeout=self._timeout_s,
            close_timeout=self._timeout_s,
        ) as socket:  # fmt: skip
            self.connection.opened()
            self.connected += 1
            self.live.set()
            while not self._stop.is_set():
                try:
                    frame = json.loads(socket.recv(0.2))
                except TimeoutError:
                    continue
                verdict = self.connection.received(frame)
                if verdict is Verdict.GAP:
                    socket.close(MISSING_NUMBER)
                    return
                self._fetch_due = self._fetch_due or verdict is Verdict.MISSED
                if self._fetch_due:
                    self._fetch(url)
                if frame.get("event") == "posted":
                    self._learn(json.loads(frame["data"]["post"]))

    def _fetch(self, url: str) -> None:
        """The posts that changed since the latest one that is known."""
        self.fetched += 1
        for channel_id, since in list(self._channels.items()):
            path = f"/api/v4/channels/{channel_id}/posts"
            query = {"since": str(since)} if since else {}
            answer = requests.get(url + path, query, headers=self._headers, timeout=self._timeout_s)
            answer.raise_for_status()
            posts = answer.json()["posts"].values()
            for post in sorted(posts, key=lambda one: int(one["create_at"])):
                self._learn(post)
        self._fetch_due = False

    def _learn(self, post: dict[str, Any]) -> None:
        channel_id = post["channel_id"]
        if channel_id in self._channels:
            self._channels[channel_id] = max(self._channels[channel_id], int(post["update_at"]))
            self.posts[post["id"]] = post
