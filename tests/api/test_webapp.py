"""A finished build of a web app: its pages, its files, and that no path leads out of it. A build of tests."""

import base64
import gzip
import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from falcon import testing

from api.http.asgi import create_app
from api.http.webapp import below, look_up, page_of, part_of
from app.config.file import ConfigError, parse
from app.config.settings import Config, ServiceSettings
from app.counting import Metrics
from cluster.outside.blobs import LocalBlobs
from tests.plugins.resources import uses
from tests.rig.balancer import Balancer
from tests.rig.node import Node
from tests.rig.require import Require

ROOT = b"""<!doctype html><html><head>
<meta http-equiv="Content-Security-Policy" content="script-src 'self' js.example.com; img-src *">
<link rel="stylesheet" href="/static/main.1a.css"><script>window.began = 1</script>
<script src="/static/main.1a.js"></script></head><body><div id="root"></div></body></html>"""
SCRIPT = b"console.log('hello');\n" * 20_000
BINARY = bytes(range(256)) * 4096
PAGES = ["/", "/login", "/crew/channels/town-square", "/admin_console/environment/high_availability", "/apiary", "/a b"]


def build(directory: Path) -> Path:
    """Make it, and beside it what nobody is to get."""
    client = directory / "client"
    (client / "files").mkdir(parents=True)
    (client / "root.html").write_bytes(ROOT)
    (client / "main.1a.js").write_bytes(SCRIPT)
    (client / "main.1a.css").write_bytes(b"body { background: url(/static/files/a.bin) }")
    (client / "both.js").write_bytes(SCRIPT)
    (client / "both.js.br").write_bytes(b"as brotli")
    (client / "both.js.gz").write_bytes(gzip.compress(SCRIPT))
    (client / "files" / "a.bin").write_bytes(BINARY)
    (client / "robots.txt").write_bytes(b"User-agent: *\n")
    (client / ".env").write_bytes(b"secret")
    (directory / "secret").write_bytes(b"secret")
    (client / "out.js").symlink_to(directory / "secret")
    (client / "away").symlink_to(directory)
    return client


def _client(directory: Path, site_url: str = "") -> testing.TestClient:
    ctx: Any = SimpleNamespace(
        config=Config(service_settings=ServiceSettings(web_app_directory=str(directory), site_url=site_url)),
        client_config=SimpleNamespace(version="11.7.0", version_id="1"),
        web_app=LocalBlobs(directory),
        metrics=Metrics(),
    )
    return testing.TestClient(create_app(ctx, ()))


