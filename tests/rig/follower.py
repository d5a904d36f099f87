"""A client that follows channels through whatever happens, as Mattermost's do, and remembers what it was told."""

import contextlib
import itertools
import json
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import requests
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.sync.client import ClientConnection, connect

from tests.rig.rest import Rest

_BACK_OFF_S = 0.3


class Follower:
    """nodes: the same user on each node; a broken socket goes to the next one, with its connection id.

    posts: ids by channel in the order in which they were learned: by event, or by REST after a hello with another id.
    delays: of each post that came by event on a socket that was open when it was made, in s, and when it was made.
    resumed, begun: how often. heard: of each post, when it was learned, by time.monotonic. stays: on which node (its place
    in `nodes`) a socket was open, from when to when; the last one ends in the future.
    faults: what no client may see.
    """

    def __init__(self, nodes: Sequence[Rest], first: int, channel_ids: Sequence[str]) -> None:
        self.posts: dict[str, list[str]] = {one: [] for one in channel_ids}
        self.delays: list[tuple[float, float]] = []
        self.faults: list[str] = []
        self.resumed = self.begun = 0
        self.heard: dict[str, float] = {}
        self.stays: list[tuple[int, float, float]] = []
        self._nodes = nodes
        self._at = first
        self._known: set[str] = set()
        self._connection_id = ""
        self._expected = 0
        self._by_event: set[str] = set()
        """On the connection of now: it brings none twice."""
        self._opened_ms = 0.0
        self._socket: ClientConnection | None = None
        self._stop = threading.Event()
        self.live = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def break_off(self) -> None:
        """Its TCP connection ends without a word."""
        with contextlib.suppress(OSError, AttributeError):  # it has none at this moment
            self._socket.socket.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow(self._nodes[self._at % len(self._nodes)])
            except (OSError, InvalidHandshake, InvalidMessage, ConnectionClosed, requests.RequestException):
                self._at += 1
            if self.live.is_set():
                self.live.clear()
                self._end_stay()
            self._stop.wait(_BACK_OFF_S)

    def _follow(self, node: Rest) -> None:
        address = node.url.replace("http://", "ws://") + "/api/v4/websocket"
        query = f"?connection_id={self._connection_id}&sequence_number={self._expected}"
        headers = {"Authorization": f"Bearer {node.token}"}
        with connect(
            address + query,
            additional_headers=headers,
            compression=None,
            max_size=None,
            open_timeout=5,
            close_timeout=1,
        ) as opened:
            self._socket = opened
            self._opened_ms = time.time() * 1000
            self.resumed += 1
            self._begin_stay()
            self.live.set()
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    self._take(node, json.loads(opened.recv(0.2)))

    def _take(self, node: Rest, frame: dict[str, Any]) -> None:
        if frame["event"] == "hello":
            self._begin_anew(node, frame)
        if frame["seq"] != self._expected:
            self.faults.append(f"number {frame['seq']} in place of {self._expected}")
        self._expected = frame["seq"] + 1
        if frame["event"] == "posted":
            post = json.loads(frame["data"]["post"])
            if post["id"] in self._by_event:
                self.faults.append(f"{post['id']} came twice")
            self._by_event.add(post["id"])
            if post["create_at"] >= self._opened_ms:
                made = post["create_at"] / 1000
                self.delays.append((time.time() - made, made))
            self._learn(post)

    def _begin_anew(self, node: Rest, hello: dict[str, Any]) -> None:
        """What the connection before this one missed is fetched before any event of this one is looked at."""
        self.resumed -= 1
        self.begun += 1
        self._by_event.clear()
        self._expected = 0
        for channel_id in self.posts if self._connection_id else ():
            for post in self._fetch(node, channel_id):
                self._learn(post)
            self._begin_stay()  # what it fetched itself kept nobody waiting
        self._connection_id = hello["data"]["connection_id"]

    def _begin_stay(self) -> None:
        if self.live.is_set():
            self.stays.pop()
        self.stays.append((self._at % len(self._nodes), time.monotonic(), float("inf")))

    def _end_stay(self) -> None:
        place, began, _ = self.stays.pop()
        self.stays.append((place, began, time.monotonic()))

    def _fetch(self, node: Rest, channel_id: str) -> list[dict[str, Any]]:
        """All beyond the last post that is known, the oldest first."""
        found: list[dict[str, Any]] = []
        for page in range(1000):
            answer = node.call("GET", f"/channels/{channel_id}/posts?per_page=200&page={page}", timeout=10)
            answer.raise_for_status()
            body = answer.json()
            new = [body["posts"][one] for one in itertools.takewhile(lambda one: one not in self._known, body["order"])]
            found += new
            if len(new) < len(body["order"]) or not body["order"]:
                break
        return found[::-1]

    def _learn(self, post: dict[str, Any]) -> None:
        if post["id"] not in self._known and post["channel_id"] in self.posts:
            self._known.add(post["id"])
            self.heard[post["id"]] = time.monotonic()
            self.posts[post["channel_id"]].append(post["id"])
