"""gzip: for whom, of what, and what goes with it."""

import gzip
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from api.http.answers import PACK_FROM_BYTES, PACKED_KEPT_BYTES, Answers, accepts_gzip, policy_of
from app.config.settings import Config, ServiceSettings
from tests.api.serving import PATH, Serving


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        (b"gzip", True),
        (b"gzip, deflate, br, zstd", True),
        (b"GZIP;Q=0.5", True),
        (b"x-gzip", True),
        (b"*", True),
        (b"br;q=1, *;q=0.1", True),
        (b"gzip;q=0", False),
        (b"gzip;q=0.000, *", False),
        (b"gzip; q=0", False),
        (b"gzip;q=x", False),
        (b"*;q=0", False),
        (b"identity", False),
        (b"deflate, br", False),
        (b"gzipped", False),
        (b"", False),
    ],
)
def test_gzip_is_for_those_who_accept_it(value: bytes, accepted: bool) -> None:
    assert accepts_gzip(value) is accepted


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with Serving() as serving:
        yield serving


def _get(serving: Serving, query: str, accept: str | None, method: str = "GET") -> tuple[requests.Response, bytes]:
    response = requests.request(
        method, f"{serving.url}{PATH}?{query}", headers={"Accept-Encoding": accept}, stream=True, timeout=10
    )
    return response, response.raw.read(decode_content=False)


@pytest.mark.parametrize("size", [PACK_FROM_BYTES, 20_000, 1_000_000])
def test_what_is_large_is_packed(serving: Serving, size: int) -> None:
    for _ in range(3):  # the second and third time from what is kept
        response, body = _get(serving, f"size={size}&etag=1", "gzip")
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Content-Length"] == str(len(body))
        assert response.headers["Vary"] == "Accept-Encoding"
        assert response.headers["ETag"].startswith("W/")
        assert len(body) < size / 3
        assert len(gzip.decompress(body)) == size


@pytest.mark.parametrize(
    ("query", "accept", "method"),
    [
        (f"size={PACK_FROM_BYTES - 1}", "gzip", "GET"),
        ("size=20000", None, "GET"),
        ("size=20000", "gzip;q=0", "GET"),
        ("size=20000", "gzip", "HEAD"),
    ],
)
def test_nothing_else_is(serving: Serving, query: str, accept: str | None, method: str) -> None:
    response, body = _get(serving, query, accept, method)
    assert "Content-Encoding" not in response.headers
    assert response.headers["Vary"] == "Accept-Encoding"
    if method == "GET":
        assert len(body) == int(response.headers["Content-Length"])


