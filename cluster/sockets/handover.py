"""Connected sockets from one worker to another, by SCM_RIGHTS over SOCK_SEQPACKET: one message = one descriptor.

    giver (api)                        taker (ws, api)
       OFFER id, payload (+ fd)  ──>
                                 <──   TAKE id, load          it holds a duplicate, and waits (FULL id: it does not)
       GO id                     ──>                          from here on the socket is its own
       (closes its descriptor)   or VOID id: somebody else has it

No TAKE within 200 ms: another is asked as well, and who takes it first gets the GO. So a frozen taker is passed over,
and one that is only busy is waited for (`offers.py`). A taker without its GO within 3 s closes its duplicate, as it
does at a VOID, or when the giver's end closes. So whatever is killed or frozen between any two steps, a socket never
has two servers.
"""

import array
import asyncio
import contextlib
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
from cluster.sockets.offers import offer

log = logging.getLogger(__name__)

GO_TIMEOUT_S = 3.0
_MAX_MESSAGE = 160 * 1024
_BACKLOG = 64
_FADES = 0.9
_MESSAGES_PER_TURN = 64


class Offer(msgspec.Struct, array_like=True, tag="offer"):
    """Giver: here is a socket, if you want it. payload: what the taker needs to know of it."""

    id: int
    payload: bytes


class Take(msgspec.Struct, array_like=True, tag="take"):
    """Taker: I have it. load: sockets here."""

    id: int
    load: int


class Full(msgspec.Struct, array_like=True, tag="full"):
    """Taker: I have no room for it now."""

    id: int


class Go(msgspec.Struct, array_like=True, tag="go"):
    """Giver: it is yours alone."""

    id: int


class Void(msgspec.Struct, array_like=True, tag="void"):
    """Giver: somebody else has it, or nobody."""

    id: int


_encode = msgspec.msgpack.encode
_decode_for_taker = msgspec.msgpack.Decoder(Offer | Go | Void).decode
_decode_for_giver = msgspec.msgpack.Decoder(Take | Full).decode


def listen(path: Path) -> socket.socket:
    """The socket on which a worker gets its connections from others."""
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


class Given:
    """An offer of a link that is under way; fulfils `offers.Offered`."""

    def __init__(self, link: "Link", offer_id: int, answer: "asyncio.Future[bool]") -> None:
        self._link = link
        self._id = offer_id
        self._generation = link.generation
        self.answer = answer

    def go(self) -> bool:
        """See `offers.Offered`."""
        return self._settle(Go(self._id))

    def void(self) -> None:
        """See `offers.Offered`."""
        self._settle(Void(self._id))

    def _settle(self, word: Go | Void) -> bool:
        return self._generation == self._link.generation and self._link.settle(word)

    def look(self) -> None:
        """See `offers.Offered`."""
        self._link.read()


class Link:
    """A giver's connection to one taker, made when first needed; fulfils `offers.Taker`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._waiting: dict[int, tuple[asyncio.Future[bool], float]] = {}
        self._ids = itertools.count(1)
        self.generation = 0
        """Of the connection: the taker knows only the offers of this one."""
        self.load = 0
        self.answer_s = 0.0

    def ask(self, fd: int, payload: bytes) -> Given:
        """See `offers.Taker`."""
        offer_id = next(self._ids)
        self._send(_encode(Offer(offer_id, payload)), fd)
        answer: asyncio.Future[bool] = self._loop.create_future()
        self._waiting[offer_id] = answer, self._loop.time()
        return Given(self, offer_id, answer)

    def settle(self, word: Go | Void) -> bool:
        """Tell the taker what became of an offer; False: it is gone."""
        self._waiting.pop(word.id, None)
        try:
            self._send(_encode(word), None)
        except OSError:
            self.close()
            return False
        if isinstance(word, Go):
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
            self._loop.add_reader(connection.fileno(), self.read)
        if fd is None:
            self._socket.send(data)
        else:
            socket.send_fds(self._socket, [data], [fd])

    def read(self) -> None:
        """Take the answers that there are."""
        while self._socket is not None:
            try:
                data = self._socket.recv(_MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            try:
                self._answered(_decode_for_giver(data))
            except msgspec.MsgspecError:  # also the empty message of a closed connection
                self.close()

    def _answered(self, answer: Take | Full) -> None:
        if isinstance(answer, Take):
            self.load = answer.load
        waiter, asked_at = self._waiting.pop(answer.id, (None, 0.0))
        if waiter is not None and not waiter.done():
            self.answer_s = max(self._loop.time() - asked_at, self.answer_s * _FADES)
            waiter.set_result(isinstance(answer, Take))

    def close(self) -> None:
        """Close; offers under way fail."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
            self.generation += 1
        waiting, self._waiting = self._waiting, {}
        for waiter, _ in waiting.values():
            if not waiter.done():
                waiter.set_result(False)


