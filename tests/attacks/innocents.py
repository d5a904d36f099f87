"""People who chat, read and log in while strangers do what they do."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType

import requests

from db.model.ids import new_id
from tests.rig.people import new_channel, new_team, sign_up
from tests.rig.rest import PASSWORD, Rest
from tests.rig.socket import Socket
from tests.rig.wait import until

FROM = {"X-Forwarded-For": "203.0.113.9"}
"""They are not where the strangers are: wrong passwords are their source's."""
_PAUSE_S = 0.1
_LATEST_S = 10.0


def _person(url: str, name: str) -> Rest:
    rest = Rest(url)
    rest.session.headers.update(FROM)
    return rest.log_in(sign_up(url, name)["username"])


@dataclass
class Answers:
    """Of one kind of call: seconds that each took, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def percentile(self, part: float) -> float:
        """E.g. 0.99."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(len(self.seconds) * part))]


class Innocents:
    """Two who write, two who read, one who logs in again and again, and four sockets. Use as a context manager. url: where they connect."""

    def __init__(self, url: str, *, idle_sockets: int = 20) -> None:
        people = [_person(url, "innocent") for _ in range(4)]
        team = new_team(people[0], *people[1:])
        self.channel = new_channel(people[0], team, *people[1:])
        self.sockets = [Socket.open(person) for person in people]
        self.idle = [Socket.open(people[number % 4]) for number in range(idle_sockets)]
        self.written: list[str] = []
        self.answers = {name: Answers() for name in ("post", "read", "new connection", "log-in")}
        self._stop = threading.Event()
        newcomer = _person(url, "newcomer")
        calls: list[tuple[str, Callable[[], requests.Response]]] = [
            ("post", partial(self._write, people[0].at(url))),
            ("post", partial(self._write, people[1].at(url))),
            ("read", partial(people[2].at(url).call, "GET", f"/channels/{self.channel['id']}/posts")),
            ("new connection", partial(self._ping, url)),
            ("log-in", partial(self._log_in, url, newcomer.user["username"])),
        ]
        self._threads = [threading.Thread(target=self._go_on, args=call, daemon=True) for call in calls]

    def _write(self, who: Rest) -> requests.Response:
        text = new_id()
        body = {"channel_id": self.channel["id"], "message": text, "pending_post_id": f"{who.id}:{text}"}
        response = who.call("POST", "/posts", body)
        if response.status_code == 201:
            self.written.append(text)
        return response

    @staticmethod
    def _ping(url: str) -> requests.Response:
        return requests.get(f"{url}/api/v4/system/ping", timeout=30)

    @staticmethod
    def _log_in(url: str, name: str) -> requests.Response:
        """A busy node may ask to come back: that is what clients do."""
        deadline = time.monotonic() + 30
        while True:
            body = {"login_id": name, "password": PASSWORD}
            response = requests.post(f"{url}/api/v4/users/login", json=body, headers=FROM, timeout=30)
            if response.status_code != 429 or time.monotonic() > deadline:
                return response
            time.sleep(float(response.headers.get("Retry-After", "1")))

    def _go_on(self, name: str, call: Callable[[], requests.Response]) -> None:
        answers = self.answers[name]
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                response = call()
            except requests.RequestException as error:
                answers.faults.append(f"{name}: {error!r}")
            else:
                if response.status_code >= 300:
                    answers.faults.append(f"{name}: {response.status_code} {response.text[:200]}")
            answers.seconds.append(time.monotonic() - began)
            time.sleep(_PAUSE_S)

    def __enter__(self) -> "Innocents":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        if error is None:
            self._judge()
        for socket in (*self.sockets, *self.idle):
            socket.close()

    def _judge(self) -> None:
        for name, answers in self.answers.items():
            count, p50, p99 = len(answers.seconds), answers.percentile(0.5), answers.percentile(0.99)
            print(f"{name:15} {count:5} p50 {p50 * 1000:6.0f} ms  p99 {p99 * 1000:6.0f} ms")
        faults = [fault for answers in self.answers.values() for fault in answers.faults]
        assert not faults, faults[:5]
        assert all(answers.seconds for answers in self.answers.values())
        for socket in (*self.sockets, *self.idle):
            assert socket.closed is None, f"an innocent's socket was closed: {socket.closed}"
            assert socket.faults == []
        for socket in self.sockets:
            until(partial(self._has_heard_all, socket), _LATEST_S, "every post on every socket")
            heard = [post["message"] for post in socket.posts()]
            assert len(heard) == len(set(heard)), "a post was heard twice"

    def _has_heard_all(self, socket: Socket) -> bool:
        return set(self.written) <= {post["message"] for post in socket.posts()}
