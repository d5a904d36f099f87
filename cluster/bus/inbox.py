"""What comes in at a ZeroMQ socket, read on the running loop.

The descriptor of a ZeroMQ socket only says when something *may* have changed, once: whoever reads must read until there
is nothing, and whoever sends may have taken that word away from the reader. So a look reads on until the socket is
empty (a bounded number a turn, the rest in the next), and after a send outside of a look there is to be one
(`look_soon`).
"""

import asyncio
from collections.abc import Callable
from typing import Any

import zmq

PER_TURN = 512
_NOW = int(zmq.DONTWAIT)


class Inbox:
    """take: gets the frames of each message. after: is called when a look is over, unless the socket was closed in it.

    copy: whether frames are bytes, or else zmq.Frame (which say who sent them). `close` closes the socket, too.
    """

    def __init__(
        self,
        socket: "zmq.Socket[bytes]",
        take: Callable[[Any], object],
        after: Callable[[], object] | None = None,
        *,
        per_turn: int = PER_TURN,
        copy: bool = True,
    ) -> None:
        self._socket = socket
        self._take = take
        self._after = after
        self._per_turn = per_turn
        self._copy = copy
        self._loop = asyncio.get_running_loop()
        self._descriptor: int | None = None
        self._due = False

    def start(self) -> None:
        """Begin to look: at once, and whenever something comes."""
        self._descriptor = self._socket.FD
        self._loop.add_reader(self._descriptor, self.look)
        self.look_soon()

    def look_soon(self) -> None:
        """Once in the next turn of the loop, however often it is asked for."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self.look)

    def look(self) -> None:
        """Take what is there."""
        self._due = False
        socket, take, copy = self._socket, self._take, self._copy
        for _ in range(self._per_turn):
            if socket.closed:
                return
            try:
                frames = socket.recv_multipart(_NOW, copy)
            except zmq.Again:
                break
            take(frames)
        else:
            self.look_soon()
        if self._after is not None and not socket.closed:
            self._after()

    def close(self) -> None:
        """Look no more; what waits is given up."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = None
        self._socket.close()
