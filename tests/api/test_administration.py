"""Sessions, accounts, members and roles: who may end or change them, and what everybody is told."""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from app.config.file import MASK
from app.config.settings import SECRET_KEYS, Config
from tests.api import operations
from tests.api.expect import refused
from tests.api.world import ROLES, World
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import PASSWORD, Rest, unique
from tests.rig.socket import Socket
from tests.rig.wait import until
from ws.close import Close

Act = Callable[[Rest, World, Rest], tuple[str, str, object]]


def _session_of(victim: Rest) -> str:
    return str(victim.get("/users/me/sessions")[0]["id"])


def _like(world: World) -> str:
    """Id of another team of the same people, to be changed."""
    return str(new_team(world.team_admin, world.teammate, world.member)["id"])


# By operation: method, path and body against a victim who is in the team and in both channels of the world; then what
# nobody, stranger, teammate, member, team_admin and system_admin are answered (0: not tried, it would end the others).
_ACTS: dict[str, tuple[Act, tuple[int, ...]]] = {
    "POST /api/v4/users/{user_id}/sessions/revoke": (
        lambda _, __, v: ("POST", f"/users/{v.id}/sessions/revoke", {"session_id": _session_of(v)}),
        (401, 403, 403, 403, 403, 200),
    ),
    "POST /api/v4/users/{user_id}/sessions/revoke/all": (
        lambda _, __, v: ("POST", f"/users/{v.id}/sessions/revoke/all", {}),
        (401, 403, 403, 403, 403, 200),
    ),
    "POST /api/v4/users/sessions/revoke/all": (
        lambda _, __, ___: ("POST", "/users/sessions/revoke/all", {}),
        (401, 403, 403, 403, 403, 0),
    ),
    "PUT /api/v4/users/{user_id}/active": (
        lambda _, __, v: ("PUT", f"/users/{v.id}/active", {"active": False}),
        (401, 403, 403, 403, 403, 200),
    ),
    "DELETE /api/v4/users/{user_id}": (
        lambda _, __, v: ("DELETE", f"/users/{v.id}", None),
        (401, 403, 403, 403, 403, 200),
    ),
    "PUT /api/v4/users/{user_id}/password": (
        lambda _, __, v: ("PUT", f"/users/{v.id}/password", {"new_password": f"{PASSWORD}-2"}),
        (401, 403, 403, 403, 403, 200),
    ),
    "POST /api/v4/users/{user_id}/promote": (
        lambda _, __, v: ("POST", f"/users/{v.id}/promote", None),
        (401, 403, 403, 403, 403, 501),
    ),
    "POST /api/v4/users/{user_id}/demote": (
        lambda _, __, v: ("POST", f"/users/{v.id}/demote", None),
        (401, 403, 403, 403, 403, 501),
    ),
    "PUT /api/v4/users/{user_id}/roles": (
        lambda _, __, v: ("PUT", f"/users/{v.id}/roles", {"roles": "system_user system_admin"}),
        (401, 403, 403, 403, 403, 200),
    ),
    "DELETE /api/v4/channels/{channel_id}/members/{user_id}": (
        lambda _, w, v: ("DELETE", f"/channels/{w.private['id']}/members/{v.id}", None),
        (401, 403, 403, 200, 200, 200),
    ),
    "DELETE /api/v4/teams/{team_id}/members/{user_id}": (
        lambda _, w, v: ("DELETE", f"/teams/{w.team['id']}/members/{v.id}", None),
        (401, 403, 403, 403, 200, 200),
    ),
    "PUT /api/v4/teams/{team_id}/privacy": (
        lambda _, w, __: ("PUT", f"/teams/{_like(w)}/privacy", {"privacy": "I"}),
        (401, 403, 403, 403, 200, 200),
    ),
    "POST /api/v4/teams/{team_id}/regenerate_invite_id": (
        lambda _, w, __: ("POST", f"/teams/{_like(w)}/regenerate_invite_id", None),
        (401, 403, 403, 403, 200, 200),
    ),
    "DELETE /api/v4/teams/{team_id}": (
        lambda _, w, __: ("DELETE", f"/teams/{_like(w)}", None),
        (401, 403, 403, 403, 200, 200),
    ),
    "PUT /api/v4/channels/{channel_id}/members/{user_id}/roles": (
        lambda _, w, v: ("PUT", f"/channels/{w.private['id']}/members/{v.id}/roles", {"roles": "channel_user"}),
        (401, 403, 403, 403, 200, 200),
    ),
    "PUT /api/v4/channels/{channel_id}/members/{user_id}/schemeRoles": (
        lambda _, w, v: (
            "PUT",
            f"/channels/{w.private['id']}/members/{v.id}/schemeRoles",
            {"scheme_user": True, "scheme_admin": True},
        ),
        (401, 403, 403, 403, 200, 200),
    ),
    "PUT /api/v4/teams/{team_id}/members/{user_id}/roles": (
        lambda _, w, v: ("PUT", f"/teams/{w.team['id']}/members/{v.id}/roles", {"roles": "team_user"}),
        (401, 403, 403, 403, 200, 200),
    ),
    "PUT /api/v4/teams/{team_id}/members/{user_id}/schemeRoles": (
        lambda _, w, v: (
            "PUT",
            f"/teams/{w.team['id']}/members/{v.id}/schemeRoles",
            {"scheme_user": True, "scheme_admin": True},
        ),
        (401, 403, 403, 403, 200, 200),
    ),
    "DELETE /api/v4/posts/{post_id}": (
        lambda _, w, v: ("DELETE", f"/posts/{v.write(w.private['id'], 'deleted soon')['id']}", None),
        (401, 403, 403, 403, 200, 200),
    ),
}


