"""Events that are written past the transport, between those that are not: nothing lost, doubled or out of order."""

import asyncio
import json
import random
import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest
import uvloop
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request, TextMessage

from app.context import Context
from app.events import messages as events
from app.events.messages import Audience, Event
from app.ports import Upgrade
from db.model.board import LocalBoard
from db.model.ids import new_id
from tests.rig.scale import for_each_seed, scale
from ws.client import Client
from ws.close import Close
from ws.fanout import SharedFrame
from ws.server import WebSocketServer
from ws.stream import MAX_QUEUED_EVENTS

CHANNEL = new_id()


class _Reader:
    """The other end."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        sock.sendall(self._protocol.send(Request(host="test", target="/")))
        sock.setblocking(False)
        self._text = ""
        self.got: list[dict[str, int]] = []

    def wait(self) -> None:
        """Until something is there, while no turn of the loop ends."""
        assert select.select([self.socket], [], [], 5)[0]
        self.read()

    def read(self, size: int = 1 << 20) -> bool:
        """Take what is there, at most so many bytes; whether there was something."""
        try:
            data = self.socket.recv(size)
        except BlockingIOError:
            return False
        self._protocol.receive_data(data)
        for event in self._protocol.events():
            if isinstance(event, TextMessage):
                self._text += event.data
                if event.message_finished:
                    self.got.append(json.loads(self._text))
                    self._text = ""
        return True


class _Worker:
    """A server with one socket, which is in one channel."""

    def __init__(self) -> None:
        bus = SimpleNamespace(publish=lambda _message: None)
        self.server = WebSocketServer(
            cast(Context, SimpleNamespace(bus=bus, db=SimpleNamespace(board=LocalBoard()))), "test0000"
        )
        self.seq = 0

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[Client, _Reader]]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            theirs = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
        reader = _Reader(theirs)
        await self.server.adopt(ours, Upgrade("", "", "", _read_request(ours), b""))
        (client,) = self.server.clients
        client.user_id, client.connection_id, client.session_id = new_id(), new_id(), new_id()
        client.attached = True
        hub = self.server.hub
        listener = hub.begin_loading(client.user_id)
        hub.join(listener, client)
        hub.end_loading(listener, ({CHANNEL: (1, self.seq)}, ()), client)
        await asyncio.sleep(0)
        reader.read()
        try:
            yield client, reader
        finally:
            client.abort()
            await asyncio.sleep(0.01)
            theirs.close()

    def publish(self, count: int, size: int = 100) -> None:
        """So many events come in one turn of the loop."""
        made = []
        for _ in range(count):
            self.seq += 1
            body = b'{"n":%d,"x":"%s"' % (self.seq, b"x" * size)
            made.append(events.encode(Event("posted", Audience(channel_id=CHANNEL), self.seq, body)))
        self.server.take(events.unbundle(events.bundle(made)))


def _is_direct(client: Client) -> bool:
    return client.direct is not None


def _read_request(ours: socket.socket) -> bytes:
    ours.setblocking(True)
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += ours.recv(65536)
    return request


async def test_an_event_that_is_alone_is_there_before_the_turn_ends() -> None:
    worker = _Worker()
    async with worker.connected() as (_, reader):
        worker.publish(1)
        reader.wait()
        assert [one["n"] for one in reader.got] == [1]
        worker.publish(2)
        assert not reader.read()
        worker.publish(1)  # it follows those that wait
        assert not reader.read()
        await asyncio.sleep(0)
        reader.wait()
        assert [one["n"] for one in reader.got] == [one["seq"] + 1 for one in reader.got] == [1, 2, 3, 4]
        worker.publish(1)
        reader.wait()
        assert reader.got[-1]["n"] == 5


async def test_an_event_that_is_alone_follows_more_than_a_queue_holds() -> None:
    worker = _Worker()
    async with worker.connected() as (_, reader):
        worker.publish(MAX_QUEUED_EVENTS + 10)
        worker.publish(1)
        await asyncio.sleep(0.01)
        while reader.read():
            pass
        assert [one["n"] for one in reader.got] == list(range(1, MAX_QUEUED_EVENTS + 12))


@pytest.mark.parametrize("how", ["hold", "reply", "final", "ended", "lost", "abort"])
async def test_nothing_is_written_past_what_has_to_come_first(how: str) -> None:
    worker = _Worker()
    async with worker.connected() as (client, reader):
        worker.publish(1)
        assert _is_direct(client)
        match how:
            case "hold":
                client.hold()
            case "reply":
                client.reply(b'{"n":0,"seq_reply":1}')
            case "final":
                client.close(Close.SERVICE_RESTART)
            case "ended":
                client._finish()
            case "lost":
                reader.socket.close()
                await asyncio.sleep(0.05)
                assert client.is_gone()
            case "abort":
                client.abort()
        assert not _is_direct(client)
        worker.publish(1)
        assert not _is_direct(client)
        if how == "hold":
            first = SharedFrame(b'{"n":-1', best_effort=False)
            client.release(first)
            worker.publish(1)
            await asyncio.sleep(0.01)
            reader.read()
            assert [(one["n"], one["seq"]) for one in reader.got] == [(1, 0), (-1, 1), (2, 2), (3, 3)]
        if how == "reply":
            await asyncio.sleep(0.01)
            reader.read()
            assert [one["n"] for one in reader.got] == [1, 0, 2]


async def _storm(chance: random.Random) -> tuple[int, int]:
    """Events alone and together, replies, holds, and a reader that is slow at times; (events, those of them alone)."""
    worker = _Worker()
    async with worker.connected() as (client, reader):
        alone = replies = 0
        for _ in range(chance.choice([30, 150])):
            match chance.choice(["one", "one", "one", "some", "reply", "turn", "turn", "read", "hold"]):
                case "one":
                    alone += _is_direct(client)
                    worker.publish(1, chance.choice([10, 1000, 60_000]))
                case "some":
                    worker.publish(chance.randint(2, 5), chance.choice([10, 30_000]))
                case "reply":
                    replies += 1
                    client.reply(b'{"seq_reply":%d}' % replies)
                case "turn":
                    await asyncio.sleep(0)
                case "read":
                    reader.read(chance.choice([100, 1 << 20]))
                case "hold":
                    client.hold()
                    worker.publish(1)
                    client.release(None)
            while len(client.stream) > MAX_QUEUED_EVENTS // 8 or client._paused_at is not None:
                reader.read()
                await asyncio.sleep(0)
        deadline = asyncio.get_running_loop().time() + 10
        while len(reader.got) < worker.seq + replies and asyncio.get_running_loop().time() < deadline:
            reader.read()
            await asyncio.sleep(0)
        numbers = [(one["n"], one["seq"]) for one in reader.got if "n" in one]
        assert numbers == [(at + 1, at) for at in range(worker.seq)]
        assert [one["seq_reply"] for one in reader.got if "seq_reply" in one] == list(range(1, replies + 1))
    return worker.seq, alone


def test_all_come_once_and_in_order() -> None:
    """Alone, together, between replies, to a reader that does not keep up."""
    found = for_each_seed(scale(60, 1000), lambda chance: uvloop.run(_storm(chance)))
    assert sum(one for one, _ in found) > 2 * sum(alone for _, alone in found) > len(found)
