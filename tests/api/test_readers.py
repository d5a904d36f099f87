"""Answers that nobody reads: memory for them is bounded and comes back, whoever reads slowly is served."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
import uvloop

from api.http import server as api_server
from api.http.readers import LEAST_BYTES, STUCK_S, Readers
from tests.api.serving import PATH, Serving, create, get
from tests.rig.wait import until

MIB = 1 << 20


class _Transport:
    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True

    def get_extra_info(self, _name: str) -> None:
        return None


class _Reader:
    def __init__(self, waiting: int, peer: str) -> None:
        self.transport = _Transport(waiting)
        self.peer = peer


class _World:
    def __init__(self, max_bytes: int) -> None:
        self.now = 0.0
        self.readers = Readers(lambda: self.now, lambda peer: peer == "proxy", max_bytes)

    def wait_for(self, waiting: int, peer: str = "a") -> _Reader:
        reader = _Reader(waiting, peer)
        self.readers.wait_for(cast(Any, reader))
        return reader


def test_of_too_many_bytes_those_of_the_source_that_keeps_most_go_first_and_there_the_oldest() -> None:
    world = _World(100 * MIB)
    fair = world.wait_for(30 * MIB, "b")
    many = []
    for _ in range(10):
        world.now += 0.1
        many.append(world.wait_for(10 * MIB, "a"))
    assert not fair.transport.aborted
    assert [one.transport.aborted for one in many] == [True] * 3 + [False] * 7
    assert world.readers.cut == 3


def test_clients_behind_a_proxy_are_not_one_source() -> None:
    world = _World(100 * MIB)
    proxied = [world.wait_for(20 * MIB, "proxy") for _ in range(4)]
    alone = world.wait_for(30 * MIB, "b")
    assert alone.transport.aborted
    assert not any(one.transport.aborted for one in proxied)


def test_one_large_answer_alone_is_sent_however_large_it_is() -> None:
    world = _World(10 * MIB)
    assert not world.wait_for(50 * MIB).transport.aborted


def test_what_was_read_meanwhile_does_not_count() -> None:
    world = _World(100 * MIB)
    first = world.wait_for(90 * MIB, "a")
    first.transport.waiting = MIB
    second = world.wait_for(90 * MIB, "b")
    assert not first.transport.aborted
    assert not second.transport.aborted


def test_who_takes_too_little_is_cut_and_who_takes_enough_is_not() -> None:
    world = _World(1000 * MIB)
    stuck, trickling, slow = (world.wait_for(10 * MIB, peer) for peer in "abc")
    for _ in range(int(STUCK_S) + 2):
        world.now += 1
        trickling.transport.waiting -= 100
        slow.transport.waiting -= int(1.1 * LEAST_BYTES / STUCK_S)
        world.readers.sweep()
    assert stuck.transport.aborted
    assert trickling.transport.aborted
    assert not slow.transport.aborted


def test_who_is_gone_is_forgotten() -> None:
    world = _World(100 * MIB)
    for _ in range(10):
        reader = world.wait_for(90 * MIB)
        world.readers.forget(cast(Any, reader))
    assert len(world.readers) == 0
    assert world.readers.cut == 0


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with Serving(constants={"readers.STUCK_S": 3, "readers.LEAST_BYTES": 8192}) as serving:
        yield serving


def test_unread_answers_are_bounded_and_their_memory_comes_back(serving: Serving) -> None:
    before = serving.memory_mib()
    size = 9_900_000
    with contextlib.ExitStack() as stack:
        for number in range(40):
            sock = stack.enter_context(serving.connect(receive_bytes=4096))
            end = "Connection: close\r\n" if number % 2 else ""
            sock.sendall(get(f"size={size}", end) * 3)
        until(lambda: serving.ping_s() < 0.2)
        during = serving.memory_mib()
        until(lambda: serving.descriptors() < 25, 15, "the stuck ones to be cut")
    until(lambda: serving.memory_mib() < before + 24, 10, "memory to come back")
    print(f"{before:.0f} MiB before, {during:.0f} during, {serving.memory_mib():.0f} after")
    assert during < before + 64 + 60


async def _just_too_much() -> tuple[int, int]:
    """(what waits, how many are known to read slowly) for an answer that is a little larger than the kernel takes."""
    server, ctx, trust = create({})
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(api_server.serve(server, listener, ctx, trust))
    waiting, size = 0, 0
    while not waiting:
        size += 20_000
        assert size < 20 * MIB, "the kernel takes everything"
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, listener.getsockname())
            sock.send(get(f"size={size}"))
            await asyncio.sleep(0.03)
            waiting = sum(one.transport.get_write_buffer_size() for one in server.server_state.connections)
            found = waiting, len(server.readers)
    server.stop(at_once=True)
    await task
    return found


def test_also_a_little_that_waits_is_known_of() -> None:
    """Of each of thousands of connections: together it is much."""
    waiting, known = uvloop.run(_just_too_much())
    assert 0 < waiting < 64 * 1024
    assert known == 1


def test_a_slow_reader_gets_all_of_its_answer(serving: Serving) -> None:
    size = 6_000_000
    with serving.connect(receive_bytes=4096) as sock:
        sock.sendall(get(f"size={size}"))
        got = 0
        began = time.monotonic()
        while got < size:
            part = sock.recv(65_536 if time.monotonic() - began > 8 else 4096)
            assert part, f"cut off after {got} bytes and {time.monotonic() - began:.1f} s"
            got += len(part)
            if time.monotonic() - began < 8:
                time.sleep(0.1)


def test_who_reads_nothing_asks_for_nothing_more(serving: Serving) -> None:
    """A pipeline of large answers is made one by one, as they are read."""
    with serving.connect(receive_bytes=4096) as sock:
        sock.sendall(get("size=5000000") * 30)
        time.sleep(1)
        assert serving.memory_mib() < 200
        reader = sock.makefile("rb")
        for _ in range(2):
            while reader.readline() != b"\r\n":
                pass
            assert len(reader.read(5_000_000)) == 5_000_000
        reader.close()


def test_an_answer_that_is_not_read_also_ends_where_its_connection_was_to_close(serving: Serving) -> None:
    with serving.connect(receive_bytes=4096) as sock:
        sock.sendall(f"GET {PATH}?size=20000000 HTTP/1.0\r\n\r\n".encode())
        time.sleep(0.3)
        before = serving.descriptors()
        until(lambda: serving.descriptors() < before, 12, "the connection to be cut")
        assert isinstance(sock, socket.socket)
