"""No input holds the loop of a ws worker: not the bytes of a client, nor what the bus brings."""

import asyncio
import gc
import itertools
import socket
import threading
import time
from types import SimpleNamespace
from typing import cast

import pytest
import uvloop
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request

from app import sessions
from app.context import Context
from app.events.messages import Audience, Event, Message, SessionClosed
from app.ports import Upgrade
from db.model.board import LocalBoard
from db.model.ids import new_id
from tests.ws.autobahn_cases import BINARY, CONTINUATION, PING, PONG, TEXT, frame
from ws.client import LINGER_BYTES, Client
from ws.entry import Entry
from ws.server import MAX_BEHIND, READ_BYTES, TURN_S, WebSocketServer
from ws.strangers import Strangers

FLOODS = {
    "pings": frame(PING) * 10_000,
    "pongs": frame(PONG) * 10_000,
    "empty fragments": frame(TEXT, b"x", fin=False) + frame(CONTINUATION, fin=False) * 10_000,
    "texts": frame(TEXT, b"{}") * 10_000,
    "binary": frame(BINARY, b"x" * 100) * 1000,
    "garbage": b"\xff" * 100_000,
    "one long frame": b"\x81\xff\0\0\0\1\0\0\0\0" + bytes(100_000),
}


def _server() -> WebSocketServer:
    bus = SimpleNamespace(publish=lambda _message: None)
    return WebSocketServer(cast(Context, SimpleNamespace(bus=bus, db=SimpleNamespace(board=LocalBoard()))), "test0000")


class _Turns:
    """What is read, and what time is taken, in each turn of the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: dict[int, int] = {}
        self.most = self.total = 0
        self.longest_s = 0.0
        self._at = time.thread_time()
        real = Client.buffer_updated

        def count(client: Client, nbytes: int) -> None:
            self.read[id(client)] = self.read.get(id(client), 0) + nbytes
            self.total += nbytes
            real(client, nbytes)

        monkeypatch.setattr(Client, "buffer_updated", count)

    def look(self) -> None:
        """A turn is over."""
        self.most = max(self.most, *self.read.values(), 0)
        self.read.clear()
        now = time.thread_time()
        self.longest_s = max(self.longest_s, now - self._at)
        self._at = now
        asyncio.get_running_loop().call_soon(self.look)


def _flood(sock: socket.socket, data: bytes) -> None:
    with sock:
        try:
            while True:
                sock.sendall(data)
        except OSError:
            pass


async def _flooded(kind: str, known: bool, turns: _Turns) -> bool:
    """Serve two that flood, for a while; whether both were cut off."""
    server, threads = _server(), []
    for _ in range(2):
        threads.append(threading.Thread(target=_flood, args=(await _connected(server), FLOODS[kind])))
    if known:
        for client in server.clients:
            client._connection.know(server.loop.time())
    turns.look()
    for thread in threads:
        thread.start()
    deadline = server.loop.time() + 4
    while any(thread.is_alive() for thread in threads) and server.loop.time() < deadline:
        await asyncio.sleep(0.01)
    cut_off = not any(thread.is_alive() for thread in threads)
    for client in list(server.clients):
        client.abort()
    await asyncio.sleep(0.01)
    return cut_off


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_is_read_by_turns_and_cut_off(kind: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    gc.freeze()  # what the tests before left is not searched in the middle of a turn
    turns = _Turns(monkeypatch)
    try:
        assert uvloop.run(_flooded(kind, known, turns)), "it may go on"
    finally:
        gc.unfreeze()
    assert 0 < turns.most <= READ_BYTES, "more than one read in a turn"
    assert turns.longest_s < 0.1, "CPU of one turn"
    assert turns.total <= 2 * (LINGER_BYTES + 20 * READ_BYTES)


async def _connected(server: WebSocketServer, session_id: str = "") -> socket.socket:
    """The client's end of a socket whose upgrade is done."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    request = WSConnection(ConnectionType.CLIENT).send(Request(host="test", target="/"))
    await server.adopt(ours, Upgrade("", session_id, "", request, b""))
    return theirs


def _is_open(theirs: socket.socket) -> bool:
    theirs.setblocking(False)
    try:
        while theirs.recv(4096):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


