"""Bodies that never end: memory for them is bounded, whoever sends slowly is served."""

import socket
import time
from typing import Any, cast

from api.http.senders import MAX_BYTES, Senders
from tests.api.serving import PATH, Serving
from tests.rig.wait import until

BODY = 250_000


class _Transport:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class _Sender:
    def __init__(self, peer: str) -> None:
        self.transport = _Transport()
        self.peer = peer


def _world() -> Senders:
    return Senders(lambda peer: peer == "proxy", 100)


def _sends(senders: Senders, size: int, peer: str) -> _Sender:
    sender = _Sender(peer)
    senders.add(cast(Any, sender), size)
    return sender


def _gone(*all_: _Sender) -> list[bool]:
    return [one.transport.aborted for one in all_]


def test_of_too_many_bytes_the_oldest_of_the_source_that_keeps_most_go_until_there_is_room() -> None:
    senders = _world()
    fair = _sends(senders, 30, "b")
    many = [_sends(senders, 10, "a") for _ in range(8)]
    assert not fair.transport.aborted
    assert _gone(*many) == [True] * 4 + [False] * 4
    assert (senders.cut, len(senders)) == (4, 5)


def test_clients_behind_a_proxy_are_not_one_source() -> None:
    senders = _world()
    proxied = [_sends(senders, 20, "proxy") for _ in range(3)]
    alone = [_sends(senders, 25, "b") for _ in range(2)]
    assert _gone(*proxied, *alone) == [False, False, False, True, True]


def test_one_large_body_alone_is_taken_and_what_is_whole_counts_no_more() -> None:
    senders = _world()
    for _ in range(3):
        sender = _sends(senders, 500, "a")
        assert not sender.transport.aborted
        senders.forget(cast(Any, sender))
        senders.forget(cast(Any, sender))
    assert (senders.cut, len(senders)) == (0, 0)


def _head(size: int) -> bytes:
    return f"POST {PATH} HTTP/1.1\r\nHost: node\r\nContent-Length: {size}\r\n\r\n".encode()


def _is_open(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def test_bodies_that_never_end_are_bounded_and_a_slow_one_ends_well() -> None:
    with Serving() as serving:
        slow = serving.connect()
        slow.sendall(_head(10) + b"12345")
        holding = []
        for _ in range(2 * MAX_BYTES // BODY):
            holding.append(serving.connect())
            holding[-1].sendall(_head(BODY + 1) + bytes(BODY))
        until(lambda: sum(map(_is_open, holding)) * BODY <= MAX_BYTES, 10, "those to go that hold too much")
        assert any(map(_is_open, holding))
        time.sleep(0.1)
        slow.sendall(b"67890")
        assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        for one in (slow, *holding):
            one.close()
