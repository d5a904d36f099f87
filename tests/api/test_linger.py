"""An answer that comes before the body does reaches whoever is still sending, and a proxy that goes on to send is let."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.api.serving import PATH, Serving
from tests.rig.lateness import within
from tests.rig.wait import until

MB = 1_000_000
UPGRADE = "an upgrade with a body"
EARLY = {
    "an application that refuses": (f"POST {PATH}?early=401", "", b"401"),
    "the server that refuses": (f"POST {PATH}", "X-A: " + "a" * 20_000 + "\r\n", b"431"),
    UPGRADE: (f"GET {PATH}", "Connection: Upgrade\r\nUpgrade: websocket\r\n", b"400"),
    "another upgrade with a body": (f"POST {PATH}", "Connection: Upgrade\r\nUpgrade: h2c\r\n", b"400"),
}
CLOSING = {
    "HTTP/1.0": ("HTTP/1.0", ""),
    "Connection: close": ("HTTP/1.1", "Connection: close\r\n"),
    "kept": ("HTTP/1.1", ""),
    "Expect": ("HTTP/1.1", "Expect: 100-continue\r\n"),
}


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with Serving() as serving:
        yield serving


def _head(target: str, version: str, headers: str, size: int) -> bytes:
    return f"{target} {version}\r\nHost: node\r\n{headers}Content-Length: {size}\r\n\r\n".encode()


def _all(sock: socket.socket) -> bytes:
    found = b""
    while part := sock.recv(65_536):
        found += part
    return found


CASES = [
    (early, closing)
    for early in EARLY
    for closing in CLOSING
    if "upgrade" not in early or closing != "Connection: close"
]


@pytest.mark.parametrize("size", [1, 310_000, 5 * MB, 20 * MB])
@pytest.mark.parametrize(("early", "closing"), CASES)
def test_who_sends_all_before_it_reads_gets_the_answer(serving: Serving, early: str, closing: str, size: int) -> None:
    target, headers, status = EARLY[early]
    version, more = CLOSING[closing]
    with serving.connect() as sock:
        sock.sendall(_head(target, version, headers + more, size))
        time.sleep(0.05)  # it is answered by now
        for _ in range(10):
            sock.sendall(b"x" * (size // 10))  # raises when the connection was reset
        sock.sendall(b"x" * (size % 10))
        if closing == "kept" and status == b"401":
            assert sock.recv(4096).split(b" ")[1] == status
            sock.sendall(_head(f"POST {PATH}", "HTTP/1.0", "", 0))
            assert _all(sock).startswith(b"HTTP/1.1 200")
        else:
            assert _all(sock).split(b" ")[1] == status


def test_what_follows_the_last_request_of_a_connection_resets_nothing(serving: Serving) -> None:
    with serving.connect() as sock:
        sock.sendall(f"GET {PATH}?wait=0.1 HTTP/1.0\r\n\r\n".encode() + b"x" * 100_000)
        assert _all(sock).startswith(b"HTTP/1.1 200")


def test_a_client_that_waits_for_100_is_told_that_the_connection_ends(serving: Serving) -> None:
    """Whether it sends the body after all is its own choice: what came next could be either."""
    with serving.connect() as sock:
        sock.sendall(_head(f"POST {PATH}?early=413", "HTTP/1.1", "Expect: 100-continue\r\n", MB))
        answer = _all(sock)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


def test_no_more_than_50_mb_are_thrown_away(serving: Serving) -> None:
    for version in ("HTTP/1.0", "HTTP/1.1"):
        with serving.connect() as sock:
            sock.sendall(_head(f"POST {PATH}?early=401", version, "", 1 << 40))
            sent = 0
            with contextlib.suppress(ConnectionError):
                while sent < 200 * MB:
                    sent += sock.send(b"x" * MB)
        assert 50 * MB < sent < 150 * MB, version
        assert serving.memory_mib() < 200


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_who_sends_no_more_is_waited_for_a_few_seconds_only(version: str) -> None:
    """5 s of silence; where the connection might have been kept, 30 s in all (here 3)."""
    with (
        Serving(constants={"connection.LINGER_S": 3 if version == "HTTP/1.1" else 30}) as serving,
        serving.connect() as sock,
    ):
        sock.settimeout(60)
        sock.sendall(_head(f"POST {PATH}?early=401", version, "", MB) + b"x" * 1000)
        began = time.monotonic()
        assert sock.recv(4096).startswith(b"HTTP/1.1 401")
        open_before = serving.descriptors()
        with contextlib.suppress(ConnectionError):
            while sock.recv(4096):
                pass  # half of it is closed at once
        if version == "HTTP/1.0":
            until(lambda: serving.descriptors() < open_before, 9)
            assert time.monotonic() - began > 4
        else:
            assert time.monotonic() - began > 2.5
            assert within(9, since=began)