@pytest.fixture
def victim(world: World) -> Iterator[Rest]:
    """A user in the world's team and channels."""
    rest = new_user(world.member.url, "victim")
    owner = world.team_admin
    owner.post(f"/teams/{world.team['id']}/members", {"team_id": world.team["id"], "user_id": rest.id})
    for channel in (world.public, world.private):
        owner.post(f"/channels/{channel['id']}/members", {"user_id": rest.id})
    yield rest
    owner.call("DELETE", f"/teams/{world.team['id']}/members/{rest.id}")  # a team has room for 50
    rest.close()


def test_every_operation_that_ends_something_is_here() -> None:
    assert set(_ACTS) == set(operations.ENDING)


@pytest.mark.parametrize("name", _ACTS)
@pytest.mark.parametrize("role", ROLES)
def test_who_may(world: World, victim: Rest, name: str, role: str) -> None:
    act, expected = _ACTS[name]
    wanted = expected[ROLES.index(role)]
    if not wanted:
        return
    method, path, body = act(world.who(role), world, victim)
    response = world.who(role).call(method, path, body)
    assert response.status_code == wanted, response.text


@pytest.mark.parametrize("name", _ACTS)
def test_ids_that_are_none_and_bodies_that_are_none_are_refused(world: World, victim: Rest, name: str) -> None:
    act, _ = _ACTS[name]
    method, path, body = act(world.system_admin, world, victim)
    if victim.id in path:
        refused(world.system_admin.call(method, path.replace(victim.id, "x" * 27), body), 400)
        unknown = world.system_admin.call(method, path.replace(victim.id, "z" * 26), body)
        assert unknown.status_code in (400, 404)
    if body:
        wrong: list[object] = [
            [],
            {"roles": 3, "active": "no", "session_id": "x", "scheme_user": 1, "new_password": 5},
            "text",
        ]
        for bad in wrong:
            refused(world.system_admin.call(method, path, bad), 400)


def test_sessions_are_listed_without_their_tokens_and_end_one_by_one(ann: Rest) -> None:
    other = Rest(ann.url).log_in(ann.user["username"])
    found = other.get("/users/me/sessions")
    assert len(found) == 2
    assert {one["token"] for one in found} == {""}
    assert {one["user_id"] for one in found} == {ann.id}
    socket = Socket.open(other)
    mine = {one["id"] for one in found}
    for session_id in mine:
        if ann.call("POST", "/users/me/sessions/revoke", {"session_id": session_id}).status_code != 200:
            break
        if socket.closed is not None or other.call("GET", "/users/me").status_code == 401:
            break
    assert {ann.call("GET", "/users/me").status_code, other.call("GET", "/users/me").status_code} >= {401}
    assert not mine & {"", None}


def test_the_session_of_another_is_not_revoked_in_ones_own_name(ann: Rest, bob: Rest) -> None:
    theirs = bob.get("/users/me/sessions")[0]["id"]
    refused(ann.call("POST", "/users/me/sessions/revoke", {"session_id": theirs}), 400)
    assert bob.get("/users/me")["id"] == bob.id


def test_revoking_all_closes_every_socket_of_the_user(admin: Rest, ann: Rest, bob: Rest) -> None:
    sockets = [Socket.open(ann), Socket.open(Rest(ann.url).log_in(ann.user["username"]))]
    stays = Socket.open(bob)
    admin.post(f"/users/{ann.id}/sessions/revoke/all", {})
    assert [socket.expect_closed(2.0) for socket in sockets] == [Close.SESSION_ENDED] * 2
    refused(ann.call("GET", "/users/me"), 401)
    assert stays.closed is None
    stays.close()


