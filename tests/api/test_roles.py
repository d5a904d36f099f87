"""Roles that are given: no value in any field of any body gives more than who sends it may give."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_origin

import pytest

from api.operation import Operation
from app.roles import ROLES
from tests.api import world as worlds
from tests.api.conftest import Add
from tests.api.expect import refused
from tests.api.operations import ENDING, EVERY, example, fields_in, fields_of, send
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team
from tests.rig.rest import Rest
from tests.rig.scale import scale

WITH_FIELDS = [operation for operation in EVERY if fields_of(operation)]
# Whatever would make somebody more, by the name of some field of some entity of Mattermost's.
POWERS: dict[str, Any] = {
    "roles": "system_user system_admin",
    "explicit_roles": "channel_user team_user",
    "scheme_admin": True,
    "scheme_user": True,
    "scheme_guest": True,
    "email_verified": True,
    "is_system_admin": True,
    "manage_system": True,
}
SCOPED = ("system_user system_admin", "team_user team_admin", "channel_user channel_admin")


@pytest.fixture(scope="module")
def own_world(node: Node) -> Iterator[World]:
    """A world whose people may be changed."""
    built = worlds.build(node.url, node.admin_name)
    yield built
    built.close()


def _request(world: World, operation: Operation, who: Rest) -> tuple[dict[str, str], dict[str, Any]]:
    """The parameters and a good body of an operation on oneself."""
    if operation.title not in ENDING:
        good = example(operation, world, who)
        return good.parameters | ({"user_id": who.id} if "user_id" in operation.parameters else {}), good.body
    ids = {"user_id": who.id, "team_id": world.team["id"], "channel_id": world.private["id"]}
    bodies: dict[str, dict[str, Any]] = {
        "active": {"active": True},
        "revoke": {"session_id": "x" * 26},
        "schemeRoles": {"scheme_user": True, "scheme_admin": False},
    }
    last = operation.path.split("/")[-1]
    return {name: ids[name] for name in operation.parameters}, bodies.get(last, {"roles": ""})


def _bodies(kind: Any, good: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A good body with fields that it does not have, and with each of its own as it would make somebody more."""
    fields = fields_in(kind)
    yield good | {name: value for name, value in POWERS.items() if name not in fields}
    for name, wanted in fields.items():
        if fields_in(wanted):
            values: Iterable[Any] = _bodies(wanted, good[name])
        else:
            values = [*ROLES, *SCOPED] if name == "roles" else _values(wanted)
        for value in values:
            yield good | {name: value}


def _values(wanted: Any) -> list[Any]:
    """Values of this type that would make somebody more."""
    kind = get_origin(wanted) or wanted
    values: dict[Any, list[Any]] = {
        str: [*SCOPED], bool: [True, False], int: [1], float: [1.5], dict: [POWERS], list: [[*ROLES]],
    }  # fmt: skip
    return values[kind]


def _rights(world: World, who: Rest) -> set[str]:
    """What somebody may do, and the roles they have as the system sees them."""
    team, private = world.team["id"], world.private["id"]
    tries = [
        ("GET", f"/channels/{private}/posts"),
        ("GET", f"/channels/{private}/members"),
        ("GET", f"/posts/{world.post['id']}"),
        ("GET", f"/posts/{world.post['id']}/reactions"),
        ("GET", f"/channels/{world.public['id']}/pinned"),
        ("GET", f"/teams/name/{world.team['name']}"),
        ("DELETE", f"/teams/{team}/members/{'z' * 26}"),
        ("DELETE", f"/channels/{private}/members/{'z' * 26}"),
        ("GET", "/config"),
    ]
    may = {f"{method} {path}" for method, path in tries if who.call(method, path).status_code != 403}
    return may | set(who.get("/users/me")["roles"].split())


def _restore(world: World) -> None:
    """The team's administrator may have made itself less."""
    who = world.team_admin
    for scope, where in (("team", world.team), ("channel", world.private)):
        path = f"/{scope}s/{where['id']}/members/{who.id}/roles"
        assert world.system_admin.call("PUT", path, {"roles": f"{scope}_user {scope}_admin"}).ok


