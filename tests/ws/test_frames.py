"""The short path for whole texts: the same texts as wsproto's, whatever the cuts."""

import random
from collections.abc import Sequence

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection, Event, Ping, Pong, TextMessage

from tests.rig.scale import for_each_seed, scale
from tests.ws.autobahn_cases import CONTINUATION, PING, TEXT, frame
from ws.allowance import Allowance, Rate
from ws.frames import SHORT_BYTES, Excess, Frames


def _frames() -> Frames:
    """Of a client that may send what it likes."""
    return Frames(Allowance(Rate(0.0, 1e9), 0.0))


def _texts(events: Sequence[str | Event | Excess]) -> list[object]:
    """Texts as they were sent, with the pings between them."""
    found: list[object] = []
    parts = ""
    for event in events:
        if isinstance(event, str):
            found.append(event)
        elif isinstance(event, TextMessage):
            parts += event.data
            if event.message_finished:
                found.append(parts)
                parts = ""
        else:
            found.append(event)
    return found


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 125, 126, 127, SHORT_BYTES])
def test_a_whole_text_needs_no_wsproto(length: int) -> None:
    frames = _frames()
    text = "x" * length
    assert list(frames.receive(frame(TEXT, text.encode()) * 2, 0.0)) == [text, text]


def test_longer_ones_come_in_pieces_so_that_they_can_be_refused() -> None:
    frames = _frames()
    data = frame(TEXT, b"x" * (SHORT_BYTES + 1))
    (event,) = frames.receive(data[:1000], 0.0)
    assert isinstance(event, TextMessage)
    assert _texts([event, *frames.receive(data[1000:], 0.0)]) == ["x" * (SHORT_BYTES + 1)]


def test_the_short_path_is_open_again_after_anything_else() -> None:
    frames = _frames()
    assert list(frames.receive(frame(PING, b"a"), 0.0)) == [Ping(b"a")]
    assert list(frames.receive(frame(TEXT, b"one"), 0.0)) == ["one"]
    assert _texts(list(frames.receive(frame(TEXT, b"tw", fin=False) + frame(CONTINUATION, b"o"), 0.0))) == ["two"]
    assert list(frames.receive(frame(TEXT, b"three"), 0.0)) == ["three"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\x03abc",  # not masked
        b"\x81\xfe\x00\x03\0\0\0\0abc",  # a longer length than it takes
        b"\x81\xff\0\0\0\0\0\0\0\x03\0\0\0\0abc",
        b"\x81\xff\x80\0\0\0\0\0\0\x03\0\0\0\0abc",
        b"\x91\x83\0\0\0\0abc",
        frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
    ],
)
def test_what_breaks_the_rfc_is_left_to_wsproto(data: bytes) -> None:
    *_, last = _frames().receive(data, 0.0)
    assert isinstance(last, CloseConnection)
    assert last.code == 1002


def test_a_text_that_is_not_utf8_is_an_error() -> None:
    (last,) = _frames().receive(frame(TEXT, b"\xff"), 0.0)
    assert isinstance(last, CloseConnection)
    assert last.code == 1007


def _same_as_wsproto(chance: random.Random) -> None:
    data = b""
    for _ in range(chance.randrange(1, 8)):
        payload = "".join(chance.choices("ab\u00e9\u2603\U0001f600", k=chance.randrange(200))).encode()
        kind = chance.randrange(4)
        if kind == 0:
            data += frame(PING, payload[:125])
        elif kind == 1:
            cut = chance.randrange(len(payload) + 1)
            data += frame(TEXT, payload[:cut], fin=False) + frame(PING) + frame(CONTINUATION, payload[cut:])
        else:
            data += frame(TEXT, payload * chance.choice([1, 1, 1, 100]))
    plain = Connection(ConnectionType.SERVER)
    plain.receive_data(data)
    expected = list(plain.events())
    frames = _frames()
    events: list[str | Event | Excess] = []
    while data:
        size = chance.choice([1, 2, 5, 100, 5000, len(data)])
        events += list(frames.receive(data[:size], 0.0))
        data = data[size:]
    assert _texts(events) == _texts(expected)


def test_however_it_is_cut_it_is_what_wsproto_alone_would_read() -> None:
    for_each_seed(scale(1_000, 100_000), _same_as_wsproto)


def test_control_frames_are_wsprotos() -> None:
    assert _frames().send(Ping(b"")) == b"\x89\x00"
    assert _frames().send(Pong(b"ab")) == b"\x8a\x02ab"
