"""CORS: what answers tell pages of other origins."""

from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from api.http.cors import headers_of
from api.proxies import Trust
from app.config.settings import Config, ServiceSettings
from tests.api.conftest import Configure
from tests.api.expect import refused
from tests.api.test_paths import property_test
from tests.rig.node import Node
from tests.rig.raw import Raw
from tests.rig.rest import Rest

PAGE = "https://a.example.com"
PREFLIGHT = {
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "authorization, x-requested-with",
}


def _headers(
    *origins: bytes, method: str = "GET", more: list[tuple[bytes, bytes]] | None = None, **settings: Any
) -> dict[str, str]:
    config = Config(service_settings=ServiceSettings(**settings))
    sent = [(b"host", b"node:8065"), *((b"origin", origin) for origin in origins), *(more or [])]
    found = headers_of({"method": method, "headers": sent, "client": ("127.0.0.1", 1)}, config, Trust(lambda: config))
    assert len({name for name, _ in found}) == len(found)
    return {name.decode(): value.decode("latin-1") for name, value in found}


def test_without_settings_there_is_nothing_to_say() -> None:
    assert _headers(PAGE.encode()) == {}


def test_a_page_of_the_list_may_read_the_answer() -> None:
    assert _headers(PAGE.encode(), allow_cors_from=f"https://b.example.com {PAGE}") == {
        "vary": "Origin",
        "access-control-allow-origin": PAGE,
    }


@pytest.mark.parametrize(
    "origin", [b"https://c.example.com", b"http://a.example.com", b"null", b"http://[", b"\xff", b""]
)
def test_another_page_may_not(origin: bytes) -> None:
    assert _headers(origin, allow_cors_from=PAGE, cors_allow_credentials=True) == {"vary": "Origin"}


def test_two_origins_are_none() -> None:
    assert _headers(PAGE.encode(), PAGE.encode(), allow_cors_from=PAGE) == {"vary": "Origin"}


@pytest.mark.parametrize(
    ("proto", "proxies", "taken"), [(b"https", None, False), (b"https", [], True), (b"http", None, True)]
)
def test_a_page_without_encryption_is_another_where_a_proxy_says_https(
    proto: bytes, proxies: list[str] | None, taken: bool
) -> None:
    settings: dict[str, Any] = {"site_url": PAGE} | ({} if proxies is None else {"trusted_proxies": proxies})
    found = _headers(b"http://node:8065", more=[(b"x-forwarded-proto", proto)], **settings)
    assert ("access-control-allow-origin" in found) is taken
    assert _headers(b"https://node:8065", more=[(b"x-forwarded-proto", proto)], **settings) != {"vary": "Origin"}


def test_the_site_urls_own_page_is_always_allowed() -> None:
    for listed in ("", "https://b.example.com"):
        found = _headers(PAGE.encode(), allow_cors_from=listed, site_url=f"{PAGE}/mattermost")
        assert found["access-control-allow-origin"] == PAGE


def test_everybody_is_allowed_without_credentials() -> None:
    found = _headers(b"https://anywhere.example", allow_cors_from="*", cors_allow_credentials=True)
    assert found == {"vary": "Origin", "access-control-allow-origin": "*"}


def test_credentials_and_exposed_headers_are_settings() -> None:
    settings: dict[str, Any] = {
        "allow_cors_from": PAGE,
        "cors_allow_credentials": True,
        "cors_exposed_headers": "Token X-Version-Id",
    }
    assert _headers(PAGE.encode(), **settings) == {
        "vary": "Origin",
        "access-control-allow-origin": PAGE,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "Token, X-Version-Id",
    }


def test_a_preflight_is_told_what_it_asked_for() -> None:
    asked = [(name.lower().encode(), value.encode()) for name, value in PREFLIGHT.items()]
    found = _headers(PAGE.encode(), method="OPTIONS", more=asked, allow_cors_from=PAGE)
    assert found == {
        "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        "access-control-allow-origin": PAGE,
        "access-control-allow-methods": "POST, GET, OPTIONS, PUT, PATCH, DELETE",
        "access-control-allow-headers": "authorization, x-requested-with",
        "access-control-max-age": "86400",
    }


