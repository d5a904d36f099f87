"""A TCP proxy between two parts of a test that is late, slices, stops, cuts, ends halves and resets. Needs no rights.

    with FaultProxy("127.0.0.1", server_port) as proxy:
        client.connect(("127.0.0.1", proxy.port))
        proxy.set(latency_s=0.2)            # from now on, for bytes of both directions
        proxy.set(UP, drop_after=1000)      # what clients send after 1000 bytes more goes nowhere
        proxy.reset()                       # every connection, both ends

UP is from client to server, DOWN from server to client. It runs in a thread of its own with a loop of its own.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

T = TypeVar("T")
UP, DOWN = "up", "down"
_CHUNK = 65_536
_LATE_CHUNKS = 1024


@dataclass(frozen=True)
class Faults:
    """What happens to bytes of one direction.

    latency_s, jitter_s: they come so much later, and up to so much more, in order. slice_bytes: in pieces of at most so
    many (0: as they come). drop_after: so many bytes of each connection still go through, later ones vanish while the
    connection stays (None: all go). reset_after: the same, but then both ends are reset. stalled: nothing is read, so
    that the sender's buffers fill.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    slice_bytes: int = 0
    drop_after: int | None = None
    reset_after: int | None = None
    stalled: bool = False


class _Direction:
    """One direction of one connection: reads, holds back until due, writes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: Faults, reset: Callable[[], None]
    ) -> None:
        self._reader, self._writer, self._reset = reader, writer, reset
        self._late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_LATE_CHUNKS)
        self._may_read = asyncio.Event()
        self._last_due = 0.0
        self._ended = False
        self.apply(faults)

    def apply(self, faults: Faults) -> None:
        """From now on. Bytes are counted from here."""
        self._faults = faults
        self._passed = 0
        (self._may_read.clear if faults.stalled else self._may_read.set)()

    def end(self) -> None:
        """End the receiver's half, whatever the sender goes on to say."""
        if not self._ended:
            self._ended = True
            self._writer.write_eof()

    async def run(self) -> None:
        """Until the sender has ended and all is written. Raises OSError when an end has reset, and that is to be seen."""
        writing = asyncio.ensure_future(self._write())
        reading = asyncio.ensure_future(self._read())
        try:
            await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_EXCEPTION)
            await reading
            await writing
        finally:
            writing.cancel()
            reading.cancel()

    async def _read(self) -> None:
        data = b"."
        while data:
            await self._may_read.wait()
            try:
                data = await self._reader.read(_CHUNK)
            except OSError:
                if not self._vanishes:
                    raise
                data = b""
            await self._may_read.wait()
            if not data and self._vanishes:
                await asyncio.Event().wait()  # nobody hears that it has ended
            kept = data[: self._left]
            self._passed += len(data)
            if kept or not data:
                loop = asyncio.get_running_loop()
                late_s = self._faults.latency_s + random.uniform(0, self._faults.jitter_s)
                self._last_due = max(self._last_due, loop.time() + late_s)
                await self._late.put((self._last_due, kept))
            if self._faults.reset_after is not None and self._passed > self._faults.reset_after:
                await self._late.join()
                self._reset()

    @property
    def _left(self) -> int | None:
        """How many bytes still go through; None: all."""
        limits = [one for one in (self._faults.drop_after, self._faults.reset_after) if one is not None]
        return max(0, min(limits) - self._passed) if limits else None

    @property
    def _vanishes(self) -> bool:
        return self._faults.drop_after is not None and self._passed >= self._faults.drop_after

    async def _write(self) -> None:
        """Until the end of the sender's half, which is the empty piece."""
        loop = asyncio.get_running_loop()
        while True:
            at, data = await self._late.get()
            await asyncio.sleep(max(0.0, at - loop.time()))
            size = self._faults.slice_bytes or len(data) or 1
            for start in range(0, 0 if self._ended else len(data), size):
                self._writer.write(data[start : start + size])
                await self._writer.drain()
            self._late.task_done()
            if not data:
                self.end()
                return


