"""Fifty connections of nobody, which send one kind of trouble: `python -m tests.attacks.strangers KIND HOST PORT SECONDS SEED`.

Together they send at most 10 Mbit/s; whoever is cut off comes back after 50 ms. Prints what was done, as JSON: bytes sent, connections
made, how often the server closed one.
"""

import asyncio
import contextlib
import json
import os
import random
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

CONNECTIONS = 50
BYTES_PER_S = 1_250_000
_BACK_AFTER_S = 0.05
_PIECE = 4096
_READ = 65_536


class Budget:
    """What all connections may send together."""

    def __init__(self, bytes_per_s: float) -> None:
        self._rate = bytes_per_s
        self._free_at = 0.0
        self.sent = 0

    async def take(self, size: int) -> None:
        """Wait until so many bytes may go."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - 0.1) + size / self._rate
        self.sent += size
        await asyncio.sleep(max(0.0, self._free_at - now))


@dataclass
class Link:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    budget: Budget
    chance: random.Random
    host: str = "node"
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def send(self, data: bytes) -> None:
        """Raises ConnectionError when the server has closed."""
        await self.budget.take(len(data))
        self.writer.write(data)
        await self.writer.drain()
        if self.reader.at_eof():
            raise ConnectionResetError

    def read_on(self) -> None:
        """Read, and forget, whatever comes."""

        async def forget() -> None:
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(_READ):
                    pass

        self.tasks.append(asyncio.get_running_loop().create_task(forget()))

    async def answer(self) -> bytes:
        """The head of an answer; its body is skipped."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await self.reader.readexactly(int(line[15:]))
        return head


Kind = Callable[[Link], Awaitable[None]]


def _frame(opcode: int, payload: bytes, *, final: bool = True, mask: bytes = b"\0\0\0\0") -> bytes:
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
    return bytes([0x80 * final | opcode]) + length + mask + payload


def _frames(chance: random.Random) -> Iterator[bytes]:
    """Frames without end, of the kinds that cost the most for each byte, and any other."""
    empty = {"ping": _frame(9, b""), "pong": _frame(10, b""), "rest": _frame(0, b"", final=False)}
    kind = chance.choice([*empty, "pings of 125", "letters", "requests", "close", "anything"])
    if kind == "rest":
        yield _frame(1, b"", final=False)
    if kind == "letters":
        yield _frame(1, b'"', final=False)
    while True:
        if kind in empty:
            yield empty[kind]
        elif kind == "pings of 125":
            yield _frame(9, bytes(125))
        elif kind == "letters":
            yield _frame(0, b"a", final=False)
        elif kind == "requests":
            yield _frame(1, b'{"seq":1,"action":"ping"}')
        elif kind == "close":
            yield _frame(8, b"\x03\xe8")
        else:
            opcode = chance.choice([0, 1, 2, 3, 8, 9, 10, 15])
            yield _frame(opcode, chance.randbytes(chance.randrange(300)), final=chance.random() < 0.5)


def _pieces(frames: Iterator[bytes]) -> Iterator[bytes]:
    while True:
        piece = b""
        while len(piece) < _PIECE:
            piece += next(frames)
        yield piece


