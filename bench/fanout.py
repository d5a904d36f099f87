"""One event to 1,000 sockets of one process: CPU of each delivery, ours and its peers' side by side.

Every server runs in a process of its own, whose CPU is counted; the sockets are read by this process. It reads
when all must have been sent: a reader that waits for each frame would be woken by each write, at the writer's expense,
as clients on other machines are not. An event is sent when everybody has the one before, so that none is queued.
"""

import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Sequence
from pathlib import Path

from wsproto import ConnectionType, WSConnection
from wsproto.events import Request

from bench.cpu import process_s
from bench.limits import allow_descriptors
from ws.protocol import Connection

PEERS = Path(__file__).parent / "peers"
SERVERS = {
    "ours": [sys.executable, "-m", "bench.peers.ours"],
    "picows": [sys.executable, "-m", "bench.peers.picows"],
    "websockets": [sys.executable, "-m", "bench.peers.websockets"],
    "uvicorn + wsproto": [sys.executable, "-m", "bench.peers.uvicorn"],
    "npm ws": ["node", str(PEERS / "npm_ws.mjs")],
}
# How many events coincide, and whether each socket has its own numbers, as Mattermost's protocol wants it.
COLUMNS = {"the same bytes to all": (1, False), "numbered": (1, True), "four at once, numbered": (4, True)}
SOCKETS = 1000
SECONDS = 3.0
ROUNDS = 7
_SENDING_S = 20e-6
_TYPING = b'{"seq":12,"action":"user_typing","data":{"channel_id":"%s","parent_id":""}}' % (b"c" * 26)


class Run:
    """A server and its clients."""

    def __init__(self, command: Sequence[str], count: int) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PEERS.parents[1])
        assert self._process.stdout is not None
        port = int(self._process.stdout.readline())
        self._first, *self._others = [_connect(port) for _ in range(count)]
        self._selector = selectors.DefaultSelector()
        for one in self._others:
            one.setblocking(False)
            self._selector.register(one, selectors.EVENT_READ)
        self._buffer = bytearray(1 << 18)

    def send(self, events: int, *, numbered: bool) -> None:
        """Let it send so many events at once, and wait until all clients have them."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d %d\n" % (events, numbered))
        self._process.stdin.flush()
        time.sleep(_SENDING_S * events * len(self._others))
        each = _read_frames(self._first, events)
        missing = each * len(self._others)
        while missing:
            for key, _ in self._selector.select(10):
                assert isinstance(key.fileobj, socket.socket)
                missing -= key.fileobj.recv_into(self._buffer)
        assert missing == 0

    def measure(self, events: int, seconds: float, *, numbered: bool) -> float:
        """µs of CPU for each delivery."""
        self.send(events, numbered=numbered)
        began = process_s(self._process.pid)
        rounds = 0
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.send(events, numbered=numbered)
            rounds += 1
        used = process_s(self._process.pid) - began
        return used / (rounds * events * (len(self._others) + 1)) * 1e6

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._selector.close()
        for one in (self._first, *self._others):
            one.close()


def _connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(WSConnection(ConnectionType.CLIENT).send(Request(host="bench", target="/")))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return client


def _read_frames(client: socket.socket, count: int) -> int:
    """Read so many frames of 126 to 65,535 bytes; their bytes together."""
    data = b""
    at = 0
    while count:
        if len(data) < at + 4 or len(data) < at + 4 + int.from_bytes(data[at + 2 : at + 4], "big"):
            data += client.recv(65536)
            continue
        assert data[at : at + 2] == b"\x81\x7e", data[at : at + 4]
        at += 4 + int.from_bytes(data[at + 2 : at + 4], "big")
        count -= 1
    assert at == len(data)
    return at


def typing_us(count: int = 20_000) -> float:
    """µs to read a user_typing from the bytes of a socket."""
    connection = Connection(0.0)
    connection.receive(WSConnection(ConnectionType.CLIENT).send(Request(host="bench", target="/")), 0.0)
    frame = b"\x81" + bytes([0x80 | len(_TYPING)]) + b"\0\0\0\0" + _TYPING
    now = iter(range(count + 1))
    return min(timeit.repeat(lambda: connection.receive(frame, next(now)), repeat=1, number=count)) / count * 1e6


def main(sockets: int = SOCKETS, seconds: float = SECONDS, rounds: int = ROUNDS) -> None:
    """Print a table."""
    allow_descriptors(sockets + 1000)
    if not (PEERS / "node_modules").is_dir():
        sys.exit("npm ws is missing: `make bench` installs it")
    found: dict[tuple[str, str], list[float]] = {}
    for nth in range(rounds):
        for name in sorted(SERVERS, reverse=nth % 2 == 1):
            run = Run(SERVERS[name], sockets)
            try:
                for column, (events, numbered) in COLUMNS.items():
                    found.setdefault((name, column), []).append(run.measure(events, seconds, numbered=numbered))
            finally:
                run.close()
    print(f"{sockets} sockets, 800 bytes, load of the machine {os.getloadavg()[0]:.1f}; ours are always numbered\n")
    print(f"| µs of CPU for each delivery | {' | '.join(COLUMNS)} |\n|---{'|---' * len(COLUMNS)}|")
    for name in SERVERS:
        print(f"| {name} | {' | '.join(f'{statistics.median(found[name, column]):.2f}' for column in COLUMNS)} |")
    print(f"\nA user_typing from the bytes of its frame: {typing_us():.2f} µs")
