"""Ways to database servers whose end is changed while they are used: a proxy, or a name, that leads elsewhere.

    with Switch(servers.master) as way:             # clients: way.dsn(database)
        way.lead(heir)                              # new connections; those that are open stay where they are
        way.cut(node.process.pid)                   # what this node has open breaks, and it opens nothing more here

It listens on a unix socket, as clients in other network namespaces reach servers. Who comes is told by the processes
that it comes from. It runs in a thread of its own.
"""

import asyncio
import contextlib
import shutil
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.rig.directories import new_directory

_PORT = 5432


class Switch:
    """See above."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._cut: set[int] = set()
        self._open: list[tuple[set[int], asyncio.StreamWriter]] = []
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self.directory = new_directory()
        self.directory.chmod(0o777)
        self._path = self.directory / f".s.PGSQL.{_PORT}"

    def __enter__(self) -> "Switch":
        async def serve() -> None:
            self._listening = await asyncio.start_unix_server(self._accept, self._path)
            self._path.chmod(0o777)

        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(serve(), self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            self._listening.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def dsn(self, database: str) -> str:
        """Connection string: the server's, by this way."""
        theirs: str = self._server.socket_dsn(database)
        if theirs.startswith("host="):
            return f"host={self.directory} port={_PORT} user=mmnode dbname={database}"
        return theirs.replace(self._server.socket_path, str(self._path))

    def lead(self, server: Any) -> None:
        """New connections go to this server."""
        self._server = server

    def cut(self, parent: int) -> None:
        """Connections of this process and its children break, and they make no new ones."""
        self._cut.add(parent)
        self._loop.call_soon_threadsafe(self._end, parent)

    def end(self, parent: int) -> None:
        """Connections of this process and its children break; new ones go where the way leads by now."""
        self._loop.call_soon_threadsafe(self._end, parent)

    def _end(self, parent: int) -> None:
        for line, writer in list(self._open):
            if parent in line:
                writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._join(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer: socket.socket = writer.get_extra_info("socket")
        pid, _, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        line = _line(pid)
        if line & self._cut:
            return
        there, back = await asyncio.open_unix_connection(self._server.socket_path)
        with self._counted(line, writer):
            try:
                ways = [asyncio.ensure_future(_pass(reader, back)), asyncio.ensure_future(_pass(there, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                back.transport.abort()

    @contextlib.contextmanager
    def _counted(self, line: set[int], writer: asyncio.StreamWriter) -> Iterator[None]:
        self._open.append((line, writer))
        try:
            yield
        finally:
            self._open.remove((line, writer))


def _line(pid: int) -> set[int]:
    """A process and those that it comes from."""
    line = set()
    while pid > 1:
        line.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except FileNotFoundError:
            break
    return line


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