@pytest.fixture
def client(tmp_path: Path) -> testing.TestClient:
    return _client(build(tmp_path))


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_the_root_of_the_build(client: testing.TestClient, path: str) -> None:
    """A browser that is sent to a channel loads the app there."""
    found = client.simulate_get(path)
    assert (found.status_code, found.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert found.headers["cache-control"].startswith("no-cache")
    assert b'<div id="root">' in found.content
    again = client.simulate_get(path, headers={"If-None-Match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = client.simulate_head(path)
    assert (head.status_code, head.content) == (200, b"")


def test_the_policy_is_the_one_that_the_build_asks_for_and_its_own_scripts_run(client: testing.TestClient) -> None:
    found = client.simulate_get("/login")
    digest = base64.b64encode(hashlib.sha256(b"window.began = 1").digest()).decode()
    assert found.headers["content-security-policy"] == (
        f"script-src 'self' js.example.com 'sha256-{digest}'; img-src *; frame-ancestors 'self'"
    )
    assert b"http-equiv" not in found.content  # it would hold beside the header, without the hash
    assert page_of(b"<html>", "").policy == "script-src 'self'; frame-ancestors 'self'"


def test_below_a_path_the_page_names_its_files_there(tmp_path: Path) -> None:
    client = _client(build(tmp_path), "https://chat.example.com/chat/")
    page = client.simulate_get("/login")
    assert set(re.findall(rb'(?:src|href)="([^"]+)"', page.content)) == {
        b"/chat/static/main.1a.css", b"/chat/static/main.1a.js"
    }  # fmt: skip
    script = b"window.publicPath='/chat/static/'"
    assert script in page.content
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert f"'sha256-{digest}'" in page.headers["content-security-policy"]
    assert b"url(/chat/static/files/a.bin)" in client.simulate_get("/static/main.1a.css").content
    assert below("", b"url(/static/x)") == b"url(/static/x)"


def test_files_are_kept_for_ever(client: testing.TestClient) -> None:
    found = client.simulate_get("/static/files/a.bin")
    assert (found.status_code, found.content) == (200, BINARY)
    assert found.headers["cache-control"] == "max-age=31556926, public, immutable"
    assert found.headers["content-length"] == str(len(BINARY))
    again = client.simulate_get("/static/files/a.bin", headers={"If-None-Match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = client.simulate_head("/static/files/a.bin")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(BINARY)))
    assert client.simulate_get("/robots.txt").text == "User-agent: *\n"


@pytest.mark.parametrize(
    ("accepted", "coding", "body"),
    [
        ("gzip, br", "br", b"as brotli"),
        ("gzip;q=1, br;q=0", "gzip", gzip.compress(SCRIPT)),
        ("identity", "", SCRIPT),
        ("", "", SCRIPT),
        ("deflate", "", SCRIPT),
    ],
)
def test_what_lies_beside_as_brotli_or_gzip_is_sent_so(
    client: testing.TestClient, accepted: str, coding: str, body: bytes
) -> None:
    found = client.simulate_get("/static/both.js", headers={"Accept-Encoding": accepted})
    assert (found.status_code, found.headers.get("content-encoding", "")) == (200, coding)
    assert len(found.content) == len(body)
    assert found.headers["content-type"].startswith("application/javascript")


def test_what_lies_beside_in_no_form_is_packed_once(client: testing.TestClient) -> None:
    found = client.simulate_get("/static/main.1a.js", headers={"Accept-Encoding": "gzip"})
    assert found.headers["content-encoding"] == "gzip"
    assert gzip.decompress(found.content) == SCRIPT
    plain = client.simulate_get("/static/main.1a.js")
    assert "content-encoding" not in plain.headers
    assert plain.headers["etag"] != found.headers["etag"]
    again = client.simulate_get(
        "/static/main.1a.js", headers={"Accept-Encoding": "gzip", "If-None-Match": found.headers["etag"]}
    )
    assert again.status_code == 304


@pytest.mark.parametrize(
    ("wanted", "part"),
    [("bytes=0-9", BINARY[:10]), ("bytes=1000000-", BINARY[1_000_000:]), ("bytes=-5", BINARY[-5:]),
     ("bytes=5-99999999", BINARY[5:])],
)  # fmt: skip
def test_a_part_of_a_file(client: testing.TestClient, wanted: str, part: bytes) -> None:
    found = client.simulate_get("/static/files/a.bin", headers={"Range": wanted})
    assert (found.status_code, found.content) == (206, part)
    assert found.headers["content-range"].endswith(f"/{len(BINARY)}")
    full = client.simulate_get("/static/files/a.bin", headers={"Range": wanted, "If-Range": '"other"'})
    assert (full.status_code, len(full.content)) == (200, len(BINARY))


@pytest.mark.parametrize(
    "wanted", ["bytes=-", "bytes=a-b", "bytes=0-1,3-4", "items=0-1", "bytes=9-", "bytes=" + "9" * 30 + "-"]
)
def test_a_range_that_is_none_is_not_looked_at(client: testing.TestClient, wanted: str) -> None:
    found = client.simulate_get("/static/files/a.bin", headers={"Range": wanted})
    assert found.status_code == (206 if wanted == "bytes=9-" else 200)


def test_a_part_that_is_not_there(client: testing.TestClient) -> None:
    found = client.simulate_get("/static/files/a.bin", headers={"Range": f"bytes={len(BINARY)}-"})
    assert (found.status_code, found.headers["content-range"]) == (416, f"bytes */{len(BINARY)}")
    assert part_of("bytes=-0", 10) is None
    assert part_of("bytes=3-2", 10) is None


@pytest.mark.parametrize(
    "path",
    ["/static", "/static/", "/static/nothing.js", "/static/files", "/static/.env", "/static/out.js",
     "/static/away/secret", "/static/../secret", "/static/files/../../secret", "/static//etc/passwd",
     "/static/main.1a.js/x", "/static/both.js\0", "/static/\0", "/api", "/api/", "/api/v4/unknown", "/api/v5",
     "/plugins/x", "/hooks/x", "/static/a\\b"],
)  # fmt: skip
def test_what_is_not_there_is_404_and_no_path_leads_out(client: testing.TestClient, path: str) -> None:
    found = client.simulate_get(path.replace("\0", "%00"))
    assert (found.status_code, found.json["id"]) == (404, "api.context.404.app_error")
    assert b"secret" not in found.content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_pages_and_files_are_only_read(client: testing.TestClient, method: str) -> None:
    for path in ("/", "/login", "/static/main.1a.js"):
        assert client.simulate_request(method, path).status_code in (404, 405)


def test_a_file_that_has_gone_since_is_404(tmp_path: Path) -> None:
    directory = build(tmp_path)
    client = _client(directory)
    (directory / "files" / "a.bin").unlink()
    assert client.simulate_get("/static/files/a.bin").status_code == 404


def test_two_nodes_with_the_same_build_name_their_files_alike(tmp_path: Path) -> None:
    """Behind a balancer a browser asks one node with the tag of another."""
    one = build(tmp_path / "one")
    subprocess.run(["cp", "-a", str(one), str(tmp_path / "two")], check=True)
    assert {name: file.tag for name, file in look_up(one).items()} == {
        name: file.tag for name, file in look_up(tmp_path / "two").items()
    }


@pytest.mark.parametrize("what", ["nowhere", "empty", "secret"])
def test_a_directory_without_a_build_is_refused_at_start(tmp_path: Path, what: str) -> None:
    build(tmp_path)
    (tmp_path / "empty").mkdir()
    config = {"ServiceSettings": {"WebAppDirectory": str(tmp_path / what)}}
    with pytest.raises(ConfigError, match=r"WebAppDirectory.*finished build"):
        parse(config, "file", {})


# On a node ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
@uses("node")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    directory = build(tmp_path_factory.mktemp("web"))
    environment = {"MM_SERVICESETTINGS_WEBAPPDIRECTORY": str(directory)}
    with Node(workers=1, ws_workers=1, environment=environment) as node:
        yield node


def test_a_node_serves_the_app_and_the_api(site: Node) -> None:
    page = requests.get(f"{site.url}/crew/channels/town-square", timeout=30)
    assert (page.status_code, page.headers["X-Content-Type-Options"]) == (200, "nosniff")
    assert "js.example.com" in page.headers["Content-Security-Policy"]
    for accepted in ("identity", "gzip"):
        script = requests.get(f"{site.url}/static/main.1a.js", headers={"Accept-Encoding": accepted}, timeout=30)
        assert script.content == SCRIPT
    assert requests.get(f"{site.url}/static/files/a.bin", timeout=30).content == BINARY
    assert requests.get(f"{site.url}/api/v4/system/ping", timeout=30).json()["status"] == "OK"
    for path in ("/static/%2e%2e/secret", "/static/..%2fsecret", "/static/%00", "/api/v4/nothing"):
        request = requests.Request("GET", site.url + path).prepare()
        request.url = site.url + path
        with requests.Session() as session:
            assert session.send(request, timeout=30).status_code == 404


def test_a_client_that_goes_in_the_middle_of_a_file_leaves_it_closed(site: Node) -> None:
    for _ in range(20):
        with requests.get(f"{site.url}/static/files/a.bin", stream=True, timeout=30) as answer:
            assert answer.raw.read(1000)
    assert requests.get(f"{site.url}/static/files/a.bin", timeout=30).content == BINARY


def test_through_nginx(site: Node, require: Require) -> None:
    """As operators have it in front: pages, parts and what is packed pass through it as they are."""
    require("nginx")
    with Balancer("document", [site.url]) as balancer:
        page = requests.get(f"{balancer.url}/crew/channels/town-square", timeout=30)
        assert (page.status_code, page.headers["Cache-Control"].split(",")[0]) == (200, "no-cache")
        packed = requests.get(f"{balancer.url}/static/both.js", headers={"Accept-Encoding": "gzip"}, timeout=30)
        assert (packed.headers["Content-Encoding"], packed.content) == ("gzip", SCRIPT)
        part = requests.get(f"{balancer.url}/static/files/a.bin", headers={"Range": "bytes=-5"}, timeout=30)
        assert (part.status_code, part.content) == (206, BINARY[-5:])
        assert requests.head(f"{balancer.url}/static/files/a.bin", timeout=30).headers["Content-Length"] == str(
            len(BINARY)
        )
        assert requests.get(f"{balancer.url}/static/nothing.js", timeout=30).status_code == 404
