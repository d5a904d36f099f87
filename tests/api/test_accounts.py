"""What people change of their accounts: profile, settings, address, password, device; and how accounts end."""

from typing import Any

import pytest
import requests

from tests.api.conftest import Add, Configure
from tests.api.expect import refused
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.people import new_user
from tests.rig.rest import PASSWORD, Rest, unique
from tests.rig.socket import Socket

pytestmark = drivers("postgres", "mysql")
NEW = "An0ther-one!"


def _patch(who: Rest, user_id: str, **fields: Any) -> requests.Response:
    return who.call("PUT", f"/users/{user_id}/patch", fields)


def _put(who: Rest, user_id: str, **fields: Any) -> requests.Response:
    return who.call("PUT", f"/users/{user_id}", fields)


# Profiles


def test_what_is_given_is_changed_and_everybody_hears_of_it(ann: Rest, bob: Rest) -> None:
    sockets = [Socket.open(one) for one in (ann, bob)]
    given: dict[str, Any] = {
        "nickname": "nick",
        "first_name": "First",
        "last_name": "Last",
        "position": "Dean",
        "locale": "de",
        "timezone": {"useAutomaticTimezone": "false", "manualTimezone": "Europe/Berlin"},
        "notify_props": {**ann.user["notify_props"], "desktop": "all"},
        "props": {"theme": "dark"},
    }
    changed = _patch(ann, "me", **given).json()
    assert {name: changed[name] for name in given} == given
    assert changed["update_at"] > ann.user["update_at"]
    assert {**changed, **{name: ann.user[name] for name in (*given, "update_at")}} == ann.user
    assert ann.get("/users/me") == changed
    own = sockets[0].expect("user_updated")["data"]["user"]
    others = sockets[1].expect("user_updated")["data"]["user"]
    assert own == changed
    assert others == bob.get(f"/users/{ann.id}")
    assert "notify_props" not in others
    for socket in sockets:
        socket.close()


def test_what_changes_nothing_writes_nothing(node: Node, ann: Rest) -> None:
    zone = {"manualTimezone": "Asia/Tokyo", "automaticTimezone": "", "useAutomaticTimezone": "false"}
    first = _patch(ann, "me", timezone=zone).json()
    rows = node.sql("SELECT count(*) FROM audits WHERE user_id = %s", ann.id)
    for _ in range(3):
        assert _patch(ann, "me", timezone=dict(reversed(zone.items()))).json() == first
    assert _patch(ann, "me").json() == first
    assert node.sql("SELECT count(*) FROM audits WHERE user_id = %s", ann.id) == rows
    assert node.sql("SELECT update_at FROM users WHERE id = %s", ann.id) == [(first["update_at"],)]


def test_a_whole_profile_is_replaced_and_settings_stay_unless_given(ann: Rest) -> None:
    _patch(ann, "me", nickname="nick", position="Dean", props={"theme": "dark"})
    user = ann.get("/users/me")
    whole = {name: user[name] for name in ("id", "username", "email", "position")}
    changed = _put(ann, ann.id, **whole).json()
    assert (changed["nickname"], changed["position"], changed["props"]) == ("", "Dean", {"theme": "dark"})
    sent = {**changed, "nickname": "again", "roles": "system_admin", "delete_at": 5, "password": ""}
    changed = _put(ann, "me", **sent).json()
    assert (changed["nickname"], changed["roles"], changed["delete_at"]) == ("again", "system_user", 0)
    refused(_put(ann, ann.id, **{**whole, "id": "x" * 26}), 400, "body")
    refused(_put(ann, ann.id, id=ann.id), 400, "model.user.is_valid.username.app_error")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "1x"),
        ("username", "all"),
        ("email", "nobody"),
        ("nickname", "x" * 65),
        ("first_name", "x" * 65),
        ("last_name", "x" * 65),
        ("position", "x" * 129),
        ("locale", "english"),
    ],
)
def test_what_nobody_may_say_of_themselves_is_refused(ann: Rest, field: str, value: str) -> None:
    refused(_patch(ann, "me", **{field: value, "password": PASSWORD}), 400, f"model.user.is_valid.{field}.app_error")
    assert ann.get("/users/me") == ann.user


