"""The audit log: a row for each change of rights, and who may read it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from app.journal import MAX_ROWS
from tests.api import operations
from tests.api.conftest import Add, Configure
from tests.api.expect import is_time_ms, refused
from tests.api.test_administration import _ACTS
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_team, new_user, sign_up
from tests.rig.rest import PASSWORD, Rest, unique
from tests.rig.wait import until

pytestmark = drivers("postgres", "mysql")

Act = Callable[[World, Rest], tuple[str, str, object]]

# By operation that changes who may do what, or what the node does: the action of its row.
ACTIONS = {
    "POST /api/v4/users": "createUser",
    "POST /api/v4/users/login": "login",
    "POST /api/v4/users/logout": "logout",
    "POST /api/v4/users/{user_id}/sessions/revoke": "revokeSession",
    "POST /api/v4/users/{user_id}/sessions/revoke/all": "revokeAllSessionsForUser",
    "POST /api/v4/users/sessions/revoke/all": "revokeAllSessionsAllUsers",
    "PUT /api/v4/users/{user_id}/active": "updateUserActive",
    "DELETE /api/v4/users/{user_id}": "updateUserActive",
    "PUT /api/v4/users/{user_id}": "patchUser",
    "PUT /api/v4/users/{user_id}/patch": "patchUser",
    "PUT /api/v4/users/{user_id}/password": "updatePassword",
    "PUT /api/v4/users/sessions/device": "attachDeviceId",
    "POST /api/v4/users/{user_id}/promote": "promoteGuestToUser",
    "POST /api/v4/users/{user_id}/demote": "demoteUserToGuest",
    "DELETE /api/v4/users/{user_id}/image": "setDefaultProfileImage",
    "PUT /api/v4/users/{user_id}/roles": "updateUserRoles",
    "POST /api/v4/users/{user_id}/reset_failed_attempts": "resetPasswordFailedAttempts",
    "POST /api/v4/teams/{team_id}/members": "addTeamMember",
    "POST /api/v4/teams/{team_id}/members/batch": "addTeamMembers",
    "POST /api/v4/teams/members/invite": "addUserToTeamFromInvite",
    "DELETE /api/v4/teams/{team_id}/members/{user_id}": "removeTeamMember",
    "PUT /api/v4/teams/{team_id}/members/{user_id}/roles": "updateTeamMemberRoles",
    "PUT /api/v4/teams/{team_id}/members/{user_id}/schemeRoles": "updateTeamMemberRoles",
    "PUT /api/v4/teams/{team_id}": "updateTeam",
    "PUT /api/v4/teams/{team_id}/patch": "patchTeam",
    "PUT /api/v4/teams/{team_id}/privacy": "updateTeamPrivacy",
    "POST /api/v4/teams/{team_id}/regenerate_invite_id": "regenerateTeamInviteId",
    "DELETE /api/v4/teams/{team_id}": "deleteTeam",
    "POST /api/v4/teams/{team_id}/restore": "restoreTeam",
    "POST /api/v4/channels/{channel_id}/members": "addChannelMember",
    "DELETE /api/v4/channels/{channel_id}/members/{user_id}": "removeChannelMember",
    "PUT /api/v4/channels/{channel_id}/members/{user_id}/roles": "updateChannelMemberRoles",
    "PUT /api/v4/channels/{channel_id}/members/{user_id}/schemeRoles": "updateChannelMemberRoles",
    "PUT /api/v4/config": "updateConfig",
    "PUT /api/v4/config/patch": "patchConfig",
    "POST /api/v4/config/reload": "configReload",
    "POST /api/v4/database/recycle": "databaseRecycle",
    "POST /api/v4/caches/invalidate": "invalidateCaches",
    "POST /api/v4/server_busy": "setServerBusy",
    "DELETE /api/v4/server_busy": "clearServerBusy",
    "POST /api/v4/system/onboarding/complete": "completeOnboarding",
}
# What people say, read or make for themselves: no row. An operation is in one of the two, or a test fails.
CONTENT = {
    "POST /api/v4/users/group_channels",
    "POST /api/v4/users/ids",
    "POST /api/v4/users/login/type",
    "POST /api/v4/users/search",
    "POST /api/v4/users/usernames",
    "PUT /api/v4/users/{user_id}/status/custom",
    "DELETE /api/v4/users/{user_id}/status/custom",
    "DELETE /api/v4/users/{user_id}/status/custom/recent",
    "POST /api/v4/users/{user_id}/status/custom/recent/delete",
    "POST /api/v4/users/{user_id}/typing",
    "PUT /api/v4/users/{user_id}/status",
    "POST /api/v4/users/status/ids",
    "POST /api/v4/teams",
    "POST /api/v4/channels",
    "POST /api/v4/channels/direct",
    "POST /api/v4/channels/members/{user_id}/view",
    "POST /api/v4/posts",
    "PUT /api/v4/posts/{post_id}",
    "PUT /api/v4/posts/{post_id}/patch",
    "DELETE /api/v4/posts/{post_id}",
    "POST /api/v4/posts/{post_id}/pin",
    "POST /api/v4/posts/{post_id}/unpin",
    "POST /api/v4/reactions",
    "DELETE /api/v4/users/{user_id}/posts/{post_id}/reactions/{emoji_name}",
    "POST /api/v4/posts/ids/reactions",
    "POST /api/v4/posts/ephemeral",
    "POST /api/v4/posts/ids",
    "POST /api/v4/posts/{post_id}/restore/{version_id}",
    "POST /api/v4/users/{user_id}/posts/{post_id}/set_unread",
    "PUT /api/v4/users/{user_id}/teams/{team_id}/read",
    "PUT /api/v4/users/{user_id}/preferences",
    "POST /api/v4/users/{user_id}/preferences/delete",
    "POST /api/v4/users/{user_id}/teams/{team_id}/channels/categories",
    "PUT /api/v4/users/{user_id}/teams/{team_id}/channels/categories",
    "PUT /api/v4/users/{user_id}/teams/{team_id}/channels/categories/order",
    "PUT /api/v4/users/{user_id}/teams/{team_id}/channels/categories/{category_id}",
    "DELETE /api/v4/users/{user_id}/teams/{team_id}/channels/categories/{category_id}",
    "POST /api/v4/teams/search",
    "POST /api/v4/teams/{team_id}/members/ids",
    "POST /api/v4/teams/{team_id}/invite/email",  # 501 until there is e-mail
    "POST /api/v4/roles/names",
    "POST /api/v4/permissions/ancillary",
    "POST /api/v4/groups/names",
    "POST /api/v4/emoji/names",
    "POST /api/v4/emoji/search",
    "PUT /api/v4/system/notices/view",
    "POST /api/v4/client_perf",
    "POST /api/v4/logs/query",
}


def _sign_up(_: World, __: Rest) -> tuple[str, str, object]:
    name = unique("new")
    return "POST", "/users", {"username": name, "email": f"{name}@example.com", "password": PASSWORD}


def _team(world: World) -> dict[str, Any]:
    """Another team, to be changed or joined."""
    return new_team(world.team_admin)


def _update_team(world: World, _: Rest) -> tuple[str, str, object]:
    team = _team(world)
    return "PUT", f"/teams/{team['id']}", {"id": team["id"], "display_name": "another"}


def _restore_team(world: World, _: Rest) -> tuple[str, str, object]:
    team = _team(world)
    assert world.team_admin.call("DELETE", f"/teams/{team['id']}").ok
    return "POST", f"/teams/{team['id']}/restore", None


# Requests that are in neither table of the other tests, or change nothing there: against a user who is in no team.
_OWN: dict[str, Act] = {
    "POST /api/v4/users": _sign_up,
    "POST /api/v4/users/login": lambda _, v: (
        "POST",
        "/users/login",
        {"login_id": v.user["username"], "password": PASSWORD},
    ),
    "POST /api/v4/users/{user_id}/reset_failed_attempts": lambda _, v: (
        "POST",
        f"/users/{v.id}/reset_failed_attempts",
        None,
    ),
    "PUT /api/v4/users/{user_id}": lambda _, v: (
        "PUT",
        f"/users/{v.id}",
        {"id": v.id, "username": v.user["username"], "email": v.user["email"], "nickname": "nick"},
    ),
    "PUT /api/v4/users/{user_id}/patch": lambda _, v: ("PUT", f"/users/{v.id}/patch", {"nickname": "nick"}),
    "PUT /api/v4/users/sessions/device": lambda _, __: ("PUT", "/users/sessions/device", {"device_id": unique("x")}),
    "POST /api/v4/teams/{team_id}/members": lambda w, v: (
        "POST",
        f"/teams/{w.team['id']}/members",
        {"team_id": w.team["id"], "user_id": v.id},
    ),
    "POST /api/v4/teams/{team_id}/members/batch": lambda w, v: (
        "POST",
        f"/teams/{w.team['id']}/members/batch",
        [{"team_id": w.team["id"], "user_id": v.id}],
    ),
    "POST /api/v4/teams/members/invite": lambda w, _: (
        "POST",
        f"/teams/members/invite?invite_id={_team(w)['invite_id']}",
        None,
    ),
    "PUT /api/v4/teams/{team_id}": _update_team,
    "PUT /api/v4/teams/{team_id}/patch": lambda w, _: (
        "PUT",
        f"/teams/{_team(w)['id']}/patch",
        {"display_name": "another"},
    ),
    "POST /api/v4/teams/{team_id}/restore": _restore_team,
    "POST /api/v4/channels/{channel_id}/members": lambda w, v: (
        "POST",
        f"/channels/{w.private['id']}/members",
        {"user_id": v.id},
    ),
    "POST /api/v4/config/reload": lambda _, __: ("POST", "/config/reload", None),
    "POST /api/v4/database/recycle": lambda _, __: ("POST", "/database/recycle", None),
    "POST /api/v4/caches/invalidate": lambda _, __: ("POST", "/caches/invalidate", None),
    "POST /api/v4/server_busy": lambda _, __: ("POST", "/server_busy?seconds=1", None),
    "DELETE /api/v4/server_busy": lambda _, __: ("DELETE", "/server_busy", None),
    "POST /api/v4/system/onboarding/complete": lambda _, __: (
        "POST",
        "/system/onboarding/complete",
        {"organization": "Ours"},
    ),
}
_JOINS_FIRST = {"POST /api/v4/channels/{channel_id}/members"}
_ALONE = {  # tests of their own: here, in test_guests.py, in test_pictures.py
    "POST /api/v4/users/sessions/revoke/all",
    "POST /api/v4/users/logout",
    "POST /api/v4/users/{user_id}/promote",
    "POST /api/v4/users/{user_id}/demote",
    "DELETE /api/v4/users/{user_id}/image",
    "PUT /api/v4/config",
    "PUT /api/v4/config/patch",
}


def test_every_operation_is_judged() -> None:
    changing = {one.title for one in operations.EVERY if one.method not in ("GET", "HEAD")}
    assert ACTIONS.keys() | CONTENT == changing
    assert not ACTIONS.keys() & CONTENT


def _rows(node: Node, request_id: str) -> list[tuple[Any, ...]]:
    return node.sql(
        "SELECT action, result, user_id, session_id, extra_info, ip_address, node_id FROM audits WHERE request_id = %s",
        request_id,
    )


def _join(world: World, who: Rest) -> None:
    world.team_admin.post(f"/teams/{world.team['id']}/members", {"team_id": world.team["id"], "user_id": who.id})


@pytest.mark.parametrize("name", [name for name in ACTIONS if name not in _ALONE])
def test_what_changes_rights_leaves_a_row_before_it_is_answered(node: Node, world: World, name: str) -> None:
    victim, admin = new_user(node.url, "victim"), world.system_admin
    if name in _ACTS or name in _JOINS_FIRST:
        _join(world, victim)
    if name in _ACTS:
        world.team_admin.post(f"/channels/{world.private['id']}/members", {"user_id": victim.id})
        method, path, body = _ACTS[name][0](admin, world, victim)
    else:
        method, path, body = _OWN[name](world, victim)
    response = admin.call(method, path, body, headers={"X-Forwarded-For": "203.0.113.77"})
    assert response.status_code < 300, response.text
    [(action, result, user_id, session_id, extra_info, address, node_id)] = _rows(
        node, response.headers["X-Request-Id"]
    )
    assert (action, result, address) == (ACTIONS[name], "success", "203.0.113.77")
    assert user_id == (victim.id if action == "login" else admin.id)
    assert session_id
    assert node_id == node.status()["node_id"]
    if "{user_id}" in name:
        assert victim.id in extra_info
    world.team_admin.call("DELETE", f"/teams/{world.team['id']}/members/{victim.id}")
    victim.close()


def test_the_row_of_a_revoked_session_names_it_and_never_its_token(node: Node, world: World, ann: Rest) -> None:
    for named in ("id", "token"):
        [session] = ann.get("/users/me/sessions")
        body = {"session_id": session["id"] if named == "id" else ann.token}
        response = world.system_admin.call("POST", f"/users/{ann.id}/sessions/revoke", body)
        [row] = _rows(node, response.headers["X-Request-Id"])
        assert row[4] == f"user_id={ann.id} session_id={session['id']}"
        ann.log_in(ann.user["username"])


def test_a_log_out_leaves_a_row(node: Node, ann: Rest) -> None:
    [mine] = ann.get("/users/me/sessions")
    response = ann.call("POST", "/users/logout")
    [row] = _rows(node, response.headers["X-Request-Id"])
    assert row[:4] == ("logout", "success", ann.id, mine["id"])


def test_the_end_of_everybodys_sessions_leaves_a_row(own_node: Node, own_admin: Rest) -> None:
    response = own_admin.call("POST", "/users/sessions/revoke/all", {})
    [row] = _rows(own_node, response.headers["X-Request-Id"])
    assert row[:3] == ("revokeAllSessionsAllUsers", "success", own_admin.id)


@pytest.mark.parametrize("path", ["/config", "/config/patch"])
def test_a_configuration_that_is_kept_leaves_a_row(
    own_node: Node, own_admin: Rest, configure: Configure, path: str
) -> None:
    configure({})  # and it is taken back at the end
    response = own_admin.call("PUT", path, {"TeamSettings": {"SiteName": "Ours"}})
    assert response.ok, response.text
    [row] = _rows(own_node, response.headers["X-Request-Id"])
    assert row[:3] == (ACTIONS[f"PUT /api/v4{path}"], "success", own_admin.id)


def test_a_password_is_in_no_row(node: Node, ann: Rest) -> None:
    for password in (PASSWORD, "a wrong one that somebody typed"):
        requests.post(
            f"{node.url}/api/v4/users/login", json={"login_id": ann.user["username"], "password": password}, timeout=10
        )
    name = "typed in the wrong field"
    requests.post(f"{node.url}/api/v4/users/login", json={"login_id": name, "password": "x"}, timeout=10)
    found = until(lambda: node.sql("SELECT * FROM audits WHERE user_id = %s AND result <> 'success'", ann.id))
    everything = json.dumps([[str(one) for one in row] for row in [*found, *node.sql("SELECT * FROM audits")]])
    assert PASSWORD not in everything
    assert "wrong one" not in everything
    assert name not in everything


def _guess(node: Node, login_id: str, address: str) -> int:
    body = {"login_id": login_id, "password": "wrong"}
    headers = {"X-Forwarded-For": address}
    return requests.post(f"{node.url}/api/v4/users/login", json=body, headers=headers, timeout=30).status_code


def _counted(node: Node, address: str) -> list[tuple[str, int]]:
    rows = node.sql("SELECT result, extra_info FROM audits WHERE action = 'login' AND ip_address = %s", address)
    return [(result, int(extra.partition("count=")[2] or 1)) for result, extra in rows]


def test_a_flood_of_bad_log_ins_is_a_few_rows_that_say_how_many(node: Node) -> None:
    user, address = sign_up(node.url), "203.0.113.99"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: _guess(node, user["username"], address), range(300)))
    assert set(answers) <= {401, 429}
    until(lambda: sum(number for _, number in _counted(node, address)) == 300)
    rows = _counted(node, address)
    assert len(rows) < 100
    wrong = "api.user.login.invalid_credentials_email_username"
    assert sum(number for result, number in rows if result == wrong) == 10
    [delayed] = node.sql("SELECT user_id FROM audits WHERE action = 'loginDelayed' AND ip_address = %s", address)
    assert delayed == (user["id"],)
    assert len(rows) < 20 * MAX_ROWS


def test_what_is_refused_leaves_a_row_of_who_tried(node: Node, ann: Rest, bob: Rest) -> None:
    refused(ann.call("PUT", f"/users/{bob.id}/roles", {"roles": "system_admin"}), 403)

    def tried() -> list[tuple[Any, ...]]:
        query = "SELECT result, extra_info FROM audits WHERE action = 'updateUserRoles' AND user_id = %s"
        return node.sql(query, ann.id)

    [(result, extra_info)] = until(tried)
    assert result == "api.context.permissions.app_error"
    assert extra_info == f"user_id={bob.id} roles=system_admin"


def test_rows_are_never_changed(node: Node, ann: Rest) -> None:
    with pytest.raises(Exception, match="never changed"):
        node.sql("UPDATE audits SET user_id = '' WHERE user_id = %s", ann.id)
    assert node.sql("SELECT count(*) FROM audits WHERE user_id = %s AND action = 'login'", ann.id) == [(1,)]


def test_rows_read_as_mattermosts(admin: Rest, ann: Rest) -> None:
    [mine] = [one for one in ann.get("/users/me/audits") if one["action"] == "login"]
    assert set(mine) == {"id", "create_at", "user_id", "action", "extra_info", "ip_address", "session_id"}
    assert is_time_ms(mine["create_at"])
    assert mine["user_id"] == ann.id
    assert mine["ip_address"] == "127.0.0.1"
    assert mine["session_id"] == ann.get("/users/me/sessions")[0]["id"]
    assert mine["extra_info"].startswith("success")
    assert "request_id=" in mine["extra_info"]
    assert mine in admin.get(f"/users/{ann.id}/audits")
    assert mine in admin.get("/audits?per_page=200")


def test_pages_are_the_newest_first(admin: Rest, ann: Rest) -> None:
    for _ in range(3):
        Rest(ann.url).log_in(ann.user["username"]).close()
    every = ann.get("/users/me/audits")
    assert len(every) >= 4
    assert [one["create_at"] for one in every] == sorted((one["create_at"] for one in every), reverse=True)
    pages = [ann.get(f"/users/me/audits?page={page}&per_page=2") for page in range(2)]
    assert [one["id"] for page in pages for one in page] == [one["id"] for one in every[:4]]
    assert ann.get("/users/me/audits?page=1000") == []
    assert len(admin.get("/audits?per_page=1")) == 1


def test_what_the_command_line_does_leaves_a_row(own_node: Node, own_admin: Rest, add: Add) -> None:
    assert own_node.ask("reload")["ok"]
    [row] = [one for one in own_admin.get("/audits?per_page=1") if one["action"] == "configReload"]
    assert 'by="command line"' in row["extra_info"]
    user = add().user
    assert own_node.ask("unlock", user=user["username"])["ok"]
    [row] = own_admin.get("/audits?per_page=1")
    assert row["action"] == "resetPasswordFailedAttempts"
    assert user["id"] in row["extra_info"]


def test_a_reload_that_fails_leaves_a_row_that_says_so(own_node: Node, own_admin: Rest, configure: Configure) -> None:
    own_node.write_config({"ServiceSettings": {"MaximumLoginAttempts": 0}})
    assert not own_node.ask("reload")["ok"]
    [row] = own_admin.get("/audits?per_page=1")
    assert (row["action"], row["extra_info"].split()[0]) == ("configReload", "fail")
