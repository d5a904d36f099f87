"""Clients that do something all the time, and remember when what was answered. They know only the protocol.

All times are of time.monotonic. A client with a node of its own stays there, and tries again until it is answered; one
without goes on to the next node, as behind a load balancer.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from tests.rig.rest import Rest

_RETRY_S, _TIMEOUT_S = 0.1, 10.0
_AGAIN = (429, 500, 502, 503)


class Witness:
    """Something that is done again and again in a thread, with a pause between. faults: what no client may see."""

    def __init__(self, act: Callable[[], None], pause_s: float) -> None:
        self.faults: list[str] = []
        self._act, self._pause_s = act, pause_s
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more."""
        self.stopping.set()

    def join(self) -> None:
        """Wait until all has ended."""
        self._thread.join(60)

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                self._act()
            except Exception as error:
                self.faults.append(f"{type(self).__name__}: {error!r}")
            self.stopping.wait(self._pause_s)


def call(who: Rest, method: str, path: str, body: object = None, timeout_s: float = _TIMEOUT_S) -> Any:
    """The response, or None where there is none."""
    try:
        return who.call(method, path, body, timeout=timeout_s)
    except (requests.RequestException, OSError):
        return None


@dataclass
class Post:
    """A post that somebody began to write. place: the node of its writer; -1: of one that goes wherever it is answered,
    and so may wait for a node that is frozen. acked: 0.0 while it is not.
    """

    key: str
    channel_id: str
    place: int
    began: float
    acked: float = 0.0
    post_id: str = ""


class Writer(Witness):
    """Posts to a channel, one post at a time, under the same key until it is acknowledged.

    nodes: the same user on each node. place: the node of its own; -1: wherever it is answered.
    """

    def __init__(self, nodes: Sequence[Rest], place: int, channel_id: str, pause_s: float) -> None:
        super().__init__(self._write, pause_s)
        self.posts: list[Post] = []
        self._nodes, self._own, self._channel_id = nodes, place, channel_id
        self._turn = 0

    def _write(self) -> None:
        post = Post(f"{self._nodes[0].id}:{uuid.uuid4().hex}", self._channel_id, self._own, time.monotonic())
        self.posts.append(post)
        while not self._sent(post):
            if self.stopping.wait(_RETRY_S):
                return  # nothing was promised

    def _sent(self, post: Post) -> bool:
        self._turn += 1
        place = self._own if self._own >= 0 else self._turn % len(self._nodes)
        body = {"channel_id": post.channel_id, "message": post.key, "pending_post_id": post.key}
        response = call(self._nodes[place], "POST", "/posts", body)
        if response is None or response.status_code in _AGAIN:
            if response is not None and response.status_code == 500:
                self.faults.append(f"500 {response.text[:200]}")
            return False
        if response.status_code != 201:
            self.faults.append(f"a post is refused: {response.status_code} {response.text[:200]}")
            return True
        found = response.json()
        post.acked, post.post_id = time.monotonic(), found["id"]
        if found["pending_post_id"] != post.key:
            self.faults.append(f"{post.key} is answered {found['pending_post_id']}")
        return True


@dataclass
class Page:
    """What a node answered for the newest posts of a channel, the newest first."""

    place: int
    channel_id: str
    began: float
    order: list[str]


class Poller(Witness):
    """Reads the newest posts of each channel on one node."""

    def __init__(self, who: Rest, place: int, channels: Sequence[str], pause_s: float) -> None:
        super().__init__(self._read, pause_s)
        self.pages: list[Page] = []
        self._who, self._place, self._channels = who, place, channels

    def _read(self) -> None:
        for channel_id in self._channels:
            began = time.monotonic()
            response = call(self._who, "GET", f"/channels/{channel_id}/posts?per_page=40")
            if response is not None and response.status_code == 200:
                self.pages.append(Page(self._place, channel_id, began, response.json()["order"]))
            elif response is not None and response.status_code not in (429, 503):
                self.faults.append(f"a page is refused: {response.status_code} {response.text[:200]}")