async def test_of_too_many_strangers_the_oldest_is_closed_but_nobody_who_said_who_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def look_up(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(sessions, "authenticate", look_up)
    monkeypatch.setattr(Entry, "begin", look_up)
    server = _server()
    server.strangers = Strangers(2)
    by_header = await _connected(server, "session")
    challenged = await _connected(server)
    challenged.sendall(frame(TEXT, b'{"seq":1,"action":"authentication_challenge","data":{"token":"x"}}'))
    await asyncio.sleep(0.05)
    strangers = [await _connected(server) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert [_is_open(one) for one in (by_header, challenged, *strangers)] == [True, True, False, True, True]
    strangers[1].close()
    await asyncio.sleep(0.05)
    assert len(server.strangers) == 1, "who is gone is no stranger any more"
    strangers.append(await _connected(server))
    await asyncio.sleep(0.05)
    assert [_is_open(one) for one in strangers[2:]] == [True, True]
    for one in (by_header, challenged, *strangers):
        one.close()
    for task in list(server.tasks):
        task.cancel()
    await asyncio.sleep(0.05)
    assert not server.clients


def _event(name: str, seq: int) -> Event:
    return Event(name, Audience(channel_id="c"), seq, b"{")


async def test_what_the_bus_brings_at_once_is_worked_off_by_turns_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    server = _server()
    handled: list[Message] = []
    turns = [time.monotonic()]

    def handle(message: Message, *, alone: bool = False) -> None:
        assert not alone
        handled.append(message)
        time.sleep(0.005)

    def tick() -> None:
        turns.append(time.monotonic())
        if len(handled) < 102:
            server.loop.call_soon(tick)

    monkeypatch.setattr(server, "handle", handle)
    first, later = [_event("posted", n) for n in range(50)], [_event("posted", n) for n in range(50, 100)]
    closed = SessionClosed(new_id())
    server.loop.call_soon(tick)
    server.take(first)
    assert len(handled) < 50
    server.take([*later, closed])
    assert handled[-1] is closed, "it waits for nothing"
    server.take([_event("posted", 100)])
    while len(handled) < 102:
        await asyncio.sleep(0.001)
    assert [message.seq for message in handled if isinstance(message, Event)] == list(range(101))
    assert len(turns) > 5
    assert max(after - before for before, after in itertools.pairwise(turns)) < 0.5 > TURN_S


async def test_one_message_that_fails_keeps_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    server = _server()
    handled: list[int] = []

    def handle(message: Event, *, alone: bool = False) -> None:
        if message.seq == 1:
            raise RuntimeError("broken")
        handled.append(message.seq)

    monkeypatch.setattr(server, "handle", handle)
    with pytest.raises(RuntimeError):
        server.take([_event("posted", number) for number in range(4)])
    await asyncio.sleep(0.01)
    assert handled == [0, 2, 3]


async def test_who_is_far_behind_does_not_tell_who_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ws.server.TURN_S", 60.0)  # not the machine says what is behind
    server = _server()
    handled: list[str] = []
    monkeypatch.setattr(server, "handle", lambda message, **_: handled.append(message.name))
    server.take([_event("posted", 1)] * MAX_BEHIND + [_event("typing", 0), _event("posted", 2)])
    assert handled == ["posted"] * (MAX_BEHIND + 1)
    server.take([_event("typing", 0)])
    assert handled[-1] == "typing"


def _unconnected(server: WebSocketServer) -> Client:
    with socket.socket() as closed:
        return Client(server, Upgrade("", "", "", b"", b""), closed)


class _Heard:
    """A client without a socket that notes what it would be sent."""

    def __init__(self, server: WebSocketServer) -> None:
        self.client = _unconnected(server)
        self.client._deadline = None
        self.began = server.loop.time()
        self.pings: list[float] = []
        self.aborted: float | None = None

    def watch(self, monkeypatch: pytest.MonkeyPatch, seconds: int, answers: bool) -> None:
        """Look once a second, as the sweep does."""
        for second in range(seconds):
            now = self.began + second

            def sent(_client: Client, _data: bytes, now: float = now) -> None:
                self.pings.append(now)

            def abort(_client: Client, now: float = now) -> None:
                self.aborted = self.aborted or now

            monkeypatch.setattr(Client, "_enqueue", sent)
            monkeypatch.setattr(Client, "abort", abort)
            before = len(self.pings)
            self.client.check(now, 0)
            if answers and len(self.pings) > before:
                self.client._last_heard = now


async def test_an_idle_client_is_pinged_before_proxies_lose_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = _Heard(_server())
    heard.watch(monkeypatch, 600, answers=True)
    times = [heard.began, *heard.pings]
    assert max(after - before for before, after in itertools.pairwise(times)) <= 30.0, "nginx: 60 s, haproxy: 50 s"
    assert len(heard.pings) <= 600 / 25 + 1
    assert heard.aborted is None


async def test_a_client_that_answers_no_ping_is_closed_after_three(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = _Heard(_server())
    heard.watch(monkeypatch, 130, answers=False)
    assert heard.aborted is not None
    assert 80.0 <= heard.aborted - heard.began <= 110.0
    assert len([at for at in heard.pings if at < heard.aborted]) >= 3


async def test_those_who_come_at_once_are_not_pinged_at_once() -> None:
    server = _server()
    due = []
    for _ in range(100):
        client = _unconnected(server)
        server.clients.add(client)
        due.append(round(client._next_ping - server.loop.time()))
    assert max(due.count(second) for second in due) <= 6
    server.clients.clear()
