"""The event, stdin and stdout."""

import asyncio
import os
import sys
from collections.abc import Callable

EVENT_BYTES = 800
EVENT = b'{"event":"posted","data":{"post":"' + b"x" * (EVENT_BYTES - 45) + b'"},"seq":%d}'


def event() -> str:
    """What the others send: the same text to everybody. Ours gives each socket its own number."""
    return (EVENT % 123).decode()


def serve_lines(port: int, send: Callable[[int], None]) -> None:
    """Say the port, then call `send` for each line of stdin. Ends the process with stdin."""
    os.set_blocking(0, False)
    print(port, flush=True)

    def read() -> None:
        data = os.read(0, 65536)
        if not data:
            sys.stdout.flush()
            os._exit(0)
        for line in data.split():
            send(int(line))

    asyncio.get_running_loop().add_reader(0, read)
