"""WebSockets on a live node: who may connect and how, hello, requests, statuses, the end."""

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.http.upgrade import fields_of
from app.activity import TYPING_BURST, TYPING_EVERY_MS
from app.errors import AppError
from tests.plugins.resources import uses
from tests.rig.kept import Kept
from tests.rig.lateness import idle_s, within
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.raw import Raw, Reply, upgrade_request
from tests.rig.rest import PASSWORD, Rest
from tests.rig.socket import Socket
from tests.rig.wait import until
from ws.close import Close
from ws.protocol import MAX_MESSAGE_BYTES
from ws.stream import MAX_QUEUED_BYTES


@pytest.fixture(scope="module")
def kept_node() -> Iterator[Kept[Node]]:
    """Where `own_node` comes from."""
    with Kept(lambda: Node(workers=2, ws_workers=2)) as kept:
        yield kept


@pytest.fixture
@uses("node")
def own_node(kept_node: Kept[Node]) -> Iterator[Node]:
    """A node to be broken: it runs and is configured as at the beginning, whatever the last test did to it."""
    yield kept_node.take()
    kept_node.give_back()


def _cookies(node: Node, who: Rest) -> str:
    response = requests.post(
        f"{node.url}/api/v4/users/login",
        json={"login_id": who.user["username"], "password": PASSWORD},
        headers={"X-Requested-With": "XMLHttpRequest"},
        timeout=10,
    )
    return "; ".join(f"{name}={value}" for name, value in response.cookies.items())


# Connecting ------------------------------------------------------------------------------------------------------------


def test_a_token_in_the_header_is_enough_and_hello_comes_first(node: Node, ann: Rest) -> None:
    ws = Socket.open(ann)
    hello = ws.events[0]
    assert hello["event"] == "hello"
    assert hello["seq"] == 0
    assert len(hello["data"]["connection_id"]) == 26
    assert hello["data"]["server_version"].startswith("11.7.0.mmnode.")
    assert hello["broadcast"]["user_id"] == ann.id
    ws.close()


def test_the_version_in_hello_is_that_of_the_header(node: Node, ann: Rest) -> None:
    ws = Socket.open(ann)
    version = requests.get(f"{node.url}/api/v4/system/ping", timeout=10).headers["X-Version-Id"]
    assert ws.events[0]["data"]["server_version"] == version
    ws.close()


def test_the_authentication_challenge_gives_hello_and_then_a_reply(node: Node, ann: Rest) -> None:
    ws = Socket.open_bare(node.url)
    assert ws.ask("authentication_challenge", {"token": ann.token}) == {"status": "OK", "seq_reply": 1}
    assert ws.events[0]["event"] == "hello"
    ws.close()


@pytest.mark.parametrize("data", [{"token": "x" * 26}, {"token": 7}, {}, {"token": ""}, None])
def test_a_bad_challenge_closes_the_socket_without_a_frame(node: Node, data: Any) -> None:
    ws = Socket.open_bare(node.url)
    ws.send("authentication_challenge", data)
    assert ws.expect_closed() == 1006
    assert not ws.events
    assert not ws.replies


def test_a_challenge_on_an_authenticated_socket_is_ignored(node: Node, ann: Rest) -> None:
    ws = Socket.open(ann)
    number = ws.send("authentication_challenge", {"token": ann.token})
    assert ws.ask("ping")["status"] == "OK"
    assert number not in ws.replies
    assert len(ws.named("hello")) == 1
    ws.close()


def test_who_does_not_say_who_they_are_is_closed_after_5_s(node: Node) -> None:
    ws = Socket.open_bare(node.url)
    opened_at = time.monotonic()
    assert ws.ask("get_statuses")["error"]["id"] == "api.web_socket_router.not_authenticated.app_error"
    assert ws.expect_closed(8) == 1006
    assert time.monotonic() - opened_at > 4.0
    assert within(7.5, since=opened_at)


def test_a_cookie_counts_with_the_origin_of_the_page(node: Node, ann: Rest) -> None:
    headers = {"Cookie": _cookies(node, ann)}
    ws = Socket.open_bare(node.url, additional_headers=headers, origin=node.url)
    assert ws.expect("hello")["broadcast"]["user_id"] == ann.id
    ws.close()


