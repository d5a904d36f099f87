"""Connected sockets from api workers to ws workers, by SCM_RIGHTS over SOCK_SEQPACKET: one message = one descriptor.

    api worker                         ws worker
       OFFER id, upgrade (+ fd)  ──>
                                 <──   TAKE id, load          it holds a duplicate, and waits
       GO id                     ──>                          from here on the socket is its own
       (closes its descriptor)

No TAKE within 200 ms: the offer is void, the next worker is asked. A taker without its GO within a second closes its
duplicate, as it does when the api worker's end closes. So whatever is killed or frozen between any two steps, a socket
never has two servers.
"""

import array
import asyncio
import itertools
import logging
import os
import socket
import zlib
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec

from app.ports import Upgrade

log = logging.getLogger(__name__)

TAKE_TIMEOUT_S = 0.2
GO_TIMEOUT_S = 1.0
_MAX_MESSAGE = 160 * 1024
_BACKLOG = 64


class Offer(msgspec.Struct, array_like=True, tag="offer"):
    """api -> ws: here is a socket, if you want it."""

    id: int
    upgrade: Upgrade


class Take(msgspec.Struct, array_like=True, tag="take"):
    """ws -> api: I have it. load: sockets here."""

    id: int
    load: int


class Go(msgspec.Struct, array_like=True, tag="go"):
    """api -> ws: it is yours alone."""

    id: int


_encode = msgspec.msgpack.encode
_decode_for_ws = msgspec.msgpack.Decoder(Offer | Go).decode
_decode_for_api = msgspec.msgpack.Decoder(Take).decode


def listen(path: Path) -> socket.socket:
    """The socket on which a ws worker gets its connections from api workers."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def choose(user_id: str, loads: Sequence[int]) -> list[int]:
    """In which order to ask the ws workers: all sockets of a user in one place, else where there are fewest."""
    order = sorted(range(len(loads)), key=lambda index: (loads[index], index))
    if user_id:
        home = zlib.crc32(user_id.encode()) % len(loads)
        order.remove(home)
        order.insert(0, home)
    return order


class _Link:
    """An api worker's connection to one ws worker."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self.load = 0

    async def offer(self, offer_id: int, fd: int, upgrade: Upgrade) -> bool:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting[offer_id] = waiter
        try:
            self._send(_encode(Offer(offer_id, upgrade)), fd)
            async with asyncio.timeout(TAKE_TIMEOUT_S):
                await waiter
            self._send(_encode(Go(offer_id)), None)
        except TimeoutError:
            return False
        except OSError:
            self.close()
            return False
        finally:
            self._waiting.pop(offer_id, None)
        self.load += 1
        return True

    def _send(self, data: bytes, fd: int | None) -> None:
        if self._socket is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            connection.setblocking(False)
            try:
                connection.connect(str(self._path))
            except OSError:
                connection.close()
                raise
            self._socket = connection
            self._loop.add_reader(connection.fileno(), self._on_readable)
        if fd is None:
            self._socket.send(data)
        else:
            socket.send_fds(self._socket, [data], [fd])

    def _on_readable(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(_MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        take = _decode_for_api(data)
        self.load = take.load
        waiter = self._waiting.get(take.id)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def close(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(ConnectionResetError())


class Sender:
    """An api worker's end; fulfils `app.ports.Handover`."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._links = [_Link(path) for path in paths]
        self._ids = itertools.count(1)

    async def offer(self, fd: int, upgrade: Upgrade) -> bool:
        """See `app.ports.Handover`."""
        for index in choose(upgrade.user_id, [link.load for link in self._links]):
            if await self._links[index].offer(next(self._ids), fd, upgrade):
                return True
        return False

    def close(self) -> None:
        """Close the connections; offers under way fail."""
        for link in self._links:
            link.close()


class Receiver:
    """A ws worker's end: calls `adopt` with each socket that has become its own."""

    def __init__(
        self,
        listener: socket.socket,
        adopt: Callable[[socket.socket, Upgrade], Coroutine[Any, Any, None]],
        load: Callable[[], int],
    ) -> None:
        self._listener = listener
        self._adopt = adopt
        self._load = load
        self._loop = asyncio.get_running_loop()
        self._peers: dict[socket.socket, dict[int, tuple[socket.socket, Upgrade, asyncio.TimerHandle]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        self._loop.add_reader(listener.fileno(), self._on_connection)

    def close(self) -> None:
        """Take no more; what waits for its GO is closed."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for peer in list(self._peers):
            self._drop(peer)

    def _on_connection(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        peer.setblocking(False)
        self._peers[peer] = {}
        self._loop.add_reader(peer.fileno(), self._on_readable, peer)

    def _on_readable(self, peer: socket.socket) -> None:
        try:
            data, fds, truncated = _receive(peer)
        except BlockingIOError:
            return
        except OSError:
            data, fds, truncated = b"", [], False
        if not data or truncated:
            for fd in fds:
                os.close(fd)
            self._drop(peer)
            return
        message = _decode_for_ws(data)
        if isinstance(message, Offer):
            self._take(peer, message, fds)
        else:
            self._go(peer, message)

    def _take(self, peer: socket.socket, offer: Offer, fds: list[int]) -> None:
        connection = socket.socket(fileno=fds[0])
        timer = self._loop.call_later(GO_TIMEOUT_S, self._expire, peer, offer.id)
        self._peers[peer][offer.id] = (connection, offer.upgrade, timer)
        try:
            peer.send(_encode(Take(offer.id, self._load())))
        except OSError:
            self._drop(peer)

    def _go(self, peer: socket.socket, go: Go) -> None:
        pending = self._peers[peer].pop(go.id, None)
        if pending is None:
            return
        connection, upgrade, timer = pending
        timer.cancel()
        task = self._loop.create_task(self._adopt(connection, upgrade))
        self._tasks.add(task)
        task.add_done_callback(self._adopted)

    def _adopted(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a socket could not be served", exc_info=task.exception())

    def _expire(self, peer: socket.socket, offer_id: int) -> None:
        pending = self._peers.get(peer, {}).pop(offer_id, None)
        if pending is not None:
            pending[0].close()

    def _drop(self, peer: socket.socket) -> None:
        self._loop.remove_reader(peer.fileno())
        for connection, _, timer in self._peers.pop(peer).values():
            timer.cancel()
            connection.close()
        peer.close()


def _receive(peer: socket.socket) -> tuple[bytes, list[int], bool]:
    """One message, its descriptors, and whether either was cut short."""
    received = array.array("i")
    data, ancillary, flags, _ = peer.recvmsg(_MAX_MESSAGE, socket.CMSG_SPACE(received.itemsize))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received.frombytes(content[: len(content) - len(content) % received.itemsize])
    return data, list(received), bool(flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC))
