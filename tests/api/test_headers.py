"""What every reply carries: request id, version, Vary, Expires, ETag."""

import hashlib
import re
from typing import Any

import pytest
import requests

from api.operation import JSON, Operation
from db.model.ids import is_id
from tests.api import operations
from tests.api.expect import refused
from tests.api.operations import example, send
from tests.api.world import World
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team
from tests.rig.rest import Rest

VERSION_ID = re.compile(r"11\.7\.0\.[^.]+\.([0-9a-f]{32})\.true")

every_operation = pytest.mark.parametrize("operation", operations.ALL, ids=lambda operation: operation.title)


def _answers(world: World, operation: Operation) -> list[requests.Response]:
    """With a session and without one."""
    good = example(operation, world, world.nobody)
    return [
        send(who, operation, good.parameters, query=good.query, json=good.body)
        for who in (world.system_admin, world.nobody)
        if not operation.path.endswith("/logout") or who is world.nobody
    ]


@every_operation
def test_every_reply_names_its_request_and_the_version(world: World, operation: Operation) -> None:
    for response in _answers(world, operation):
        assert is_id(response.headers["X-Request-Id"])
        assert VERSION_ID.fullmatch(response.headers["X-Version-Id"])
        assert "Accept-Encoding" in response.headers["Vary"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@every_operation
def test_what_is_read_expires_at_once(world: World, operation: Operation) -> None:
    for response in _answers(world, operation):
        assert response.headers.get("Expires") == ("0" if operation.method == "GET" else None)


@every_operation
def test_no_reply_of_the_api_is_kept_by_anybody_but_by_its_etag(world: World, operation: Operation) -> None:
    for response in _answers(world, operation):
        kept = "no-cache, private" if "ETag" in response.headers else "no-store"
        if response.ok and operation.media != JSON:
            kept = "max-age=86400, private"
        assert response.headers["Cache-Control"] == kept
        assert response.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "Strict-Transport-Security" not in response.headers


@every_operation
def test_every_reply_is_json_or_what_is_declared(world: World, operation: Operation) -> None:
    for response in _answers(world, operation):
        media = operation.media if response.ok else JSON
        assert response.headers["Content-Type"] == media
        if media == JSON and operation.method != "HEAD":
            response.json()


@pytest.mark.parametrize("path", ["/", "/api/v4/unknown", "/api/v4/users/me", "/api/v4/posts"])
def test_pages_and_errors_carry_the_headers_too(node: Node, path: str) -> None:
    headers = requests.get(node.url + path, timeout=10).headers
    assert is_id(headers["X-Request-Id"])
    assert VERSION_ID.fullmatch(headers["X-Version-Id"])
    assert "Accept-Encoding" in headers["Vary"]
    assert headers["Expires"] == "0"


def test_no_two_requests_have_the_same_id(world: World) -> None:
    ids = {world.nobody.call("GET", "/system/ping").headers["X-Request-Id"] for _ in range(100)}
    assert len(ids) == 100


def test_the_client_does_not_choose_the_request_id(world: World) -> None:
    wanted = "a" * 26
    response = world.nobody.call("GET", "/system/ping", headers={"X-Request-Id": wanted})
    assert response.headers["X-Request-Id"] != wanted


def test_an_error_names_its_request(world: World) -> None:
    error = refused(world.nobody.call("GET", "/users/me"), 401)
    assert is_id(error["request_id"])


def test_every_worker_gives_the_same_version(node: Node) -> None:
    """Else web clients would load the configuration anew at every second request."""
    found = {requests.get(f"{node.url}/api/v4/system/ping", timeout=10).headers["X-Version-Id"] for _ in range(20)}
    assert len(found) == 1


def test_the_version_changes_with_the_client_configuration(world: World) -> None:
    response = world.member.call("GET", "/config/client?format=old")
    found = VERSION_ID.fullmatch(response.headers["X-Version-Id"])
    assert found is not None
    assert found[1] == hashlib.md5(response.content).hexdigest()


def test_the_server_does_not_tell_what_it_is_made_of(node: Node) -> None:
    assert "Server" not in requests.get(f"{node.url}/api/v4/system/ping", timeout=10).headers


def test_a_connection_is_kept(node: Node) -> None:
    headers = requests.get(f"{node.url}/api/v4/system/ping", timeout=10).headers
    assert headers.get("Connection", "keep-alive") == "keep-alive"


def _etag(who: Rest, path: str) -> str:
    return str(who.call("GET", path).headers["ETag"])


def _again(who: Rest, path: str, etag: str) -> requests.Response:
    return who.call("GET", path, headers={"If-None-Match": etag})


def _tagged(world: World) -> list[str]:
    return [
        "/users/me",
        f"/users/{world.team_admin.id}",
        f"/users/me/teams/{world.team['id']}/channels",
        f"/channels/{world.private['id']}",
        f"/channels/{world.private['id']}/posts",
        f"/posts/{world.post['id']}",
    ]


@pytest.mark.parametrize("number", range(6))
def test_what_the_client_has_already_is_not_sent_again(world: World, number: int) -> None:
    path = _tagged(world)[number]
    etag = _etag(world.member, path)
    response = _again(world.member, path, etag)
    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["ETag"] == etag
    assert is_id(response.headers["X-Request-Id"])
    assert VERSION_ID.fullmatch(response.headers["X-Version-Id"])


@pytest.mark.parametrize("number", range(6))
def test_a_weak_etag_and_one_in_a_list_count_too(world: World, number: int) -> None:
    """Proxies that compress make a strong one weak."""
    path = _tagged(world)[number]
    etag = _etag(world.member, path)
    for header in (etag.removeprefix("W/"), f'"other", {etag}', "*"):
        assert _again(world.member, path, header).status_code == 304


@pytest.mark.parametrize("number", range(6))
def test_another_etag_is_answered_in_full(world: World, number: int) -> None:
    path = _tagged(world)[number]
    for header in ('"other"', '""', _etag(world.member, path)[:-2] + '"'):
        assert _again(world.member, path, header).status_code == 200


@pytest.mark.parametrize("number", range(1, 6))
def test_an_etag_does_not_open_what_is_closed(world: World, number: int) -> None:
    path = _tagged(world)[number]
    etag = _etag(world.member, path)
    refused(_again(world.nobody, path, etag), 401)
    if number > 1:
        response = _again(world.stranger, path, etag)
        refused(response, 403)


def test_the_etag_of_a_user_is_another_for_the_user(world: World) -> None:
    """Their own view holds more."""
    path = f"/users/{world.member.id}"
    assert _etag(world.member, path) != _etag(world.teammate, path)
    assert _again(world.member, path, _etag(world.teammate, path)).status_code == 200


def test_the_etag_of_an_administrators_view_of_a_user_is_another(world: World) -> None:
    path = f"/users/{world.member.id}"
    assert _etag(world.system_admin, path) != _etag(world.teammate, path)


def _channel(ann: Rest) -> tuple[dict[str, Any], dict[str, Any]]:
    team = new_team(ann)
    return team, new_channel(ann, team)


def test_a_post_changes_the_etags_of_its_channel(ann: Rest) -> None:
    team, channel = _channel(ann)
    paths = [
        f"/channels/{channel['id']}",
        f"/channels/{channel['id']}/posts",
        f"/users/me/teams/{team['id']}/channels",
    ]
    before = [_etag(ann, path) for path in paths]
    ann.write(channel["id"], "hello")
    for path, etag in zip(paths, before, strict=True):
        assert _again(ann, path, etag).status_code == 200


def test_a_reply_changes_the_etag_of_its_root(ann: Rest) -> None:
    _, channel = _channel(ann)
    root = ann.write(channel["id"], "root")
    etag = _etag(ann, f"/posts/{root['id']}")
    ann.write(channel["id"], "reply", root_id=root["id"])
    assert _again(ann, f"/posts/{root['id']}", etag).status_code == 200


def test_another_channel_changes_the_etag_of_the_list(ann: Rest) -> None:
    team, _ = _channel(ann)
    path = f"/users/me/teams/{team['id']}/channels"
    etag = _etag(ann, path)
    new_channel(ann, team)
    assert _again(ann, path, etag).status_code == 200
