"""A SiteURL with a path: all is served below it, and nothing outside. One form of paths for REST and pages."""

import pytest
import requests

from tests.api.conftest import Configure
from tests.api.expect import refused
from tests.rig.node import Node
from tests.rig.rest import PASSWORD, Rest


@pytest.fixture
def site(own_node: Node, own_admin: Rest, configure: Configure) -> Node:
    """A node whose SiteURL has a path. Its administrator logged in before."""
    configure({"ServiceSettings": {"SiteURL": "https://chat.example.com/mattermost/"}})
    return own_node


def _status(url: str, method: str = "GET") -> int:
    """Of a path as it stands: requests would resolve dots and drop slashes."""
    request = requests.Request(method, url).prepare()
    request.url = url
    with requests.Session() as session:
        return session.send(request, timeout=10).status_code


def test_rest_and_pages_are_below_it(site: Node, own_admin: Rest) -> None:
    below = f"{site.url}/mattermost"
    assert requests.get(f"{below}/api/v4/system/ping", timeout=10).json()["status"] == "OK"
    body = {"login_id": site.admin_name, "password": PASSWORD}
    headers = {"X-Requested-With": "XMLHttpRequest"}
    login = requests.post(f"{below}/api/v4/users/login", json=body, headers=headers, timeout=10)
    assert login.status_code == 200
    assert {cookie.path for cookie in login.cookies} == {"/mattermost"}
    me = requests.get(f"{below}/api/v4/users/me", headers={"Authorization": f"Bearer {own_admin.token}"}, timeout=10)
    assert me.json()["id"] == own_admin.id
    for page in (below, f"{below}/"):
        assert requests.get(page, timeout=10).text.startswith("<!doctype html>")


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v4/system/ping", "/api/v4/users/me", "/mattermostapi/v4/system/ping", "/Mattermost/api/v4/system/ping",
     "/mattermost/../api/v4/system/ping", "/mattermost/mattermost/api/v4/system/ping", "/x/mattermost/"],
)  # fmt: skip
def test_outside_of_it_is_nothing(site: Node, path: str) -> None:
    for method in ("GET", "POST", "HEAD"):
        assert _status(site.url + path, method) == 404
    refused(requests.get(f"{site.url}/api/v4/system/ping", timeout=10), 404, "api.context.404.app_error")


@pytest.mark.parametrize(
    "path",
    ["//api/v4/system/ping", "/api/v4//system/ping", "/api//v4/system//ping", "/api/v4/system/ping/", "///api/v4/system/ping//",
     "/api/v4/system/%70ing"],
)  # fmt: skip
def test_slashes_more_or_less_make_no_difference(node: Node, path: str) -> None:
    assert _status(node.url + path) == 200


@pytest.mark.parametrize(
    "path",
    ["/api/v4/users/../system/ping", "/./api/v4/system/ping", "/api/v4/system/./ping", "/api/v4/%2e%2e/v4/system/ping",
     "/api%2Fv4/system/ping", "/api/v4/system%2fping", "/x/../api/v4/system/ping", "/..", "/api/v4/system/ping/.."],
)  # fmt: skip
def test_dots_and_encoded_slashes_open_nothing(node: Node, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert _status(node.url + path, method) == 404
