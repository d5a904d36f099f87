"""The ways of nodes to a database server, one for each, which can be cut: a `FaultProxy` in the namespace of each.

It listens there where the server does in ours, so that every node has the same connection string.
"""

import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Sequence

from tests.rig.faultproxy import FaultProxy

_CLONE_NEWNET = 0x40000000


class DatabaseLinks:
    """names: of network namespaces, by place. port: of the server, on 127.0.0.1. Use as a context manager."""

    def __init__(self, names: Sequence[str], port: int) -> None:
        self._names = names
        self._port = port
        self._proxies: list[FaultProxy] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "DatabaseLinks":
        for name in self._names:
            proxy = FaultProxy("127.0.0.1", self._port, listener=_listen(name, self._port))
            self._proxies.append(self._stack.enter_context(proxy))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def cut(self, place: int) -> None:
        """Nothing goes through any more, and nobody is told."""
        self._proxies[place].cut()

    def heal(self) -> None:
        """All ways are open. Connections that lost something are reset."""
        for proxy in self._proxies:
            proxy.heal()


def _listen(namespace: str, port: int) -> socket.socket:
    """A socket that listens in another network namespace. A thread goes there, for it alone."""
    found: list[socket.socket | OSError] = []

    def go() -> None:
        try:
            with open(f"/run/netns/{namespace}", "rb") as there:
                if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            found.append(socket.create_server(("127.0.0.1", port)))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join(10)
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]
