"""Requests to elsewhere, to servers of ours that do what none should: they lead where they may not, drip, never end, explode."""

import asyncio
import gzip
import socket
import ssl
import subprocess
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from app.ports import Failed, Limits, Reply
from cluster.outside import outbound
from cluster.outside.outbound import HttpOutbound
from cluster.outside.outboundguard import Address

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Handler = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request by `handler`; requests: the heads that came, with their bodies."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.handler: Handler = self._ok
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self, secure: ssl.SSLContext | None = None) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=secure)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    def says(self, answer: bytes) -> None:
        async def say(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)

        self.handler = say

    async def _ok(self, _: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            self.requests.append(head + await reader.readexactly(length))
            await self.handler(head, reader, writer)
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            pass


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = await Server().start()
    yield made
    made.close()


class Names:
    """A DNS of ours: by host, the answers in turn; the last one for ever."""

    def __init__(self, **known: Sequence[str]) -> None:
        self.known = {host.replace("_", "."): list(answers) for host, answers in known.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        answers = self.known.get(host, ["127.0.0.1"])
        return [ip_address(one) for one in (answers.pop(0) if len(answers) > 1 else answers[0]).split()]


def _client(allowed: str = "127.0.0.0/8", names: Names | None = None, **more: object) -> HttpOutbound:
    return HttpOutbound(lambda: allowed, resolve=names or Names(), **more)  # type: ignore[arg-type]


async def _refusal(asking: Awaitable[Reply]) -> str:
    with pytest.raises(Failed) as failed:
        await asking
    return failed.value.why


async def test_what_is_asked_and_answered(server: Server) -> None:
    server.says(b"HTTP/1.1 201 Created\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    url = f"http://hooks.example:{server.port}/a?b=c#d"
    reply = await _client().fetch("POST", url, headers={"Content-Type": "text/plain"}, body=b"hello")
    assert (reply.status, reply.headers["x-a"], reply.body) == (201, "b", b"hi")
    assert reply.url == f"http://hooks.example:{server.port}/a?b=c"
    (request,) = server.requests
    assert request.startswith(f"POST /a?b=c HTTP/1.1\r\nHost: hooks.example:{server.port}\r\n".encode())
    assert b"content-type: text/plain\r\n" in request.lower()
    assert b"content-length: 5\r\n" in request.lower()
    assert b"connection: close\r\n" in request.lower()
    assert request.endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_answer_without_a_length_ends_with_its_connection(server: Server, method: str) -> None:
    server.says(
        b"HTTP/1.0 200 OK\r\n\r\nto the end" if method == "GET" else b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    )
    reply = await _client().fetch(method, f"http://a:{server.port}")
    assert reply.body == (b"to the end" if method == "GET" else b"")


@pytest.mark.parametrize(
    "addresses",
    [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "169.254.169.254",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "0.0.0.0",
    ],
)
async def test_what_is_inside_is_not_asked(server: Server, addresses: str) -> None:
    names = Names(evil_example=[addresses])
    assert await _refusal(_client("", names).fetch("GET", f"http://evil.example:{server.port}/")) == "forbidden"
    assert server.requests == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0x7f.1", "2130706433", "127.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_nor_is_it_by_an_address_in_the_url(server: Server, host: str) -> None:
    client = HttpOutbound(lambda: "")
    assert await _refusal(client.fetch("GET", f"http://{host}:{server.port}/")) == "forbidden"
    assert server.requests == []
    client.close()


async def test_of_several_addresses_only_those_outside_are_asked(server: Server) -> None:
    names = Names(mixed_example=["10.0.0.1 127.0.0.1"])
    assert (await _client("127.0.0.0/8", names).fetch("GET", f"http://mixed.example:{server.port}/")).body == b"ok"


async def test_a_name_that_changes_its_answer_is_asked_once_and_the_connection_goes_there(server: Server) -> None:
    """DNS rebinding: the first answer is judged, a second one would be inside."""
    names = Names(rebind_example=["127.0.0.1", "127.0.0.2"])
    client = _client("127.0.0.1/32", names)
    assert (await client.fetch("GET", f"http://rebind.example:{server.port}/")).body == b"ok"
    assert names.asked == ["rebind.example"]
    assert await _refusal(client.fetch("GET", f"http://rebind.example:{server.port}/")) == "forbidden"


async def test_no_name_is_looked_up_by_anybody_else(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    real = socket.getaddrinfo

    def spy(host: object, *rest: object, **more: object) -> object:
        asked.append(host)
        return real(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", spy)
    client = HttpOutbound(lambda: "127.0.0.0/8 ::1")
    assert (await client.fetch("GET", f"http://localhost:{server.port}/")).body == b"ok"
    assert asked.count("localhost") == 1
    client.close()


async def test_what_is_allowed_is_asked_from_the_next_request_on(server: Server) -> None:
    allowed = [""]
    client = HttpOutbound(lambda: allowed[0], resolve=Names())
    url = f"http://hooks.example:{server.port}/"
    assert await _refusal(client.fetch("GET", url)) == "forbidden"
    allowed[0] = "hooks.example"
    assert (await client.fetch("GET", url)).status == 200


async def test_proxies_of_the_environment_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await _client().fetch("GET", f"http://a:{server.port}/")).status == 200


# Redirects -----------------------------------------------------------------------------------------------------------


def _redirect(where: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()


async def test_each_redirect_is_judged_anew(server: Server) -> None:
    names = Names(inside_example=["10.0.0.7"])
    for where in ("http://inside.example/", "http://169.254.169.254/latest/meta-data/", "//inside.example/x"):
        names.known["169.254.169.254"] = ["169.254.169.254"]
        server.says(_redirect(where))
        assert await _refusal(_client("127.0.0.0/8", names).fetch("GET", f"http://a:{server.port}/")) == "forbidden"
    for where in ("file:///etc/passwd", "gopher://a/", "http://u:p@a/", "http://[", "javascript:1"):
        server.says(_redirect(where))
        assert await _refusal(_client().fetch("GET", f"http://a:{server.port}/")) == "url"


async def test_a_name_is_looked_up_again_at_each_redirect(server: Server) -> None:
    names = Names(rebind_example=["127.0.0.1", "10.0.0.1"])
    server.says(_redirect("/again"))
    assert (
        await _refusal(_client("127.0.0.0/8", names).fetch("GET", f"http://rebind.example:{server.port}/"))
        == "forbidden"
    )
    assert names.asked == ["rebind.example"] * 2


async def test_redirects_end(server: Server) -> None:
    server.says(_redirect("/"))
    assert await _refusal(_client().fetch("GET", f"http://a:{server.port}/", limits=Limits(redirects=2))) == "redirects"
    assert len(server.requests) == 3
    reply = await _client().fetch("GET", f"http://a:{server.port}/", limits=Limits(redirects=0))
    assert (reply.status, reply.headers["location"]) == (302, "/")


@pytest.mark.parametrize(
    ("status", "method", "follows", "body"),
    [
        *(
            (301, "POST", "GET", False),
            (302, "POST", "GET", False),
            (303, "PUT", "GET", False),
            (303, "HEAD", "HEAD", False),
        ),
        *((307, "POST", "POST", True), (308, "PUT", "PUT", True), (301, "GET", "GET", False)),
    ],
)
async def test_what_follows_a_redirect_on_the_same_server(
    server: Server, status: int, method: str, follows: str, body: bool
) -> None:
    async def once(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            _redirect("/b?c", status) if b" /a " in head else OK.removesuffix(b"ok") if b"HEAD" in head else OK
        )

    server.handler = once
    sent = b"" if method in ("GET", "HEAD") else b"body"
    headers = {"Authorization": "secret", "Content-Type": "text/plain"}
    reply = await _client().fetch(method, f"http://a:{server.port}/a", headers=headers, body=sent)
    assert reply.url == f"http://a:{server.port}/b?c"
    second = server.requests[1]
    assert second.startswith(f"{follows} /b?c ".encode())
    assert second.endswith(b"body") == body
    assert b"authorization: secret" in second.lower()


async def test_nothing_that_may_be_secret_goes_on_to_another_server(server: Server) -> None:
    other = await Server().start()
    try:
        server.says(_redirect(f"http://b:{other.port}/"))
        headers = {"Authorization": "s", "Cookie": "s", "X-Token": "s", "Accept-Language": "de"}
        assert (await _client().fetch("GET", f"http://a:{server.port}/", headers=headers)).body == b"ok"
        request = other.requests[0].lower()
        assert b"accept-language: de" in request
        assert not any(name in request for name in (b"authorization", b"cookie", b"x-token", b"referer"))
        server.says(_redirect(f"http://b:{other.port}/", 307))
        assert await _refusal(_client().fetch("POST", f"http://a:{server.port}/", body=b"secret")) == "forbidden"
        assert len(other.requests) == 1
    finally:
        other.close()


# Limits --------------------------------------------------------------------------------------------------------------


async def _drip(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    for number in range(100_000):
        writer.write(b"%d" % (number % 10))
        await writer.drain()
        await asyncio.sleep(0.02)


async def _drip_heads(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        writer.write(b"X-%d: y\r\n" % number)
        await writer.drain()
        await asyncio.sleep(0.02)


async def _silence(_: bytes, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("handler", [_drip, _drip_heads, _silence])
async def test_who_is_slow_is_left_in_time(server: Server, handler: Handler) -> None:
    server.handler = handler
    began = time.monotonic()
    limits = Limits(read_s=0.2 if handler is _silence else 5, total_s=0.4 if handler is not _silence else 30)
    assert await _refusal(_client().fetch("GET", f"http://a:{server.port}/", limits=limits)) == "timeout"
    assert time.monotonic() - began < 4


async def test_who_does_not_speak_tls_is_left_in_time() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    with silent:
        limits = Limits(connect_s=0.2)
        url = f"https://a:{silent.getsockname()[1]}/"
        assert await _refusal(_client().fetch("GET", url, limits=limits)) == "timeout"

    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as plain:
        url = f"https://a:{plain.sockets[0].getsockname()[1]}/"
        assert await _refusal(_client().fetch("GET", url)) == "tls"


async def _endless(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def _endless_head(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: " + b"y" * 8_000 + b"\r\n")
        await writer.drain()


async def _endless_interim(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        await writer.drain()


async def test_a_body_without_end_is_refused_or_cut(server: Server) -> None:
    server.handler = _endless
    url = f"http://a:{server.port}/"
    assert await _refusal(_client().fetch("GET", url, limits=Limits(max_bytes=100_000))) == "too_large"
    reply = await _client().fetch("GET", url, limits=Limits(max_bytes=100_000, cut=True))
    assert reply.body == b"x" * 100_000


@pytest.mark.parametrize("handler", [_endless_head, _endless_interim])
async def test_a_head_without_end_is_no_answer(server: Server, handler: Handler) -> None:
    server.handler = handler
    assert await _refusal(_client().fetch("GET", f"http://a:{server.port}/", limits=Limits(total_s=20))) == "protocol"


def _packed(body: bytes, encoding: str = "gzip") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def test_what_is_packed_is_unpacked(server: Server) -> None:
    text = bytes(range(256)) * 1000
    for body, encoding in [
        (gzip.compress(text, mtime=0), "gzip"),
        (gzip.compress(text[:100], mtime=0) + gzip.compress(text[100:], mtime=0), "GZIP"),
        (zlib.compress(text), "deflate"),
        (text, "identity"),
    ]:
        server.says(_packed(body, encoding))
        assert (await _client().fetch("GET", f"http://a:{server.port}/")).body == text


async def test_a_bomb_does_not_go_off(server: Server) -> None:
    maker = zlib.compressobj(9, wbits=31)
    bomb = b"".join(maker.compress(bytes(1 << 20)) for _ in range(256)) + maker.flush()
    server.says(_packed(bomb))
    limits = Limits(max_bytes=200_000)
    tracemalloc.start()
    try:
        assert await _refusal(_client().fetch("GET", f"http://a:{server.port}/", limits=limits)) == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    reply = await _client().fetch("GET", f"http://a:{server.port}/", limits=Limits(max_bytes=200_000, cut=True))
    assert reply.body == bytes(200_000)


@pytest.mark.parametrize(
    "answer",
    [
        b"no http at all\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        _packed(b"no gzip"),
        _packed(gzip.compress(b"broken" * 100, mtime=0)[:-4]),
        _packed(b"x", "br"),
        _packed(b"x", "gzip, gzip"),
    ],
)
async def test_what_is_no_answer_is_a_failure_of_its_own(server: Server, answer: bytes) -> None:
    server.says(answer)
    assert await _refusal(_client().fetch("GET", f"http://a:{server.port}/")) == "protocol"


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert await _refusal(_client().fetch("GET", f"http://a:{port}/")) == "unreachable"
    client = HttpOutbound(lambda: "")
    assert await _refusal(client.fetch("GET", "http://no-such-host.invalid/")) == "unreachable"
    client.close()


@pytest.mark.parametrize("url", ["", "ftp://a/", "http://u@a/", "http://a/ b", "http://a/\r\nx:y"])
async def test_no_url(url: str) -> None:
    assert await _refusal(_client().fetch("GET", url)) == "url"


@pytest.mark.parametrize("headers", [{"Host": "b"}, {"content-length": "5"}, {"X": "a\r\nb: c"}, {"X y": "z"}])
async def test_headers_that_callers_cannot_set(server: Server, headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"header|made"):
        await _client().fetch("GET", f"http://a:{server.port}/", headers=headers)
    assert server.requests == []


async def test_one_slow_server_does_not_keep_requests_from_all_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "AT_ONCE", 3)
    monkeypatch.setattr(outbound, "MAX_WAITING", 4)
    quick = await Server().start()
    server.handler = _silence
    client = _client()
    limits = Limits(read_s=0.3)
    slow = [asyncio.create_task(client.fetch("GET", f"http://slow:{server.port}/", limits=limits)) for _ in range(20)]
    await asyncio.sleep(0)
    assert (await client.fetch("GET", f"http://quick:{quick.port}/")).body == b"ok"
    done = await asyncio.gather(*slow, return_exceptions=True)
    assert {one.why for one in done if isinstance(one, Failed)} == {"timeout", "busy"}
    quick.close()


async def test_connections_are_closed_whatever_happens(server: Server) -> None:
    server.handler = _silence
    task = asyncio.create_task(_client().fetch("GET", f"http://a:{server.port}/"))
    while not server.requests:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(
        asyncio.gather(*(writer.wait_closed() for writer in server._writers), return_exceptions=True), 5
    )


# TLS -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for good.example, in one file."""
    path = tmp_path_factory.mktemp("tls") / "pair.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=good.example", "-addext", "subjectAltName=DNS:good.example", "-keyout", "-", "-out", "-"],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    path.write_bytes(made.stdout)
    return path


@pytest.fixture
async def secure(certificate: Path) -> AsyncIterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    made = await Server().start(context)
    yield made
    made.close()


async def test_over_tls_the_certificate_must_be_that_of_the_name(secure: Server, certificate: Path) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate))
    client = _client(trusted=trusted)
    assert (await client.fetch("GET", f"https://good.example:{secure.port}/")).body == b"ok"
    assert await _refusal(client.fetch("GET", f"https://evil.example:{secure.port}/")) == "tls"
    assert await _refusal(_client().fetch("GET", f"https://good.example:{secure.port}/")) == "tls"


async def test_nothing_is_redirected_out_of_tls(secure: Server, server: Server, certificate: Path) -> None:
    secure.says(_redirect(f"http://good.example:{server.port}/"))
    client = _client(trusted=ssl.create_default_context(cafile=str(certificate)))
    assert await _refusal(client.fetch("GET", f"https://good.example:{secure.port}/")) == "forbidden"
    assert server.requests == []
