"""Connected sockets from one worker to another: whatever dies or hangs in between, a socket never has two servers."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from app.ports import Upgrade
from cluster.sockets import handover
from cluster.sockets.handover import Go, Link, Offer, Receiver, Take, UpgradeSender, Void, choose
from cluster.sockets.offers import TAKE_TIMEOUT_S, offer

UPGRADE = Upgrade("user", "session", "10.0.0.1", b"GET / HTTP/1.1\r\n\r\n", b"tail")


class Taker:
    """A receiver that keeps what it gets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.got: list[tuple[socket.socket, bytes]] = []
        self.promised = 0
        self.receiver = Receiver(handover.listen(path), self._adopt, lambda: len(self.got), self._promise)

    async def _adopt(self, sock: socket.socket, payload: bytes) -> None:
        self.got.append((sock, payload))

    def _promise(self, change: int) -> None:
        self.promised += change

    def close(self) -> None:
        self.receiver.close()
        self.path.unlink()
        for sock, _ in self.got:
            sock.close()


@pytest.fixture
async def taker(tmp_path: Path) -> AsyncIterator[Taker]:
    taker = Taker(tmp_path / "a")
    yield taker
    taker.close()


async def _until(check: Callable[[], object]) -> None:
    for _ in range(2000):
        if check():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come true")


async def test_the_socket_and_its_payload_arrive_and_the_giver_lets_go(taker: Taker) -> None:
    client, server = socket.socketpair()
    sender = UpgradeSender([taker.path])
    assert await sender.offer(server.fileno(), UPGRADE)
    server.close()
    await _until(lambda: taker.got)
    adopted, payload = taker.got[0]
    assert msgspec.msgpack.decode(payload, type=Upgrade) == UPGRADE
    client.sendall(b"hello")
    assert adopted.recv(10) == b"hello"
    assert taker.promised == 1
    client.close()
    sender.close()


async def test_many_sockets_at_once_all_arrive(taker: Taker) -> None:
    pairs = [socket.socketpair() for _ in range(100)]
    link = Link(taker.path)
    results = await asyncio.gather(
        *(offer(server.fileno(), str(number).encode(), [link]) for number, (_, server) in enumerate(pairs))
    )
    assert all(results)
    await _until(lambda: len(taker.got) == 100)
    assert sorted(int(payload) for _, payload in taker.got) == list(range(100))
    for client, server in pairs:
        client.close()
        server.close()
    link.close()


async def test_without_a_taker_the_offer_is_void(tmp_path: Path) -> None:
    client, server = socket.socketpair()
    link = Link(tmp_path / "nobody")
    assert await offer(server.fileno(), b"", [link]) is False
    client.sendall(b"still ours")
    assert server.recv(20) == b"still ours"
    client.close()
    server.close()


async def test_a_frozen_taker_is_passed_over_and_never_serves_the_socket(
    tmp_path: Path, taker: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "GO_TIMEOUT_S", 60.0)
    frozen = handover.listen(tmp_path / "frozen")
    sender = UpgradeSender([tmp_path / "frozen", taker.path])
    client, server = socket.socketpair()
    upgrade = msgspec.structs.replace(UPGRADE, user_id="")
    assert await sender.offer(server.fileno(), upgrade)
    server.close()
    await _until(lambda: taker.got)
    # Now the frozen one wakes: it finds the offer, takes it, finds that somebody else has it and closes its duplicate.
    thawed: list[tuple[socket.socket, bytes]] = []

    async def adopt(sock: socket.socket, payload: bytes) -> None:
        thawed.append((sock, payload))

    promised: list[int] = []
    receiver = Receiver(frozen, adopt, lambda: 0, promised.append)
    await _until(lambda: promised == [1, -1])
    assert not thawed
    client.sendall(b"x")
    assert taker.got[0][0].recv(1) == b"x"
    receiver.close()
    client.close()
    sender.close()


async def test_a_giver_that_dies_before_its_go_leaves_the_socket_to_nobody(taker: Taker) -> None:
    client, server = socket.socketpair()
    giver = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    giver.connect(str(taker.path))
    socket.send_fds(giver, [msgspec.msgpack.encode(Offer(1, b""))], [server.fileno()])
    server.close()
    await _until(lambda: taker.promised == 1)
    assert msgspec.msgpack.decode(giver.recv(1000), type=Take) == Take(1, 0)
    giver.close()
    await _until(lambda: taker.promised == 0)
    assert not taker.got
    assert client.recv(1) == b""
    client.close()


async def test_a_go_that_comes_too_late_is_ignored(taker: Taker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "GO_TIMEOUT_S", 0.05)
    client, server = socket.socketpair()
    giver = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    giver.connect(str(taker.path))
    socket.send_fds(giver, [msgspec.msgpack.encode(Offer(1, b""))], [server.fileno()])
    await _until(lambda: taker.promised == 1)
    await _until(lambda: taker.promised == 0)
    giver.send(msgspec.msgpack.encode(Go(1)))
    await asyncio.sleep(0.05)
    assert not taker.got
    client.sendall(b"x")
    assert server.recv(1) == b"x"  # still the giver's
    for one in (client, server, giver):
        one.close()


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"\xc1", msgspec.msgpack.encode(Take(1, 1)), msgspec.msgpack.encode(Offer(1, b""))]
)
async def test_a_giver_that_talks_nonsense_is_dropped(taker: Taker, data: bytes) -> None:
    giver = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    giver.connect(str(taker.path))
    giver.send(data or b"\x00")
    giver.setblocking(False)
    await asyncio.sleep(0.05)
    assert giver.recv(1000) == b""
    giver.close()
    link, (client, server) = Link(taker.path), socket.socketpair()
    assert await offer(server.fileno(), b"", [link])
    for one in (client, server):
        one.close()
    link.close()


