"""Two users of mattermostdriver talk over a live node, live events by the driver's own Websocket."""

import asyncio
import json
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from mattermostdriver import Driver
from mattermostdriver.exceptions import NoAccessTokenProvided
from websockets.asyncio.client import ClientConnection

from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.rest import PASSWORD, unique
from tests.rig.wait import until
from ws.close import Close

pytestmark = drivers("all")

Json = dict[str, Any]
_END_S = 10.0


class Listener:
    """The driver's Websocket in a thread of its own, what it heard, and the connections it made.

    The driver's option `websocket_kw_args` hands `create_connection` to websockets.connect: so a test gets at the
    connections, to cut them and to see how they ended, and the driver stays as it is.
    """

    def __init__(self, driver: Any) -> None:
        self.events: list[Json] = []
        self.connections: list[ClientConnection] = []
        self._loop = asyncio.new_event_loop()
        self._driver = driver
        driver.options["websocket_kw_args"] = {"create_connection": self._create}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _create(self, *arguments: Any, **options: Any) -> ClientConnection:
        connection = ClientConnection(*arguments, **options)
        self.connections.append(connection)
        return connection

    async def _hear(self, message: str) -> None:
        frame = json.loads(message)
        if "event" in frame:
            self.events.append(frame)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)  # init_websocket takes the thread's loop
        try:
            self._driver.init_websocket(self._hear)
        except asyncio.CancelledError:
            pass
        finally:
            for connection in self.connections:  # the driver leaves them open
                self._loop.run_until_complete(connection.close())
            self._loop.close()

    def __enter__(self) -> "Listener":
        self._thread.start()
        self.expect("hello")
        return self

    def __exit__(self, *_: object) -> None:
        """Driver.disconnect() waits for one more event, and never ends when the session has: so its task is ended."""
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(self._loop)])
        self._thread.join(_END_S)
        assert not self._thread.is_alive()

    def named(self, name: str) -> list[Json]:
        return [event for event in list(self.events) if event["event"] == name]

    def expect(self, name: str, count: int = 1) -> Json:
        """Wait until so many events of this name came; the last."""
        until(lambda: len(self.named(name)) >= count, what=f"event {name}, number {count}")
        return self.named(name)[count - 1]

    def posted(self, post: Json) -> list[Json]:
        """The events `posted` of a post."""
        return [event for event in self.named("posted") if json.loads(event["data"]["post"])["id"] == post["id"]]

    def expect_posted(self, post: Json) -> Json:
        return until(lambda: self.posted(post), what=f"the post {post['message']!r}")[0]

    def cut(self) -> None:
        """End the connection as a broken network does: without a close frame."""
        self._loop.call_soon_threadsafe(self.connections[-1].transport.abort)


@dataclass
class Talk:
    """Two users who are logged in, in a channel."""

    ann: Any
    bob: Any
    team: Json
    channel: Json

    def write(self, who: Any, message: str) -> Json:
        post: Json = who.posts.create_post({"channel_id": self.channel["id"], "message": message})
        return post

    def type(self, who: Any) -> None:
        """The driver has no word for typing, neither in REST nor over the socket: so by its bare REST client."""
        who.client.post("/users/me/typing", options={"channel_id": self.channel["id"], "parent_id": ""})


def sign_up(node: Node, prefix: str) -> Any:
    """A driver whose user has an account and is not logged in."""
    url = urlsplit(node.url)
    name = unique(prefix)
    driver = Driver(
        {
            "scheme": url.scheme,
            "url": url.hostname,
            "port": url.port,
            "login_id": name,
            "password": PASSWORD,
            "keepalive": True,
            "keepalive_delay": 0.1,
        }
    )
    user = driver.users.create_user({"username": name, "email": f"{name}@example.com", "password": PASSWORD})
    assert user["username"] == name
    return driver


