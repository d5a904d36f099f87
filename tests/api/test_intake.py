"""One client sends as fast as it can whatever costs most; another one's ping stays quick, and memory is bounded."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.api.serving import PATH, Serving, get
from tests.rig.wait import until

POST = f"POST {PATH} HTTP/1.1\r\nHost: node\r\n".encode()
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
FLOODS = {
    "tiny requests": (b"", b"GET / HTTP/1.1\r\nHost:x\r\n\r\n" * 2000),
    "tiny requests with bodies": (b"", b"POST / HTTP/1.1\r\nHost:x\r\nContent-Length:1\r\n\r\n1" * 1000),
    "chunks of one byte": (CHUNKED, b"1\r\nx\r\n" * 8000),
    "chunks of line ends": (CHUNKED, b"4\r\n\r\n\r\n\r\n" * 8000),
    "ends of heads in a body": (POST + b"Content-Length: 1000000000\r\n\r\n", b"\r\n" * 30_000),
    "many headers": (b"", b"GET / HTTP/1.1\r\nHost:x\r\n" + b"a:\r\n" * 90 + b"\r\n"),
    "bodies that nobody reads": (b"", POST.replace(b" HTTP", b"?early=401 HTTP") + b"Content-Length: 9999\r\n\r\n" + b"x" * 9999),
    "requests behind a slow one": (get("wait=3"), get() * 1000),
    "empty lines": (b"", b"\r\n" * 30_000),
}  # fmt: skip


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with Serving() as serving:
        yield serving


@contextmanager
def _flood(serving: Serving, first: bytes, again: bytes) -> Iterator[list[int]]:
    """One client that sends and reads at full speed. How many bytes it has sent."""
    sent = [0]
    ended = threading.Event()

    def send(sock: socket.socket) -> None:
        with suppress(OSError):
            sock.sendall(first)
            while not ended.is_set():
                sent[0] += sock.send(again)

    def read(sock: socket.socket) -> None:
        with suppress(OSError):
            while sock.recv(1 << 20):
                pass

    with serving.connect() as sock:
        threads = [threading.Thread(target=one, args=(sock,)) for one in (send, read)]
        for one in threads:
            one.start()
        yield sent
        ended.set()
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        for one in threads:
            one.join()


@pytest.mark.parametrize("name", FLOODS)
def test_one_client_at_full_speed_holds_neither_the_loop_nor_memory(serving: Serving, name: str) -> None:
    before, cpu_s = serving.memory_mib(), serving.cpu_s()
    with _flood(serving, *FLOODS[name]) as sent:
        pings: list[float] = []
        until_s = time.monotonic() + 1.5
        while time.monotonic() < until_s or len(pings) < 10:
            pings.append(serving.ping_s())
            time.sleep(0.02)
        during = serving.memory_mib()
    pings.sort()
    print(
        f"{name}: {sent[0] / 1e6:.2f} MB, {serving.cpu_s() - cpu_s:.2f} CPU s, +{during - before:.1f} MiB,"
        f" pings {1000 * pings[len(pings) // 2]:.1f} ms, at most {1000 * pings[-1]:.0f} ms"
    )
    assert pings[len(pings) // 2] < 0.1
    assert during - before < 8
    until(lambda: serving.ping_s() < 0.1)


def test_ten_clients_at_full_speed_do_not_either(serving: Serving) -> None:
    before = serving.memory_mib()
    floods = [_flood(serving, *FLOODS[name]) for name in ("tiny requests", "chunks of one byte") for _ in range(5)]
    for one in floods:
        one.__enter__()
    pings = sorted(serving.ping_s() for _ in range(15))
    during = serving.memory_mib()
    for one in floods:
        one.__exit__(None, None, None)
    print(f"pings {1000 * pings[7]:.0f} ms, at most {1000 * pings[-1]:.0f} ms, +{during - before:.1f} MiB")
    assert pings[7] < 0.5
    assert during - before < 16


@pytest.mark.parametrize("size", [1, 3, 7, 8192, 16_384, 16_385, 100_000])
def test_requests_are_answered_in_order_however_their_bytes_fall(serving: Serving, size: int) -> None:
    requests = []
    for number in range(60):
        body = b"\r\n\r\n" * number
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (body, b"\r\n") if one) + b"0\r\nA: b\r\n\r\n"
        requests += [
            get(f"size={100 + number}"),
            POST + b"Content-Length: %d\r\n\r\n" % len(body) + body,
            CHUNKED + chunks,
        ]
    data = b"".join(requests)
    with serving.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send() -> None:
            for at in range(0, len(data), size):
                sock.sendall(data[at : at + size])

        sender = threading.Thread(target=send)
        sender.start()
        reader = sock.makefile("rb")
        found = []
        for _ in requests:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += reader.readline()
            assert head.startswith(b"HTTP/1.1 200")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            found.append(reader.read(length))
        sender.join()
        reader.close()
    for number in range(60):
        one, two, three = found[3 * number : 3 * number + 3]
        assert len(one) == 100 + number
        assert two == b'{"size": %d}' % (4 * number)
        assert three == b'{"size": %d}' % (4 * number + 2)


def test_a_large_body_is_read(serving: Serving) -> None:
    with serving.connect() as sock:
        sock.sendall(POST + b"Content-Length: 20000000\r\n\r\n" + b"x" * 20_000_000)
        assert sock.recv(4096).endswith(b'{"size": 20000000}')


def test_a_client_that_has_closed_is_noticed_while_it_is_answered(serving: Serving) -> None:
    with serving.connect() as sock:
        sock.sendall(get("wait=0.2"))
    assert serving.ping_s() < 1


def test_an_upgrade_that_is_refused_ends_in_its_answer(serving: Serving) -> None:
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    with serving.connect() as sock:
        sock.sendall(get("", upgrade) + b"frames" * 1000)
        time.sleep(0.1)
        sock.sendall(b"frames" * 1000)
        answer = b""
        while part := sock.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"upgrade.app_error" in answer