async def test_no_descriptor_leaks(taker: Taker) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    link = Link(taker.path)
    client, server = socket.socketpair()
    await offer(server.fileno(), b"", [link])
    await _until(lambda: len(taker.got) == 1)
    before = count()
    for number in range(20):
        await offer(server.fileno(), b"", [link])
        await _until(lambda: len(taker.got) > number + 1)  # noqa: B023 (called before the next turn)
        taker.got[-1][0].close()
    assert count() == before
    for one in (client, server):
        one.close()
    link.close()


def test_all_sockets_of_a_user_go_to_one_place_others_where_there_are_fewest() -> None:
    assert choose("", [3, 1, 2]) == [1, 2, 0]
    home = choose("somebody", [0, 0, 0])[0]
    assert choose("somebody", [9, 9, 9])[0] == home
    assert sorted(choose("somebody", [5, 5, 5])) == [0, 1, 2]
    homes = [choose(f"user{number}", [0, 0, 0, 0])[0] for number in range(400)]
    assert min(homes.count(index) for index in range(4)) > 60


async def test_a_full_taker_says_so_at_once_and_keeps_nothing(tmp_path: Path) -> None:
    full, other = Taker(tmp_path / "a"), Taker(tmp_path / "b")
    full.receiver._room = lambda: False
    sender = UpgradeSender([full.path, other.path])
    loop = asyncio.get_running_loop()
    client, server = socket.socketpair()
    before = loop.time()
    for _ in range(10):
        assert await sender.offer(server.fileno(), UPGRADE)
    assert loop.time() - before < TAKE_TIMEOUT_S
    await _until(lambda: len(other.got) == 10)
    assert (full.got, full.promised) == ([], 0)
    other.receiver._room = lambda: False
    assert not await sender.offer(server.fileno(), UPGRADE)
    server.close()
    for sock, _ in other.got:
        sock.close()
    other.got.clear()
    assert client.recv(1) == b"", "a duplicate was kept"
    client.close()
    sender.close()
    for taker in (full, other):
        taker.close()


def _serve_busily(path: Path, blocked_s: float, turns: int, got: list[bytes]) -> None:
    """A taker in a loop of its own, each turn of which takes so long."""

    async def run() -> None:
        loop = asyncio.get_running_loop()

        async def adopt(sock: socket.socket, payload: bytes) -> None:
            got.append(payload)
            sock.close()

        receiver = Receiver(handover.listen(path), adopt, lambda: len(got))
        for _ in range(turns):
            loop.call_soon(time.sleep, blocked_s)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        receiver.close()

    asyncio.run(run())


async def test_a_taker_whose_turns_are_long_gets_all_that_it_is_offered(tmp_path: Path) -> None:
    """Each turn is longer than the time after which another is asked."""
    got: list[bytes] = []
    taker = threading.Thread(target=_serve_busily, args=(tmp_path / "a", 0.25, 12, got))
    taker.start()
    await _until((tmp_path / "a").exists)
    client, server = socket.socketpair()
    sender = UpgradeSender([tmp_path / "a"])
    try:
        taken = await asyncio.gather(*(sender.offer(server.fileno(), UPGRADE) for _ in range(40)))
        assert taken == [True] * 40
        await _until(lambda: len(got) == 40)
    finally:
        await asyncio.get_running_loop().run_in_executor(None, taker.join)
        sender.close()
        client.close()
        server.close()


async def test_a_go_that_came_while_the_taker_was_busy_counts(taker: Taker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "GO_TIMEOUT_S", 0.1)
    client, server = socket.socketpair()
    giver = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    giver.connect(str(taker.path))
    socket.send_fds(giver, [msgspec.msgpack.encode(Offer(1, b"it"))], [server.fileno()])
    await _until(lambda: taker.promised == 1)
    giver.send(msgspec.msgpack.encode(Go(1)))
    taker.receiver._expire(next(iter(taker.receiver._peers)), 1)
    await _until(lambda: taker.got)
    for one in (client, server, giver):
        one.close()


async def test_what_is_void_is_let_go_of_at_once(taker: Taker) -> None:
    client, server = socket.socketpair()
    giver = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    giver.connect(str(taker.path))
    socket.send_fds(giver, [msgspec.msgpack.encode(Offer(1, b""))], [server.fileno()])
    giver.send(msgspec.msgpack.encode(Void(1)))
    server.close()
    client.setblocking(False)
    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 1.0) == b""
    assert taker.promised == 0
    giver.send(msgspec.msgpack.encode(Go(1)))
    await asyncio.sleep(0.05)
    assert not taker.got
    for one in (client, giver):
        one.close()
