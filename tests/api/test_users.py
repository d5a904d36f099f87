"""Accounts: sign-up, reading users, what others see of them, typing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from db.model.ids import is_id, new_id
from tests.api.conftest import Add, Configure
from tests.api.expect import is_time_ms, refused
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, sign_up
from tests.rig.rest import PASSWORD, Rest, unique
from tests.rig.socket import Socket

pytestmark = drivers("all")

# What everybody sees of a user, with its type.
PUBLIC = {
    "id": str,
    "create_at": int,
    "update_at": int,
    "delete_at": int,
    "username": str,
    "auth_data": str,
    "auth_service": str,
    "email": str,
    "nickname": str,
    "first_name": str,
    "last_name": str,
    "position": str,
    "roles": str,
    "props": dict,
    "locale": str,
    "timezone": dict,
    "disable_welcome_email": bool,
}
# What only they (and administrators) see besides.
OWN = {"email_verified": bool, "notify_props": dict, "last_password_update": int}


def _new(**fields: Any) -> dict[str, Any]:
    name = unique("user")
    return {"username": name, "email": f"{name}@example.com", "password": PASSWORD, **fields}


def _sign_up(node: Node, *, query: str = "", **fields: Any) -> requests.Response:
    return requests.post(f"{node.url}/api/v4/users{query}", json=_new(**fields), timeout=30)


def _types(user: dict[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in user.items()}


# Sign-up


def test_sign_up_gives_the_whole_user(node: Node) -> None:
    response = _sign_up(node, nickname="nick", first_name="First", last_name="Last", position="Dean")
    assert response.status_code == 201
    user = response.json()
    assert _types(user) == {**PUBLIC, **OWN}
    assert is_id(user["id"])
    assert is_time_ms(user["create_at"])
    assert user["create_at"] == user["update_at"] == user["last_password_update"]
    assert (user["delete_at"], user["auth_data"], user["auth_service"]) == (0, "", "")
    assert (user["nickname"], user["first_name"], user["last_name"], user["position"]) == (
        "nick",
        "First",
        "Last",
        "Dean",
    )
    assert user["email_verified"] is False


def test_a_new_user_is_an_ordinary_one(node: Node) -> None:
    assert _sign_up(node, roles="system_admin system_user").json()["roles"] == "system_user"


def test_the_first_user_became_the_administrator(world: World) -> None:
    assert set(world.system_admin.get("/users/me")["roles"].split()) == {"system_admin", "system_user"}


@pytest.mark.parametrize(
    "field",
    ["id", "create_at", "update_at", "delete_at", "email_verified", "failed_attempts", "last_password_update", "roles"],
)
def test_what_a_user_may_not_choose_is_ignored(node: Node, field: str) -> None:
    chosen: dict[str, Any] = {"id": "a" * 26, "roles": "system_admin", "email_verified": True}
    user = _sign_up(node, **{field: chosen.get(field, 5)}).json()
    assert user.get(field) != chosen.get(field, 5)


def test_name_and_address_are_kept_in_lower_case(node: Node) -> None:
    name = unique("user")
    user = _sign_up(node, username=f" {name.upper()} ", email=f" {name.upper()}@EXAMPLE.com ").json()
    assert (user["username"], user["email"]) == (name, f"{name}@example.com")


def test_defaults_are_mattermosts(node: Node) -> None:
    user = _sign_up(node).json()
    assert user["locale"] == "en"
    assert user["props"] == {}
    assert user["timezone"] == {"automaticTimezone": "", "manualTimezone": "", "useAutomaticTimezone": "true"}
    assert user["notify_props"]["email"] == "true"
    assert user["notify_props"]["desktop"] == "mention"
    assert user["notify_props"]["channel"] == "true"
    assert {type(value) for value in user["notify_props"].values()} == {str}


def test_settings_that_are_given_are_kept(node: Node) -> None:
    given: dict[str, Any] = {
        "locale": "de",
        "props": {"theme": "dark"},
        "notify_props": {"email": "false"},
        "timezone": {"manualTimezone": "Europe/Berlin"},
    }
    user = _sign_up(node, **given).json()
    assert {name: user[name] for name in given} == given


def test_sign_up_makes_the_preference_that_the_web_client_counts_on(node: Node) -> None:
    user = sign_up(node.url)
    rows = node.sql("SELECT category, name, value FROM preferences WHERE user_id = %s", user["id"])
    assert rows == [("tutorial_step", user["id"], "0")]


def test_sign_up_is_told_to_everybody(node: Node, ann: Rest) -> None:
    socket = Socket.open(ann)
    user = sign_up(node.url)
    socket.expect("new_user", user_id=user["id"])
    socket.close()


def test_sign_up_logs_nobody_in(node: Node) -> None:
    response = _sign_up(node)
    assert "Token" not in response.headers
    assert "Set-Cookie" not in response.headers


GOOD_NAMES = ["abc", "a.b-c_d", "a" * 64, "user123", "a.."]
BAD_NAMES = [
    "", "ab", "a" * 65, "1abc", ".abc", "-abc", "_abc", "a b c", "a@b.c", "äbc", "abc/", "all", "channel", "here",
    "system", "matterbot", "a\nbc", "\u200babc",
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_good_name_is_taken(node: Node, name: str) -> None:
    wanted = name if len(name) == 64 else unique(name)
    if len(name) == 64:
        node.sql("DELETE FROM users WHERE username = %s", name)
    assert _sign_up(node, username=wanted).json()["username"] == wanted


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused(node: Node, name: str) -> None:
    refused(_sign_up(node, username=name), 400, "model.user.is_valid.username.app_error")


BAD_ADDRESSES = [
    "", "ann", "ann@", "@example.com", "ann@example.com, bob@example.com", "ann bob@example.com", "a@b@c",
    "ann@-example.com", "ann@example.com\r\nBcc: bob@example.com", "ann@exämple.com", "a" * 120 + "@example.com",
    "Ann <ann@example.com>",
]  # fmt: skip


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_a_bad_address_is_refused(node: Node, address: str) -> None:
    refused(_sign_up(node, email=address), 400, "model.user.is_valid.email.app_error")


@pytest.mark.parametrize("address", ["{}@localhost", "{}+tag@example.co.uk", "o'{}@example.com"])
def test_a_good_address_is_taken(node: Node, address: str) -> None:
    wanted = address.format(unique("a"))
    assert _sign_up(node, email=wanted).json()["email"] == wanted


@pytest.mark.parametrize("password", ["", "short77"])
def test_a_password_that_is_too_short_is_refused(node: Node, password: str) -> None:
    error = refused(_sign_up(node, password=password), 400, "model.user.is_valid.pwd_min_length.app_error")
    assert "at least 8 characters" in error["message"]


@pytest.mark.parametrize("password", ["a" * 73, "ä" * 37])
def test_a_password_that_is_too_long_is_refused(node: Node, password: str) -> None:
    error = refused(_sign_up(node, password=password), 400, "model.user.is_valid.pwd_max_length.app_error")
    assert "at most 72" in error["message"]


@pytest.mark.parametrize("what", ["username", "email", "name of the address"])
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_ones_own_name_is_no_password(node: Node, what: str, change: Any) -> None:
    name, address = unique("user"), unique("address")
    password = {"username": name, "email": f"{address}@example.com", "name of the address": address}[what]
    response = _sign_up(node, username=name, email=f"{address}@example.com", password=change(password))
    refused(response, 400, "model.user.is_valid.pwd_own_name.app_error")


@pytest.mark.parametrize("password", ["12345678", "ä" * 8, "a" * 72, "        ", "\U0001f600" * 8])
def test_a_password_of_a_good_length_logs_in(node: Node, password: str) -> None:
    user = _sign_up(node, password=password).json()
    Rest(node.url).log_in(user["username"], password).close()


LIMITS = {"nickname": 64, "first_name": 64, "last_name": 64, "position": 128}


@pytest.mark.parametrize("field", LIMITS)
def test_a_text_may_be_as_long_as_its_limit_in_characters(node: Node, field: str) -> None:
    text = "\U0001f600" * LIMITS[field]
    assert _sign_up(node, **{field: text}).json()[field] == text
    refused(_sign_up(node, **{field: text + "a"}), 400, f"model.user.is_valid.{field}.app_error")


@pytest.mark.parametrize("locale", ["e", "english", "EN", "en_US", "en-us", "../x"])
def test_a_bad_locale_is_refused(node: Node, locale: str) -> None:
    refused(_sign_up(node, locale=locale), 400, "model.user.is_valid.locale.app_error")


@pytest.mark.parametrize("field", ["props", "notify_props", "timezone"])
def test_settings_that_are_too_large_are_refused(node: Node, field: str) -> None:
    settings: dict[str, Any] = {field: {"key": "a" * 8000}}
    refused(_sign_up(node, **settings), 400, "model.user.is_valid.props.app_error")


@pytest.mark.parametrize("change", [str, str.upper])
def test_a_name_is_given_once(node: Node, change: Any) -> None:
    taken = sign_up(node.url)["username"]
    refused(_sign_up(node, username=change(taken)), 400, "app.user.save.username_exists.app_error")


@pytest.mark.parametrize("change", [str, str.upper])
def test_an_address_is_given_once(node: Node, change: Any) -> None:
    taken = sign_up(node.url)["email"]
    refused(_sign_up(node, email=change(taken)), 400, "app.user.save.email_exists.app_error")


def test_of_many_sign_ups_at_once_with_one_name_one_succeeds(node: Node) -> None:
    name = unique("user")
    together = threading.Barrier(8)

    def sign_up_at_once(_: int) -> requests.Response:
        together.wait()
        return _sign_up(node, username=name)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(sign_up_at_once, range(8)))
    assert sorted(response.status_code for response in answers) == [201] + [400] * 7
    assert node.sql("SELECT count(*) FROM users WHERE username = %s", name) == [(1,)]


def test_a_sign_up_token_is_refused_for_there_are_none(node: Node) -> None:
    refused(_sign_up(node, query="?t=token"), 400, "api.user.create_user.signup_link_invalid.app_error")


def test_an_invitation_leads_into_the_team(node: Node, ann: Rest) -> None:
    team = new_team(ann)
    response = _sign_up(node, query=f"?iid={team['invite_id']}")
    assert response.status_code == 201
    rest = Rest(node.url).log_in(response.json()["username"])
    assert [one["id"] for one in rest.get("/users/me/teams")] == [team["id"]]
    rest.close()


def test_an_unknown_invitation_is_refused_and_makes_no_user(node: Node) -> None:
    name = unique("user")
    response = _sign_up(node, query=f"?iid={new_id()}", username=name)
    refused(response, 404, "app.team.get_by_invite_id.finding.app_error")
    assert node.sql("SELECT count(*) FROM users WHERE username = %s", name) == [(0,)]


# Who may sign up


def test_a_closed_server_takes_its_first_user_only(own_node: Node) -> None:
    refused(_sign_up(own_node), 403, "api.user.create_user.no_open_server")


def test_a_closed_server_takes_whom_its_administrator_adds(own_admin: Rest) -> None:
    assert own_admin.call("POST", "/users", _new()).status_code == 201


def test_a_closed_server_takes_nobody_whom_a_user_adds(add: Add) -> None:
    refused(add().call("POST", "/users", _new()), 403, "api.user.create_user.no_open_server")


def test_a_closed_server_takes_the_invited(own_node: Node, own_admin: Rest) -> None:
    team = new_team(own_admin)
    assert _sign_up(own_node, query=f"?iid={team['invite_id']}").status_code == 201


@pytest.mark.parametrize(
    ("section", "key", "error_id"),
    [
        ("TeamSettings", "EnableUserCreation", "api.user.create_user.disabled.app_error"),
        ("EmailSettings", "EnableSignUpWithEmail", "api.user.create_user.signup_email_disabled.app_error"),
    ],
)
def test_sign_up_can_be_switched_off(
    own_node: Node, own_admin: Rest, configure: Configure, section: str, key: str, error_id: str
) -> None:
    team = new_team(own_admin)
    configure({section: {key: False}})
    refused(_sign_up(own_node, query=f"?iid={team['invite_id']}"), 501, error_id)


def test_addresses_of_other_domains_are_refused(own_admin: Rest, configure: Configure) -> None:
    configure({"TeamSettings": {"RestrictCreationToDomains": "example.com, @example.org"}})
    for domain in ("example.net", "notexample.com", "example.com.evil.org"):
        body = _new(email=f"{unique('a')}@{domain}")
        refused(own_admin.call("POST", "/users", body), 400, "api.user.create_user.accepted_domain.app_error")
    assert own_admin.post("/users", _new(email=f"{unique('a')}@example.org"))


@pytest.mark.parametrize(
    ("password", "error_id"),
    [
        ("passw0rd!", "pwd_uppercase"),
        ("PASSW0RD!", "pwd_lowercase"),
        ("Password!", "pwd_number"),
        ("Passw0rdd", "pwd_symbol"),
        ("password", "pwd_uppercase_number_symbol"),
        ("ÄÖÜ٣٤٥", "pwd_lowercase_uppercase_number_symbol"),
        ("Pa0!", "pwd_min_length"),
    ],
)
def test_a_password_that_breaks_rules_is_refused_with_all_of_them(
    own_admin: Rest, configure: Configure, password: str, error_id: str
) -> None:
    rules = {"MinimumLength": 5, "Lowercase": True, "Uppercase": True, "Number": True, "Symbol": True}
    configure({"PasswordSettings": rules})
    response = own_admin.call("POST", "/users", _new(password=password))
    message = refused(response, 400, f"model.user.is_valid.{error_id}.app_error")["message"]
    assert "at least 5 characters" in message
    for rule in ("lowercase", "uppercase", "number", "symbol"):
        assert (f"one {rule}" in message) == (rule in error_id)
    assert own_admin.post("/users", _new(password="Pa0 x"))
    shown = own_admin.get("/config/client?format=old")
    assert {name: shown[f"Password{name}"] for name in ("MinimumLength", "RequireSymbol", "RequireLowercase")} == {
        "MinimumLength": "5",
        "RequireSymbol": "true",
        "RequireLowercase": "true",
    }


def test_what_is_private_is_seen_by_oneself_and_by_administrators_only(
    own_admin: Rest, add: Add, configure: Configure
) -> None:
    configure({"PrivacySettings": {"ShowEmailAddress": False, "ShowFullName": False}})
    hidden, other = add(first_name="First", last_name="Last", nickname="nick"), add()
    path = f"/users/{hidden.id}"
    fields = ("email", "first_name", "last_name", "nickname")
    everything = (hidden.user["email"], "First", "Last", "nick")
    assert tuple(hidden.get(path)[name] for name in fields) == everything
    assert tuple(own_admin.get(path)[name] for name in fields) == everything
    assert tuple(other.get(path)[name] for name in fields) == ("", "", "", "nick")
    by_name = other.get(f"/users/username/{hidden.user['username']}")
    assert [by_name] == other.post("/users/ids", [hidden.id]) == [other.get(path)]


def test_what_becomes_private_changes_the_etag(own_admin: Rest, add: Add, configure: Configure) -> None:
    path = f"/users/{own_admin.id}"
    other = add()
    before = other.call("GET", path).headers["ETag"]
    configure({"PrivacySettings": {"ShowFullName": False}})
    assert other.call("GET", path, headers={"If-None-Match": before}).status_code == 200


# Reading users


def test_one_sees_all_of_oneself(world: World) -> None:
    mine = world.member.get("/users/me")
    assert _types(mine) == {**PUBLIC, **OWN}
    assert mine == world.member.get(f"/users/{world.member.id}")


def test_others_see_no_settings(world: World) -> None:
    seen = world.stranger.get(f"/users/{world.member.id}")
    assert _types(seen) == PUBLIC
    assert seen == {name: value for name, value in world.member.get("/users/me").items() if name in PUBLIC}


def test_administrators_see_all(world: World) -> None:
    assert world.system_admin.get(f"/users/{world.member.id}") == world.member.get("/users/me")


def test_nobody_sees_a_password(world: World) -> None:
    for who in (world.member, world.stranger, world.system_admin):
        assert "argon2" not in who.call("GET", f"/users/{world.member.id}").text
        assert "password" not in who.get(f"/users/{world.member.id}")


def test_failed_logins_are_seen_by_the_user_only(node: Node, ann: Rest, bob: Rest) -> None:
    body = {"login_id": ann.user["username"], "password": "wrong"}
    requests.post(f"{node.url}/api/v4/users/login", json=body, timeout=10)
    assert ann.get("/users/me")["failed_attempts"] == 1
    assert "failed_attempts" not in bob.get(f"/users/{ann.id}")


def test_an_unknown_user_is_404(world: World) -> None:
    missing = "app.user.missing_account.const"
    refused(world.member.call("GET", f"/users/{new_id()}"), 404, missing)
    refused(world.member.call("GET", "/users/username/no-such-user"), 404, missing)


@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_a_user_by_name(world: World, change: Any) -> None:
    seen = world.stranger.get(f"/users/username/{change(world.member.user['username'])}")
    assert seen == world.stranger.get(f"/users/{world.member.id}")


def test_oneself_by_name_is_seen_whole(world: World) -> None:
    assert world.member.get(f"/users/username/{world.member.user['username']}") == world.member.get("/users/me")


def test_me_is_no_name(world: World) -> None:
    refused(world.member.call("GET", "/users/username/me"), 404)


def test_a_deactivated_user_is_still_seen(node: Node, world: World) -> None:
    user = sign_up(node.url)
    node.sql("UPDATE users SET delete_at = 1700000000000 WHERE id = %s", user["id"])
    assert world.member.get(f"/users/{user['id']}")["delete_at"] == 1_700_000_000_000


def test_users_by_id_as_each_may_be_seen(world: World) -> None:
    found = world.member.post("/users/ids", [world.member.id, world.teammate.id])
    assert {user["id"]: user for user in found} == {
        world.member.id: world.member.get("/users/me"),
        world.teammate.id: world.member.get(f"/users/{world.teammate.id}"),
    }


def test_users_by_id_come_once_and_without_the_unknown(world: World) -> None:
    found = world.member.post("/users/ids", [world.member.id, new_id(), world.member.id])
    assert [user["id"] for user in found] == [world.member.id]


def test_ids_that_are_none_are_as_unknown(world: World) -> None:
    assert world.member.post("/users/ids", ["not an id", ""]) == []


def test_no_ids_are_refused(world: World) -> None:
    refused(world.member.call("POST", "/users/ids", []), 400, "body")


def test_a_thousand_ids_may_be_asked_for_at_once(world: World) -> None:
    ids = [new_id() for _ in range(1000)]
    assert world.member.post("/users/ids", ids) == []
    refused(world.member.call("POST", "/users/ids", [*ids, new_id()]), 400, "body")


def test_users_by_id_that_changed_since(world: World) -> None:
    changed_at = world.member.get("/users/me")["update_at"]
    path = "/users/ids?since="
    assert len(world.stranger.post(f"{path}{changed_at - 1}", [world.member.id])) == 1
    assert world.stranger.post(f"{path}{changed_at}", [world.member.id]) == []


# Typing


def test_typing_is_told_to_the_others_of_the_channel(ann: Rest, bob: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob), bob)
    root = ann.write(channel["id"], "root")
    anns, bobs = Socket.open(ann), Socket.open(bob)
    body = {"channel_id": channel["id"], "parent_id": root["id"]}
    assert ann.post("/users/me/typing", body) == {"status": "OK"}
    event = bobs.expect("typing")
    assert event["data"] == {"user_id": ann.id, "parent_id": root["id"]}
    assert event["broadcast"]["channel_id"] == channel["id"]
    ann.write(channel["id"], "done")
    anns.expect_post("done")
    assert not anns.named("typing")
    anns.close()
    bobs.close()


def test_typing_needs_no_parent(world: World) -> None:
    body = {"channel_id": world.private["id"]}
    assert world.member.post(f"/users/{world.member.id}/typing", body) == {"status": "OK"}


@pytest.mark.parametrize("body", [{}, {"channel_id": ""}, {"channel_id": "x"}, {"parent_id": "a" * 26}])
def test_typing_needs_a_channel(world: World, body: dict[str, str]) -> None:
    refused(world.member.call("POST", "/users/me/typing", body), 400, "body")


@pytest.mark.parametrize("parent_id", ["x", "a" * 27, "a" * 200_000])
def test_typing_sends_no_parent_that_is_no_id(world: World, parent_id: str) -> None:
    body = {"channel_id": world.private["id"], "parent_id": parent_id}
    refused(world.member.call("POST", "/users/me/typing", body), 400, "body")


def test_nobody_types_for_another(world: World) -> None:
    body = {"channel_id": world.private["id"]}
    refused(world.member.call("POST", f"/users/{world.team_admin.id}/typing", body), 403, "permissions")


def test_an_administrator_may_type_for_another(ann: Rest, bob: Rest, admin: Rest) -> None:
    channel = new_channel(ann, new_team(ann, bob), bob)
    socket = Socket.open(bob)
    assert admin.post(f"/users/{ann.id}/typing", {"channel_id": channel["id"]}) == {"status": "OK"}
    assert socket.expect("typing")["data"]["user_id"] == ann.id
    socket.close()


@pytest.mark.parametrize("role", ["stranger", "teammate"])
def test_nobody_types_in_a_channel_of_others(world: World, role: str) -> None:
    for channel in (world.private, world.public):
        response = world.who(role).call("POST", "/users/me/typing", {"channel_id": channel["id"]})
        refused(response, 403, "permissions")


def test_typing_can_be_switched_off(add: Add, configure: Configure) -> None:
    configure({"ServiceSettings": {"EnableUserTypingMessages": False}})
    ann, bob = add(), add()
    channel = new_channel(ann, new_team(ann, bob), bob)
    socket = Socket.open(bob)
    assert ann.post("/users/me/typing", {"channel_id": channel["id"]}) == {"status": "OK"}
    ann.write(channel["id"], "done")
    socket.expect_post("done")
    assert not socket.named("typing")
    socket.close()


def test_accounts_are_counted_without_deactivated_ones(node: Node, ann: Rest, admin: Rest) -> None:
    before = ann.get("/users/stats")["total_users_count"]
    user = sign_up(node.url)
    assert ann.get("/users/stats") == {"total_users_count": before + 1}
    assert admin.call("PUT", f"/users/{user['id']}/active", {"active": False}).ok
    assert ann.get("/users/stats") == {"total_users_count": before}
