"""The port on which Prometheus reads: it says what it has to say, and holds nobody."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from api.http import metricsport
from api.http.measures import Measures
from api.http.metricsport import MetricsPort
from app.counting import Metrics
from app.exposition import CONTENT_TYPE, collect, render
from tests.rig.scrape import parse


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    async with MetricsPort(listener, lambda: "# TYPE a gauge\na 1\n"):
        yield listener.getsockname()[1]


async def _say(port: int, request: bytes) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    writer.write_eof()
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head, body


async def test_it_says_the_metrics(port: int) -> None:
    head, body = await _say(port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Content-Type: {CONTENT_TYPE}".encode() in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert parse(body.decode()) == {"a": 1}
    assert (await _say(port, b"HEAD /metrics?x=1 HTTP/1.0\r\n\r\n"))[1] == b""


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET / HTTP/1.1", 404),
        ("GET /api/v4/system/ping HTTP/1.1", 404),
        ("GET /metrics/ HTTP/1.1", 404),
        ("POST /metrics HTTP/1.1", 405),
        ("GET /metrics", 400),
        ("GET /metrics HTTP/2.0", 400),
        ("", 400),
        ("\0\xff\0", 400),
        ("GET /" + "x" * 20_000 + " HTTP/1.1", 400),
    ],
)
async def test_all_else_is_refused(port: int, request_line: str, status: int) -> None:
    head, body = await _say(port, request_line.encode("latin-1") + b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"a 1" not in body


async def test_who_says_nothing_is_cut_and_keeps_nobody_out(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metricsport, "LIMIT_S", 0.3)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(metricsport.MOST_CONNECTIONS)]
    await asyncio.sleep(0.05)
    assert (await _say(port, b"GET /metrics HTTP/1.1\r\n\r\n"))[0].startswith(b"HTTP/1.1 503 ")
    for reader, writer in silent:
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    assert (await _say(port, b"GET /metrics HTTP/1.1\r\n\r\n"))[0].startswith(b"HTTP/1.1 200 ")


async def test_its_end_waits_for_nobody(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metricsport, "LIMIT_S", 600)
    listener = socket.create_server(("127.0.0.1", 0))
    async with asyncio.timeout(20), MetricsPort(listener, lambda: ""):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
        writer.write(b"GET /")
        await asyncio.sleep(0.05)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    assert caplog.text == ""


def test_requests_are_counted_by_method_and_class_of_status() -> None:
    metrics = Metrics()
    measures = Measures(metrics)
    for method, path, status in [
        ("GET", "/api/v4/system/ping", 200),
        ("GET", "/api/v4/users/me", 401),
        ("POST", "/api/v4/posts", 201),
        ("GET", "/", 200),
        ("PROPFIND", "/api/v4/posts", 405),
        ("MKCOL", "/api/v4/posts", 405),
    ]:
        measures.answered(method, path, status)
    measures.observe("createPost", "POST", 201, 0.004)
    found = parse(render(collect([metrics.slot])))
    assert (found["mattermost_http_requests_total"], found["mattermost_http_errors_total"]) == (5, 3)
    assert found['mmnode_http_responses_total{method="GET",status="2xx"}'] == 2
    assert found['mmnode_http_responses_total{method="other",status="4xx"}'] == 2
    assert found['mattermost_api_time_count{handler="createPost",method="POST",status_code="201"}'] == 1
