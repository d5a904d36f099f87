"""The control socket: a line of JSON in, a line of JSON out. By it the command line acts on the whole node.

{"command": "status"}  ->  {"ok": true, …}  or  {"ok": false, "error": "…"}
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
_LIMIT = 64 * 1024
_TALK_S = 5.0


async def serve(path: Path, handle: Callable[[str, Answer], Awaitable[Answer]]) -> asyncio.Server:
    """Answer each command by `handle(command, arguments)`. Only the user who runs the node can connect."""

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            try:
                async with asyncio.timeout(_TALK_S):
                    line = await reader.readuntil(b"\n")
                request = json.loads(line)
                answer = await handle(str(request["command"]), request)
            except (ValueError, KeyError, TypeError) as error:
                # Not the error's text: it may repeat a part of a command, and a command may hold a password.
                answer = {"ok": False, "error": f"not a command: {type(error).__name__}"}
            writer.write(json.dumps(answer).encode() + b"\n")
            writer.close()
            async with asyncio.timeout(_TALK_S):
                await writer.wait_closed()
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()  # who does not say or does not read all in time

    mask = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(on_connection, path, limit=_LIMIT)
    finally:
        os.umask(mask)


def ask(path: Path, command: str, timeout_s: float = 60.0, **arguments: object) -> Answer:
    """Send a command to a running node and wait for its answer. Raises OSError when no node answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        connection.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
        with connection.makefile("rb") as lines:
            line = lines.readline()
    if not line:
        raise ConnectionResetError("the node closed the connection")
    answer: Answer = json.loads(line)
    return answer
