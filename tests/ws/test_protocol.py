"""The WebSocket protocol, sans-I/O: handshake, requests, limits, and whatever else a client may send."""

import itertools
import json
import random
import struct

import pytest
import wsproto.connection
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from tests.rig.scale import for_each_seed, scale
from ws.allowance import KNOWN, PIECE, UNKNOWN
from ws.close import Close
from ws.protocol import (
    MAX_MESSAGE_BYTES,
    Asked,
    Connection,
    Ended,
    Opened,
    Output,
    PongReceived,
    State,
    Write,
)


class Peer:
    """A client by wsproto, joined to the server's `Connection`."""

    def __init__(self, target: str = "/api/v4/websocket") -> None:
        self.client = WSConnection(ConnectionType.CLIENT)
        self.server = Connection(0.0)
        self.received: list[object] = []
        self.outputs = self.send(Request(host="node", target=target))
        self.server.know(0.0)

    def send(self, *events: object, now: float = 0.0) -> list[Output]:
        data = b"".join(self.client.send(event) for event in events)  # type: ignore[arg-type]
        return self.send_bytes(data, now)

    def send_bytes(self, data: bytes, now: float = 0.0) -> list[Output]:
        outputs = self.server.receive(data, now)
        self.take(b"".join(output.data for output in outputs if isinstance(output, Write)))
        return [output for output in outputs if not isinstance(output, Write)]

    def take(self, data: bytes) -> None:
        self.client.receive_data(data)
        self.received.extend(self.client.events())

    def ask(self, request: object, now: float = 0.0) -> list[Output]:
        return self.send(TextMessage(data=json.dumps(request)), now=now)

    def close_code(self) -> int | None:
        codes = [event.code for event in self.received if isinstance(event, CloseConnection)]
        return codes[0] if codes else None


def test_the_handshake_is_accepted_without_extensions() -> None:
    peer = Peer()
    assert peer.outputs == [Opened("", None)]
    (accepted,) = peer.received
    assert isinstance(accepted, AcceptConnection)
    assert accepted.extensions == []
    assert accepted.subprotocol is None
    assert peer.server.state is State.OPEN


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_the_handshake_may_arrive_in_pieces(cut: int) -> None:
    client, server = WSConnection(ConnectionType.CLIENT), Connection(0.0)
    data = client.send(Request(host="node", target="/api/v4/websocket"))
    assert server.receive(data[:cut], 0.0) == []
    assert Opened("", None) in server.receive(data[cut:], 0.0)


def test_frames_may_follow_the_handshake_at_once() -> None:
    client, server = WSConnection(ConnectionType.CLIENT), Connection(0.0)
    data = client.send(Request(host="node", target="/api/v4/websocket")) + _frame(1, b'{"seq":1,"action":"ping"}')
    outputs = server.receive(data, 0.0)
    assert outputs[1:] == [Opened("", None), Asked(1, "ping", {})]


def test_a_head_without_end_is_refused() -> None:
    server = Connection(0.0)
    outputs = server.receive(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000, 0.0)
    assert isinstance(outputs[-1], Ended)
    assert server.state is State.CLOSED


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Opened("", None)),
        ("?connection_id=&sequence_number=0", Opened("", None)),
        (f"?connection_id={'a' * 26}&sequence_number=5", Opened("a" * 26, 5)),
        (
            f"?connection_id={'a' * 26}&sequence_number=0&posted_ack=true&disconnect_err_code=4000",
            Opened("a" * 26, 0, acknowledges=True),
        ),
    ],
)
def test_resume_parameters_are_understood_and_unknown_ones_ignored(query: str, expected: Opened) -> None:
    assert Peer("/api/v4/websocket" + query).outputs == [expected]


@pytest.mark.parametrize(
    "query",
    [
        "connection_id=short&sequence_number=1",
        f"connection_id={'A' * 26}&sequence_number=1",
        f"connection_id={'a' * 26}",
        f"connection_id={'a' * 26}&sequence_number=-1",
        f"connection_id={'a' * 26}&sequence_number=x",
    ],
)
def test_malformed_resume_parameters_close_the_socket_without_a_frame(query: str) -> None:
    peer = Peer("/api/v4/websocket?" + query)
    assert [type(output) for output in peer.outputs] == [Ended]
    assert peer.close_code() is None


