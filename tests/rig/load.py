"""Clients that post without pause, retry as real clients do, and remember what was acknowledged."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import requests

from db.model.ids import new_id
from db.model.numbers import first_of_term, term_in
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest
from tests.rig.wait import until

_RETRY_S = 0.05
_GIVE_UP_S = 30.0


@dataclass(frozen=True)
class Acknowledged:
    """A post the server said it has."""

    pending_id: str
    post_id: str
    channel_id: str


class Load:
    """Writers in threads: each posts to its channel, one post at a time, with the same pending id until acknowledged.

    failures: answers that were neither an acknowledgement nor worth a retry. retries: how often one was needed.
    """

    def __init__(self, writers: Sequence[tuple[Rest, str]], pause_s: float = 0.0) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.failures: list[str] = []
        self.retries = 0
        self.reasons: list[str] = []
        """Why, for each."""
        self.retried: tuple[int, ...] = (429, 503)
        """Statuses after which a post is sent again; a proxy adds 502 of its own."""
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=writer, daemon=True) for writer in writers]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def expect_more(self, count: int, timeout_s: float = 20.0) -> None:
        """Wait until so many more posts are acknowledged."""
        wanted = len(self.acknowledged) + count
        until(lambda: len(self.acknowledged) >= wanted or self.failures, timeout_s, "posts going on")

    def stop(self) -> None:
        """Begin no more posts and give up those that are not acknowledged."""
        self._stop.set()

    def __exit__(self, *_: object) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(_GIVE_UP_S + 5)

    def _write(self, who: Rest, channel_id: str) -> None:
        while not self._stop.is_set():
            self._post(who, channel_id, f"{who.id}:{new_id()}")
            time.sleep(self._pause_s)

    def _post(self, who: Rest, channel_id: str, pending_id: str) -> None:
        body = {"channel_id": channel_id, "message": pending_id, "pending_post_id": pending_id}
        deadline = time.monotonic() + _GIVE_UP_S
        while time.monotonic() < deadline:
            if self._stop.is_set():
                return  # not acknowledged, so nothing was promised
            try:
                response = who.call("POST", "/posts", body, timeout=10)
            except requests.RequestException:
                response = None
            if response is not None and response.status_code == 201:
                post = response.json()
                assert post["pending_post_id"] == pending_id
                self.acknowledged.append(Acknowledged(pending_id, post["id"], channel_id))
                return
            if response is not None and response.status_code not in self.retried:
                self.failures.append(f"{response.status_code} {response.text}")
                return
            self.retries += 1
            self.reasons.append("no answer" if response is None else f"{response.status_code} {response.text[:200]}")
            time.sleep(_RETRY_S)
        self.failures.append(f"no acknowledgement of {pending_id} within {_GIVE_UP_S} s: {self.reasons[-1]}")


class Readers:
    """Calls in threads, each again and again. failures: what they raised. count: how often one did well."""

    def __init__(self, calls: Sequence[Callable[[], Any]], pause_s: float = 0.01) -> None:
        self.failures: list[str] = []
        self.count = 0
        self._stop = threading.Event()
        self._pause_s = pause_s
        self._threads = [threading.Thread(target=self._run, args=(call,), daemon=True) for call in calls]

    def _run(self, call: Callable[[], Any]) -> None:
        while not self._stop.is_set():
            try:
                call()
                self.count += 1
            except Exception as error:
                self.failures.append(repr(error))
            time.sleep(self._pause_s)

    def __enter__(self) -> "Readers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def writers(url: str, count: int) -> list[tuple[Rest, str]]:
    """New users with a channel each may write to; two channels in all."""
    people = [new_user(url, f"writer{number}") for number in range(count)]
    team = new_team(people[0], *people[1:])
    channels = [new_channel(people[0], team, *people[1:]) for _ in range(2)]
    return [(person, channels[number % 2]["id"]) for number, person in enumerate(people)]


def assert_exactly_once(sql: Callable[[str], list[tuple[Any, ...]]], load: Load) -> None:
    """Every acknowledged post is in the database once, and no channel's numbers have holes. sql: runs a query."""
    assert not load.failures, load.failures[:5]
    assert load.acknowledged
    stored = sql("SELECT pending_post_id, id, channel_id FROM posts WHERE pending_post_id IS NOT NULL")
    by_pending = {pending: (post_id, channel_id) for pending, post_id, channel_id in stored}
    assert len(by_pending) == len(stored), "a post is stored twice"
    for acknowledged in load.acknowledged:
        assert by_pending.get(acknowledged.pending_id) == (acknowledged.post_id, acknowledged.channel_id)
    numbers: dict[str, list[int]] = {}
    changes = sql("SELECT channel_id, seq FROM posts UNION ALL SELECT channel_id, seq FROM channel_events")
    for channel_id, seq in sorted(changes):
        numbers.setdefault(channel_id, [0]).append(seq)
    for channel_id, seq in sql("SELECT channel_id, seq FROM channel_heads"):
        found = numbers.get(channel_id, [0])
        assert found[-1] == seq
        assert all(_follows(before, after) for before, after in pairwise(found)), "a channel's numbers have holes"


def _follows(before: int, after: int) -> bool:
    """The next number, or the first one under a later master."""
    return after == before + 1 or (term_in(after) > term_in(before) and after == first_of_term(after))
