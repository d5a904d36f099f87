"""What the samples in etc/ make of a client's request: everything that a node reads of it, in front of a recording server."""

import http.client
import os
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from api.proxies import Proxies
from app.config import file as configfile
from tests.rig.balancer import Balancer
from tests.rig.require import Require
from tests.rig.wait import until

CLIENT = "127.0.0.9"
BALANCER = "127.0.0.1"
INVENTED = [
    {},
    {"X-Forwarded-For": "203.0.113.5"},
    {"X-Forwarded-For": f"203.0.113.5, {BALANCER}"},
    {"X-Forwarded-For": "nonsense"},
    {"X-Real-IP": "203.0.113.5", "X-Forwarded-Proto": "http"},
    {"X-Real-IP": BALANCER, "X-Forwarded-For": BALANCER, "Forwarded": "for=203.0.113.5"},
]
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
Head = list[tuple[str, str]]


class Recorder(ThreadingHTTPServer):
    """Answers 200 to all. heard: path, head and the peer's port of each request that is no health check."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((BALANCER, 0), _Handler)
        self.heard: list[tuple[str, Head, int]] = []
        self.url = f"http://{BALANCER}:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder

    def do_GET(self) -> None:
        if not self.path.endswith("/system/ping"):
            self.server.heard.append((self.path, list(self.headers.items()), self.client_address[1]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.send_header("Strict-Transport-Security", "max-age=1")  # ServiceSettings.TLSStrictTransport
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


@pytest.fixture(params=["nginx", "haproxy"])
def balancer(request: pytest.FixtureRequest, require: Require, recorder: Recorder) -> Iterator[Balancer]:
    require(request.param)
    require("openssl")
    with Balancer(request.param, [recorder.url] * 3) as balancer:
        yield balancer


@pytest.fixture
def client(balancer: Balancer) -> Iterator[http.client.HTTPSConnection]:
    """A connection from another address than the balancer's."""
    connection = http.client.HTTPSConnection(
        BALANCER, balancer.tls_port, source_address=(CLIENT, 0), context=ssl.create_default_context(), timeout=10
    )
    yield connection
    connection.close()


def _ask(client: http.client.HTTPSConnection, path: str, head: dict[str, str]) -> None:
    client.request("GET", path, headers=head)
    answer = client.getresponse()
    answer.read()
    assert answer.status == 200


def _values(head: Head, name: str) -> list[str]:
    return [value for key, value in head if key.lower() == name.lower()]


def _seen_as(head: Head, *names: str) -> str:
    """Who the client is to a node that trusts the balancer, and these headers."""
    service = {"TrustedProxies": [BALANCER], "TrustedProxyIPHeader": list(names)}
    proxies = Proxies(configfile.parse({"ServiceSettings": service}, "test", {}).config)
    return proxies.client(BALANCER, [",".join(_values(head, name)).encode() for name in names])


def test_a_client_cannot_invent_its_address_nor_hide_that_it_is_encrypted(
    balancer: Balancer, client: http.client.HTTPSConnection, recorder: Recorder
) -> None:
    for invented in INVENTED:
        _ask(client, "/api/v4/users/me", invented)
    assert len(recorder.heard) == len(INVENTED)
    for (_, head, _), invented in zip(recorder.heard, INVENTED, strict=True):
        for names in (("X-Forwarded-For", "X-Real-IP"), ("X-Forwarded-For",), ("X-Real-IP",)):
            assert _seen_as(head, *names) == CLIENT, f"{names} of {head}, invented: {invented}"
        assert _values(head, "X-Forwarded-Proto") == ["https"]
        assert _values(head, "Host") == [f"{BALANCER}:{balancer.tls_port}"]
        assert "close" not in ",".join(_values(head, "Connection")).lower()


def test_a_page_is_told_once_to_come_by_tls(client: http.client.HTTPSConnection) -> None:
    client.request("GET", "/api/v4/users/me")
    answer = client.getresponse()
    answer.read()
    assert answer.headers.get_all("Strict-Transport-Security") == ["max-age=63072000"]


def test_connections_to_nodes_are_kept(client: http.client.HTTPSConnection, recorder: Recorder) -> None:
    for _ in range(20):
        _ask(client, "/api/v4/users/me", {})
    assert len({port for _, _, port in recorder.heard}) <= 3, "more than one for each server"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v4/websocket",
        "/api/v4/websocket?access_token=x",
        "/api/v4/users/websocket",
        "/api/v3/users/websocket",
        "/api/v4/websocket/",
        "/api//v4//websocket",
        "/mattermost/api/v4/websocket",  # SiteURL may have a path
    ],
)
def test_an_upgrade_reaches_a_node_whatever_form_its_path_has(
    balancer: Balancer, client: http.client.HTTPSConnection, recorder: Recorder, path: str
) -> None:
    _ask(client, path, UPGRADE)
    ((heard, head, _),) = recorder.heard
    assert heard == path
    assert _values(head, "Upgrade") == ["websocket"]
    assert ",".join(_values(head, "Connection")).lower() == "upgrade"
    if balancer.name == "haproxy":  # in the other backend nobody would close it when its node dies
        until(lambda: "websockets/node" in balancer.access_log, 5, "the line of its end")


def test_haproxy_serves_nobody_as_root(require: Require, recorder: Recorder) -> None:
    require("haproxy")
    require("openssl")
    with Balancer("haproxy", [recorder.url] * 3) as balancer:
        status = Path(f"/proc/{balancer.pid}/status").read_text()
        uids = {int(uid) for line in status.splitlines() if line.startswith("Uid:") for uid in line.split()[1:]}
    assert 0 not in uids, uids
    assert os.geteuid() == 0 or uids == {os.geteuid()}