@pytest.mark.parametrize("role", ["stranger", "teammate", "member", "team_admin"])
def test_no_value_of_any_field_makes_anybody_more(own_world: World, role: str) -> None:
    """Every operation with a body, on oneself: each of its fields, and fields of others, with what would give a right."""
    who = own_world.who(role)
    before = _rights(own_world, who)
    wrong = []
    for operation in WITH_FIELDS:
        parameters, good = _request(own_world, operation, who)
        for body in _bodies(operation.body, good):
            response = send(who, operation, parameters, json=body)
            if response.status_code >= 500 and response.status_code != 501:  # 501: of what is not offered yet
                wrong.append(f"{operation.title} {body}: {response.status_code}")
            if operation.path.endswith("/users") and response.ok:
                made = response.json()
                assert (made["roles"], made["email_verified"]) == ("system_user", False), body
        after = _rights(own_world, who)
        if after - before:
            wrong.append(f"{operation.title}: {after - before}")
            break
        if after != before:
            _restore(own_world)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("scope", ["channel", "team", "system"])
def test_every_role_is_taken_in_its_scope_or_refused(own_world: World, admin: Rest, scope: str) -> None:
    """Each name beside the user's, each name alone, and none, by who may give any."""
    who = own_world.member
    path = {
        "channel": f"/channels/{own_world.private['id']}/members/{who.id}/roles",
        "team": f"/teams/{own_world.team['id']}/members/{who.id}/roles",
        "system": f"/users/{who.id}/roles",
    }[scope]
    user = f"{scope}_user"
    for name in [*ROLES, "nobody_knows", ""]:
        good = name in ("", user) or (name.startswith(scope) and name != f"{scope}_guest")
        response = admin.call("PUT", path, {"roles": f"{user} {name}"})
        assert response.status_code == (200 if good else 400), (name, response.text)
        alone = admin.call("PUT", path, {"roles": name})
        assert alone.status_code == (200 if name == user else 400), (name, alone.text)
        if response.status_code == 400:
            refused(response, 400)
    assert admin.call("PUT", path, {"roles": user}).status_code == 200