@pytest.mark.parametrize("wanted", [b"\xff", b"a:b", b"a" * 5000, b""])
def test_what_is_no_name_of_a_header_is_not_repeated(wanted: bytes) -> None:
    asked = [(b"access-control-request-method", b"PUT"), (b"access-control-request-headers", wanted)]
    found = _headers(PAGE.encode(), method="OPTIONS", more=asked, allow_cors_from=PAGE)
    assert "access-control-allow-headers" not in found


@property_test
@given(origins=st.lists(st.binary(max_size=20), max_size=2), host=st.binary(max_size=10), wanted=st.binary(max_size=20))
def test_any_bytes_are_judged(origins: list[bytes], host: bytes, wanted: bytes) -> None:
    more = [(b"host", host), (b"access-control-request-method", b"PUT"), (b"access-control-request-headers", wanted)]
    found = _headers(*origins, method="OPTIONS", more=more, allow_cors_from=PAGE, site_url="https://b.example.com")
    assert not any(set("\r\n") & set(value) for value in found.values())


@pytest.fixture
def site(own_node: Node, configure: Configure) -> Node:
    """A node that pages of PAGE may use."""
    configure({"ServiceSettings": {"AllowCorsFrom": PAGE, "CorsExposedHeaders": "Token"}})
    return own_node


def test_answers_of_every_kind_carry_the_headers(site: Node, own_admin: Rest) -> None:
    huge = b'"' + b"a" * 400_000 + b'"'
    with requests.Session() as page:
        page.headers["Origin"] = PAGE
        admin = {"Authorization": f"Bearer {own_admin.token}"}
        answers = [
            page.get(f"{site.url}/api/v4/users/me", headers=admin, timeout=10),
            page.get(f"{site.url}/api/v4/users/me", timeout=10),
            page.get(f"{site.url}/api/v4/users/x", headers=admin, timeout=10),
            page.get(f"{site.url}/api/v4/unknown", timeout=10),
            page.put(f"{site.url}/api/v4/users/login", timeout=10),
            page.post(f"{site.url}/api/v4/posts", headers=admin, data=huge, timeout=10),
            page.get(f"{site.url}/", timeout=10),
        ]
    assert [answer.status_code for answer in answers] == [200, 401, 400, 404, 405, 413, 200]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Access-Control-Expose-Headers"] == "Token"
        assert "Origin" in answer.headers["Vary"]
        assert "Accept-Encoding" in answer.headers["Vary"]


@pytest.mark.parametrize("path", ["/api/v4/users/me", "/api/v4/posts", "/api/v4/unknown", "//api/v4/posts/", "/"])
def test_a_preflight_is_answered_before_anybody_asks_who_it_is(site: Node, path: str) -> None:
    response = requests.options(site.url + path, headers={"Origin": PAGE, **PREFLIGHT}, timeout=10)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == PAGE
    assert "PUT" in response.headers["Access-Control-Allow-Methods"]
    assert response.headers["Access-Control-Allow-Headers"] == PREFLIGHT["Access-Control-Request-Headers"]
    foreign = requests.options(site.url + path, headers={"Origin": "https://b.example", **PREFLIGHT}, timeout=10)
    assert foreign.status_code == 204
    assert not [name for name in foreign.headers if name.startswith("Access-Control")]


def test_the_connection_serves_on_after_a_preflight(site: Node) -> None:
    with Raw(site.url) as raw:
        for _ in range(2):
            raw.send(
                b"OPTIONS /api/v4/posts HTTP/1.1\r\nHost: x\r\nOrigin: " + PAGE.encode() +
                b"\r\nAccess-Control-Request-Method: POST\r\n\r\n"
            )  # fmt: skip
            assert raw.read().status == 204
        raw.send(b"GET /api/v4/users/me HTTP/1.1\r\nHost: x\r\nOrigin: " + PAGE.encode() + b"\r\n\r\n")
        reply = raw.read()
    refused(reply, 401)
    assert reply.headers["access-control-allow-origin"] == PAGE


def test_a_request_without_an_origin_learns_only_that_answers_vary(site: Node) -> None:
    headers = requests.get(f"{site.url}/api/v4/system/ping", timeout=10).headers
    assert "Origin" in headers["Vary"]
    assert not [name for name in headers if name.startswith("Access-Control")]
