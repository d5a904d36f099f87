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

import msgspec

from cluster.commands import of_node
from cluster.commands.of_node import AnyCommand, BadCommand

Answer = dict[str, Any]
_LIMIT = 64 * 1024
_TALK_S = 5.0


async def serve(path: Path, handle: Callable[[AnyCommand], Awaitable[Answer]]) -> asyncio.Server:
    """Answer each command by `handle`. Only the user who runs the node can connect."""

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TALK_S):
                line = await reader.readuntil(b"\n")
            try:
                command = read(line)
            except BadCommand as error:
                answer = {"ok": False, "error": str(error)}
            else:
                answer = await handle(command)
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


def read(line: bytes) -> AnyCommand:
    """The command of an operator. Raises BadCommand."""
    try:
        request = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):  # its text may repeat a part of what was sent
        raise BadCommand("not a command: it is no JSON object") from None
    return of_node.read(request.get("command"), request, "operator")


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
