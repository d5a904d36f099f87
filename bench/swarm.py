"""Many WebSocket clients in one process, each as `client.py` has it, with as little work for each event as possible."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from bench.client import Connection, Verdict

MARK = b"@@"
"""Around the time at which a post was sent, in ns of time.monotonic."""
_REQUEST = (
    "GET /api/v4/websocket?{query} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {token}\r\n\r\n"
)


def marked(length: int) -> str:
    """A text of about this length that tells when it was made."""
    return f"@@{time.monotonic_ns()}@@" + "x" * length


class Member(asyncio.Protocol):
    """One client. live: its upgrade was accepted. returning: it comes back when it is cut. delays: of marked posts."""

    def __init__(self, swarm: "Swarm", token: str, seed: int) -> None:
        self._swarm = swarm
        self._token = token
        self._data = b""
        self._opening: asyncio.Future[None] | None = None
        self.connection = Connection(random.Random(seed))
        self.transport: asyncio.Transport | None = None
        self.live = False
        self.returning = False
        self.hellos = self.refusals = 0
        self.delays: list[float] = []

    async def open(self) -> None:
        """Connect until it succeeds, waiting as `client.py` does."""
        while True:
            self._opening = asyncio.get_running_loop().create_future()
            try:
                await asyncio.get_running_loop().create_connection(lambda: self, self._swarm.host, self._swarm.port)
                await self._opening
                return
            except OSError:
                self.refusals += 1
                await asyncio.sleep(self.connection.closed())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self.transport = cast(asyncio.Transport, transport)
        self._data = b""
        self.live = False
        self.transport.write(
            _REQUEST.format(
                query=self.connection.query(), host=self._swarm.host, port=self._swarm.port, token=self._token
            ).encode()
        )

    def data_received(self, data: bytes) -> None:
        """Read whole frames."""
        data = self._data + data if self._data else data
        if not self.live:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._data = head
                return
            assert self.transport is not None
            if not head.startswith(b"HTTP/1.1 101 "):
                self.transport.abort()
                return
            self.live = True
            self.connection.opened()
            if self.connection.connection_id:
                self._opened()
        at = 0
        while len(data) >= at + 2:
            length, start = data[at + 1], at + 2
            if length == 126:
                if len(data) < at + 4:
                    break
                length, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            if len(data) < start + length:
                break
            self._receive(data[at] & 0x0F, data[start : start + length])
            at = start + length
        self._data = data[at:]

    def _receive(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            assert self.transport is not None
            self.transport.write(b"\x8a\x80\0\0\0\0")
        elif opcode == 1 and payload.startswith(b'{"event":"hello"'):
            self.hellos += 1
            assert self.connection.received(json.loads(payload)) in (Verdict.EVENT, Verdict.MISSED)
            self._opened()
        elif opcode == 1 and payload.startswith(b'{"event"'):
            assert int(payload[payload.rindex(b":") + 1 : -1]) == self.connection.expected
            self.connection.expected += 1
            if payload.startswith(b'{"event":"posted"'):
                sent = int(payload.split(MARK, 2)[1])
                self.delays.append((time.monotonic_ns() - sent) / 1e9)
        elif opcode == 1:
            self._swarm.replies += 1

    def _opened(self) -> None:
        if self._opening is not None and not self._opening.done():
            self._opening.set_result(None)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Come back, if it was told to."""
        self.transport = None
        if self._opening is not None and not self._opening.done():
            self._opening.set_exception(ConnectionError("refused"))
        elif self.returning:
            self._swarm.start(self._come_back())

    async def _come_back(self) -> None:
        await asyncio.sleep(self.connection.closed())
        await self.open()


class Swarm:
    """All of them."""

    def __init__(self, url: str, tokens: Sequence[str]) -> None:
        self.host, _, port = url.removeprefix("http://").rpartition(":")
        self.port = int(port)
        self.members = [Member(self, token, seed) for seed, token in enumerate(tokens)]
        self.replies = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, at_once: int = 64) -> None:
        """Connect all."""
        gate = asyncio.Semaphore(at_once)

        async def one(member: Member) -> None:
            async with gate:
                await member.open()

        await asyncio.gather(*map(one, self.members))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Cut all."""
        for task in self._tasks:
            task.cancel()
        for member in self.members:
            member.returning = False
            if member.transport is not None:
                member.transport.abort()

    def take_delays(self, members: Sequence[Member] | None = None) -> list[float]:
        """Sorted, of the marked posts since the last time."""
        members = self.members if members is None else members
        found = sorted(delay for member in members for delay in member.delays)
        for member in members:
            member.delays.clear()
        return found


async def until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Wait. Raises AssertionError."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)
