"""Pings, client configuration, licence, pages, unknown routes."""

import base64
import hashlib
import re
from typing import Any

import pytest
import requests

from api.known import Map, form_of, read
from api.operation import V4
from tests.api import operations
from tests.api.conftest import Configure
from tests.api.expect import NOBODYS_ID, is_time_ms, refused
from tests.api.world import World
from tests.plugins.drivers import drivers
from tests.rig.node import Node
from tests.rig.rest import Rest

pytestmark = drivers("all")

APP_VERSIONS = {
    "AndroidLatestVersion",
    "AndroidMinVersion",
    "DesktopLatestVersion",
    "DesktopMinVersion",
    "IosLatestVersion",
    "IosMinVersion",
}


KNOWN = read()
LEADS = Map(operations.EVERY, KNOWN)


def _call(node: Node, method: str, path: str, **options: Any) -> requests.Response:
    return requests.request(method, node.url + path, timeout=10, **options)


def test_ping_needs_no_session(node: Node) -> None:
    response = _call(node, "GET", "/api/v4/system/ping")
    assert response.status_code == 200
    body = response.json()
    assert body.pop("status") == "OK"
    assert set(body) == APP_VERSIONS
    assert set(body.values()) == {""}


def test_ping_tells_of_database_and_file_store_when_asked(node: Node) -> None:
    body = _call(node, "GET", "/api/v4/system/ping?get_server_status=true").json()
    assert (body["status"], body["database_status"], body["filestore_status"]) == ("OK", "OK", "OK")


@pytest.mark.parametrize("query", ["", "?get_server_status=false", "?get_server_status=", "?device_id=phone"])
def test_ping_does_not_ask_the_database_unasked(node: Node, query: str) -> None:
    assert not {"database_status", "filestore_status"} & set(_call(node, "GET", f"/api/v4/system/ping{query}").json())


def test_ping_of_v3_answers_as_server_3_9(node: Node) -> None:
    response = _call(node, "GET", "/api/v3/general/ping")
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"server_time", "version"}
    assert is_time_ms(int(body["server_time"]))
    assert body["version"] == "11.7.0"


@pytest.mark.parametrize("path", ["/api/v4/system/ping", "/api/v3/general/ping"])
def test_ping_answers_head_without_a_body(node: Node, path: str) -> None:
    response = _call(node, "HEAD", path)
    assert response.status_code == 200
    assert response.content == b""
    assert int(response.headers["Content-Length"]) > 0
    assert response.headers["Content-Type"] == "application/json"


def test_a_trailing_slash_makes_no_difference(node: Node) -> None:
    assert _call(node, "GET", "/api/v4/system/ping/").json() == _call(node, "GET", "/api/v4/system/ping").json()


def _config(who: Rest) -> dict[str, Any]:
    config: dict[str, Any] = who.get("/config/client?format=old")
    return config


def test_client_configuration_is_a_flat_map_of_texts(world: World) -> None:
    for who in (world.nobody, world.member):
        assert {type(value) for value in _config(who).values()} == {str}


def test_client_configuration_without_a_session_is_what_the_login_page_needs(world: World) -> None:
    config = _config(world.nobody)
    assert config["Version"] == "11.7.0"
    assert config["EnableSignInWithUsername"] == "true"
    assert config["EnableOpenServer"] == "true"
    assert config["SiteName"] == "mmnode"
    assert not {"SQLDriverName", "EnableDeveloper", "MaxFileSize", "TeammateNameDisplay"} & set(config)


def test_client_configuration_with_a_session_is_all_of_it(world: World) -> None:
    limited, full = _config(world.nobody), _config(world.member)
    assert limited.items() < full.items()
    assert full["TeammateNameDisplay"] == "username"
    assert full["MaxFileSize"].isdigit()
    assert full["EnableUserTypingMessages"] == "true"


def test_client_configuration_with_a_bad_session_is_the_limited_one(world: World) -> None:
    config = world.nobody.get("/config/client?format=old", headers={"Authorization": "Bearer " + "a" * 26})
    assert config == _config(world.nobody)


def test_client_configuration_holds_no_secret(world: World, node: Node) -> None:
    text = world.system_admin.call("GET", "/config/client?format=old").text
    assert node.status()["database"]["master"] not in text
    assert "DataSource" not in text


def test_the_licence_says_what_there_is_and_to_administrators_whose(world: World) -> None:
    limited, full = world.nobody.get("/license/client"), world.system_admin.get("/license/client?format=old")
    assert world.member.get("/license/client") == limited
    assert limited.items() < full.items()
    assert {"SkuName", "ExpiresAt", "Id"} <= set(full) - set(limited)
    assert (limited["IsLicensed"], limited["Cluster"], limited["LDAP"]) == ("true", "true", "false")
    assert {type(value) for value in full.values()} == {str}


@pytest.mark.parametrize("what", ["config", "license"])
def test_before_version_11_clients_name_the_old_format(
    own_node: Node, own_admin: Rest, configure: Configure, what: str
) -> None:
    assert own_admin.get(f"/{what}/client") == own_admin.get(f"/{what}/client?format=old")
    configure({"ServiceSettings": {"CompatibilityVersion": "10.11.2"}})
    missing = f"api.{what}.client.old_format.app_error"
    refused(own_admin.call("GET", f"/{what}/client"), 501, missing)
    refused(own_admin.call("GET", f"/{what}/client?format="), 501, missing)
    refused(own_admin.call("GET", f"/{what}/client?format=new"), 400, "api.context.invalid_param.app_error")
    assert own_admin.call("GET", "/system/ping").headers["X-Version-Id"].startswith("10.11.2.")
    assert own_admin.get("/config/client?format=old")["Version"] == "10.11.2"


