"""Requests as bytes: what is ambiguous, oversized or slow is refused and its connection closed; the worker lives on.

What two parsers in a row may read differently lets one client speak for another (request smuggling), so nothing of it
is let through, whatever load balancer stands in front.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.api.expect import refused
from tests.plugins.resources import uses
from tests.rig.lateness import idle_s
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team
from tests.rig.raw import Raw
from tests.rig.rest import Rest

PING = b"GET /api/v4/system/ping HTTP/1.1\r\nHost: node\r\n"
UPGRADE = (
    b"GET /api/v4/websocket HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def _post(headers: bytes, body: bytes) -> bytes:
    return b"POST /api/v4/users/login HTTP/1.1\r\nHost: node\r\n" + headers + b"\r\n" + body


def _ping(headers: bytes) -> bytes:
    return PING + headers + b"\r\n"


def _headers(count: int) -> bytes:
    return b"".join(b"X-Header-%d: value\r\n" % number for number in range(count))


REFUSED = {
    "content-length and transfer-encoding": _post(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n"),
    "transfer-encoding and content-length": _post(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n"),
    "two different content-lengths": _post(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{} "),
    "the same content-length twice": _post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"),
    "a list of content-lengths": _post(b"Content-Length: 2, 2\r\n", b"{}"),
    "content-length +3": _post(b"Content-Length: +3\r\n", b"{} "),
    "content-length -1": _post(b"Content-Length: -1\r\n", b"{}"),
    "content-length in hexadecimal": _post(b"Content-Length: 0x2\r\n", b"{}"),
    "content-length with an underscore": _post(b"Content-Length: 1_0\r\n", b"{}        "),
    "content-length 2^64": _post(b"Content-Length: 18446744073709551616\r\n", b"{}"),
    "an empty content-length": _post(b"Content-Length: \r\n", b"{}"),
    "a space before the colon": _post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"),
    "a vertical tab before the coding": _post(b"Transfer-Encoding:\x0bchunked\r\n", b"0\r\n\r\n"),
    "coding xchunked": _post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "coding identity": _post(b"Transfer-Encoding: identity\r\n", b""),
    "a coding after chunked": _post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
    "a coding before chunked": _post(b"Transfer-Encoding: gzip, chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
    "chunked twice": _post(CHUNKED * 2, b"0\r\n\r\n"),
    "chunked, then identity": _post(CHUNKED + b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    "chunked in HTTP/1.0": b"POST /api/v4/users/login HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "a chunk size that is no number": _post(CHUNKED, b"zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk of 2^64 bytes": _post(CHUNKED, b"10000000000000000\r\n{}\r\n0\r\n\r\n"),
    "a chunk of -1 bytes": _post(CHUNKED, b"-1\r\n{}\r\n0\r\n\r\n"),
    "a chunk size with 0x": _post(CHUNKED, b"0x2\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": _post(CHUNKED, b"2\r\n{}XX0\r\n\r\n"),
    "bare line feeds between chunks": _post(CHUNKED, b"2\n{}\n0\n\n"),
    "a host in the trailer": _post(CHUNKED, b"0\r\nHost: other\r\n\r\n"),
    "200 trailers": _post(CHUNKED, b"0\r\n" + _headers(200) + b"\r\n"),
    "bare line feeds": b"GET /api/v4/system/ping HTTP/1.1\nHost: node\n\n",
    "a bare line feed after a header": _ping(b"X-Header: value\n"),
    "a bare carriage return in a header": _ping(b"X-Header: a\rX-Other: b\r\n"),
    "a folded header": _ping(b"X-Header: a\r\n b\r\n"),
    "a first header with a space before it": b"GET /api/v4/system/ping HTTP/1.1\r\n Host: node\r\n\r\n",
    "a header without a colon": _ping(b"X-Header value\r\n"),
    "a header without a name": _ping(b": value\r\n"),
    "a NUL in a header": _ping(b"X-Header: a\0b\r\n"),
    "a NUL in a header's name": _ping(b"X-He\0ader: value\r\n"),
    "a control character in a header": _ping(b"X-Header: a\x01b\r\n"),
    "no host": b"GET /api/v4/system/ping HTTP/1.1\r\n\r\n",
    "two hosts": _ping(b"Host: other\r\n"),
    "the same host twice": _ping(b"Host: node\r\n"),
    "200 headers": _ping(_headers(200)),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET /api/v4/system/ping HTTP/1.2\r\nHost: node\r\n\r\n",
    "HTTP/2.0": b"GET /api/v4/system/ping HTTP/2.0\r\nHost: node\r\n\r\n",
    "HTTP/9.9": b"GET /api/v4/system/ping HTTP/9.9\r\nHost: node\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a hello of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x01" * 200,
    "an unknown method": b"FOO /api/v4/system/ping HTTP/1.1\r\nHost: node\r\n\r\n",
    "a method in lower case": b"get /api/v4/system/ping HTTP/1.1\r\nHost: node\r\n\r\n",
    "a tunnel": b"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n",
    "a path of bytes beyond ASCII": b"GET /api/v4/users/username/\xff\xfe HTTP/1.1\r\nHost: node\r\n\r\n",
    "a NUL in the path": b"GET /api/v4/users/\0 HTTP/1.1\r\nHost: node\r\n\r\n",
    "an upgrade with a body": UPGRADE + b"Content-Length: 2\r\n\r\n{}",
    "an upgrade with a chunked body": UPGRADE + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n",
    "an upgrade by POST": UPGRADE.replace(b"GET", b"POST") + b"\r\n",
}
TOO_LARGE = {
    "a header of 64 KiB": _ping(b"X-Header: " + b"a" * 65_536 + b"\r\n"),
    "a header's name of 64 KiB": _ping(b"X" * 65_536 + b": a\r\n"),
    "90 headers of 200 bytes": _ping(b"".join(b"X-Header-%d: %s\r\n" % (n, b"a" * 200) for n in range(90))),
    "a path of 64 KiB": b"GET /" + b"a" * 65_536 + b" HTTP/1.1\r\nHost: node\r\n\r\n",
}


@pytest.fixture(autouse=True)
def same_workers(node: Node) -> Iterator[None]:
    """Whatever a test sends, no process ends of it."""
    before = {name: child["pid"] for name, child in node.children().items()}
    yield
    assert {name: child["pid"] for name, child in node.children().items()} == before


def _assert_refused(node: Node, request: bytes, status: int) -> None:
    with Raw(node.url) as raw:
        raw.send(request)
        reply = raw.read()
        refused(reply, status)
        assert reply.headers["connection"] == "close"
        raw.seconds_until_closed()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_is_refused(node: Node, name: str) -> None:
    _assert_refused(node, REFUSED[name], 400)


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_head_that_is_too_large_is_refused(node: Node, name: str) -> None:
    _assert_refused(node, TOO_LARGE[name], 431)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_is_refused_behind_a_good_request_too(node: Node, name: str) -> None:
    with Raw(node.url) as raw:
        raw.send(_ping(b""))
        assert raw.read().status == 200
        raw.send(REFUSED[name])
        refused(raw.read(), 400)
        raw.seconds_until_closed()


@pytest.mark.parametrize("name", REFUSED)
def test_a_good_request_before_it_in_the_same_bytes_is_answered_first(node: Node, name: str) -> None:
    with Raw(node.url) as raw:
        raw.send(_ping(b"") * 3 + REFUSED[name])
        for _ in range(3):
            assert raw.read().status == 200
        refused(raw.read(), 400)
        raw.seconds_until_closed()


def test_a_body_that_goes_wrong_after_its_request_was_answered_gets_no_second_answer(node: Node) -> None:
    with Raw(node.url) as raw:
        raw.send(PING.replace(b"GET", b"POST") + CHUNKED + b"\r\n2\r\n{}\r\n")
        refused(raw.read(), 405)
        raw.send(b"zz\r\n")
        raw.seconds_until_closed()


@pytest.mark.parametrize("name", REFUSED)
def test_what_comes_byte_by_byte_is_refused_too(node: Node, name: str) -> None:
    with Raw(node.url) as raw:
        for byte in REFUSED[name]:
            raw.send(bytes([byte]))
        refused(raw.read(), 400)


@pytest.mark.parametrize(
    "request_",
    [
        _ping(b""),
        _ping(_headers(99)),
        _ping(b"X-Header: " + b"a" * 16_000 + b"\r\n"),
        b"\r\n\r\n" + _ping(b""),
        b"GET /api/v4/system/ping HTTP/1.0\r\n\r\n",
        b"GET http://node/api/v4/system/ping HTTP/1.1\r\nHost: node\r\n\r\n",
        _ping(b'Cookie: \xff\xfe; =;;; a="\\\r\n'),
        _ping(b"X-Header:\r\n"),
        _ping(b"X-Header: \t padded \t\r\n"),
        _ping(b"Content-Length: 0\r\n"),
        _ping(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
    ],
    ids=lambda request: request[:40].decode("latin-1") + str(len(request)),
)
def test_what_is_unusual_but_clear_is_served(node: Node, request_: bytes) -> None:
    with Raw(node.url) as raw:
        raw.send(request_)
        assert raw.read().status == 200


def test_a_chunked_body_is_read(node: Node) -> None:
    with Raw(node.url) as raw:
        raw.send(_post(CHUNKED, b'5;x=y\r\n{"pas\r\n0c\r\nsword":"x"} \r\n0\r\nX-Trailer: a\r\n\r\n'))
        refused(raw.read(), 401)


def test_requests_sent_without_waiting_are_answered_in_order(node: Node) -> None:
    with Raw(node.url) as raw:
        body = b'{"login_id":"nobody","password":"wrong"}'
        login = _post(b"Content-Length: %d\r\n" % len(body), body)
        config = b"GET /api/v4/config/client?format=old HTTP/1.1\r\nHost: node\r\n\r\n"
        raw.send(login + _ping(b"") + config + login)
        refused(raw.read(), 401)
        assert json.loads(raw.read().body)["status"] == "OK"
        assert json.loads(raw.read().body)["Version"] == "11.7.0"
        refused(raw.read(), 401)


def test_bytes_beyond_a_body_are_the_next_request(node: Node) -> None:
    with Raw(node.url) as raw:
        raw.send(_post(b"Content-Length: 2\r\n", b"{}garbage\r\n\r\n"))
        refused(raw.read(), 400, "api.user.login.blank_pwd.app_error")
        refused(raw.read(), 400, "api.context.invalid_param.app_error")
        raw.seconds_until_closed()


def test_an_upgrade_behind_a_request_that_is_not_answered_yet_is_refused(node: Node) -> None:
    with Raw(node.url) as raw:
        raw.send(_ping(b"") + UPGRADE + b"\r\n")
        assert raw.read().status == 200
        refused(raw.read(), 400)
        raw.seconds_until_closed()


def test_an_upgrade_behind_an_answered_request_is_made(node: Node) -> None:
    with Raw(node.url) as raw:
        raw.send(_ping(b""))
        assert raw.read().status == 200
        raw.send(UPGRADE + b"\r\n")
        assert raw.read().status == 101


def test_an_upgrade_by_http_1_0_is_made(node: Node) -> None:
    """As nginx passes it on by the sample of Mattermost's document, which names no `proxy_http_version`."""
    with Raw(node.url) as raw:
        raw.send(UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n")
        assert raw.read().status == 101


@pytest.mark.parametrize("target", [b"http://node", b"http://node?a=b", b"http://node:8065/"])
def test_a_target_in_absolute_form_without_a_path_is_the_root(node: Node, target: bytes) -> None:
    answers = []
    for one in (b"/", target):
        with Raw(node.url) as raw:
            raw.send(b"GET %b HTTP/1.1\r\nHost: node\r\n\r\n" % one)
            reply = raw.read()
            answers.append((reply.status, reply.body))
    assert answers[0] == answers[1]


def test_an_upgrade_of_another_path_is_refused(node: Node) -> None:
    with Raw(node.url) as raw:
        raw.send(UPGRADE.replace(b"websocket HTTP", b"posts HTTP") + b"\r\n")
        refused(raw.read(), 404)
        raw.seconds_until_closed()


def test_the_path_of_the_upgrade_without_an_upgrade_is_refused(node: Node) -> None:
    with Raw(node.url) as raw:
        raw.send(b"GET /api/v4/websocket HTTP/1.1\r\nHost: node\r\n\r\n")
        refused(raw.read(), 400, "api.web_socket.connect.upgrade.app_error")


def test_a_client_that_waits_for_100_continue_gets_it(node: Node) -> None:
    with Raw(node.url) as raw:
        raw.send(_post(b"Expect: 100-continue\r\nContent-Length: 2\r\n", b""))
        assert raw.read().status == 100
        raw.send(b"{}")
        refused(raw.read(), 400, "api.user.login.blank_pwd.app_error")


@pytest.fixture(scope="module")
@uses("node")
def own_node() -> Iterator[Node]:
    """A node without patience."""
    names = ("HEADERTIMEOUT", "IDLETIMEOUT", "PROXYIDLETIMEOUT", "READTIMEOUT")
    with Node(workers=1, environment={f"MM_SERVICESETTINGS_{name}": "1" for name in names}) as node:
        yield node


SLOW = {
    "nothing at all": b"",
    "an empty line": b"\r\n",
    "half a request line": b"GET /api/v4/sys",
    "half a head": PING,
    "half a body": _post(b"Content-Length: 10\r\n", b"{}"),
    "half a chunk": _post(CHUNKED, b"a\r\n{}"),
    "no last chunk": _post(CHUNKED, b"2\r\n{}\r\n"),
}


def _seconds_until_cut_off(node: Node, name: str, after_a_request: bool) -> tuple[float, float]:
    """Since what was sent: real ones, and those of an idle machine."""
    with Raw(node.url) as raw:
        if after_a_request:
            raw.send(_ping(b""))
            assert raw.read().status == 200
        raw.send(SLOW[name])
        began = time.monotonic()
        return raw.seconds_until_closed(), idle_s(began)


@pytest.fixture(scope="module")
def seconds(own_node: Node) -> Iterator[dict[tuple[str, bool], Future[tuple[float, float]]]]:
    """All slow clients at once, so that they are waited for only once."""
    cases = [(name, after) for name in SLOW for after in (False, True)]
    with ThreadPoolExecutor(len(cases)) as pool:
        yield {case: pool.submit(_seconds_until_cut_off, own_node, *case) for case in cases}


def test_a_client_that_still_sends_gets_its_refusal(node: Node) -> None:
    with Raw(node.url) as raw:
        raw.send(PING + b"Transfer-Encoding: identity\r\n\r\n")
        for _ in range(20):
            time.sleep(0.01)
            raw.send(b"x" * 1000)
        assert raw.rest().startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("after_a_request", [False, True], ids=["at first", "after a request"])
@pytest.mark.parametrize("name", SLOW)
def test_a_client_that_keeps_the_server_waiting_is_cut_off(
    seconds: dict[tuple[str, bool], Future[tuple[float, float]]], name: str, after_a_request: bool
) -> None:
    real_s, needed_s = seconds[name, after_a_request].result()
    assert real_s > 0.9
    assert needed_s < 4


def test_a_head_that_trickles_in_is_cut_off(own_node: Node) -> None:
    """Every byte is in time, the whole is not."""
    with Raw(own_node.url, timeout_s=0.2) as raw:
        raw.send(PING)
        waited = 0
        while waited < 40:
            raw.send(b"X")
            try:
                raw.seconds_until_closed()
                break
            except AssertionError:
                waited += 1
        assert 2 < waited < 20


def test_a_client_that_asks_in_time_is_kept(own_node: Node) -> None:
    with Raw(own_node.url) as raw:
        for _ in range(3):
            raw.send(_ping(b""))
            assert raw.read().status == 200


@pytest.mark.parametrize(("version", "first"), [("1.0", 400), ("1.1", 100)])
def test_only_http_1_1_is_told_to_go_on(node: Node, version: str, first: int) -> None:
    head = f"POST /api/v4/users/login HTTP/{version}\r\nHost: node\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    with Raw(node.url) as raw:
        raw.send(head.encode())
        if first == 400:
            raw.send(b"{}")
        assert raw.read().status == first


BY_THE_HEAD = {
    "too large": ("/api/v4/users/login", 5_000_000, 413, "api.context.request_body_too_large.app_error"),
    "larger than is ever read": ("/api/v4/users/login", 1 << 40, 413, "api.context.request_body_too_large.app_error"),
    "nobody's": ("/api/v4/posts", 2, 401, "api.context.session_expired.app_error"),
    "to nowhere": ("/api/v4/nowhere", 2, 404, "api.context.404.app_error"),
}


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"], ids=["sent", "expecting"])
@pytest.mark.parametrize("name", BY_THE_HEAD)
def test_what_its_head_alone_condemns_is_refused_by_its_head_alone(node: Node, name: str, expect: str) -> None:
    """No 100 before it, and no byte of the body has to come."""
    path, size, status, error = BY_THE_HEAD[name]
    with Raw(node.url) as raw:
        raw.send(f"POST {path} HTTP/1.1\r\nHost: node\r\n{expect}Content-Length: {size}\r\n\r\n".encode())
        refused(raw.read(), status, error)
        if expect or status == 413:
            assert raw.rest() == b""  # whether the body comes after all, nobody knows
        else:
            raw.send(b"x" * size + _ping(b""))
            assert raw.read().status == 200


def test_a_trailer_is_no_head(node: Node, ann: Rest) -> None:
    """A proxy that replaces, or takes away, what clients say of themselves looks at the head alone."""
    with Raw(node.url) as raw:
        trailer = f"0\r\nAuthorization: Bearer {ann.token}\r\n\r\n".encode()
        raw.send(_post(CHUNKED, trailer).replace(b"/login", b"/ids"))
        refused(raw.read(), 401, "session")


@pytest.mark.parametrize("how", ["a chunk that is none", "an end in the middle", "less than was said"])
def test_of_a_body_that_breaks_off_nothing_is_done(node: Node, ann: Rest, how: str) -> None:
    """Although what came of it would do for a body."""
    channel = new_channel(ann, new_team(ann))
    body = json.dumps({"channel_id": channel["id"], "message": how}).encode()
    chunk = b"%x\r\n%b\r\n" % (len(body), body)
    sent = {
        "a chunk that is none": (CHUNKED, chunk),
        "an end in the middle": (CHUNKED, chunk),
        "less than was said": (b"Content-Length: %d\r\n" % (len(body) + 1), body),
    }
    headers, data = sent[how]
    with Raw(node.url) as raw:
        authorization = b"Authorization: Bearer %b\r\n" % ann.token.encode()
        raw.send(_post(authorization + headers, data).replace(b"/users/login", b"/posts"))
        time.sleep(0.1)  # it is read, and more is waited for
        if how == "a chunk that is none":
            raw.send(b"zz\r\n")
            refused(raw.read(), 400)
    assert ann.write(channel["id"], "after it")
    time.sleep(0.2)
    found = ann.get(f"/channels/{channel['id']}/posts")["posts"].values()
    assert how not in [post["message"] for post in found]