class Editor(Witness):
    """Edits a post of its own on any node, and reads it on any other. An edit whose outcome is unknown ends that post's part.

    edited: post id -> the texts that it may have at the end. stale: edits that a later read did not show, and how long after.
    """

    def __init__(self, nodes: Sequence[Rest], channel_id: str, chance: random.Random, pause_s: float) -> None:
        super().__init__(self._edit, pause_s)
        self.edited: dict[str, list[str]] = {}
        self.stale: list[tuple[float, float, str]] = []
        """When it was acknowledged, when the read began, what was seen where."""
        self._nodes, self._channel_id, self._chance = nodes, channel_id, chance
        self._post_id = ""
        self._number = 0

    def _edit(self) -> None:
        if not self._post_id:
            response = call(self._chance.choice(self._nodes), "POST", "/posts", self._new())
            if response is None or response.status_code != 201:
                return
            self._post_id = response.json()["id"]
            self.edited[self._post_id] = ["0"]
        self._number += 1
        text, post_id = str(self._number), self._post_id
        self.edited[post_id].append(text)
        response = call(self._chance.choice(self._nodes), "PUT", f"/posts/{post_id}/patch", {"message": text})
        acked = time.monotonic()
        if response is None or response.status_code != 200:
            self._post_id = ""
            if response is not None and response.status_code not in (429, 503):
                self.faults.append(f"an edit is refused: {response.status_code} {response.text[:200]}")
            return
        self.edited[post_id] = [text]
        self._look(post_id, acked)

    def _new(self) -> dict[str, str]:
        return {
            "channel_id": self._channel_id,
            "message": "0",
            "pending_post_id": f"{self._nodes[0].id}:{uuid.uuid4().hex}",
        }

    def _look(self, post_id: str, acked: float) -> None:
        """On some node, until it is seen there."""
        place, wanted = self._chance.randrange(len(self._nodes)), self.edited[post_id][0]
        while not self.stopping.is_set():
            began = time.monotonic()
            response = call(self._nodes[place], "GET", f"/posts/{post_id}")
            if response is None or response.status_code != 200:
                return
            seen = response.json()["message"]
            if seen == wanted:
                return
            self.stale.append((acked, began, f"node {place} shows {seen} for {wanted}"))
            self.stopping.wait(0.1)


class Revoker(Witness):
    """Logs a user in on any node, uses the session on all, ends it on one, and looks on each whether it has ended.

    served: when the end was acknowledged, when the request began that was served all the same, and where.
    """

    def __init__(self, nodes: Sequence[str], login_id: str, chance: random.Random, pause_s: float) -> None:
        super().__init__(self._revoke, pause_s)
        self.served: list[tuple[float, float, int]] = []
        self.ended = 0
        self._nodes, self._login_id, self._chance = nodes, login_id, chance

    def _revoke(self) -> None:
        here = Rest(self._chance.choice(self._nodes))
        try:
            here.log_in(self._login_id)
        except (AssertionError, requests.RequestException, OSError):
            return
        there = [here.at(url) for url in self._nodes]
        for one in there:
            call(one, "GET", "/users/me", timeout_s=1)
        response = call(self._chance.choice(there), "POST", "/users/logout", {})
        acked = time.monotonic()
        if response is not None and response.status_code == 200:
            self.ended += 1
            threads = [
                threading.Thread(target=self._watch, args=(one, place, acked)) for place, one in enumerate(there)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for one in (here, *there):
            one.close()

    def _watch(self, who: Rest, place: int, acked: float) -> None:
        """Until it is refused, or for a while."""
        while time.monotonic() < acked + 8:
            began = time.monotonic()
            response = call(who, "GET", "/users/me", timeout_s=3)
            if response is not None and response.status_code == 401:
                return
            if response is not None and response.status_code == 200:
                self.served.append((acked, began, place))
            if self.stopping.wait(0.1):
                return
