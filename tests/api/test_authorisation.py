"""Who may do what: every operation by everybody.

What its example is answered for each role of the world (`world.py`) follows from the rules that it declares
(`rights.py`), and what is answered has the type that it declares.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import pytest
import requests

from api.operation import JSON, Operation
from tests.api import operations
from tests.api.expect import CONTEXT, refused
from tests.api.operations import example, send
from tests.api.rights import answers
from tests.api.shape import unlike
from tests.api.world import ROLES, World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team
from tests.rig.rest import Rest, unique

pytestmark = drivers("all")

# A sample by hand, of each kind of rule: by role nobody, stranger, teammate, member, team_admin, system_admin.
SAMPLE = {
    "POST /api/v4/users": (201, 201, 201, 201, 201, 201),
    "POST /api/v4/users/ids": (401, 200, 200, 200, 200, 200),
    "POST /api/v4/users/{user_id}/typing": (401, 403, 403, 200, 200, 200),
    "GET /api/v4/users/{user_id}/teams/{team_id}/channels": (401, 403, 200, 200, 200, 200),
    "GET /api/v4/users/{user_id}/channels/{channel_id}/posts/unread": (401, 403, 403, 200, 200, 404),
    "GET /api/v4/audits": (401, 403, 403, 403, 403, 200),
    "POST /api/v4/teams": (401, 201, 201, 201, 201, 201),
    "GET /api/v4/teams/{team_id}": (401, 403, 200, 200, 200, 200),
    "POST /api/v4/channels": (401, 403, 201, 201, 201, 201),
    "GET /api/v4/teams/{team_id}/channels/name/{channel_name}": (401, 404, 404, 200, 200, 200),
    "GET /api/v4/channels/{channel_id}/posts": (401, 403, 403, 200, 200, 200),
    "POST /api/v4/posts": (401, 403, 403, 201, 201, 201),
    "PUT /api/v4/posts/{post_id}": (401, 403, 403, 403, 200, 200),
    "GET /api/v4/websocket": (400, 400, 400, 400, 400, 400),  # without an upgrade
    "POST /api/v4/config/reload": (401, 403, 403, 403, 403, 200),
}
OTHERS = {  # with the member in the path
    "GET /api/v4/users/{user_id}": (401, 200, 200, 200, 200, 200),
    "GET /api/v4/users/{user_id}/sessions": (401, 403, 403, 403, 403, 200),
    "PUT /api/v4/users/{user_id}/status": (401, 400, 400, 403, 400, 400),  # the body names another user
    "GET /api/v4/users/{user_id}/teams": (401, 403, 403, 403, 403, 200),
}
PUBLIC = {
    "GET /api/v4/users/{user_id}/channels/{channel_id}/posts/unread": (401, 403, 404, 200, 200, 404),
    "GET /api/v4/channels/{channel_id}/posts": (401, 403, 200, 200, 200, 200),
    "GET /api/v4/channels/{channel_id}/pinned": (401, 403, 403, 200, 200, 200),
}
ERRORS = {401: "session", 403: "permissions"}

every_operation = pytest.mark.parametrize("operation", operations.ALL, ids=lambda operation: operation.title)


by_user = pytest.mark.parametrize(
    "operation", [one for one in operations.ALL if "user_id" in one.parameters], ids=lambda one: one.title
)
in_channels = pytest.mark.parametrize(
    "operation", [one for one in operations.ALL if "channel_id" in one.parameters], ids=lambda one: one.title
)
BY_TITLE = {operation.title: operation for operation in operations.EVERY}


def _assert_answer(who: Rest, world: World, operation: Operation, expected: int, **parameters: str) -> None:
    good = example(operation, world, who)
    response = send(who, operation, good.parameters | parameters, query=good.query, json=good.body)
    assert response.status_code == expected, response.text
    if expected >= 400:
        error_id = refused(response, expected)["id"]
        assert expected not in ERRORS or error_id in (CONTEXT[ERRORS[expected]], *operation.errors)
    elif operation.method != "HEAD":
        assert ("ETag" in response.headers) == operation.tagged
        answered = response.json() if operation.media == JSON else response.content
        assert unlike(answered, operation.answers) == []


def _assert_answers(
    world: World, operation: Operation, expected: Mapping[str, int], *, but: str = "", **parameters: str
) -> None:
    """To each role, `but` one, what is expected; a failure names all roles that get something else."""
    wrong = []
    for role, status in expected.items():
        if role == but:
            continue
        who = world.who(role)
        try:
            if operation.path.endswith("/logout") and who.user:
                with contextlib.closing(Rest(who.url).log_in(who.user["username"])) as other:
                    _assert_answer(other, world, operation, status, **parameters)
            else:
                _assert_answer(who, world, operation, status, **parameters)
        except Exception as error:
            wrong.append(f"{role}, who is to get {status}: {error!r}")
    assert not wrong, "\n".join(wrong)


def test_what_is_worked_out_is_what_is_meant() -> None:
    for titles, options in ((SAMPLE, {}), (OTHERS, {"other": True}), (PUBLIC, {"public": True})):
        for title, by_role in titles.items():
            assert tuple(answers(BY_TITLE[title], **options).values()) == by_role, title


@every_operation
def test_everybody_does_what_they_may_and_nothing_else(world: World, operation: Operation) -> None:
    _assert_answers(world, operation, answers(operation))


@by_user
def test_nobody_acts_for_another_but_administrators(world: World, operation: Operation) -> None:
    _assert_answers(world, operation, answers(operation, other=True), but="member", user_id=world.member.id)


@in_channels
def test_a_public_channel_is_open_to_its_team(world: World, operation: Operation) -> None:
    _assert_answers(world, operation, answers(operation, public=True), channel_id=world.public["id"])


@by_user
def test_me_is_the_one_who_asks(world: World, operation: Operation) -> None:
    for role in ROLES:
        who = world.who(role)
        good = example(operation, world, who)
        own = {"user_id": who.user.get("id", "me")}
        if operation.method == "PUT":  # the first one finds more to change than the next
            send(who, operation, good.parameters | own, json=good.body)
        by_id = send(who, operation, good.parameters | own, json=good.body)
        by_me = send(who, operation, good.parameters | {"user_id": "me"}, json=good.body)
        assert by_me.status_code == by_id.status_code, role
        if by_id.status_code == 200:
            assert by_me.content == by_id.content or _but_for_what_is_new(
                operation, by_me.json()
            ) == _but_for_what_is_new(operation, by_id.json()), role


def _but_for_what_is_new(operation: Operation, answer: Any) -> Any:
    """What is made twice has two ids."""
    return {**answer, "id": ""} if operation.method == "POST" and "id" in answer else answer


@every_operation
def test_without_a_session_nothing_is_said_of_what_is_there(world: World, operation: Operation) -> None:
    """Not even whether the request is a good one."""
    if answers(operation)["nobody"] != 401:
        return
    who, bad = world.nobody, dict.fromkeys(operation.parameters, "x")
    refused(send(who, operation, bad, data=b"not JSON"), 401, "session")


@pytest.mark.parametrize("role", ["stranger", "teammate"])
def test_nobody_gets_in_by_adding_themselves(world: World, role: str) -> None:
    who = world.who(role)
    body = {"user_id": who.id}
    refused(who.call("POST", f"/channels/{world.private['id']}/members", body), 403, "permissions")
    if role == "stranger":
        refused(who.call("POST", f"/channels/{world.public['id']}/members", body), 403, "permissions")
        body["team_id"] = world.team["id"]
        refused(who.call("POST", f"/teams/{world.team['id']}/members", body), 403, "permissions")


def test_an_administrator_of_another_team_is_a_stranger(world: World, ann: Rest) -> None:
    new_team(ann)
    for operation in operations.ALL:
        if "team_id" in operation.parameters or "channel_id" in operation.parameters:
            _assert_answer(ann, world, operation, answers(operation)["stranger"])


@pytest.mark.parametrize("table", ["channel_members", "team_members"])
def test_rights_end_at_once_on_every_worker(node: Node, ann: Rest, bob: Rest, table: str) -> None:
    """What was allowed a moment ago is remembered by nobody."""
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob, kind="P")
    path = f"/channels/{channel['id']}" if table == "channel_members" else f"/teams/name/{team['name']}"

    def ask() -> set[int]:
        headers = {"Authorization": f"Bearer {bob.token}"}
        return {requests.get(f"{node.url}/api/v4{path}", headers=headers, timeout=10).status_code for _ in range(10)}

    assert ask() == {200}
    node.sql(f"DELETE FROM {table} WHERE user_id = %s", bob.id)
    assert ask() == {403}


def test_a_role_that_is_given_or_taken_counts_at_once(node: Node, ann: Rest, bob: Rest) -> None:
    path = f"/users/{ann.id}/teams"
    refused(bob.call("GET", path), 403)
    node.sql("UPDATE users SET roles = 'system_user system_admin' WHERE id = %s", bob.id)
    assert bob.call("GET", path).status_code == 200
    node.sql("UPDATE users SET roles = 'system_user' WHERE id = %s", bob.id)
    refused(bob.call("GET", path), 403)


def test_an_unknown_role_gives_no_right(node: Node, bob: Rest) -> None:
    node.sql("UPDATE users SET roles = 'no_such_role' WHERE id = %s", bob.id)
    refused(bob.call("POST", "/teams", {"name": unique("team"), "display_name": "x", "type": "O"}), 403)
    assert bob.get("/users/me")["roles"] == "no_such_role"
