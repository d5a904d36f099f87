"""Shared frames and one write per socket and turn of the loop."""

import asyncio
import json

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import TextMessage

from ws.fanout import Fanout, SharedFrame, frame_header, text_frame


def _texts(data: bytes) -> list[str]:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    texts = []
    text = ""
    for event in client.events():
        assert isinstance(event, TextMessage)
        text += event.data
        if event.message_finished:
            texts.append(text)
            text = ""
    return texts


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_frames_are_those_of_the_rfc(length: int) -> None:
    assert _texts(text_frame(b"x" * length)) == ["x" * length]
    assert frame_header(length)[0] == 0x81


@pytest.mark.parametrize("size", [10, 110, 117, 118, 119, 120, 65_520, 65_530])
def test_an_event_is_numbered_for_each_socket_at_every_length(size: int) -> None:
    frame = SharedFrame(json.dumps({"event": "x" * size}).encode()[:-1], best_effort=False)
    for seq in (0, 9, 10, 99, 100, 12_345_678):
        (text,) = _texts(frame.numbered(seq))
        assert json.loads(text) == {"event": "x" * size, "seq": seq}


class _Socket:
    def __init__(self) -> None:
        self.flushed = 0

    def flush(self) -> None:
        self.flushed += 1


async def test_each_marked_socket_is_flushed_once_at_the_end_of_the_turn() -> None:
    fanout = Fanout()
    sockets = [_Socket() for _ in range(10)]
    for socket in sockets:
        fanout.mark(socket)
    assert not any(socket.flushed for socket in sockets)
    await asyncio.sleep(0)
    assert [socket.flushed for socket in sockets] == [1] * 10


async def test_a_long_fan_out_lets_others_run_in_between() -> None:
    fanout = Fanout()
    sockets = [_Socket() for _ in range(2_000)]
    for socket in sockets:
        fanout.mark(socket)
    turns = 0
    while not all(socket.flushed for socket in sockets):
        await asyncio.sleep(0)
        turns += 1
    assert 2_000 / 256 <= turns <= 12


async def test_a_socket_may_be_marked_again_while_others_wait() -> None:
    fanout = Fanout()
    first, last = _Socket(), _Socket()
    fanout.mark(first)
    for _ in range(600):
        fanout.mark(_Socket())
    fanout.mark(last)
    await asyncio.sleep(0)
    fanout.mark(first)
    while not last.flushed:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert first.flushed == 2