async def websocket_frames(link: Link) -> None:
    """A WebSocket that never says who it is, and frames."""
    await link.send(
        b"GET /api/v4/websocket HTTP/1.1\r\nHost: %b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        % link.host.encode()
        + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    if b" 101 " not in await link.answer():
        return
    link.read_on()
    for piece in _pieces(_frames(link.chance)):
        await link.send(piece)


async def pipelines(link: Link) -> None:
    """Requests one after another, whether they are answered or not."""
    path = link.chance.choice(["/", "/api/v4/system/ping", "/api/v4/users/me", "/nowhere"])
    request = f"GET {path} HTTP/1.1\r\nHost: {link.host}\r\n\r\n".encode()
    link.read_on()
    while True:
        await link.send(request * (_PIECE // len(request)))


async def unread(link: Link) -> None:
    """Requests whose answers are never read."""
    request = f"GET /api/v4/config/client?format=old HTTP/1.1\r\nHost: {link.host}\r\n\r\n".encode()
    while True:
        await link.send(request * 8)


async def half_requests(link: Link) -> None:
    """Heads and bodies that never end, a little at a time."""
    link.read_on()
    if link.chance.random() < 0.5:
        await link.send(f"GET / HTTP/1.1\r\nHost: {link.host}\r\n".encode())
        while True:
            await link.send(b"X: y\r\n")
            await asyncio.sleep(0.01)
    await link.send(f"POST /api/v4/users HTTP/1.1\r\nHost: {link.host}\r\nContent-Length: 200000\r\n\r\n".encode())
    while True:
        await link.send(bytes(link.chance.randrange(1, 2000)))
        await asyncio.sleep(0.01)


async def tiny_chunks(link: Link) -> None:
    """A body in chunks of one byte."""
    link.read_on()
    await link.send(
        f"POST /api/v4/users/login HTTP/1.1\r\nHost: {link.host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    while True:
        await link.send(b"1\r\na\r\n" * (_PIECE // 6))


async def log_ins(link: Link) -> None:
    """Names that nobody has, with wrong passwords."""
    while True:
        body = json.dumps({"login_id": f"nobody{link.chance.getrandbits(40)}", "password": "Passw0rd!"}).encode()
        head = f"POST /api/v4/users/login HTTP/1.1\r\nHost: {link.host}\r\nContent-Length: {len(body)}\r\n\r\n"
        await link.send(head.encode() + body)
        await link.answer()


async def big_bodies(link: Link) -> None:
    """Bodies that are refused before they are read."""
    path = link.chance.choice(["/api/v4/posts", "/api/v4/files", "/nowhere"])
    size = link.chance.choice([310_000, 1_000_000, 5_000_000])
    link.read_on()
    await link.send(f"POST {path} HTTP/1.1\r\nHost: {link.host}\r\nContent-Length: {size}\r\n\r\n".encode())
    for _ in range(size // _PIECE + 1):
        await link.send(bytes(_PIECE))


async def anything(link: Link) -> None:
    """One of the others, or bytes without meaning."""
    kind = link.chance.choice([*KINDS.values()])
    if kind is not anything:
        await kind(link)
        return
    link.read_on()
    while True:
        await link.send(link.chance.randbytes(_PIECE))


KINDS: dict[str, Kind] = {
    kind.__name__: kind
    for kind in (
        websocket_frames, pipelines, unread, half_requests, tiny_chunks, log_ins, big_bodies, anything,
    )
}  # fmt: skip


async def attack(kind: Kind, host: str, port: int, seconds: float, seed: int) -> dict[str, int]:
    """What was done."""
    budget, ends = Budget(BYTES_PER_S), asyncio.get_running_loop().time() + seconds
    made = closed = 0

    async def connection(number: int) -> None:
        nonlocal made, closed
        chance = random.Random(f"{seed} {number}")
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, port, limit=_READ)
            except OSError:
                await asyncio.sleep(_BACK_AFTER_S)
                continue
            made += 1
            link = Link(reader, writer, budget, chance, f"{host}:{port}")
            try:
                await kind(link)
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                closed += 1
            finally:
                for task in link.tasks:
                    task.cancel()
                writer.transport.abort()
            await asyncio.sleep(_BACK_AFTER_S)

    tasks = [asyncio.create_task(connection(number)) for number in range(CONNECTIONS)]
    await asyncio.sleep(ends - asyncio.get_running_loop().time())
    for task in tasks:
        task.cancel()
    faults = [one for one in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(one, Exception)]
    if faults:
        raise faults[0]
    return {"bytes": budget.sent, "made": made, "closed": closed}


def main(arguments: list[str]) -> None:
    """Attack, and say what was done."""
    kind, host, port, seconds, seed = arguments
    os.nice(1)
    print(json.dumps(asyncio.run(attack(KINDS[kind], host, int(port), float(seconds), int(seed)))))


if __name__ == "__main__":
    main(sys.argv[1:])