BAD = "400 Bad Request"


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Sec-WebSocket-Version", "12", "426 Upgrade Required"),
        ("Sec-WebSocket-Version", None, BAD),
        ("Sec-WebSocket-Key", None, BAD),
        ("Connection", "keep-alive", BAD),
        ("Host", None, BAD),
        *((name, "\xe9", BAD) for name in ("Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Connection", "Host")),
        *(("Upgrade", value, BAD) for value in ("h2c", "\xe9")),
        *(("Host", value, BAD) for value in ("xn--99999999", "xn--\xe9", "xn--a." + "b" * 80)),
    ],
)
def test_a_bad_handshake_is_refused_as_http(header: str, value: str | None, status: str) -> None:
    """Whatever is wrong with it: with a reason phrase (RFC 9112 §4), and a 426 says to what (RFC 9110 §15.5.22)."""
    fields = {
        "Host": "node", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    if value is None:
        del fields[header]
    else:
        fields[header] = value
    head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
    outputs = Connection(0.0).receive(f"GET /api/v4/websocket HTTP/1.1\r\n{head}\r\n".encode("latin-1"), 0.0)
    assert isinstance(outputs[0], Write)
    lines = outputs[0].data.decode().lower().split("\r\n")
    assert lines[0] == f"http/1.1 {status}".lower()
    assert "content-length: 0" in lines
    assert ("upgrade: websocket" in lines, "connection: close, upgrade" in lines) == (status[:3] == "426",) * 2
    assert isinstance(outputs[-1], Ended)


_HEAD = {
    "Host": "node", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Extensions": "permessage-deflate",
    "Sec-WebSocket-Protocol": "a, b",
}  # fmt: skip
_ODD = (
    "\xe9",
    "xn--",
    "xn--99999999",
    "[",
    "]",
    "::",
    "%",
    "%zz",
    ",",
    ";",
    "=",
    " ",
    "",
    "a" * 70,
    ".",
    "@",
    "//",
    "?",
    "#",
)


def test_no_head_of_a_handshake_is_a_fault_of_ours() -> None:
    """Whatever its fields and its target are made of: it is accepted, or refused by an answer that is whole."""

    def send(rng: random.Random) -> None:
        for _ in range(200):
            fields = {**_HEAD}
            for name in rng.sample(sorted(fields), rng.randrange(1, 3)):
                fields[name] = "".join(rng.choices((*_ODD, fields[name]), k=rng.randrange(4)))
            target = rng.choice(("/", "//", "http://node/", "http://")) + "".join(rng.choices(_ODD, k=rng.randrange(4)))
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            request = f"GET {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1")
            outputs = Connection(0.0).receive(request, 0.0)
            assert isinstance(outputs[0], Write), request
            status, _, reason = outputs[0].data.partition(b"\r\n")[0].removeprefix(b"HTTP/1.1 ").partition(b" ")
            assert status in (b"101", b"400", b"426"), request
            assert reason, request
            assert outputs[0].data.endswith(b"\r\n\r\n")

    for_each_seed(scale(10, 300), send)


def test_a_target_in_absolute_form_is_understood() -> None:
    """RFC 9112 §3.2.2: by every server, though no client of ours sends it."""
    target = f"http://node:8065/api/v4/websocket?connection_id={'a' * 26}&sequence_number=5"
    assert Peer(target).outputs == [Opened("a" * 26, 5)]


def test_requests_are_understood() -> None:
    peer = Peer()
    assert peer.ask({"seq": 1, "action": "ping"}) == [Asked(1, "ping", {})]
    assert peer.ask({"seq": 2, "action": "ping", "data": None}) == [Asked(2, "ping", {})]
    assert peer.ask({"seq": 3, "action": "x", "data": {"a": [1]}, "more": 1}) == [Asked(3, "x", {"a": [1]})]
    assert peer.ask({}) == [Asked(0, "", {})]


def test_null_is_as_if_it_were_not_given() -> None:
    peer = Peer()
    data = {"parent_id": None, "manual": None, "kept": False, "also": [None]}
    assert peer.ask({"seq": 1, "action": "x", "data": data}) == [Asked(1, "x", {"kept": False, "also": [None]})]


def test_a_request_in_fragments_is_one_request() -> None:
    peer = Peer()
    assert peer.send(TextMessage(data='{"seq":1,', message_finished=False)) == []
    assert peer.send(Ping()) == []
    assert peer.send(TextMessage(data='"action":"ping"}')) == [Asked(1, "ping", {})]
    assert any(isinstance(event, Pong) for event in peer.received)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", '"ping"', "null", '{"seq":"1"}', '{"seq":1.5}', '{"action":1}', '{"data":[]}', "[" * 8000],
)
def test_what_is_no_request_closes_the_socket(text: str) -> None:
    peer = Peer()
    outputs = peer.send(TextMessage(data=text))
    assert [type(output) for output in outputs] == [Ended]
    assert peer.close_code() == Close.UNSUPPORTED_DATA
    assert peer.server.state is State.CLOSED


