"""Two users of @mattermost/client talk over a live node: ann with a token, bob with cookies as in a browser."""

import json
import subprocess
from typing import Any

import pytest

from tests.plugins.drivers import drivers
from tests.provision import JS
from tests.rig.node import Node
from tests.rig.require import Require
from ws.close import Close

pytestmark = drivers("all")

_ALL_S = 90.0  # talk.mjs gives up sooner, and says where


class Steps:
    """What js/talk.mjs told, by the name of the step. A step it did not come to fails with what it said at its end."""

    def __init__(self, status: int, stdout: str, stderr: str) -> None:
        self.status = status
        self.stderr = stderr
        self._steps: dict[str, dict[str, Any]] = {}
        for line in stdout.splitlines():
            step = json.loads(line)
            name = step.pop("step")
            assert name not in self._steps, f"step {name} was told twice"
            self._steps[name] = step

    def __getitem__(self, name: str) -> dict[str, Any]:
        assert name in self._steps, f"talk.mjs did not come to {name}, only to {list(self._steps)}:\n{self.stderr}"
        return self._steps[name]


@pytest.fixture(scope="module")
def steps(node: Node, require: Require) -> Steps:
    """A run of js/talk.mjs."""
    require("JavaScript clients")
    result = subprocess.run(
        ["node", "talk.mjs", node.url], cwd=JS, capture_output=True, text=True, timeout=_ALL_S, check=False
    )
    return Steps(result.returncode, result.stdout, result.stderr)


def test_sign_up(steps: Steps) -> None:
    sign_up = steps["sign_up"]
    assert [user["username"] for user in sign_up["users"]] == sign_up["names"]
    assert [user["roles"] for user in sign_up["users"]] == ["system_user", "system_user"]


def test_log_in_by_token_and_by_cookies(steps: Steps) -> None:
    log_in = steps["log_in"]
    assert [user["id"] for user in log_in["users"]] == [user["id"] for user in steps["sign_up"]["users"]]
    assert len(log_in["token"]) == 26
    assert log_in["cookies"] == ["MMAUTHTOKEN", "MMCSRF", "MMUSERID"]


def test_hello_comes_after_the_challenge_and_after_the_cookie(steps: Steps) -> None:
    connection_ids = steps["connect"]["connection_ids"]
    assert [len(one) for one in connection_ids] == [26, 26]
    assert connection_ids[0] != connection_ids[1]
    assert steps["connect"]["first_connects"] == [1, 1]


def test_team_and_channel_with_a_second_member(steps: Steps) -> None:
    _, bob = steps["sign_up"]["users"]
    team, channel = steps["team"], steps["channel"]
    assert (team["member"]["team_id"], team["member"]["user_id"]) == (team["team"]["id"], bob["id"])
    assert channel["channel"]["team_id"] == team["team"]["id"]
    assert (channel["member"]["channel_id"], channel["member"]["user_id"]) == (channel["channel"]["id"], bob["id"])


def test_post_is_read_back_by_the_second_user(steps: Steps) -> None:
    post, read_back = steps["post"]["post"], steps["read_back"]
    assert post["message"] == "hello"
    assert read_back["order"][0] == post["id"]
    assert read_back["post"] == post


def test_posted_reaches_the_second_user_with_the_post_in_it(steps: Steps) -> None:
    ann, _ = steps["sign_up"]["users"]
    channel, posted = steps["channel"]["channel"], steps["posted"]
    assert posted["post"] == steps["post"]["post"]
    assert posted["post"]["pending_post_id"] == f"{ann['id']}:0"  # by which the author's own clients match it
    assert posted["broadcast"]["channel_id"] == channel["id"]
    assert posted["data"]["sender_name"] == f"@{ann['username']}"
    assert posted["data"]["channel_name"] == channel["name"]
    assert posted["data"]["team_id"] == channel["team_id"]


def test_typing_reaches_the_second_user_and_not_the_first(steps: Steps) -> None:
    ann, _ = steps["sign_up"]["users"]
    assert steps["typing"]["answer"]["status"] == "OK"
    assert steps["typing"]["data"] == {"parent_id": "", "user_id": ann["id"]}
    assert steps["end"]["typing"] == [0, 2]  # the second time after the reconnect


def test_cookie_user_posts_with_the_csrf_token(steps: Steps) -> None:
    assert steps["reply"]["post"]["user_id"] == steps["sign_up"]["users"][1]["id"]


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_client_with_a_token_or_a_cookie_reconnects_by_itself_and_resumes_or_learns_that_it_missed_something(
    steps: Steps, who: str
) -> None:
    """A resumed connection has its old id, no hello, and what was posted meanwhile; any other is told to read anew."""
    found = steps["reconnect"][who]
    anew = 0 if found["resumed"] else 1
    assert found == {"resumed": not anew, "reconnects": 1, "closes": 1, "missed": anew, "hellos": anew}
    assert steps["end"]["lost"] == 1 - anew


def test_posts_after_the_reconnect_come_exactly_once(steps: Steps) -> None:
    assert steps["posted_again"] == {"ann": 1, "bob": 1}
    assert steps["end"]["posted"] == [[1, 1]] * 4


def test_no_socket_was_lost_but_the_two_that_were_cut(steps: Steps) -> None:
    """The client closes the socket of its own accord where a number is missing in the sequence of events."""
    assert steps["end"]["sockets"] == [2, 2]


@pytest.mark.parametrize("by", ["cookie", "token"])
def test_log_out_ends_the_session_and_closes_its_socket(steps: Steps, by: str) -> None:
    log_out = steps[f"log_out_by_{by}"]
    assert log_out["rest"] == 401
    assert log_out["close_code"] == Close.SESSION_ENDED


def test_talk_came_to_its_end(steps: Steps) -> None:
    assert steps.status == 0, steps.stderr


def test_log_out_of_one_leaves_the_other_connected(steps: Steps) -> None:
    assert steps["log_out_by_cookie"]["other"] == "OK"