class UpgradeSender:
    """An api worker's way to the ws workers; fulfils `app.ports.Handover`."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._links = [Link(path) for path in paths]

    async def offer(self, fd: int, upgrade: Upgrade) -> bool:
        """See `app.ports.Handover`."""
        order = choose(upgrade.user_id, [link.load for link in self._links])
        return await offer(fd, _encode(upgrade), [self._links[index] for index in order])

    def close(self) -> None:
        """Close the connections; offers under way fail."""
        for link in self._links:
            link.close()


class Receiver:
    """A taker's end: calls `adopt` with each socket that has become its own, and its payload.

    promised: called with 1 for each socket that is taken, with -1 when it did not become ours after all. room: whether
    one more is taken.
    """

    def __init__(
        self,
        listener: socket.socket,
        adopt: Callable[[socket.socket, bytes], Coroutine[Any, Any, None]],
        load: Callable[[], int],
        promised: Callable[[int], None] = lambda _: None,
        room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._listener = listener
        self._adopt = adopt
        self._load = load
        self._promised = promised
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._peers: dict[socket.socket, dict[int, tuple[socket.socket, bytes, asyncio.TimerHandle]]] = {}
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
        for _ in range(_MESSAGES_PER_TURN):
            if peer not in self._peers or not self._read(peer):
                return

    def _read(self, peer: socket.socket) -> bool:
        """Take one message; False: there was none."""
        try:
            data, fds, truncated = _receive(peer)
        except BlockingIOError:
            return False
        except OSError:
            data, fds, truncated = b"", [], False
        try:
            message = _decode_for_taker(data)
        except msgspec.MsgspecError:  # also the empty message of a closed connection
            message = None
        if truncated or message is None or len(fds) != isinstance(message, Offer):
            for fd in fds:
                os.close(fd)
            self._drop(peer)
        elif isinstance(message, Offer):
            self._take(peer, message, fds[0])
        elif isinstance(message, Go):
            self._go(peer, message)
        else:
            self._give_up(peer, message.id)
        return True

    def _take(self, peer: socket.socket, offer: Offer, fd: int) -> None:
        connection = socket.socket(fileno=fd)
        if not self._room():
            connection.close()
            with contextlib.suppress(OSError):  # the giver is gone, or counts this one as unanswered
                peer.send(_encode(Full(offer.id)))
            return
        timer = self._loop.call_later(GO_TIMEOUT_S, self._expire, peer, offer.id)
        self._peers[peer][offer.id] = (connection, offer.payload, timer)
        self._promised(1)
        try:
            peer.send(_encode(Take(offer.id, self._load())))
        except OSError:
            self._drop(peer)

    def _go(self, peer: socket.socket, go: Go) -> None:
        pending = self._peers[peer].pop(go.id, None)
        if pending is None:
            return
        connection, payload, timer = pending
        timer.cancel()
        task = self._loop.create_task(self._adopt(connection, payload))
        self._tasks.add(task)
        task.add_done_callback(self._adopted)

    def _adopted(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._promised(-1)
            log.error("a socket could not be served", exc_info=task.exception())

    def _expire(self, peer: socket.socket, offer_id: int) -> None:
        """No GO. If it was we who were late it has come, and waits to be read."""
        self._on_readable(peer)
        self._give_up(peer, offer_id)

    def _give_up(self, peer: socket.socket, offer_id: int) -> None:
        connection, _, timer = self._peers.get(peer, {}).pop(offer_id, (None, b"", None))
        if connection is not None and timer is not None:
            timer.cancel()
            connection.close()
            self._promised(-1)

    def _drop(self, peer: socket.socket) -> None:
        self._loop.remove_reader(peer.fileno())
        for connection, _, timer in self._peers.pop(peer).values():
            timer.cancel()
            connection.close()
            self._promised(-1)
        peer.close()


def _receive(peer: socket.socket) -> tuple[bytes, list[int], bool]:
    """One message, its descriptors, and whether either was cut short."""
    received = array.array("i")
    data, ancillary, flags, _ = peer.recvmsg(_MAX_MESSAGE, socket.CMSG_SPACE(received.itemsize))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received.frombytes(content[: len(content) - len(content) % received.itemsize])
    return data, list(received), bool(flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC))