@pytest.fixture
def talk(node: Node) -> Talk:
    ann, bob = sign_up(node, "ann"), sign_up(node, "bob")
    ann.login()
    bob.login()
    name = unique("team")
    team = ann.teams.create_team({"name": name, "display_name": name, "type": "O"})
    ann.teams.add_user_to_team(team["id"], {"team_id": team["id"], "user_id": bob.client.userid})
    channel = ann.channels.create_channel({"team_id": team["id"], "name": "talk", "display_name": "Talk", "type": "O"})
    ann.channels.add_user(channel["id"], {"user_id": bob.client.userid})
    return Talk(ann, bob, team, channel)


def test_sign_up_and_log_in(node: Node) -> None:
    driver = sign_up(node, "ann")
    with pytest.raises(NoAccessTokenProvided):
        driver.users.get_user("me")
    user = driver.login()
    assert user["username"] == driver.options["login_id"]
    assert driver.users.get_user("me") == user
    assert len(driver.client.token) == 26


def test_team_and_channel_are_found_by_the_second_user(talk: Talk) -> None:
    assert [team["id"] for team in talk.bob.teams.get_user_teams("me")] == [talk.team["id"]]
    found = talk.bob.channels.get_channels_for_user("me", talk.team["id"])
    assert talk.channel["id"] in [channel["id"] for channel in found]


def test_post_is_read_back_by_the_second_user(talk: Talk) -> None:
    post = talk.write(talk.ann, "hello")
    read = talk.bob.posts.get_posts_for_channel(talk.channel["id"])
    assert read["order"][0] == post["id"]
    assert read["posts"][post["id"]] == post == talk.bob.posts.get_post(post["id"])


def test_posted_and_typing_reach_the_second_user(talk: Talk) -> None:
    with Listener(talk.bob) as heard:
        post = talk.write(talk.ann, "hello")
        event = heard.expect_posted(post)
        assert json.loads(event["data"]["post"]) == post
        assert event["broadcast"]["channel_id"] == talk.channel["id"]
        assert event["data"]["sender_name"] == f"@{talk.ann.client.username}"
        talk.type(talk.ann)
        assert heard.expect("typing")["data"] == {"parent_id": "", "user_id": talk.ann.client.userid}


def test_hello_is_the_first_frame_after_the_challenge(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    """The driver calls whatever comes before it a failure to authenticate."""
    with Listener(talk.bob) as heard:
        talk.write(talk.ann, "hello")
        heard.expect("posted")
    said = [record.message for record in caplog.records if record.name == "mattermostdriver.websocket"]
    assert said == ["Websocket authentification OK"]


def test_driver_reconnects_by_its_keep_alive_and_gets_posts_exactly_once(talk: Talk) -> None:
    with Listener(talk.bob) as heard:
        first = talk.write(talk.ann, "before")
        heard.expect_posted(first)
        heard.cut()
        again = heard.expect("hello", 2)
        assert again["seq"] == 0
        assert again["data"]["connection_id"] != heard.named("hello")[0]["data"]["connection_id"]
        after, last = talk.write(talk.ann, "after"), talk.write(talk.ann, "last")
        heard.expect_posted(last)
        assert [len(heard.posted(post)) for post in (first, after, last)] == [1, 1, 1]
        talk.type(talk.ann)
        heard.expect("typing")
        assert len(heard.connections) == 2


def test_log_out_ends_the_session_and_closes_its_socket(talk: Talk) -> None:
    with Listener(talk.bob) as heard:
        token = talk.bob.client.token
        assert talk.bob.logout() == {"status": "OK"}
        socket = heard.connections[0]
        until(lambda: socket.close_code is not None, what="the end of the socket")
        assert socket.close_code == Close.SESSION_ENDED
        talk.bob.client.token = token  # the driver has forgotten it, the point is that the server has
        with pytest.raises(NoAccessTokenProvided):
            talk.bob.users.get_user("me")
        talk.ann.users.get_user("me")