@pytest.mark.parametrize("path", ["/", "//"])
def test_the_web_page(node: Node, path: str) -> None:
    response = _call(node, "GET", path)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.text.startswith("<!doctype html>")
    policy = response.headers["Content-Security-Policy"]
    inline = re.findall(r"<(script|style)>(.*?)</\1>", response.text, re.DOTALL)
    assert inline
    for element, text in inline:  # a browser runs nothing else of it
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert re.search(rf"{element}-src [^;]*'sha256-{re.escape(digest)}'", policy), element
    assert "unsafe" not in policy


def test_the_web_page_answers_head_without_a_body(node: Node) -> None:
    response = _call(node, "HEAD", "/")
    assert response.status_code == 200
    assert response.content == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_page_is_only_read(node: Node, method: str) -> None:
    response = _call(node, method, "/")
    refused(response, 405, "api.context.405.app_error")
    assert (
        {"GET", "HEAD"} <= {one.strip() for one in response.headers["Allow"].split(",")} <= {"GET", "HEAD", "OPTIONS"}
    )


@pytest.mark.parametrize(
    "path",
    ["/api/v4/unknown", "/api/v4", "/api/v4/", "/api/v5/users", "/api", "/api/", "/api/v4/users/a/b/c", "/api/v3",
     "/metrics", "/healthz", "/favicon.ico", "/robots.txt", "/admin_console", "/login", "/team/channels/town-square",
     "/apiary", "/static", "/a%20b", "/%FF", "//x", "/index.php", "/hooks/x", "/.env", "/.git/config"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_what_is_unknown_is_mattermosts_404(node: Node, method: str, path: str) -> None:
    """Whoever looks at a wrong path must not see a 200."""
    response = _call(node, method, path)
    if method == "HEAD":
        assert response.status_code == 404
    else:
        refused(response, 404, "api.context.404.app_error")


@drivers("postgres")  # it is refused before any SQL
def test_what_reads_like_an_id_is_the_operation_that_it_names(world: World) -> None:
    """`GET /users/known` is an operation that is not offered; it does not say that "known" is no user."""
    ours = re.compile("|".join(re.sub(r"{\w+}", "[^/]+", one.title) for one in operations.EVERY))
    paths = {
        re.sub(r"{\w+}", "{}", one.path.replace(f"{{{name}}}", word))
        for one in operations.EVERY
        for name, words in LEADS.words_of(one.path).items()
        for word in words
    }
    asked = [(method, path) for path in sorted(paths) for method in ("GET", "POST", "PUT", "DELETE")]
    for method, path in asked:
        path = path.replace("{}", NOBODYS_ID)
        if not ours.fullmatch(f"{method} {path}"):
            error, allowed = LEADS.refusal(method, path)
            for who in (world.system_admin, world.nobody):
                response = who.session.request(method, who.url + path, timeout=10)
                refused(response, error.status, error.id)
                assert response.headers.get("Allow", "") == allowed
    assert len(asked) > 100


@drivers("postgres")
def test_an_operation_that_is_known_and_not_offered_is_501_for_everybody(world: World) -> None:
    """A client learns that it need not try again, and not that the path is wrong."""
    offered = {form_of(one.method, one.path) for one in operations.EVERY}
    missing = [one for one in KNOWN if one.form not in offered]
    for one in missing:
        path = f"{world.nobody.url}{V4}" + re.sub(r"{\w+}", NOBODYS_ID, one.path)
        for who in (world.nobody, world.member):
            response = who.session.request(one.method, path, data=b"not JSON", timeout=10)
            refused(response, 501, "api.context.not_implemented.app_error")
    assert len(missing) > 300


def test_an_unknown_operation_is_404_with_a_session_too(world: World) -> None:
    assert world.system_admin.call("GET", "/unknown").status_code == 404


@drivers("postgres")  # it is refused before any SQL
@pytest.mark.parametrize("template", sorted({operation.path for operation in operations.EVERY}))
def test_a_wrong_method_is_405_and_says_which_are_right(node: Node, template: str) -> None:
    right = {operation.method for operation in operations.EVERY if operation.path == template}
    path = re.sub(r"{\w+}", "a" * 26, template)
    known = {one.method for one in KNOWN if form_of("", V4 + one.path) == form_of("", template)}  # 501
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} - right - known:
        response = _call(node, method, path)
        assert response.status_code == 405
        if method != "HEAD":
            refused(response, 405, "api.context.405.app_error")
        assert {one.strip() for one in response.headers["Allow"].split(",")} >= right


def test_a_part_of_a_path_that_reads_like_another_operation_is_that_operation(world: World) -> None:
    """`/users/login` is no user, `/channels/direct` no channel."""
    for path in ("/users/login", "/users/logout", "/users/ids", "/channels/direct"):
        refused(world.member.call("GET", path), 405)


def test_the_time_zones_are_those_of_the_tz_database(world: World) -> None:
    found = world.member.get("/system/timezones")
    assert {"Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"} <= set(found)
    assert found == sorted(set(found))


def test_the_api_describes_itself(world: World) -> None:
    response = world.nobody.call("GET", "/openapi.json")
    document = response.json()
    assert document["openapi"].startswith("3.")
    assert document["paths"]["/api/v4/posts"]["post"]["requestBody"]["required"]
    again = world.nobody.session.get(response.url, headers={"If-None-Match": response.headers["ETag"]}, timeout=10)
    assert (again.status_code, again.content) == (304, b"")