@pytest.mark.parametrize("field", ["props", "notify_props", "timezone"])
def test_settings_that_are_too_large_are_refused(ann: Rest, field: str) -> None:
    refused(_patch(ann, "me", **{field: {"key": "a" * 8000}}), 400, "model.user.is_valid.props.app_error")


def test_another_name_is_that_of_mentions_and_of_the_picture(ann: Rest, bob: Rest) -> None:
    old, new = ann.user["username"], unique("zoe")
    settings = {**ann.user["notify_props"], "mention_keys": f"{old},@{old},lunch,{old}x"}
    before = ann.call("GET", f"/users/{ann.id}/image").headers["ETag"]
    _patch(ann, "me", notify_props=settings)
    changed = _patch(ann, "me", username=f" {new.upper()} ").json()
    assert changed["username"] == new
    assert changed["notify_props"]["mention_keys"] == f"lunch,{old}x"
    assert changed["last_picture_update"] < 0
    assert ann.call("GET", f"/users/{ann.id}/image").headers["ETag"] != before
    refused(bob.call("GET", f"/users/username/{old}"), 404)
    assert bob.get(f"/users/username/{new}")["id"] == ann.id
    refused(_patch(bob, "me", username=new.upper()), 400, "app.user.save.username_exists.app_error")


def test_an_address_changes_with_the_password_only(node: Node, ann: Rest, bob: Rest) -> None:
    address = f"{unique('new')}@example.com"
    refused(_patch(ann, "me", email=address), 400, "body")
    refused(_patch(ann, "me", email=address, password="wrong"), 401, "api.user.check_user_password.invalid.app_error")
    assert ann.get("/users/me")["failed_attempts"] == 1
    refused(_patch(ann, "me", email=bob.user["email"], password=PASSWORD), 400, "app.user.save.email_exists.app_error")
    node.sql("UPDATE users SET email_verified = TRUE WHERE id = %s", ann.id)
    changed = _patch(ann, "me", email=address.upper(), password=PASSWORD).json()
    assert (changed["email"], changed["email_verified"], "failed_attempts" in changed) == (address, False, False)
    assert _put(ann, "me", **{**changed, "nickname": "n", "password": ""}).json()["nickname"] == "n"
    Rest(ann.url).log_in(address).close()


def test_an_address_of_another_domain_is_refused(own_admin: Rest, add: Add, configure: Configure) -> None:
    user = add()
    configure({"TeamSettings": {"RestrictCreationToDomains": "example.org"}})
    response = _patch(user, "me", email=f"{unique('a')}@example.net", password=PASSWORD)
    refused(response, 400, "api.user.update_user.accepted_domain.app_error")
    assert _patch(user, "me", nickname="still here").status_code == 200


def test_administrators_change_others_and_nobody_else_does(ann: Rest, bob: Rest, admin: Rest) -> None:
    refused(_patch(bob, ann.id, nickname="mine"), 403, "permissions")
    address = f"{unique('new')}@example.com"
    assert _patch(admin, ann.id, nickname="theirs", email=address).json()["email"] == address
    assert ann.get("/users/me")["nickname"] == "theirs"
    refused(_patch(admin, "z" * 26, nickname="x"), 404, "app.user.missing_account.const")


# Passwords


def _password(who: Rest, user_id: str, new: str, **more: str) -> requests.Response:
    return who.call("PUT", f"/users/{user_id}/password", {"new_password": new, **more})


def test_another_password_ends_all_other_sessions(node: Node, ann: Rest) -> None:
    other = Rest(node.url).log_in(ann.user["username"])
    own_socket, other_socket = Socket.open(ann), Socket.open(other)
    wrong = "api.user.update_password.incorrect.app_error"
    refused(_password(ann, "me", NEW), 400, "body")
    refused(_password(ann, "me", NEW, current_password="wrong"), 400, wrong)
    short = "model.user.is_valid.pwd_min_length.app_error"
    refused(_password(ann, "me", "short", current_password=PASSWORD), 400, short)
    assert other.get("/users/me")["id"] == ann.id
    assert _password(ann, "me", NEW, current_password=PASSWORD).status_code == 200
    refused(other.call("GET", "/users/me"), 401)
    assert other_socket.expect_closed() == 4001
    user = ann.get("/users/me")
    assert user["last_password_update"] > ann.user["last_password_update"]
    assert own_socket.expect("user_updated")["data"]["user"] == user
    own_socket.close()
    refused(
        requests.post(
            f"{node.url}/api/v4/users/login",
            json={"login_id": ann.user["username"], "password": PASSWORD},
            timeout=10,
        ),
        401,
    )
    Rest(node.url).log_in(ann.user["username"], NEW).close()


