"""The event, stdin and stdout."""

import asyncio
import os
from collections.abc import Callable

EVENT_BYTES = 800
BODY = b'{"event":"posted","data":{"post":"' + b"x" * (EVENT_BYTES - 47) + b'"}'


def numbered(seq: int) -> bytes:
    """The event with its number."""
    return BODY + b',"seq":%d}' % seq


class Numbers:
    """The number of the next event of each client, as Mattermost's protocol wants it."""

    def __init__(self) -> None:
        self._next: dict[object, int] = {}

    def take(self, client: object) -> int:
        """The number of this event of the client."""
        seq = self._next.get(client, 0)
        self._next[client] = seq + 1
        return seq


def serve_lines(port: int, send: Callable[[int, bool], None]) -> None:
    """Say the port, then call `send` for each line of stdin: how many events, and whether they are numbered (0 or 1).

    Ends the process with stdin.
    """
    os.set_blocking(0, False)
    print(port, flush=True)

    def read() -> None:
        data = os.read(0, 65536)
        if not data:
            os._exit(0)
        for line in data.splitlines():
            count, with_number = line.split()
            send(int(count), with_number == b"1")

    asyncio.get_running_loop().add_reader(0, read)