class _Pair:
    """A client's connection and ours to the server."""

    def __init__(self, client: "_Stream", server: "_Stream", faults: dict[str, Faults]) -> None:
        self._ends = (client, server)
        self.silent = False
        self.directions = {
            UP: _Direction(client[0], server[1], faults[UP], self.reset),
            DOWN: _Direction(server[0], client[1], faults[DOWN], self.reset),
        }

    async def run(self) -> None:
        try:
            await asyncio.gather(*(one.run() for one in self.directions.values()))
        except OSError:
            self.reset()  # one end has reset: so does the other
        finally:
            for _, writer in self._ends:
                writer.close()

    def half_close(self, direction: str) -> None:
        self.directions[direction].end()

    def reset(self) -> None:
        for _, writer in self._ends:
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    peer: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class FaultProxy:
    """Listens on 127.0.0.1:`port`, or by `listener`, and connects each client to `host`:`port_to`. A context manager."""

    def __init__(self, host: str, port_to: int, *, listener: socket.socket | None = None) -> None:
        self._to = (host, port_to)
        self._listener = listener
        self.port = 0
        self.accepted = 0
        self._faults = {UP: Faults(), DOWN: Faults()}
        self._refusing = False
        self._pairs: dict[_Pair, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        self._do(self._open())
        return self

    async def _open(self) -> None:
        listener = self._listener or socket.create_server(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._on_client, sock=listener)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        tasks = list(self._pairs.values())
        for pair, task in list(self._pairs.items()):
            pair.reset()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            if self._refusing:
                raise ConnectionRefusedError
            server = await asyncio.open_connection(*self._to)
        except OSError:
            _reset(writer)
            return
        pair = _Pair((reader, writer), server, self._faults)
        self._pairs[pair] = task = asyncio.ensure_future(pair.run())
        task.add_done_callback(lambda _: self._pairs.pop(pair, None))

    # What tests do ----------------------------------------------------------------------------------------------------

    def set(self, direction: str | None = None, **faults: Any) -> None:
        """Change the `Faults` of a direction (None: both), for connections that are open and for new ones."""

        async def apply() -> None:
            for one in (UP, DOWN) if direction is None else (direction,):
                self._faults[one] = replace(self._faults[one], **faults)
                for pair in self._pairs:
                    pair.directions[one].apply(self._faults[one])

        self._do(apply())

    def cut(self) -> None:
        """Nothing goes through any more, and nobody is told; new connections are accepted and stay silent."""
        self.set(drop_after=0)

    def silence(self) -> None:
        """As `cut` for the connections that are open; new ones are well. A firewall that forgot them does that."""

        async def apply() -> None:
            for pair in self._pairs:
                pair.silent = True
                for one in pair.directions.values():
                    one.apply(Faults(drop_after=0))

        self._do(apply())

    def heal(self) -> None:
        """As at the start. What was dropped is lost: a connection that lost bytes is reset."""

        async def mend() -> None:
            lossy = any(one.drop_after is not None for one in self._faults.values())
            self._refusing = False
            self._faults = {UP: Faults(), DOWN: Faults()}
            for pair in list(self._pairs):
                if lossy or pair.silent:
                    pair.reset()
                else:
                    for one in pair.directions.values():
                        one.apply(Faults())

        self._do(mend())

    def reset(self) -> None:
        """Reset every connection, both ends (RST, not FIN)."""

        async def end() -> None:
            for pair in list(self._pairs):
                pair.reset()

        self._do(end())

    def half_close(self, direction: str) -> None:
        """End one half of every connection: UP as if the client had ended its half, DOWN as if the server had."""

        async def end() -> None:
            for pair in list(self._pairs):
                pair.half_close(direction)

        self._do(end())

    def refuse(self) -> None:
        """New connections are reset at once; open ones go on."""
        self._refusing = True

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._pairs)

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)