def test_revoking_everybodys_sessions_leaves_nobody(own_node: Node) -> None:
    admin = Rest(own_node.url).log_in(own_node.admin_name)
    name = unique("ann")
    admin.post("/users", {"username": name, "email": f"{name}@example.com", "password": PASSWORD})
    ann = Rest(own_node.url).log_in(name)
    sockets = [Socket.open(admin), Socket.open(ann)]
    assert admin.call("POST", "/users/sessions/revoke/all", {}).status_code == 200
    assert [socket.expect_closed(2.0) for socket in sockets] == [Close.SESSION_ENDED] * 2
    for who in (admin, ann):
        refused(who.call("GET", "/users/me"), 401)
    admin.log_in(admin.user["username"])
    assert admin.get("/users/me")["id"] == admin.id


def test_a_deactivated_user_is_added_to_nothing(admin: Rest, ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel, other = new_channel(ann, team), new_team(ann)
    assert admin.call("PUT", f"/users/{bob.id}/active", {"active": False}).status_code == 200
    into_team = {"team_id": other["id"], "user_id": bob.id}
    deleted = "app.channel.add_member.deleted_user.app_error"
    refused(ann.call("POST", f"/channels/{channel['id']}/members", {"user_id": bob.id}), 403, deleted)
    refused(
        ann.call("POST", f"/teams/{other['id']}/members", into_team),
        403,
        "app.team.add_member.deleted_user.app_error",
    )
    assert ann.get(f"/channels/{channel['id']}/stats")["member_count"] == 1


def test_a_deactivated_user_is_out_and_may_come_back(admin: Rest, ann: Rest, bob: Rest) -> None:
    socket, watching = Socket.open(ann), Socket.open(bob)
    assert admin.call("PUT", f"/users/{ann.id}/active", {"active": False}).status_code == 200
    assert socket.expect_closed(2.0) == Close.SESSION_ENDED
    refused(ann.call("GET", "/users/me"), 401)
    refused(ann.call("POST", "/users/login", {"login_id": ann.user["username"], "password": PASSWORD}), 401)
    assert watching.expect("user_updated")["data"]["user"]["delete_at"] > 0
    watching.expect("user_activation_status_change")
    assert admin.call("PUT", f"/users/{ann.id}/active", {"active": True}).status_code == 200
    assert bob.get(f"/users/{ann.id}")["delete_at"] == 0
    watching.close()


def test_who_is_deactivated_is_added_to_nothing(admin: Rest, ann: Rest, bob: Rest) -> None:
    team, other = new_team(ann, bob), new_team(ann)
    channel = new_channel(ann, team)
    admin.call("PUT", f"/users/{bob.id}/active", {"active": False})
    refused(
        ann.call("POST", f"/channels/{channel['id']}/members", {"user_id": bob.id}),
        403,
        "app.channel.add_member.deleted_user.app_error",
    )
    for who in (ann, admin):
        refused(
            who.call("POST", f"/teams/{other['id']}/members", {"team_id": other["id"], "user_id": bob.id}),
            403,
            "app.team.add_member.deleted_user.app_error",
        )
    assert [one["user_id"] for one in ann.get(f"/channels/{channel['id']}/members")] == [ann.id]
    admin.call("PUT", f"/users/{bob.id}/active", {"active": True})
    ann.post(f"/channels/{channel['id']}/members", {"user_id": bob.id})
    ann.post(f"/teams/{other['id']}/members", {"team_id": other["id"], "user_id": bob.id})


def test_who_is_deactivated_is_not_counted(admin: Rest, ann: Rest, bob: Rest, node: Node) -> None:
    channel = new_channel(ann, new_team(ann, bob), bob)

    def counted() -> int:
        return int(ann.get(f"/channels/{channel['id']}/stats")["member_count"])

    assert counted() == 2
    for active in (False, True, False):
        admin.call("PUT", f"/users/{bob.id}/active", {"active": active})
        assert counted() == (2 if active else 1)
    node.sql("UPDATE users SET delete_at = 0 WHERE id = %s", bob.id)
    until(lambda: counted() == 2)


@pytest.mark.parametrize("chosen", ["", "dnd", "away"])
def test_who_is_deactivated_is_offline_at_once_whatever_they_chose(
    admin: Rest, ann: Rest, bob: Rest, chosen: str
) -> None:
    socket = Socket.open(bob)
    until(lambda: ann.get(f"/users/{bob.id}/status")["status"] == "online")
    if chosen:
        bob.call("PUT", "/users/me/status", {"user_id": bob.id, "status": chosen})
    admin.call("PUT", f"/users/{bob.id}/active", {"active": False})
    found = ann.get(f"/users/{bob.id}/status")
    assert (found["status"], found["manual"]) == ("offline", False)
    socket.expect("status_change", user_id=bob.id, status="offline")
    socket.expect_closed(2.0)
    admin.call("PUT", f"/users/{bob.id}/active", {"active": True})
    back = Socket.open(bob.log_in(bob.user["username"]))
    until(lambda: ann.get(f"/users/{bob.id}/status")["status"] == "online")
    back.close()


def test_a_role_that_is_given_counts_at_once_and_is_told(admin: Rest, ann: Rest) -> None:
    socket = Socket.open(ann)
    refused(ann.call("GET", "/config"), 403)
    admin.call("PUT", f"/users/{ann.id}/roles", {"roles": "system_user system_admin"})
    assert socket.expect("user_role_updated", user_id=ann.id)["data"]["roles"] == "system_user system_admin"
    assert ann.call("GET", "/config").status_code == 200
    admin.call("PUT", f"/users/{ann.id}/roles", {"roles": "system_user"})
    refused(ann.call("GET", "/config"), 403)
    for bad in ("", "team_admin", "nobody_knows"):
        refused(admin.call("PUT", f"/users/{ann.id}/roles", {"roles": bad}), 400)
    socket.close()


def test_who_is_removed_from_a_channel_hears_of_it_and_then_nothing_more(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob)
    hers, his = Socket.open(ann), Socket.open(bob)
    ann.call("DELETE", f"/channels/{channel['id']}/members/{bob.id}")
    ann.write(channel["id"], "without bob")
    assert his.expect("user_removed")["data"] == {"channel_id": channel["id"], "remover_id": ann.id}
    assert hers.expect("user_removed")["data"] == {"user_id": bob.id, "remover_id": ann.id}
    hers.expect_post("without bob")
    ann.post("/channels/direct", [ann.id, bob.id])
    his.expect("direct_added")
    assert "without bob" not in [post["message"] for post in his.posts()]
    assert "removed from the channel" in hers.posts()[0]["message"]
    refused(bob.call("POST", "/posts", {"channel_id": channel["id"], "message": "x"}), 403)
    refused(ann.call("DELETE", f"/channels/{channel['id']}/members/{bob.id}"), 404)
    hers.close()
    his.close()


def test_nobody_leaves_town_square_or_a_direct_channel(ann: Rest, bob: Rest) -> None:
    team = new_team(ann)
    town_square = ann.get(f"/teams/{team['id']}/channels/name/town-square")
    direct = ann.post("/channels/direct", [ann.id, bob.id])
    refused(ann.call("DELETE", f"/channels/{town_square['id']}/members/{ann.id}"), 400)
    refused(ann.call("DELETE", f"/channels/{direct['id']}/members/{ann.id}"), 400)


def test_who_leaves_a_team_leaves_its_channels(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob)
    hers, his = Socket.open(ann), Socket.open(bob)
    assert bob.call("DELETE", f"/teams/{team['id']}/members/{bob.id}").status_code == 200
    for socket in (hers, his):
        assert socket.expect("leave_team")["data"] == {"user_id": bob.id, "team_id": team["id"]}
    ann.write(channel["id"], "without bob")
    hers.expect_post("without bob")
    assert bob.get("/users/me/teams") == []
    refused(bob.call("GET", f"/channels/{channel['id']}"), 403)
    assert "without bob" not in [post["message"] for post in his.posts()]
    ann.post(f"/teams/{team['id']}/members", {"team_id": team["id"], "user_id": bob.id})
    assert [one["id"] for one in bob.get("/users/me/teams")] == [team["id"]]
    hers.close()
    his.close()


def test_roles_of_members_are_changed_and_told(ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob)
    socket = Socket.open(bob)
    path = f"/channels/{channel['id']}/members/{bob.id}"
    assert ann.call("PUT", f"{path}/roles", {"roles": "channel_user channel_admin"}).status_code == 200
    assert "channel_admin" in socket.expect("channel_member_updated")["data"]["channelMember"]
    assert ann.call("PUT", f"{path}/schemeRoles", {"scheme_user": True, "scheme_admin": False}).status_code == 200
    team_path = f"/teams/{team['id']}/members/{bob.id}"
    assert ann.call("PUT", f"{team_path}/roles", {"roles": "team_user team_admin"}).status_code == 200
    assert "team_admin" in socket.expect("memberrole_updated")["data"]["member"]
    assert bob.call(
        "PUT", f"/teams/{team['id']}/members/{ann.id}/schemeRoles", {"scheme_user": True, "scheme_admin": True}
    )
    for bad in ("system_admin", "nobody_knows"):
        refused(ann.call("PUT", f"{path}/roles", {"roles": bad}), 400)
        refused(ann.call("PUT", f"{team_path}/roles", {"roles": bad}), 400)
    socket.close()


def test_presence_is_read_and_chosen(ann: Rest, bob: Rest) -> None:
    assert bob.get(f"/users/{ann.id}/status")["status"] == "offline"
    chosen = ann.call("PUT", "/users/me/status", {"user_id": ann.id, "status": "dnd"}).json()
    assert (chosen["status"], chosen["manual"]) == ("dnd", True)
    found = bob.post("/users/status/ids", [ann.id, bob.id])
    assert {one["user_id"]: one["status"] for one in found} == {ann.id: "dnd", bob.id: "offline"}
    refused(ann.call("PUT", "/users/me/status", {"user_id": ann.id, "status": "asleep"}), 400)
    refused(ann.call("POST", "/users/status/ids", ["x"]), 400)


def test_the_figures_of_a_channel(ann: Rest, bob: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob), bob)
    found = ann.get(f"/channels/{channel['id']}/stats")
    assert found == {"channel_id": channel["id"], "member_count": 2, "guest_count": 0, "pinnedpost_count": 0}


