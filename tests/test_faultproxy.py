"""The TCP fault proxy: each fault does what it says, in its direction only."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.rig.faultproxy import DOWN, UP, FaultProxy
from tests.rig.wait import until


class Echo(socketserver.BaseRequestHandler):
    """Says everything back, and remembers how the client ended."""

    def handle(self) -> None:
        ends: list[str] = self.server.ends  # type: ignore[attr-defined]
        try:
            while data := self.request.recv(65_536):
                self.request.sendall(data)
            ends.append("eof")
        except OSError:
            ends.append("reset")
        with contextlib.suppress(OSError):
            self.request.sendall(b"!")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture
def ends() -> list[str]:
    return []


@pytest.fixture
def proxy(ends: list[str]) -> Iterator[FaultProxy]:
    with Server(("127.0.0.1", 0), Echo) as server:
        server.ends = ends  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with FaultProxy("127.0.0.1", server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        client.sendall(b"hello")
        assert _read(client, 5) == b"hello"
        yield client


def _read(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        if not more:
            break
        data += more
    return data


def _is_silent(client: socket.socket) -> bool:
    client.settimeout(0.3)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(5)
    return False


def _ends_by_reset(client: socket.socket) -> bool:
    try:
        while client.recv(100):
            pass
    except ConnectionResetError:
        return True
    return False


def test_without_faults_it_passes_everything_on_and_so_does_the_end(client: socket.socket, ends: list[str]) -> None:
    data = bytes(range(256)) * 10_000
    threading.Thread(target=client.sendall, args=(data,)).start()
    assert _read(client, len(data)) == data
    client.shutdown(socket.SHUT_WR)
    assert _read(client, 10) == b"!"
    assert ends == ["eof"]


def test_latency_of_one_direction(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.set(DOWN, latency_s=0.3, jitter_s=0.05)
    began = time.monotonic()
    for number in range(20):
        client.sendall(b"%02d" % number)
    assert _read(client, 40) == b"".join(b"%02d" % number for number in range(20))
    assert time.monotonic() - began >= 0.3
    proxy.heal()
    client.sendall(b"x")
    assert _read(client, 1) == b"x"


def test_slices(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.set(slice_bytes=3)
    client.sendall(b"0123456789" * 100)
    assert _read(client, 1000) == b"0123456789" * 100


def test_a_cut_is_silent_for_open_and_new_connections_and_healing_resets_what_lost_bytes(
    proxy: FaultProxy, client: socket.socket, ends: list[str]
) -> None:
    proxy.cut()
    client.sendall(b"lost")
    assert _is_silent(client)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as another:
        another.sendall(b"lost")
        assert _is_silent(another)
        another.shutdown(socket.SHUT_WR)
        assert _is_silent(another)
    assert ends == []
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as fresh:
        fresh.sendall(b"x")
        assert _read(fresh, 1) == b"x"


def test_silence_is_for_the_connections_that_are_open_and_healing_resets_them(
    proxy: FaultProxy, client: socket.socket, ends: list[str]
) -> None:
    proxy.silence()
    client.sendall(b"lost")
    assert _is_silent(client)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as fresh:
        fresh.sendall(b"x")
        assert _read(fresh, 1) == b"x"
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        fresh.sendall(b"y")
        assert _read(fresh, 1) == b"y"


def test_a_client_that_leaves_behind_a_cut_is_not_missed(
    proxy: FaultProxy, client: socket.socket, ends: list[str]
) -> None:
    proxy.cut()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    time.sleep(0.3)
    assert ends == []


def test_drop_after_so_many_bytes(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.set(UP, drop_after=7)
    client.sendall(b"0123456789")
    assert _read(client, 7) == b"0123456"
    assert _is_silent(client)


def test_reset_after_so_many_bytes(proxy: FaultProxy, client: socket.socket, ends: list[str]) -> None:
    proxy.set(UP, reset_after=7)
    client.sendall(b"0123456789")
    assert _ends_by_reset(client)
    until(lambda: ends == ["reset"])


def test_reset_of_both_ends(proxy: FaultProxy, client: socket.socket, ends: list[str]) -> None:
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    until(lambda: ends == ["reset"])
    until(lambda: proxy.open == 0)


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_half_close(proxy: FaultProxy, client: socket.socket, ends: list[str], direction: str) -> None:
    proxy.half_close(direction)
    if direction == UP:
        assert client.recv(10) == b"!"  # the server heard the end, and its own half still stands
        assert ends == ["eof"]
    else:
        assert client.recv(10) == b""
        client.sendall(b"still heard")
        assert ends == []


def test_a_receiver_that_reads_nothing_stalls_the_sender(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.set(UP, stalled=True)
    client.settimeout(0.5)
    with pytest.raises(TimeoutError):
        client.sendall(bytes(50_000_000))


def test_refusing(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as another:
        another.recv(1)
    client.sendall(b"x")
    assert client.recv(1) == b"x"


def test_a_server_that_is_gone_is_gone_for_the_client(proxy: FaultProxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with FaultProxy("127.0.0.1", port) as nowhere:
        with (
            contextlib.suppress(ConnectionResetError),  # also while it still connects
            socket.create_connection(("127.0.0.1", nowhere.port), timeout=5) as client,
        ):
            assert client.recv(1) == b""
        until(lambda: nowhere.accepted == 1)