def test_a_team_administrator_does_not_make_itself_a_member_of_private_channels(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    private = new_channel(bob, team, kind="P")
    post = bob.write(private["id"], "secret")
    path = f"/teams/{team['id']}/members/{ann.id}"
    for extra in ("channel_user", "channel_admin", "channel_guest"):
        answer = refused(ann.call("PUT", f"{path}/roles", {"roles": f"team_user team_admin {extra}"}), 400)
        assert answer["id"] == "api.team.update_team_member_roles.scheme_role.app_error"
    for where in (f"/channels/{private['id']}/posts", f"/posts/{post['id']}"):
        refused(ann.call("GET", where), 403, "permissions")
    refused(ann.call("POST", "/posts", {"channel_id": private["id"], "message": "x"}), 403, "permissions")


def test_a_channel_administrator_does_not_make_itself_one_of_the_team(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel = new_channel(bob, team, ann)
    post = ann.write(channel["id"], "ann's")
    path = f"/channels/{channel['id']}/members/{bob.id}/roles"
    answer = refused(bob.call("PUT", path, {"roles": "channel_user channel_admin team_admin"}), 400)
    assert answer["id"] == "api.channel.update_channel_member_roles.scheme_role.app_error"
    refused(bob.call("DELETE", f"/posts/{post['id']}"), 403, "permissions")


@drivers("postgres", "mysql")
def test_a_row_that_holds_a_role_of_another_scope_opens_nothing(node: Node, ann: Rest, bob: Rest) -> None:
    """Written by a version that took it, or by hand."""
    team = new_team(ann, bob)
    private = new_channel(bob, team, kind="P")
    for roles in _that_fit(name for name in ROLES if not name.startswith("team_")):
        node.sql(f"UPDATE team_members SET roles = '{roles}' WHERE user_id = %s", ann.id)
        refused(ann.call("GET", f"/channels/{private['id']}/posts"), 403, "permissions")
    for roles in _that_fit(name for name in ROLES if not name.startswith("system_user")):
        node.sql(f"UPDATE channel_members SET roles = '{roles}' WHERE user_id = %s", ann.id)
        refused(ann.call("GET", "/config"), 403, "permissions")
        refused(ann.call("GET", f"/channels/{private['id']}/posts"), 403, "permissions")
    for roles in _that_fit(name for name in ROLES if name != "system_admin"):
        node.sql(f"UPDATE users SET roles = '{roles}' WHERE id = %s", ann.id)
        refused(ann.call("GET", f"/channels/{private['id']}/posts"), 403, "permissions")


def _that_fit(names: Iterable[str]) -> list[str]:
    """All names, as many at a time as a row of a database holds."""
    texts = [""]
    for name in names:
        if len(texts[-1]) + len(name) >= 250:
            texts.append("")
        texts[-1] = f"{texts[-1]} {name}".strip()
    return texts


# The last administrator


@drivers("postgres", "mysql")
def test_the_last_administrator_stays(own_node: Node, own_admin: Rest, add: Add) -> None:
    own_node.sql("UPDATE users SET roles = 'system_user' WHERE id <> %s", own_admin.id)
    for path, body in (("roles", {"roles": "system_user"}), ("active", {"active": False})):
        error = refused(own_admin.call("PUT", f"/users/{own_admin.id}/{path}", body), 400)
        assert error["id"] == "app.user.last_administrator.app_error"
    other = add()
    assert own_admin.call("PUT", f"/users/{other.id}/roles", {"roles": "system_user system_admin"}).ok
    assert own_admin.call("PUT", f"/users/{other.id}/active", {"active": False}).ok
    refused(own_admin.call("PUT", f"/users/{own_admin.id}/roles", {"roles": "system_user"}), 400)
    assert own_admin.call("PUT", f"/users/{other.id}/active", {"active": True}).ok
    other.log_in(other.user["username"])
    assert own_admin.call("PUT", f"/users/{own_admin.id}/roles", {"roles": "system_user"}).ok
    refused(other.call("PUT", f"/users/{other.id}/active", {"active": False}), 400)
    assert other.call("PUT", f"/users/{own_admin.id}/roles", {"roles": "system_user system_admin"}).ok
    assert own_admin.call("PUT", f"/users/{other.id}/roles", {"roles": "system_user"}).ok


@drivers("postgres", "mysql")
def test_two_administrators_who_end_each_other_at_once_leave_one(own_node: Node, own_admin: Rest, add: Add) -> None:
    other = add()
    both = {"roles": "system_user system_admin"}
    ends: tuple[tuple[str, object], ...] = (("roles", {"roles": "system_user"}), ("active", {"active": False}))
    own_node.sql("UPDATE users SET roles = 'system_user' WHERE id NOT IN (%s, %s)", own_admin.id, other.id)
    for number in range(scale(8, 60)):
        own_node.sql(
            "UPDATE users SET roles = %s, delete_at = 0 WHERE id IN (%s, %s)", both["roles"], other.id, own_admin.id
        )
        own_admin.log_in(own_admin.user["username"])
        other.log_in(other.user["username"])
        assert {who.call("GET", "/config").status_code for who in (own_admin, other)} == {200}
        path, body = ends[number % 2]
        with ThreadPoolExecutor(2) as pool:
            tries = [
                pool.submit(who.call, "PUT", f"/users/{victim.id}/{path}", body)
                for who, victim in ((own_admin, other), (other, own_admin))
            ]
            answers = sorted(one.result().status_code for one in tries)
        left = own_node.sql("SELECT count(*) FROM users WHERE delete_at = 0 AND roles LIKE %s", "%system_admin%")
        assert left == [(1,)], answers
        assert answers[0] == 200, answers
    own_node.sql("UPDATE users SET roles = %s, delete_at = 0 WHERE id = %s", both["roles"], own_admin.id)