@pytest.mark.parametrize("origin", [None, "http://evil.example.com", "null", "http://127.0.0.1:1"])
def test_a_cookie_from_elsewhere_is_refused(node: Node, ann: Rest, origin: str | None) -> None:
    with pytest.raises(InvalidStatus) as caught:
        Socket.open_bare(node.url, additional_headers={"Cookie": _cookies(node, ann)}, origin=origin)
    response = caught.value.response
    assert response.status_code == 400
    assert json.loads(response.body)["id"] == "api.web_socket.connect.upgrade.app_error"


def _raw_upgrade(node: Node, *headers: str, path: str = "/api/v4/websocket") -> Reply:
    """What an upgrade with these headers besides is answered."""
    with Raw(node.url) as raw:
        raw.send(upgrade_request(*headers, host="chat.example.com", path=path))
        return raw.read()


@pytest.mark.parametrize(
    "headers",
    [
        ["Origin: http://["],
        ["Origin: http://]["],
        ["Origin: http://chat.example.com:port"],
        ["Origin: \xe9"],
        ["Origin: "],
        ["Origin: http://evil.example.com", "Origin: http://chat.example.com"],
        ["Origin: http://chat.example.com", "Origin: http://evil.example.com"],
        ["Origin: http://chat.example.com", "Origin: http://chat.example.com"],
        ["Authorization: Bearer a", "Authorization: Bearer b"],
        ["Origin: http://chat.example.com", "X-Forwarded-Proto: https"],
        ["Origin: http://chat.example.com", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"],
        ["Cookie: MMAUTHTOKEN=x", "Cookie: c=d"],  # no Origin, and it is one header with a token in it
    ],
)
def test_headers_that_say_nothing_or_two_things_are_refused_in_words(node: Node, headers: list[str]) -> None:
    answer = _raw_upgrade(node, *headers)
    assert answer.status == 400
    assert json.loads(answer.body)["id"] == "api.web_socket.connect.upgrade.app_error"


@pytest.mark.parametrize(
    "headers",
    [
        ["Origin: http://chat.example.com"],
        ["Origin: https://chat.example.com"],
        ["Origin: https://chat.example.com", "X-Forwarded-Proto: https"],
        ["Cookie: a=b", "Cookie: c=d"],
    ],
)
def test_a_page_of_ours_may_connect(node: Node, headers: list[str]) -> None:
    assert _raw_upgrade(node, *headers).status == 101


@pytest.mark.parametrize("name", [b"origin", b"host", b"authorization", b"x-forwarded-proto"])
def test_what_decides_who_may_connect_stands_there_once(name: bytes) -> None:
    """Whatever the server before it lets through."""
    with pytest.raises(AppError):
        fields_of([(name, b"a"), (b"accept", b"b"), (name, b"a")])
    assert fields_of([(name, b"a"), (b"accept", b"b"), (b"accept", b"c")])[name] == "a"


def test_a_foreign_origin_is_refused_even_with_a_token(node: Node, ann: Rest) -> None:
    with pytest.raises(InvalidStatus):
        Socket.open(ann, origin="http://evil.example.com")


def _upgrade(url: str, path: str, *headers: str) -> Reply:
    lines = [
        f"GET {path} HTTP/1.1", "Host: node", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", *headers,
    ]  # fmt: skip
    with Raw(url) as raw:
        raw.send("\r\n".join([*lines, "", ""]).encode())
        return raw.read()


@pytest.mark.parametrize(
    "origins", [["http://["], ["http://evil.example.com", "http://node"], ["http://node", "http://evil.example.com"]]
)
def test_an_origin_that_is_none_or_two_is_refused(node: Node, origins: list[str]) -> None:
    assert _upgrade(node.url, "/api/v4/websocket", "Origin: http://node").status == 101
    assert _upgrade(node.url, "/api/v4/websocket", *(f"Origin: {one}" for one in origins)).status == 400
    assert "Traceback" not in node.log


@pytest.mark.parametrize(
    "target",
    ["http://node/api/v4/websocket", "HTTP://node:8065//api/v4/websocket/?a=b", "ws://node/api/v4/websocket"],
)
def test_a_target_in_absolute_form_makes_no_difference(node: Node, target: str) -> None:
    assert _upgrade(node.url, target).status == 101
    assert _upgrade(node.url, target.replace("/api", "/a")).status == 404


def test_the_host_of_a_target_in_absolute_form_counts(node: Node) -> None:
    """RFC 9112 §3.2.2: the header is ignored, so a page's own origin is that of the target."""
    target, origin = "http://chat.example.com/api/v4/websocket", "Origin: http://{}".format
    assert _upgrade(node.url, target, origin("chat.example.com")).status == 101
    assert _upgrade(node.url, target, origin("node")).status == 400


@pytest.mark.parametrize(
    "header", ["Sec-WebSocket-Extensions: \xe9", "Sec-WebSocket-Protocol: \xe9", "Sec-WebSocket-Key"]
)
def test_a_handshake_that_is_none_gets_an_answer_and_hurts_nobody(node: Node, header: str) -> None:
    before = {name: child["pid"] for name, child in node.children().items()}
    fields = {"Host": "node", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    if ":" in header:
        fields["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    lines = ["GET /api/v4/websocket HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    with Raw(node.url) as raw:
        raw.send("\r\n".join([*lines, header if ":" in header else "X: y", "", ""]).encode("latin-1"))
        assert raw.read().status == 400
    assert {name: child["pid"] for name, child in node.children().items()} == before
    assert "Traceback" not in node.log


@pytest.mark.parametrize("host", ["xn--99999999", "xn--a." + "b" * 80])
def test_a_host_that_is_no_name_is_refused(node: Node, host: str) -> None:
    lines = [
        "GET /api/v4/websocket HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ]  # fmt: skip
    with Raw(node.url) as raw:
        raw.send("\r\n".join([*lines, "", ""]).encode())
        assert raw.read().status == 400
    assert "Traceback" not in node.log


@pytest.mark.parametrize("path", ["//api/v4/websocket", "/api/v4//websocket/", "/api/v4/websocket?"])
def test_doubled_and_trailing_slashes_make_no_difference(node: Node, path: str) -> None:
    assert _upgrade(node.url, path).status == 101


@pytest.mark.node
def test_with_a_path_in_the_site_url_sockets_are_below_it() -> None:
    environment = {"MM_SERVICESETTINGS_SITEURL": "https://chat.example.com/mattermost"}
    with Node(workers=1, environment=environment) as node:
        assert _upgrade(node.url, "/mattermost/api/v4/websocket", "Origin: https://chat.example.com").status == 101
        assert _upgrade(node.url, "/api/v4/websocket").status == 404


@pytest.mark.node
def test_origins_of_allow_cors_from_may_connect() -> None:
    environment = {
        "MM_SERVICESETTINGS_ALLOWCORSFROM": "https://a.example.com https://b.example.com",
        "MM_SERVICESETTINGS_SITEURL": "https://chat.example.org",
    }
    with Node(workers=1, environment=environment) as node:
        ann = new_user(node.url, "ann")
        Socket.open(ann, origin="https://b.example.com").close()
        Socket.open(ann, origin="https://chat.example.org").close()
        with pytest.raises(InvalidStatus):
            Socket.open(ann, origin="https://c.example.com")


@pytest.mark.parametrize("path", ["/api/v4/websockets", "/", "/api/v3/users/websocket", "/api/v4/users/me"])
def test_only_one_path_takes_sockets(node: Node, path: str) -> None:
    headers = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    response = requests.get(node.url + path, headers=headers, timeout=10)
    assert response.status_code == 404
    assert response.json()["status_code"] == 404


def test_a_trailing_slash_does_no_harm(node: Node, ann: Rest) -> None:
    headers = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    with requests.get(f"{node.url}/api/v4/websocket/", headers=headers, timeout=10, stream=True) as response:
        assert response.status_code == 101


def test_a_plain_get_is_no_upgrade(node: Node) -> None:
    response = requests.get(f"{node.url}/api/v4/websocket", timeout=10)
    assert response.status_code == 400
    assert response.json()["id"] == "api.web_socket.connect.upgrade.app_error"


def test_frames_that_follow_the_upgrade_in_the_same_packet_are_not_lost(node: Node, ann: Rest) -> None:
    payload = json.dumps({"seq": 1, "action": "authentication_challenge", "data": {"token": ann.token}}).encode()
    frame = bytes([0x81, 0x80 | len(payload)]) + bytes(4) + payload
    host, _, port = node.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(10)
        connection.sendall(upgrade_request() + frame)
        received = b""
        while b"seq_reply" not in received:
            received += connection.recv(65536)
    assert received.index(b"101 Switching") < received.index(b'"hello"') < received.index(b"seq_reply")


@pytest.mark.parametrize(
    "query",
    [
        "connection_id=&sequence_number=0",
        f"connection_id={'y' * 26}&sequence_number=7",
        "posted_ack=true&disconnect_err_code=4000",
    ],
)
def test_a_connection_that_cannot_be_resumed_is_a_new_one(node: Node, ann: Rest, query: str) -> None:
    ws = Socket.open(ann, query)
    assert ws.events[0]["seq"] == 0
    assert ws.events[0]["data"]["connection_id"] != "y" * 26
    ws.close()


def test_a_malformed_connection_id_closes_the_socket_without_a_frame(node: Node, ann: Rest) -> None:
    headers = {"Authorization": f"Bearer {ann.token}"}
    ws = Socket.open_bare(node.url, "connection_id=nonsense&sequence_number=1", additional_headers=headers)
    assert ws.expect_closed() == 1006
    assert not ws.events


@pytest.mark.node
def test_a_user_has_at_most_so_many_sockets() -> None:
    with Node(workers=1, environment={"MM_SERVICESETTINGS_MAXIMUMWEBSOCKETSPERUSER": "3"}) as node:
        ann, bob = new_user(node.url, "ann"), new_user(node.url, "bob")
        sockets = [Socket.open(ann) for _ in range(3)]
        one_more = Socket.open_bare(node.url, additional_headers={"Authorization": f"Bearer {ann.token}"})
        assert one_more.expect_closed() == 1008
        Socket.open(bob).close()
        sockets[0].close()
        until(lambda: _opens(ann), what="room for another socket")


def _opens(who: Rest) -> bool:
    ws = Socket.open_bare(who.url, additional_headers={"Authorization": f"Bearer {who.token}"})
    until(lambda: ws.events or ws.closed is not None)
    opened = bool(ws.events)
    ws.close()
    return opened


def test_without_a_ws_worker_that_answers_an_upgrade_is_503_and_soon(own_node: Node) -> None:
    ann = new_user(own_node.url, "ann")
    pids = [own_node.pid(name) for name in ("ws0", "ws1")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(InvalidStatus) as caught:
        Socket.open(ann)
    assert within(2.0, since=began)
    assert caught.value.response.status_code == 503
    assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 5
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    until(lambda: _opens(ann), what="a socket")


def test_one_frozen_ws_worker_is_passed_over(own_node: Node) -> None:
    people = [new_user(own_node.url) for _ in range(6)]
    os.kill(own_node.pid("ws0"), signal.SIGSTOP)
    sockets = [Socket.open(person) for person in people]
    for ws in sockets:
        ws.close()


# Requests --------------------------------------------------------------------------------------------------------------


def test_ping(node: Node, ann: Rest) -> None:
    ws = Socket.open(ann)
    reply = ws.ask("ping")
    assert (reply["status"], reply["seq_reply"]) == ("OK", 1)
    assert reply["data"]["text"] == "pong"
    assert reply["data"]["version"] == "11.7.0"
    assert abs(reply["data"]["server_time"] - time.time() * 1000) < 5000
    assert reply["data"]["node_id"] == ""
    ws.close()


@pytest.mark.parametrize(
    ("request_", "error_id", "status"),
    [
        ({"seq": 1, "action": ""}, "api.web_socket_router.no_action.app_error", 400),
        ({"seq": 0, "action": "ping"}, "api.web_socket_router.bad_seq.app_error", 400),
        ({"seq": -5, "action": "ping"}, "api.web_socket_router.bad_seq.app_error", 400),
        ({"seq": 1, "action": "no_such_action", "data": {"channel_id": "x"}}, "api.web_socket_router.bad_action.app_error", 500),
        ({"seq": 1, "action": "user_typing", "data": {}}, "api.websocket_handler.invalid_param.app_error", 400),
        ({"seq": 1, "action": "user_typing", "data": {"channel_id": 7}}, "api.websocket_handler.invalid_param.app_error", 400),
        ({"seq": 1, "action": "user_typing", "data": {"channel_id": "y" * 26, "parent_id": 1}}, "api.websocket_handler.invalid_param.app_error", 400),
        ({"seq": 1, "action": "user_typing", "data": {"channel_id": "y" * 26}}, "api.context.permissions.app_error", 403),
        ({"seq": 1, "action": "get_statuses_by_ids", "data": {"user_ids": []}}, "api.websocket_handler.invalid_param.app_error", 400),
        ({"seq": 1, "action": "get_statuses_by_ids", "data": {"user_ids": ["\u0000" * 26]}}, "api.websocket_handler.invalid_param.app_error", 400),
        ({"seq": 1, "action": "get_statuses_by_ids", "data": {"user_ids": {"a": 1}}}, "api.websocket_handler.invalid_param.app_error", 400),
        ({"seq": 1, "action": "user_update_active_status", "data": {}}, "api.websocket_handler.invalid_param.app_error", 400),
        ({"seq": 1, "action": "user_update_active_status", "data": {"user_is_active": True, "manual": "x"}}, "api.websocket_handler.invalid_param.app_error", 400),
    ],
)  # fmt: skip
def test_bad_requests_are_answered_and_the_socket_stays_open(
    node: Node, ann: Rest, request_: dict[str, Any], error_id: str, status: int
) -> None:
    ws = Socket.open(ann)
    ws.send_raw(json.dumps(request_))
    reply = until(lambda: ws.replies.get(request_["seq"]) or {}, what="a reply")
    assert reply["status"] == "FAIL"
    assert reply["error"]["id"] == error_id
    assert reply["error"]["status_code"] == status
    assert reply["error"]["detailed_error"] == ""
    assert "event" not in reply
    ws.replies.clear()
    ws._next_request = 2
    assert ws.ask("ping")["status"] == "OK"
    ws.close()


@pytest.mark.parametrize(
    ("frame", "code"),
    [(b"\x01", 1003), ("not json", 1003), ("[]", 1003), ('{"seq":"1"}', 1003), ("x" * (MAX_MESSAGE_BYTES + 1), 1009)],
)
def test_frames_that_are_no_requests_close_the_socket_and_nothing_else(
    node: Node, ann: Rest, bob: Rest, frame: str | bytes, code: int
) -> None:
    pids = {name: child["pid"] for name, child in node.children().items()}
    bad, good = Socket.open(ann), Socket.open(bob)
    bad.send_raw(frame)
    assert bad.expect_closed() == code
    assert good.ask("ping")["status"] == "OK"
    good.close()
    assert {name: child["pid"] for name, child in node.children().items()} == pids


@pytest.mark.parametrize(
    ("action", "data"),
    [
        ("user_typing", {"parent_id": None}),
        ("user_update_active_status", {"user_is_active": True, "manual": None}),
        ("get_statuses", {"anything": None}),
        ("ping", {"anything": None}),
    ],
)
def test_null_is_as_if_it_were_not_given(node: Node, ann: Rest, action: str, data: dict[str, Any]) -> None:
    if action == "user_typing":
        data["channel_id"] = new_channel(ann, new_team(ann))["id"]
    ws = Socket.open(ann)
    assert ws.ask(action, data)["status"] == "OK"
    ws.close()


FLOODS = {
    "pings": b"\x89\x80\0\0\0\0" * 10_000,
    "pongs": b"\x8a\x80\0\0\0\0" * 10_000,
    "fragments": b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 10_000,
}


@pytest.mark.parametrize("kind", FLOODS)
def test_strangers_who_flood_are_closed_and_nobody_else_notices(node: Node, ann: Rest, kind: str) -> None:
    """Fifteen, three at a time, without a session; frames as many as the network takes."""
    pids = {name: child["pid"] for name, child in node.children().items()}
    good = Socket.open(ann)

    def flood() -> None:
        for _ in range(5):
            began = time.monotonic()
            with Raw(node.url) as raw:
                raw.send(upgrade_request())
                assert raw.read().status == 101
                for _ in range(1000):
                    raw.send(FLOODS[kind])
                    if raw.was_reset:
                        break
                else:
                    raise AssertionError("60 MB were taken")
            assert within(3.0, since=began), "it was closed for its silence only"

    with ThreadPoolExecutor(3) as pool:
        floods = [pool.submit(flood) for _ in range(3)]
        slowest_s = 0.0
        while not all(one.done() for one in floods):
            began = time.monotonic()
            assert good.ask("ping")["status"] == "OK"
            slowest_s = max(slowest_s, idle_s(began))
            time.sleep(0.1)
    for one in floods:
        one.result()
    assert slowest_s < 1.0
    good.close()
    assert {name: child["pid"] for name, child in node.children().items()} == pids


def test_a_burst_of_requests_is_answered_in_order_up_to_the_limit(node: Node, ann: Rest) -> None:
    ws = Socket.open(ann)
    numbers = [ws.send("ping") for _ in range(50)]
    until(lambda: len(ws.replies) == 50, what="all replies")
    assert list(ws.replies) == numbers
    for _ in range(100):
        try:
            ws.send("ping")
        except Exception:
            break
    assert ws.expect_closed() == 1008


def test_a_request_that_reads_very_much_counts_as_many(node: Node, ann: Rest, bob: Rest) -> None:
    """Twenty frames each: four are all that may come at once."""
    dear, cheap = Socket.open(ann), Socket.open(bob)
    for _ in range(15):
        cheap.send("get_statuses_by_ids", {"user_ids": [ann.id]})
        with contextlib.suppress(ConnectionClosed):
            dear.send("get_statuses")
    assert dear.expect_closed() == 1008
    assert len(dear.replies) < 15
    until(lambda: len(cheap.replies) == 15, what="all replies")
    assert cheap.closed is None
    cheap.close()


@pytest.mark.parametrize("by", ["socket", "REST"])
def test_who_says_all_the_time_that_they_type_is_told_of_sometimes(node: Node, ann: Rest, bob: Rest, by: str) -> None:
    channel = new_channel(ann, new_team(ann, bob), bob)
    anns, bobs = Socket.open(ann), Socket.open(bob)
    told = {"channel_id": channel["id"], "parent_id": ""}
    began = time.monotonic()
    for _ in range(50):
        if by == "socket":
            anns.send("user_typing", told)
        else:
            ann.post(f"/users/{ann.id}/typing", told)
    if by == "socket":
        until(lambda: len(anns.replies) == 50, what="all replies")
        assert {reply["status"] for reply in anns.replies.values()} == {"OK"}
    took_s = time.monotonic() - began
    ann.write(channel["id"], "written")
    bobs.expect_post("written")
    assert 0 < len(bobs.named("typing")) <= TYPING_BURST + took_s * 1000 / TYPING_EVERY_MS + 1
    anns.close()
    bobs.close()


def test_a_client_that_still_sends_gets_its_close_code(node: Node, ann: Rest) -> None:
    binary = b"\x82\x84" + bytes(4) + b"0000"
    with Raw(node.url) as raw:
        raw.send(upgrade_request(f"Authorization: Bearer {ann.token}"))
        assert raw.read().status == 101
        for _ in range(20):
            raw.send(binary * 100)
            time.sleep(0.01)
        assert raw.rest().endswith(b"\x88\x02" + (1003).to_bytes(2, "big"))


def test_typing_reaches_the_other_members_only(node: Node, ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob)
    other = new_channel(ann, team)
    anns, bobs = Socket.open(ann), Socket.open(bob)
    assert anns.ask("user_typing", {"channel_id": channel["id"], "parent_id": ""})["status"] == "OK"
    event = bobs.expect("typing")
    assert event["data"] == {"parent_id": "", "user_id": ann.id}
    assert event["broadcast"]["omit_users"] == {ann.id: True}
    assert bobs.ask("user_typing", {"channel_id": other["id"], "parent_id": ""})["error"]["status_code"] == 403
    ann.post(f"/users/{ann.id}/typing", {"channel_id": channel["id"], "parent_id": ""})
    until(lambda: len(bobs.named("typing")) == 2)
    assert not anns.named("typing")
    anns.close()
    bobs.close()


# Statuses --------------------------------------------------------------------------------------------------------------


def _status(ws: Socket, user_id: str) -> str:
    return str(ws.ask("get_statuses_by_ids", {"user_ids": [user_id]})["data"][user_id])


def test_connecting_makes_online_and_the_last_socket_gone_offline(node: Node, ann: Rest, bob: Rest) -> None:
    watcher = Socket.open(ann)
    watcher.expect("status_change", user_id=ann.id, status="online")
    assert _status(watcher, bob.id) == "offline"
    first, second = Socket.open(bob), Socket.open(bob)
    until(lambda: _status(watcher, bob.id) == "online", what="bob online")
    assert watcher.ask("get_statuses")["data"][bob.id] == "online"
    first.close()
    second.close()
    until(lambda: _status(watcher, bob.id) == "offline", 10, "bob offline")
    assert bob.id not in watcher.ask("get_statuses")["data"]
    assert not watcher.named("status_change", user_id=bob.id)  # only to the user's own sockets
    watcher.close()


def test_what_a_user_chose_stays_until_they_choose_again(node: Node, ann: Rest) -> None:
    ws = Socket.open(ann)
    ws.expect("status_change", status="online")
    assert ws.ask("user_update_active_status", {"user_is_active": False, "manual": True})["status"] == "OK"
    ws.expect("status_change", status="away")
    assert ws.ask("user_update_active_status", {"user_is_active": True, "manual": False})["status"] == "OK"
    assert _status(ws, ann.id) == "away"
    assert ws.ask("user_update_active_status", {"user_is_active": True, "manual": True})["status"] == "OK"
    until(lambda: _status(ws, ann.id) == "online")
    ws.close()


@pytest.mark.node
def test_idle_users_become_away() -> None:
    with Node(workers=1, environment={"MM_TEAMSETTINGS_USERSTATUSAWAYTIMEOUT": "1"}) as node:
        ws = Socket.open(new_user(node.url, "ann"))
        ws.expect("status_change", status="online")
        ws.expect("status_change", 15, status="away")
        ws.ask("user_update_active_status", {"user_is_active": True, "manual": False})
        until(lambda: len(ws.named("status_change", status="online")) == 2)
        ws.close()


def test_a_node_that_was_killed_leaves_nobody_online(own_node: Node) -> None:
    ann, bob = new_user(own_node.url, "ann"), new_user(own_node.url, "bob")
    ws = Socket.open(ann)
    ws.expect("status_change", status="online")
    assert own_node.process is not None
    own_node.process.kill()
    own_node.process.wait()
    own_node.start()
    watcher = Socket.open(Rest(own_node.url).log_in(bob.user["username"]))
    until(lambda: _status(watcher, ann.id) == "offline", 20, "ann offline")
    assert _status(watcher, bob.id) == "online"
    watcher.close()


# The end ---------------------------------------------------------------------------------------------------------------


def test_logging_out_closes_the_sockets_of_that_session_only(node: Node, ann: Rest) -> None:
    other = Rest(node.url).log_in(ann.user["username"])
    mine, others = [Socket.open(ann), Socket.open(ann)], Socket.open(other)
    ann.post("/users/logout", {})
    assert [ws.expect_closed() for ws in mine] == [4001, 4001]
    assert others.ask("ping")["status"] == "OK"
    others.close()
    other.close()
    assert ann.call("GET", "/users/me").status_code == 401


def test_an_expired_session_closes_its_sockets(node: Node, ann: Rest) -> None:
    ws = Socket.open_bare(node.url)
    node.sql("UPDATE sessions SET expires_at = %s WHERE user_id = %s", int(time.time() * 1000) + 3000, ann.id)
    assert ws.ask("authentication_challenge", {"token": ann.token})["status"] == "OK"
    assert ws.expect_closed(10) == 4001


def test_events_go_on_and_arrive_in_order(node: Node, ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob)
    sockets = [Socket.open(ann), Socket.open(bob), Socket.open(bob)]
    for number in range(50):
        ann.write(channel["id"], str(number))
    for ws in sockets:
        ws.expect_post("49")
        assert [post["message"] for post in ws.posts() if post["channel_id"] == channel["id"] and not post["type"]] == [
            str(number) for number in range(50)
        ]
        ws.close()


def test_a_channel_is_heard_from_the_moment_of_joining(node: Node, ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel = new_channel(ann, team)
    bobs = Socket.open(bob)
    ann.write(channel["id"], "before")
    ann.post(f"/channels/{channel['id']}/members", {"user_id": bob.id})
    assert bobs.expect("user_added", user_id=bob.id)["broadcast"]["channel_id"] == channel["id"]
    ann.write(channel["id"], "after")
    bobs.expect_post("after")
    assert "before" not in [post["message"] for post in bobs.posts()]
    bobs.close()


def test_a_direct_channel_is_announced_to_both(node: Node, ann: Rest, bob: Rest) -> None:
    anns, bobs = Socket.open(ann), Socket.open(bob)
    channel = ann.post("/channels/direct", [ann.id, bob.id])
    for ws in (anns, bobs):
        event = ws.expect("direct_added")
        assert event["broadcast"]["channel_id"] == channel["id"]
        assert event["data"] == {"creator_id": ann.id, "teammate_id": bob.id}
    bob.write(channel["id"], "psst")
    posted = anns.expect("posted")
    assert posted["data"]["channel_display_name"] == f"@{bob.user['username']}"
    assert json.loads(posted["data"]["mentions"]) == [ann.id]
    anns.close()
    bobs.close()


def test_joining_a_team_tells_in_the_order_that_clients_count_on(node: Node, ann: Rest) -> None:
    ws = Socket.open(ann)
    team = new_team(ann)
    ws.expect("added_to_team", team_id=team["id"])
    names = [event["event"] for event in ws.events if event["event"] in ("user_added", "posted", "added_to_team")]
    assert names == ["user_added", "user_added", "posted", "posted", "added_to_team"]
    assert {post["type"] for post in ws.posts()} == {"system_join_team", "system_join_channel"}
    ws.close()


def test_a_client_that_does_not_read_is_closed_and_others_lose_nothing(own_node: Node) -> None:
    ann, bob, slow = (new_user(own_node.url, name) for name in ("ann", "bob", "slow"))
    team = new_team(ann, bob, slow)
    channel = new_channel(ann, team, bob, slow)
    bobs = Socket.open(bob)
    host, _, port = own_node.url.removeprefix("http://").rpartition(":")
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect((host, int(port)))
    stuck.sendall(upgrade_request(f"Authorization: Bearer {slow.token}"))
    assert stuck.recv(12) == b"HTTP/1.1 101"
    message = "x" * 15_000
    began = time.monotonic()
    number = 0
    while "slow client closed" not in own_node.log:
        ann.write(channel["id"], f"{number} {message}")
        number += 1
        assert within(20, since=began)
    assert number * len(message) < 2 * MAX_QUEUED_BYTES
    bobs.expect_post(f"{number - 1} {message}")
    texts = [post["message"].split(" ")[0] for post in bobs.posts() if not post["type"]]
    assert texts == [str(one) for one in range(number)]
    bobs.close()
    stuck.close()


def test_what_is_changed_by_hand_reaches_sockets_within_2_s(node: Node, ann: Rest, bob: Rest) -> None:
    team = new_team(ann, bob)
    channel = new_channel(ann, team)
    his, hers = Socket.open(bob), Socket.open(ann)
    node.sql(
        "INSERT INTO channel_members SELECT channel_id, %s, roles, scheme_user, scheme_admin, scheme_guest, notify_props,"
        " last_update_at, join_seq, viewed_seq, last_viewed_at, msg_count, msg_count_root FROM channel_members"
        " WHERE channel_id = %s AND user_id = %s",
        bob.id,
        channel["id"],
        ann.id,
    )
    time.sleep(1.5)
    ann.write(channel["id"], "to bob, too")
    his.expect_post("to bob, too")
    node.sql("DELETE FROM sessions WHERE user_id = %s", bob.id)
    assert his.expect_closed(2.0) == Close.SESSION_ENDED
    assert hers.closed is None
    hers.close()