def test_binary_messages_close_the_socket() -> None:
    peer = Peer()
    peer.send(BytesMessage(data=b"\x81\xa3seq\x01"))
    assert peer.close_code() == Close.UNSUPPORTED_DATA


def test_8_kib_is_the_most() -> None:
    padding = MAX_MESSAGE_BYTES - len('{"seq":1,"action":""}')
    peer = Peer()
    assert peer.send(TextMessage(data='{"seq":1,"action":"' + "x" * padding + '"}')) == [Asked(1, "x" * padding, {})]
    peer.send(TextMessage(data='{"seq":1,"action":"' + "x" * (padding + 1) + '"}'))
    assert peer.close_code() == Close.MESSAGE_TOO_BIG


def test_8_kib_are_bytes_and_count_over_fragments() -> None:
    peer = Peer()
    peer.send(TextMessage(data="\u2603" * 1400, message_finished=False))
    assert peer.close_code() is None
    peer.send(TextMessage(data="\u2603" * 1400, message_finished=False))
    assert peer.close_code() == Close.MESSAGE_TOO_BIG


def test_30_messages_a_second_after_a_burst_of_60_are_fine_with_pings_and_pongs_between_them() -> None:
    peer = Peer()
    for number in range(60):
        assert peer.ask({"seq": number + 1, "action": "ping"}, now=0.0)
    for number in range(30 * 100):
        now = 1.0 + number / 30
        assert peer.ask({"seq": number + 1, "action": "ping"}, now=now)
        if number % 30 == 0:
            peer.send(Pong(), now=now)
            peer.send(Ping(b"x"), now=now)
    assert peer.close_code() is None


def test_as_many_large_messages_over_a_common_path_are_fine() -> None:
    """1,400 bytes a read."""
    peer = Peer()
    request = _frame(1, json.dumps({"seq": 1, "action": "ping", "data": {"x": "y" * 8000}}).encode())
    for number in range(30 * 60):
        for at in range(0, len(request), 1400):
            peer.send_bytes(request[at : at + 1400], now=number / 30)
    assert peer.close_code() is None


def test_more_is_closed() -> None:
    peer = Peer()
    for number in range(int(KNOWN.burst)):
        assert peer.ask({"seq": number + 1, "action": "ping"}, now=0.0)
    peer.ask({"seq": 1000, "action": "ping"}, now=0.0)
    assert peer.close_code() == Close.POLICY_VIOLATION


