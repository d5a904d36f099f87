"""The Autobahn test suite's 301 cases without compression (groups 1 to 10), by their numbers."""

import socket
from collections import Counter
from collections.abc import Iterator

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request

from tests.ws.autobahn_cases import CLOSE, Case, cases
from tests.ws.echo import Echo, echo_server
from ws.protocol import Ended, State, Write

GROUPS = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1}
NUMBERS = [case.number for case in cases()]
OVER_A_SOCKET = [
    number
    for number in NUMBERS
    if number.startswith(("1.", "2.", "5.", "6.4.", "7.1.", "7.3.", "9.1.3", "9.6.6", "10."))
]

Frames = list[tuple[int, bytes]]


@pytest.fixture(scope="module")
def by_number() -> dict[str, Case]:
    return {case.number: case for case in cases()}


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with echo_server() as found:
        yield found


def _upgrade() -> bytes:
    return bytes(WSConnection(ConnectionType.CLIENT).send(Request(host="node", target="/")))


def _parse(data: bytes) -> Frames:
    """The frames of a server: whole, final, unmasked, without reserved bits."""
    frames = []
    at = 0
    while at < len(data):
        first, second = data[at], data[at + 1]
        assert first & 0xF0 == 0x80
        at += 2
        length = second
        if second >= 126:
            size = 2 if second == 126 else 8
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        frames.append((first & 0x0F, data[at : at + length]))
        assert len(data) >= at + length
        at += length
    return frames


def _judge(case: Case, frames: Frames) -> None:
    assert [opcode for opcode, _ in frames].count(CLOSE) == 1
    *echoes, (opcode, payload) = frames
    assert opcode == CLOSE
    assert [(opcode, len(payload)) for opcode, payload in echoes] == [
        (opcode, len(payload)) for opcode, payload in case.echoes
    ]
    assert echoes == list(case.echoes), "the payload"  # only now: a text of megabytes is nothing to look at
    assert int.from_bytes(payload[:2], "big") in case.codes


def test_there_are_301_cases_with_autobahns_numbers() -> None:
    assert len(set(NUMBERS)) == len(NUMBERS) == 301
    assert Counter(number.split(".")[0] for number in NUMBERS) == GROUPS
    assert len(OVER_A_SOCKET) >= 24


@pytest.mark.parametrize("number", NUMBERS)
def test_case(number: str, by_number: dict[str, Case]) -> None:
    case, echo = by_number[number], Echo()
    echo.receive(_upgrade(), 0.0)
    written = bytearray()
    ended = []
    for index, chunk in enumerate(case.chunks):
        for output in echo.receive(chunk, 0.0):
            if isinstance(output, Write):
                written += output.data
            elif isinstance(output, Ended):
                ended.append(index)
    assert echo.state is State.CLOSED
    assert len(ended) == 1
    if case.by is not None:
        assert ended[0] == case.by
    _judge(case, _parse(bytes(written)))


@pytest.mark.parametrize("number", OVER_A_SOCKET)
def test_case_over_a_socket(number: str, by_number: dict[str, Case], address: tuple[str, int]) -> None:
    case = by_number[number]
    with socket.create_connection(address, timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(_upgrade())
        received = bytearray()
        while b"\r\n\r\n" not in received:
            received += client.recv(65536)
        try:
            for chunk in case.chunks:
                client.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            assert case.codes != {1000}, "the server closed before the client"
        try:
            while part := client.recv(1 << 20):
                received += part
        except ConnectionResetError:
            assert case.codes != {1000}
    head = received.index(b"\r\n\r\n") + 4
    assert received.startswith(b"HTTP/1.1 101 ")
    _judge(case, _parse(bytes(received[head:])))
