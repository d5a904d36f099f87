"""An ASGI application on uvicorn with wsproto."""

import asyncio
from typing import Any

import uvicorn
import uvloop

from bench.peers.wire import Numbers, numbered, serve_lines

_clients: set[Any] = set()
_numbers = Numbers()
_tasks: set[asyncio.Task[None]] = set()


async def _application(_scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    _clients.add(send)
    while (await receive())["type"] != "websocket.disconnect":
        pass
    _clients.discard(send)


async def _send(count: int, with_number: bool) -> None:
    same = numbered(123).decode()
    for _ in range(count):
        for send in list(_clients):
            text = numbered(_numbers.take(send)).decode() if with_number else same
            await send({"type": "websocket.send", "text": text})


def _start(count: int, with_number: bool) -> None:
    task = asyncio.get_running_loop().create_task(_send(count, with_number))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _main() -> None:
    config = uvicorn.Config(
        _application, port=0, ws="wsproto", ws_per_message_deflate=False, ws_ping_interval=None, lifespan="off",
        log_level="error",
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    serve_lines(server.servers[0].sockets[0].getsockname()[1], _start)
    await serving


uvloop.run(_main())
