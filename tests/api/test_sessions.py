"""Log in, log out, cookies, CSRF, where a token may stand, locked accounts."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.cookies import Morsel, SimpleCookie
from typing import Any

import pytest
import requests

from app.passwords import CHEAP_VARIABLE
from db.model.ids import is_id, new_id, token_hash
from tests.api.conftest import Add, Configure
from tests.api.expect import NOBODYS_ID, refused
from tests.api.operations import EVERY, send
from tests.plugins.drivers import drivers
from tests.plugins.resources import uses
from tests.rig.backends import Backend
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user, sign_up
from tests.rig.raw import Raw
from tests.rig.rest import PASSWORD, Rest, unique
from tests.rig.socket import Socket
from tests.rig.wait import until

pytestmark = drivers("all")

BROWSER = {"X-Requested-With": "XMLHttpRequest"}
WRONG = "api.user.login.invalid_credentials_email_username"
LOCKED = "api.user.check_user_login_attempts.too_many.app_error"
BUSY = "api.user.login.busy.app_error"
ATTEMPTS = 10  # ServiceSettings.MaximumLoginAttempts


def _log_in(node: Node, body: Any, **headers: str) -> requests.Response:
    return requests.post(f"{node.url}/api/v4/users/login", json=body, headers=headers, timeout=30)


def _me(node: Node, *, query: str = "", **options: Any) -> requests.Response:
    return requests.get(f"{node.url}/api/v4/users/me{query}", timeout=30, **options)


@pytest.fixture(scope="module")
@uses("node")
def costly_node(backend: Backend) -> Iterator[Node]:
    """A node that hashes passwords as nodes do, which takes time; those of other tests hash them cheaply."""
    with backend.node(workers=2, environment={CHEAP_VARIABLE: ""}) as node:
        yield node


@pytest.fixture(scope="module")
def person(node: Node) -> dict[str, Any]:
    """An account, for tests that neither lock nor change it."""
    return sign_up(node.url, "person")


@pytest.fixture
def browser(node: Node, person: dict[str, Any]) -> Iterator[Rest]:
    """Somebody logged in as browsers are: by cookies alone."""
    rest = Rest(node.url)
    response = rest.call("POST", "/users/login", _credentials(person), headers=BROWSER)
    assert response.status_code == 200
    rest.user = response.json()
    yield rest
    rest.close()


def _credentials(person: dict[str, Any]) -> dict[str, str]:
    return {"login_id": person["username"], "password": PASSWORD}


def _csrf(browser: Rest) -> str:
    return str(browser.session.cookies["MMCSRF"])


def test_log_in_by_name_gives_the_user_and_a_token_that_works(node: Node, person: dict[str, Any]) -> None:
    response = _log_in(node, _credentials(person))
    assert response.status_code == 200
    assert response.json()["id"] == person["id"]
    assert is_id(response.headers["Token"])
    mine = _me(node, headers={"Authorization": f"Bearer {response.headers['Token']}"})
    assert mine.json()["id"] == person["id"]


def test_log_in_shows_the_user_all_of_themselves(node: Node, person: dict[str, Any]) -> None:
    user = _log_in(node, _credentials(person)).json()
    assert user["email"] == person["email"]
    assert user["notify_props"]
    assert "password" not in user


@pytest.mark.parametrize("change", [str.upper, str.title, lambda text: f"  {text} "])
def test_log_in_takes_the_name_in_any_case_and_with_spaces_around(
    node: Node, person: dict[str, Any], change: Any
) -> None:
    assert _log_in(node, {"login_id": change(person["username"]), "password": PASSWORD}).status_code == 200


@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_log_in_by_address(node: Node, person: dict[str, Any], change: Any) -> None:
    response = _log_in(node, {"login_id": change(person["email"]), "password": PASSWORD})
    assert response.json()["id"] == person["id"]


def test_log_in_by_id(node: Node, person: dict[str, Any]) -> None:
    assert _log_in(node, {"id": person["id"], "password": PASSWORD}).json()["id"] == person["id"]


def test_an_id_goes_before_a_name(node: Node, person: dict[str, Any]) -> None:
    body = {"id": person["id"], "login_id": "somebody else", "password": PASSWORD}
    assert _log_in(node, body).json()["id"] == person["id"]
    refused(_log_in(node, {"id": new_id(), **_credentials(person)}), 401, WRONG)


def test_each_login_is_a_session_of_its_own(node: Node, person: dict[str, Any]) -> None:
    tokens = {_log_in(node, _credentials(person)).headers["Token"] for _ in range(3)}
    assert len(tokens) == 3
    for token in tokens:
        assert _me(node, headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_token_is_kept_as_its_hash_only(node: Node, person: dict[str, Any]) -> None:
    token = _log_in(node, _credentials(person)).headers["Token"]
    rows = node.sql("SELECT * FROM sessions WHERE token_hash = %s", token_hash(token))
    assert len(rows) == 1
    assert token not in map(str, rows[0])


def test_a_password_is_kept_as_a_hash_only(node: Node, person: dict[str, Any]) -> None:
    [(stored,)] = node.sql("SELECT password FROM users WHERE id = %s", person["id"])
    assert stored.startswith("$argon2id$")
    assert PASSWORD not in stored


@pytest.mark.parametrize("password", ["wrong", PASSWORD + " ", PASSWORD.lower(), "a" * 5000, "Pässw0rd!"])
def test_a_wrong_password_is_refused(node: Node, password: str) -> None:
    user = sign_up(node.url)
    refused(_log_in(node, {"login_id": user["username"], "password": password}), 401, WRONG)


def test_an_unknown_name_is_refused_in_the_same_words(node: Node, person: dict[str, Any]) -> None:
    unknown = refused(_log_in(node, {"login_id": "no-such-user", "password": PASSWORD}), 401, WRONG)
    wrong = refused(_log_in(node, {"login_id": person["username"], "password": "wrong"}), 401, WRONG)
    assert unknown["message"] == wrong["message"]


@pytest.mark.parametrize("body", [{}, {"login_id": "ann"}, {"login_id": "ann", "password": ""}])
def test_an_empty_password_is_refused(node: Node, body: dict[str, str]) -> None:
    refused(_log_in(node, body), 400, "api.user.login.blank_pwd.app_error")


def test_a_device_id_that_is_too_long_is_refused(node: Node, person: dict[str, Any]) -> None:
    refused(_log_in(node, {**_credentials(person), "device_id": "a" * 513}), 400, "body")
    assert _log_in(node, {**_credentials(person), "device_id": "a" * 512}).status_code == 200


def test_a_refused_login_sets_no_cookie_and_gives_no_token(node: Node, person: dict[str, Any]) -> None:
    response = _log_in(node, {"login_id": person["username"], "password": "wrong"}, **BROWSER)
    assert not response.cookies
    assert "Token" not in response.headers


def test_a_deactivated_user_cannot_log_in(node: Node) -> None:
    user = sign_up(node.url)
    node.sql("UPDATE users SET delete_at = 1 WHERE id = %s", user["id"])
    refused(_log_in(node, _credentials(user)), 401, "api.user.login.inactive.app_error")


def test_a_deactivated_user_is_not_told_so_without_the_password(node: Node) -> None:
    user = sign_up(node.url)
    node.sql("UPDATE users SET delete_at = 1 WHERE id = %s", user["id"])
    refused(_log_in(node, {"login_id": user["username"], "password": "wrong"}), 401, WRONG)


def test_the_session_of_a_deactivated_user_ends(node: Node) -> None:
    rest = new_user(node.url)
    node.sql("UPDATE users SET delete_at = 1 WHERE id = %s", rest.id)
    refused(rest.call("GET", "/users/me"), 401, "session")
    rest.close()


def test_an_expired_session_is_refused(node: Node) -> None:
    rest = new_user(node.url)
    node.sql("UPDATE sessions SET expires_at = 1 WHERE user_id = %s", rest.id)
    refused(rest.call("GET", "/users/me"), 401, "session")
    rest.close()


def test_the_next_login_removes_expired_sessions(node: Node) -> None:
    rest = new_user(node.url)
    node.sql("UPDATE sessions SET expires_at = 1 WHERE user_id = %s", rest.id)
    _log_in(node, _credentials(rest.user))
    assert node.sql("SELECT count(*) FROM sessions WHERE user_id = %s", rest.id) == [(1,)]
    rest.close()


def test_a_session_lasts_180_days(node: Node) -> None:
    rest = new_user(node.url)
    [(lasts_ms,)] = node.sql("SELECT expires_at - create_at FROM sessions WHERE user_id = %s", rest.id)
    assert lasts_ms == 180 * 86_400_000
    rest.close()


# Cookies


def _cookie(response: requests.Response, name: str) -> Morsel[str]:
    found = [cookie[name] for cookie in map(SimpleCookie, response.raw.headers.getlist("Set-Cookie")) if name in cookie]
    assert len(found) == 1, found
    morsel: Morsel[str] = found[0]
    return morsel


def test_a_browser_gets_three_cookies(node: Node, person: dict[str, Any]) -> None:
    response = _log_in(node, _credentials(person), **BROWSER)
    token, user, csrf = (_cookie(response, name) for name in ("MMAUTHTOKEN", "MMUSERID", "MMCSRF"))
    assert token.value == response.headers["Token"]
    assert user.value == person["id"]
    assert is_id(csrf.value)
    assert csrf.value != token.value
    for cookie in (token, user, csrf):
        assert cookie["max-age"] == "15552000"
        assert cookie["path"] == "/"
        assert cookie["samesite"] == "Lax"
        assert not cookie["domain"]
        assert not cookie["secure"]
    assert token["httponly"] is True
    assert not user["httponly"]
    assert not csrf["httponly"]


@pytest.mark.parametrize("headers", [{}, {"X-Requested-With": "com.example.app"}])
def test_others_get_none(node: Node, person: dict[str, Any], headers: dict[str, str]) -> None:
    response = _log_in(node, _credentials(person), **headers)
    assert "Set-Cookie" not in response.headers


def test_cookies_are_secure_when_a_trusted_proxy_says_https(node: Node, person: dict[str, Any]) -> None:
    response = _log_in(node, _credentials(person), **BROWSER, **{"X-Forwarded-Proto": "https"})
    for name in ("MMAUTHTOKEN", "MMUSERID", "MMCSRF"):
        assert _cookie(response, name)["secure"] is True


def test_an_unknown_proxy_is_not_believed(own_node: Node, add: Add, configure: Configure) -> None:
    configure({"ServiceSettings": {"TrustedProxies": ["10.0.0.0/8"]}})
    response = _log_in(own_node, _credentials(add().user), **BROWSER, **{"X-Forwarded-Proto": "https"})
    assert not _cookie(response, "MMAUTHTOKEN")["secure"]


def test_cookies_belong_to_the_path_of_the_site(own_node: Node, add: Add, configure: Configure) -> None:
    user = add().user
    configure({"ServiceSettings": {"SiteURL": "https://example.com/chat/"}})
    url = f"{own_node.url}/chat/api/v4/users/login"
    response = requests.post(url, json=_credentials(user), headers=BROWSER, timeout=10)
    assert _cookie(response, "MMAUTHTOKEN")["path"] == "/chat"


def test_x_requested_with_does_for_a_csrf_token_where_a_setting_says_so(
    own_node: Node, add: Add, configure: Configure
) -> None:
    configure({"ServiceSettings": {"ExperimentalStrictCSRFEnforcement": False}})
    user = add().user
    token = _log_in(own_node, _credentials(user)).headers["Token"]
    cookie = {"Cookie": f"MMAUTHTOKEN={token}"}
    url = f"{own_node.url}/api/v4/users/ids"
    assert requests.post(url, json=[user["id"]], headers={**cookie, **BROWSER}, timeout=10).status_code == 200
    refused(requests.post(url, json=[user["id"]], headers=cookie, timeout=10), 401, "session")


@pytest.mark.parametrize(
    ("off", "good", "error_id"),
    [
        ("EnableSignInWithEmail", "username", "api.user.login.invalid_credentials_username"),
        ("EnableSignInWithUsername", "email", "api.user.login.invalid_credentials_email"),
    ],
)
def test_log_in_by_name_or_by_address_can_be_switched_off(
    own_node: Node, add: Add, configure: Configure, off: str, good: str, error_id: str
) -> None:
    user = add().user
    configure({"EmailSettings": {off: False}})
    bad = "email" if good == "username" else "username"
    assert _log_in(own_node, {"login_id": user[good], "password": PASSWORD}).status_code == 200
    refused(_log_in(own_node, {"login_id": user[bad], "password": PASSWORD}), 401, error_id)


def test_how_many_attempts_there_are_is_a_setting(own_node: Node, add: Add, configure: Configure) -> None:
    user = add().user
    configure({"ServiceSettings": {"MaximumLoginAttempts": 2}})
    for _ in range(2):
        refused(_guess(own_node, user), 401, WRONG)
    _delayed(_guess(own_node, user, PASSWORD))


def test_how_long_a_session_lasts_is_a_setting(own_node: Node, add: Add, configure: Configure) -> None:
    configure({"ServiceSettings": {"SessionLengthWebInDays": 1, "SessionLengthMobileInDays": 2}})
    user = add().user
    _log_in(own_node, {**_credentials(user), "device_id": "phone"})
    rows = own_node.sql(
        "SELECT (expires_at - create_at) / 86400000 FROM sessions WHERE user_id = %s ORDER BY create_at", user["id"]
    )
    assert rows == [(1,), (2,)]


def test_a_cookie_reads(browser: Rest) -> None:
    assert browser.get("/users/me")["id"] == browser.id


def test_a_cookie_writes_with_its_csrf_token(browser: Rest) -> None:
    assert browser.post("/users/ids", [browser.id], headers={"X-CSRF-Token": _csrf(browser)})


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "a" * 26}, {"X-CSRF-Token": "ä"}, BROWSER],
    ids=["none", "empty", "wrong", "not ASCII", "X-Requested-With, which needs a setting"],
)
def test_a_cookie_does_not_write_without_it(browser: Rest, headers: dict[str, str]) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    refused(browser.call("POST", "/users/ids", [browser.id], headers=encoded), 401, "session")


def test_the_csrf_token_of_another_session_does_not_do(node: Node, browser: Rest) -> None:
    other = _log_in(node, _credentials(browser.user), **BROWSER).cookies["MMCSRF"]
    refused(browser.call("POST", "/users/ids", [browser.id], headers={"X-CSRF-Token": other}), 401, "session")


def test_the_csrf_token_alone_does_not_do(node: Node, browser: Rest) -> None:
    headers = {"X-CSRF-Token": _csrf(browser), "Cookie": f"MMCSRF={_csrf(browser)}; MMUSERID={browser.id}"}
    refused(_me(node, headers=headers), 401, "session")


def test_a_token_in_a_header_needs_no_csrf_token(ann: Rest) -> None:
    assert ann.post("/users/ids", [ann.id])


def test_a_cookie_without_its_csrf_token_writes_nothing_anywhere(browser: Rest) -> None:
    """Also where no session is needed: else a foreign page could log its visitors out, or in as somebody else."""
    writes = [one for one in EVERY if one.method not in ("GET", "HEAD")]
    for operation in writes:
        refused(send(browser, operation, dict.fromkeys(operation.parameters, NOBODYS_ID), json={}), 401, "session")
    assert len(writes) > 30
    assert browser.get("/users/me")["id"] == browser.id


@pytest.mark.parametrize("ends", ["the session", "the role"])
def test_who_asks_is_asked_again_when_the_body_took_its_time(node: Node, admin: Rest, ends: str) -> None:
    """Else whoever has a token could begin requests, and go on to write for minutes after it was taken from them."""
    second = new_user(node.url)
    assert admin.call("PUT", f"/users/{second.id}/roles", {"roles": "system_admin system_user"}).ok
    body = json.dumps({"roles": "system_user"}).encode()
    head = f"PUT /api/v4/users/{second.id}/roles HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {second.token}\r\n"
    with Raw(node.url) as raw:
        raw.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:1])
        time.sleep(0.7)
        if ends == "the session":
            assert admin.call("POST", f"/users/{second.id}/sessions/revoke/all").ok
        else:
            assert admin.call("PUT", f"/users/{second.id}/roles", {"roles": "system_user"}).ok
        raw.send(body[1:])
        status, error = (401, "session") if ends == "the session" else (403, "permissions")
        refused(raw.read(), status, error)


# Where a token may stand


@pytest.mark.parametrize("scheme", ["Bearer", "BEARER", "bearer", "token", "Token", "BeArEr"])
def test_the_scheme_is_taken_in_any_case(node: Node, ann: Rest, scheme: str) -> None:
    assert _me(node, headers={"Authorization": f"{scheme} {ann.token}"}).json()["id"] == ann.id


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer{}", "Bearer {} x", "Bearer x {}"])
def test_other_authorizations_are_refused(node: Node, ann: Rest, value: str) -> None:
    refused(_me(node, headers={"Authorization": value.format(ann.token)}), 401, "session")


def test_a_token_may_stand_in_the_query(node: Node, ann: Rest) -> None:
    assert _me(node, query=f"?access_token={ann.token}").json()["id"] == ann.id


def test_the_cookie_goes_before_the_header_and_the_header_before_the_query(
    node: Node, browser: Rest, ann: Rest, bob: Rest
) -> None:
    cookie = {"MMAUTHTOKEN": browser.session.cookies["MMAUTHTOKEN"]}
    header = {"Authorization": f"Bearer {ann.token}"}
    query = f"?access_token={bob.token}"
    assert _me(node, query=query, headers=header, cookies=cookie).json()["id"] == browser.id
    assert _me(node, query=query, headers=header).json()["id"] == ann.id
    assert _me(node, query=query).json()["id"] == bob.id


def test_what_stands_first_counts_even_if_it_is_wrong(node: Node, ann: Rest) -> None:
    headers = {"Authorization": f"Bearer {ann.token}"}
    refused(_me(node, headers=headers, cookies={"MMAUTHTOKEN": "a" * 26}), 401, "session")
    wrong = {"Authorization": f"Bearer {'a' * 26}"}
    refused(_me(node, query=f"?access_token={ann.token}", headers=wrong), 401, "session")


@pytest.mark.parametrize("token", ["a" * 26, "a", "a" * 5000, "\xff", "'; DROP TABLE users; --"])
def test_an_unknown_token_is_refused(node: Node, token: str) -> None:
    headers = {"Authorization": b"Bearer " + token.encode("latin-1")}
    refused(_me(node, headers=headers), 401, "session")


def test_the_hash_of_a_token_is_no_token(node: Node, ann: Rest) -> None:
    refused(_me(node, headers={"Authorization": f"Bearer {token_hash(ann.token)}"}), 401, "session")


# Log out


def test_log_out_ends_the_session(ann: Rest) -> None:
    assert ann.post("/users/logout", None) == {"status": "OK"}
    refused(ann.call("GET", "/users/me"), 401, "session")


def test_log_out_leaves_the_other_sessions_of_the_user(node: Node, ann: Rest) -> None:
    other = Rest(node.url).log_in(ann.user["username"])
    ann.post("/users/logout", None)
    assert other.get("/users/me")["id"] == ann.id
    other.close()


def test_log_out_clears_the_cookies(browser: Rest) -> None:
    response = browser.call("POST", "/users/logout", headers={"X-CSRF-Token": _csrf(browser)})
    assert response.status_code == 200
    for name in ("MMAUTHTOKEN", "MMUSERID", "MMCSRF"):
        cookie = _cookie(response, name)
        assert cookie.value == ""
        assert cookie["path"] == "/"
    assert not browser.session.cookies


def test_log_out_is_ok_without_a_session_too(node: Node, ann: Rest) -> None:
    nobody = Rest(node.url)
    assert nobody.post("/users/logout", None) == {"status": "OK"}
    ann.post("/users/logout", None)
    assert ann.post("/users/logout", None) == {"status": "OK"}
    nobody.close()


def test_log_out_closes_the_sockets_of_the_session_and_no_others(node: Node, ann: Rest) -> None:
    other = Rest(node.url).log_in(ann.user["username"])
    socket, others = Socket.open(ann), Socket.open(other)
    ann.post("/users/logout", None)
    assert socket.expect_closed() == 4001
    assert others.ask("ping")["status"] == "OK"
    socket.close()
    others.close()
    other.close()


# Locked accounts


def _guess(node: Node, user: dict[str, Any], password: str = "wrong", address: str = "") -> requests.Response:
    headers = {"X-Forwarded-For": address} if address else {}
    return _log_in(node, {"login_id": user["username"], "password": password}, **headers)


def _delayed(response: requests.Response) -> int:
    """The refusal of an attempt whose password is not looked at; for how long (s)."""
    refused(response, 429, LOCKED)
    return int(response.headers["Retry-After"])


def test_after_ten_wrong_passwords_the_account_is_locked(node: Node) -> None:
    user = sign_up(node.url)
    for _ in range(ATTEMPTS):
        refused(_guess(node, user), 401, WRONG)
    assert 15 <= _delayed(_guess(node, user)) <= 30
    assert 15 <= _delayed(_guess(node, user, PASSWORD)) <= 30


def _let_time_pass(node: Node, user: dict[str, Any], ms: int) -> None:
    node.sql(
        "UPDATE login_attempts SET until_at = until_at - %s, forgotten_at = forgotten_at - %s WHERE account = %s",
        ms,
        ms,
        user["id"],
        settle=False,
    )


def test_the_delay_grows_and_ends(node: Node) -> None:
    user = sign_up(node.url)
    for _ in range(ATTEMPTS):
        _guess(node, user)
    for delay_s in (30, 60, 120):
        assert delay_s - 15 <= _delayed(_guess(node, user)) <= delay_s
        _let_time_pass(node, user, delay_s * 1000)
        refused(_guess(node, user), 401, WRONG)
    _let_time_pass(node, user, 240_000)
    assert _guess(node, user, PASSWORD).status_code == 200
    assert node.sql("SELECT failed_attempts FROM users WHERE id = %s", user["id"]) == [(0,)]
    for _ in range(ATTEMPTS - 1):
        refused(_guess(node, user), 401, WRONG)
    assert _guess(node, user, PASSWORD).status_code == 200


def test_the_owner_gets_in_from_elsewhere_while_others_guess(node: Node) -> None:
    user = sign_up(node.url)
    for _ in range(ATTEMPTS):
        _guess(node, user, address="203.0.113.1")
    _delayed(_guess(node, user, PASSWORD, address="203.0.113.1"))
    assert _guess(node, user, PASSWORD, address="203.0.113.2").status_code == 200
    _delayed(_guess(node, user, PASSWORD, address="203.0.113.1"))


def test_an_address_that_tries_everybody_is_slowed_and_who_is_known_there_is_not(node: Node) -> None:
    address, known, fresh = "203.0.113.3", sign_up(node.url), sign_up(node.url)
    assert _guess(node, known, PASSWORD, address=address).status_code == 200

    def guess(number: int) -> int:
        while True:
            response = _guess(node, {"username": f"nobody-{number}"}, address=address)
            if "busy" not in response.text:
                return response.status_code

    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(guess, range(ATTEMPTS * 20 + 30)))
    over = int(time.monotonic() - began) // 30  # one more each time that a delay has ended on a slow machine
    assert ATTEMPTS * 20 <= answers.count(401) <= ATTEMPTS * 20 + over
    assert 1 <= _delayed(_guess(node, fresh, PASSWORD, address=address)) <= 60 * (1 + over)
    assert _guess(node, known, PASSWORD, address=address).status_code == 200
    assert _guess(node, fresh, PASSWORD, address="203.0.113.4").status_code == 200
    node.sql("DELETE FROM login_attempts WHERE source = %s", address, settle=False)


def test_a_name_that_nobody_has_is_delayed_in_the_same_words(node: Node) -> None:
    user, nobody = sign_up(node.url), {"username": unique("nobody")}
    answers: list[list[tuple[int, str, str]]] = []
    for who in (user, nobody):
        found = [_guess(node, who, address="203.0.113.5") for _ in range(ATTEMPTS + 2)]
        answers.append([(one.status_code, one.json()["id"], one.json()["message"]) for one in found])
        assert 25 <= int(found[-1].headers["Retry-After"]) <= 30
    assert answers[0] == answers[1]
    assert node.sql("SELECT count(*) FROM login_attempts WHERE account LIKE %s", f"%{nobody['username']}%") == [(0,)]


def test_an_administrator_ends_the_delay(node: Node, admin: Rest, ann: Rest) -> None:
    for address in ("203.0.113.6", "203.0.113.7"):
        for _ in range(ATTEMPTS):
            _guess(node, ann.user, address=address)
        _delayed(_guess(node, ann.user, PASSWORD, address=address))
    assert admin.get(f"/users/{ann.id}")["failed_attempts"] == 2 * ATTEMPTS
    path = f"/users/{ann.id}/reset_failed_attempts"
    refused(ann.call("POST", path), 403, "permissions")
    assert admin.post(path, None) == {"status": "OK"}
    assert "failed_attempts" not in admin.get(f"/users/{ann.id}")
    for address in ("203.0.113.6", "203.0.113.7"):
        assert _guess(node, ann.user, PASSWORD, address=address).status_code == 200
    refused(admin.call("POST", f"/users/{new_id()}/reset_failed_attempts"), 404)


@pytest.mark.parametrize("name", ["username", "email"])
def test_the_command_line_ends_the_delay(node: Node, name: str) -> None:
    user = sign_up(node.url)
    for _ in range(ATTEMPTS):
        _guess(node, user)
    _delayed(_guess(node, user, PASSWORD))
    assert node.ask("unlock", user=user[name].upper()) == {"ok": True}
    assert _guess(node, user, PASSWORD).status_code == 200
    assert node.ask("unlock", user="no-such-user") == {"ok": False, "error": "there is no such user"}


def test_a_flood_by_nobodies_charges_nobody_whose_password_was_not_looked_at(costly_node: Node) -> None:
    """And from another address one gets in meanwhile, within a few turns."""
    node, user = costly_node, sign_up(costly_node.url)
    stop = threading.Event()

    def flood(number: int) -> list[int]:
        answers: list[int] = []
        while not stop.is_set():
            response = _guess(node, {"username": f"nobody-{number}-{len(answers)}"}, address="203.0.113.8")
            answers.append(response.status_code)
        return answers

    with ThreadPoolExecutor(40) as pool:
        floods = [pool.submit(flood, number) for number in range(40)]
        until(lambda: any(one.done() for one in floods) or _guess(node, user, address="203.0.113.8").status_code == 429)
        good = [_guess(node, user, PASSWORD, address="203.0.113.9").status_code for _ in range(ATTEMPTS)]
        stop.set()
        answers = [one for each in floods for one in each.result()]
    assert good == [200] * ATTEMPTS
    assert answers.count(429)
    assert _guess(node, user, PASSWORD, address="203.0.113.9").status_code == 200
    node.sql("DELETE FROM login_attempts WHERE source = %s", "203.0.113.8", settle=False)


def test_the_right_password_before_that_forgets_the_wrong_ones(node: Node) -> None:
    user = sign_up(node.url)
    for _ in range(2):
        for _ in range(ATTEMPTS - 1):
            refused(_guess(node, user), 401, WRONG)
        assert _guess(node, user, PASSWORD).status_code == 200


def test_locking_counts_for_every_way_to_name_the_account(node: Node) -> None:
    user = sign_up(node.url)
    ways = [{"login_id": user["username"]}, {"login_id": user["email"]}, {"id": user["id"]}]
    for number in range(ATTEMPTS):
        refused(_log_in(node, {**ways[number % 3], "password": "wrong"}), 401, WRONG)
    for way in ways:
        _delayed(_log_in(node, {**way, "password": PASSWORD}))


def test_guesses_at_once_have_one_budget_over_all_workers(costly_node: Node) -> None:
    """While a password is looked at, which takes long, others come."""
    node = costly_node
    user = sign_up(node.url)
    together = threading.Barrier(20)

    def guess(_: int) -> str:
        together.wait()
        while (answer := str(_guess(node, user).json()["id"])) == BUSY:
            pass
        return answer

    with ThreadPoolExecutor(20) as pool:
        answers = sorted(pool.map(guess, range(20)))
    assert answers == sorted([WRONG] * ATTEMPTS + [LOCKED] * (20 - ATTEMPTS))


def test_a_locked_account_keeps_its_sessions(node: Node) -> None:
    rest = new_user(node.url)
    for _ in range(ATTEMPTS + 1):
        _guess(node, rest.user)
    assert rest.get("/users/me")["id"] == rest.id
    rest.close()


def test_locking_one_account_leaves_others_alone(node: Node, person: dict[str, Any]) -> None:
    user = sign_up(node.url)
    for _ in range(ATTEMPTS + 1):
        _guess(node, user)
    assert _guess(node, person, PASSWORD).status_code == 200


def test_a_password_is_stored_as_owasp_says(costly_node: Node) -> None:
    user = sign_up(costly_node.url)
    ((stored,),) = costly_node.sql("SELECT password FROM users WHERE id = %s", user["id"])
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_flood_of_logins_is_told_to_come_back_while_others_are_served(costly_node: Node) -> None:
    """Passwords are costly: more than 8 of one address that wait in a worker are not even tried (here: 50 in each)."""
    node, ann = costly_node, new_user(costly_node.url)
    channel = new_channel(ann, new_team(ann))
    together = threading.Barrier(101)

    def log_in(number: int) -> requests.Response:
        together.wait()
        return _log_in(node, {"login_id": f"no-such-user-{number}", "password": "wrong"})

    with ThreadPoolExecutor(100) as pool:
        logins = [pool.submit(log_in, number) for number in range(100)]
        together.wait()
        assert ann.write(channel["id"], "hello")["message"] == "hello"
        assert not all(login.done() for login in logins)
        answers = [login.result() for login in logins]
    busy = [response for response in answers if response.status_code == 429]
    assert busy
    for response in answers:
        if response.status_code == 429:
            refused(response, 429, BUSY)
            assert int(response.headers["Retry-After"]) >= 1
        else:
            refused(response, 401, WRONG)