def test_who_has_a_session_cannot_guess_the_password(own_node: Node, add: Add, configure: Configure) -> None:
    configure({"ServiceSettings": {"MaximumLoginAttempts": 3}})
    user = add()
    answers = [_password(user, "me", NEW, current_password=f"wrong{number}").status_code for number in range(4)]
    assert answers == [400, 400, 400, 429]
    rows = own_node.sql("SELECT result FROM audits WHERE user_id = %s AND action = 'confirmPassword'", user.id)
    del rows  # written every 2 s: test_audits.py waits for such rows
    refused(_password(user, "me", NEW, current_password=PASSWORD), 429)


def test_administrators_give_others_a_password(node: Node, ann: Rest, bob: Rest, admin: Rest) -> None:
    refused(_password(bob, ann.id, NEW), 403, "permissions")
    for _ in range(3):
        body = {"login_id": ann.user["username"], "password": "wrong"}
        requests.post(f"{node.url}/api/v4/users/login", json=body, timeout=10)
    assert _password(admin, ann.id, NEW).status_code == 200
    refused(ann.call("GET", "/users/me"), 401)
    again = Rest(node.url).log_in(ann.user["username"], NEW)
    assert "failed_attempts" not in again.user
    again.close()


# Devices


def test_a_phone_has_one_session_of_a_user(node: Node, ann: Rest) -> None:
    other = Rest(node.url).log_in(ann.user["username"])
    device = f"android:{unique('x')}"
    for who in (other, ann):
        assert who.call("PUT", "/users/sessions/device", {"device_id": device}).status_code == 200
    refused(other.call("GET", "/users/me"), 401)
    assert [one["device_id"] for one in ann.get("/users/me/sessions")] == [device]
    for bad in ("", "x" * 513):
        refused(ann.call("PUT", "/users/sessions/device", {"device_id": bad}), 400, "body")


# Ends


def test_who_is_deleted_is_deactivated(node: Node, ann: Rest, admin: Rest) -> None:
    refused(ann.call("DELETE", "/users/me"), 401, "api.user.update_active.not_enable.app_error")
    refused(admin.call("DELETE", f"/users/{ann.id}?permanent=true"), 401, "api.user.delete_user.not_enabled.app_error")
    refused(ann.call("DELETE", f"/users/{admin.id}"), 403, "permissions")
    socket = Socket.open(ann)
    assert admin.call("DELETE", f"/users/{ann.id}").status_code == 200
    assert socket.expect_closed() == 4001
    assert admin.get(f"/users/{ann.id}")["delete_at"] > 0
    refused(ann.call("GET", "/users/me"), 401)


def test_one_may_leave_where_that_is_allowed(add: Add, configure: Configure, own_admin: Rest) -> None:
    user = add()
    configure({"TeamSettings": {"EnableUserDeactivation": True}})
    assert user.call("DELETE", "/users/me").status_code == 200
    assert own_admin.get(f"/users/{user.id}")["delete_at"] > 0


def test_everybody_logs_in_by_password(node: Node) -> None:
    for name in ("ann", "nobody at all", ""):
        response = requests.post(f"{node.url}/api/v4/users/login/type", json={"login_id": name}, timeout=10)
        assert response.json() == {"auth_service": ""}


def test_who_are_no_administrators_change_no_administrators(node: Node, ann: Rest, admin: Rest) -> None:
    """A role of less than all of it, as later ones may be: given by hand, and to nobody by the API."""
    other = new_user(node.url, "boss")
    node.sql("UPDATE users SET roles = 'system_user system_admin' WHERE id = %s", other.id)
    refused(_patch(ann, other.id, nickname="x"), 403, "permissions")
    assert _patch(admin, other.id, nickname="x").status_code == 200
    node.sql("UPDATE users SET roles = 'system_user' WHERE id = %s", other.id)
    other.close()