def test_before_it_is_known_who_it_is_the_challenge_and_some_pings_are_all() -> None:
    peer = Peer()
    peer.server = Connection(0.0)
    peer.client = WSConnection(ConnectionType.CLIENT)
    peer.send(Request(host="node", target="/"))
    assert peer.ask({"seq": 1, "action": "authentication_challenge", "data": {"token": "x"}})
    for _ in range(5):
        peer.send(Ping())
    assert peer.close_code() is None
    for _ in range(int(UNKNOWN.burst)):
        peer.send(Ping())
        if peer.close_code() is not None:
            break
    assert peer.close_code() == Close.POLICY_VIOLATION


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("opcode", range(16))
def test_no_frame_whatever_makes_the_parser_do_more_than_the_allowance(
    known: bool, opcode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of them within a second, in one piece or in many: what wsproto is given, and how often, is bounded."""
    parsed: list[int] = []
    real = wsproto.connection.Connection.receive_data

    def count(self: wsproto.connection.Connection, data: bytes | None) -> None:
        parsed.append(len(data or b""))
        real(self, data)

    for fin, size, cut in itertools.product((False, True), (0, 1, 125), (1, 5, 16_384)):
        monkeypatch.setattr(wsproto.connection.Connection, "receive_data", real)
        server = Connection(0.0)
        server.receive(WSConnection(ConnectionType.CLIENT).send(Request(host="node", target="/")), 0.0)
        rate = KNOWN if known else UNKNOWN
        if known:
            server.know(0.0)
        monkeypatch.setattr(wsproto.connection.Connection, "receive_data", count)
        flood = _frame(opcode, b"x" * size, fin=fin) * (160_000 // (6 + size))
        if opcode == 0:
            flood = _frame(1, b"", fin=False) + flood
        parsed.clear()
        answers = 0
        for at in range(0, len(flood), cut):
            answers += len(server.receive(flood[at : at + cut], at / len(flood)))
            if server.state is State.CLOSED:
                break
        may = rate.burst + rate.per_s
        assert server.state is State.CLOSED
        assert sum(parsed) <= (may + 1) * (6 + size)
        assert len(parsed) <= may * (1 / PIECE + 1)
        assert answers <= may + 2


def test_pings_go_both_ways() -> None:
    peer = Peer()
    peer.take(peer.server.ping())
    (ping,) = [event for event in peer.received if isinstance(event, Ping)]
    assert peer.send(ping.response()) == [PongReceived()]


def test_a_close_is_answered_and_ends_it() -> None:
    peer = Peer()
    outputs = peer.send(CloseConnection(code=1000))
    assert [type(output) for output in outputs] == [Ended]
    assert peer.close_code() == 1000
    assert peer.server.receive(b"anything", 0.0) == []
    assert peer.server.close(Close.SERVICE_RESTART) == b""
    assert peer.server.ping() == b""


def test_the_server_says_why_it_closes() -> None:
    peer = Peer()
    peer.take(peer.server.close(Close.SESSION_ENDED))
    assert peer.close_code() == 4001
    assert peer.server.state is State.CLOSED


def _frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    head = bytes([(0x80 if fin else 0) | (rsv << 4) | opcode])
    mask_bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([mask_bit | len(payload)])
    else:
        head += bytes([mask_bit | 126]) + struct.pack("!H", len(payload))
    return head + (b"\0\0\0\0" if masked else b"") + payload


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (_frame(1, b"{}", masked=False), 1002),
        (_frame(1, b"{}", rsv=4), 1002),
        (_frame(3, b""), 1002),
        (_frame(11, b""), 1002),
        (_frame(9, b"x" * 126), 1002),
        (_frame(9, b"", fin=False), 1002),
        (_frame(0, b"x"), 1002),
        (_frame(8, b"\x03"), 1002),
        (_frame(8, b"\x03\xed"), 1002),
        (_frame(1, b"\xff\xfe"), 1007),
        (_frame(1, b"\xed\xa0\x80"), 1007),
    ],
)
def test_what_breaks_the_rfc_is_closed_with_the_rfcs_code(frame: bytes, code: int) -> None:
    peer = Peer()
    outputs = peer.send_bytes(frame)
    assert [type(output) for output in outputs] == [Ended]
    assert peer.close_code() == code


def _random_bytes(chance: random.Random) -> bytes:
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    payload = chance.randbytes(chance.randrange(300)) if kind == 1 else json.dumps({"seq": 1, "action": "x"}).encode()
    frame = bytearray(
        _frame(
            chance.choice([0, 1, 1, 1, 2, 8, 9, 10]), payload, fin=chance.random() < 0.8, masked=chance.random() < 0.9
        )
    )
    if kind == 3 and frame:
        frame[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
    return bytes(frame)


def _fuzz_one(chance: random.Random) -> None:
    client, server = WSConnection(ConnectionType.CLIENT), Connection(0.0)
    data = client.send(Request(host="node", target="/api/v4/websocket"))
    if chance.random() < 0.2:
        mangled = bytearray(data)
        mangled[chance.randrange(len(mangled))] = chance.randrange(256)
        data = bytes(mangled)
    stream = data + b"".join(_random_bytes(chance) for _ in range(chance.randrange(8)))
    position = 0
    while position < len(stream):
        size = chance.choice([1, 7, 100, len(stream)])
        outputs = server.receive(stream[position : position + size], position / 1000)
        position += size
        assert all(isinstance(output, Output) for output in outputs)
        ended = [output for output in outputs if isinstance(output, Ended)]
        assert bool(ended) <= (server.state is State.CLOSED)
        if ended:
            assert outputs[-1] is ended[0]
            assert server.receive(b"more", 1.0) == []
            return


def test_no_bytes_whatever_break_the_protocol() -> None:
    for_each_seed(scale(2_000, 250_000), _fuzz_one)


def test_rejections_are_seen_as_such_by_a_client() -> None:
    client, server = WSConnection(ConnectionType.CLIENT), Connection(0.0)
    data = client.send(Request(host="node", target="/")).replace(
        b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 9"
    )
    written = b"".join(output.data for output in server.receive(data, 0.0) if isinstance(output, Write))
    client.receive_data(written)
    assert any(isinstance(event, RejectConnection) for event in client.events())


def test_empty_fragments_are_not_kept_while_a_message_never_ends() -> None:
    peer = Peer()
    peer.send(TextMessage("{", message_finished=False))
    for second in range(1, 101):
        peer.send(*(TextMessage("", message_finished=False) for _ in range(10)), now=float(second))
    assert peer.server.state is State.OPEN
    assert len(peer.server._message) == 1
    assert peer.send(TextMessage('"seq":1,"action":"ping"}', message_finished=True), now=200.0) == [
        Asked(1, "ping", {})
    ]