async def test_what_is_kept_is_bounded_and_made_once() -> None:
    answers = Answers(Config)
    scope = {"method": "GET", "headers": [(b"accept-encoding", b"gzip")]}
    start = {"status": 200, "headers": [(b"content-type", b"application/json")]}
    page = b"x" * 5000
    first = await answers.packed(scope, start, page)  # type: ignore[arg-type]
    assert await answers.packed(scope, start, page) is first  # type: ignore[arg-type]
    for number in range(3000):
        await answers.packed(scope, start, b"%d" % number + page)  # type: ignore[arg-type]
    assert sum(len(key) + len(value) for key, value in answers._packed.items()) <= PACKED_KEPT_BYTES
    kept = len(answers._packed)
    await answers.packed(scope, start, os.urandom(PACKED_KEPT_BYTES // 16))  # type: ignore[arg-type]
    assert len(answers._packed) == kept, "one that is large pushes many out"
    for headers in ([(b"content-type", b"image/png")], [*start["headers"], (b"content-encoding", b"br")]):  # type: ignore[misc]
        assert await answers.packed(scope, {"status": 200, "headers": headers}, page) is None  # type: ignore[arg-type,typeddict-item]


@pytest.mark.parametrize(("size", "apart"), [(PACK_FROM_BYTES, False), (1 << 20, True)])
async def test_nobody_waits_until_a_large_answer_is_packed(
    size: int, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[threading.Thread] = []

    def pack(_body: bytes) -> bytes:
        where.append(threading.current_thread())
        return b""

    monkeypatch.setattr("api.http.answers._pack", pack)
    scope = {"method": "GET", "headers": [(b"accept-encoding", b"gzip")]}
    start = {"status": 200, "headers": [(b"content-type", b"application/json")]}
    await Answers(Config).packed(scope, start, b"x" * size)  # type: ignore[arg-type]
    assert [one is not threading.current_thread() for one in where] == [apart]


def _standing(config: Config, path: str = "/api/v4/x", given: str = "") -> bytes:
    scope = {"path": path, "method": "GET"}
    return Answers(lambda: config).standing(scope, {given.encode(): b"value"})  # type: ignore[arg-type]


def test_hsts_is_sent_when_it_is_asked_for() -> None:
    strict = Config(service_settings=ServiceSettings(tls_strict_transport=True, tls_strict_transport_max_age=60))
    assert b"strict-transport-security: max-age=60\r\n" in _standing(strict)
    assert b"strict-transport-security" not in _standing(Config())


def test_another_configuration_applies_at_once() -> None:
    config = Config()
    answers, scope = Answers(lambda: config), {"path": "/api/v4/x", "method": "GET"}
    assert b"strict-transport" not in answers.standing(scope, {})  # type: ignore[arg-type]
    config = Config(service_settings=ServiceSettings(tls_strict_transport=True))
    assert b"strict-transport" in answers.standing(scope, {})  # type: ignore[arg-type]


def test_what_never_reached_the_application_is_answered_with_the_same_headers(serving: Serving) -> None:
    with serving.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        head = sock.recv(65_536).lower().partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0].startswith(b"http/1.1 400")
    assert {b"cache-control: no-store", b"x-content-type-options: nosniff", b"x-frame-options: sameorigin"} <= {*head}
    assert b"content-security-policy: default-src 'none'; frame-ancestors 'none'" in head


def test_what_an_answer_says_itself_stands() -> None:
    assert b"cache-control: no-store\r\n" in _standing(Config())
    assert b"cache-control: no-cache, private\r\n" in _standing(Config(), given="etag")
    assert b"cache-control" not in _standing(Config(), given="cache-control")
    assert b"frame-ancestors 'self'" in _standing(Config(), "/")


def test_a_page_runs_its_own_scripts_only() -> None:
    policy = policy_of(b"<style>a{}</style><script>b()</script><script>c()</script>")
    assert policy.count("'sha256-") == 3
    assert "unsafe-inline" not in policy
    assert "script-src 'self' 'sha256-" in policy


def test_by_itself_a_connection_is_kept_for_longer_than_balancers_keep_theirs() -> None:
    """Who closes first must be they, or they send a request into the end: nginx after 60 s, Google's after 600."""
    service = ServiceSettings()
    assert service.idle_timeout > 60
    assert service.proxy_idle_timeout > 600


@pytest.mark.parametrize(
    ("proxies", "proxy_s", "kept"), [("127.0.0.1", 1, False), ("127.0.0.1", 60, True), ("10.0.0.1", 60, False)]
)
def test_a_proxy_of_ours_keeps_its_connection_for_longer(proxies: str, proxy_s: int, kept: bool) -> None:
    service: dict[str, Any] = {"idle_timeout": 1, "proxy_idle_timeout": proxy_s, "trusted_proxies": [proxies]}
    with Serving(**service) as serving, serving.connect() as sock:
        sock.settimeout(4)
        try:
            assert sock.recv(1) == b""
            ended = True
        except TimeoutError:
            ended = False
        assert ended is not kept


def test_near_the_limit_of_descriptors_the_oldest_idle_connections_go() -> None:
    with Serving(descriptors=150) as serving:
        socks = [serving.connect() for _ in range(300)]
        assert serving.ping_s() < 1
        assert socks[0].recv(1) == b""
        for one in socks:
            one.close()