def test_the_configuration_is_shown_without_its_secrets(admin: Rest, node: Node) -> None:
    found = admin.get("/config")
    for dotted in SECRET_KEYS:
        section, _, key = dotted.partition(".")
        assert found[section][key] in ("", [], MASK), dotted
    assert found["TeamSettings"]["EnableOpenServer"] is True
    assert set(found) == set(Config.__struct_encode_fields__)


def test_every_key_that_sounds_secret_is_marked() -> None:
    words = ("secret", "password", "salt", "token", "privatekey", "datasource")
    keys = {
        f"{section.encode_name}.{one.encode_name}"
        for section in msgspec.structs.fields(Config)
        for one in msgspec.structs.fields(section.type)
    }
    sound = {key for key in keys if any(word in key.partition(".")[2].lower() for word in words)}
    assert sound - {"ClusterSettings.SecretFile"} == SECRET_KEYS


def test_someone_who_was_removed_is_gone_from_the_list(ann: Rest, bob: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob), bob)
    ann.call("DELETE", f"/channels/{channel['id']}/members/{bob.id}")
    until(lambda: [one["user_id"] for one in ann.get(f"/channels/{channel['id']}/members")] == [ann.id])


def test_a_session_is_revoked_by_its_token_as_clients_log_out(ann: Rest) -> None:
    other = Rest(ann.url).log_in(ann.user["username"])
    assert ann.post("/users/me/sessions/revoke", {"session_id": other.token}) == {"status": "OK"}
    refused(other.call("GET", "/users/me"), 401)
    assert ann.get("/users/me")["id"] == ann.id
    assert ann.post(f"/users/{ann.id}/sessions/revoke", {"session_id": ann.token}) == {"status": "OK"}
    refused(ann.call("GET", "/users/me"), 401)


def test_the_token_of_another_revokes_nothing(admin: Rest, ann: Rest, bob: Rest) -> None:
    refused(ann.call("POST", "/users/me/sessions/revoke", {"session_id": bob.token}), 400)
    refused(ann.call("POST", f"/users/{bob.id}/sessions/revoke", {"session_id": bob.token}), 403)
    refused(admin.call("POST", f"/users/{ann.id}/sessions/revoke", {"session_id": bob.token}), 400)
    assert bob.get("/users/me")["id"] == bob.id
    for nothing in ("", "x", "a" * 26, "a" * 10_000, bob.token.upper()):
        refused(ann.call("POST", "/users/me/sessions/revoke", {"session_id": nothing}), 400)
    admin.post(f"/users/{bob.id}/sessions/revoke", {"session_id": bob.token})
    refused(bob.call("GET", "/users/me"), 401)


def test_the_hash_that_the_database_holds_is_no_token(ann: Rest, node: Node) -> None:
    [(stored,)] = node.sql("SELECT token_hash FROM sessions WHERE user_id = %s", ann.id)
    refused(ann.call("POST", "/users/me/sessions/revoke", {"session_id": stored}), 400)
