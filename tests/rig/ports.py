"""Ports that no other rig on this machine takes: each process of a test run holds a range of its own until it ends.

A range is held by a lock on a file, so that two runs side by side share nothing, and lies below the ports that the
kernel gives to clients. No port is opened to be closed and used later: they are counted through.
"""

import fcntl
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

FIRST, LAST, SIZE = 10_000, 32_000, 500
_LOCKS = Path("/tmp/mmnode-ports")
"""One place for all users and runs of the machine, whatever TMPDIR says."""


class Exhausted(Exception):
    """All ranges are held by others, or none of a range is free."""


class PortRange:
    """`index`: which range this process holds, 0 and up; use it for whatever else must differ between rigs."""

    def __init__(self, locks: Path = _LOCKS) -> None:
        if not locks.exists():
            locks.mkdir(exist_ok=True)
            locks.chmod(0o1777)
        self.index = -1
        for index in range((LAST - FIRST) // SIZE):
            descriptor = _open(locks / str(index))
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            self.index, self._lock = index, descriptor
            break
        else:
            raise Exhausted(f"all {index + 1} ranges of ports are held; see {locks}")
        self._ports = self._count()

    def _count(self) -> Iterator[int]:
        first = FIRST + self.index * SIZE
        return itertools.cycle(range(first, first + SIZE))

    def block(self, count: int = 1) -> int:
        """The first of so many ports in a row. Ports that somebody outside of the tests listens on are passed over."""
        for _ in range(2 * SIZE):
            found = [next(self._ports)]
            while len(found) < count:
                found.append(next(self._ports))
                if found[-1] != found[-2] + 1:  # around the end of the range
                    found = found[-1:]
            if all(_is_free(port) for port in found):
                return found[0]
        raise Exhausted(f"no {count} free ports in a row from {FIRST + self.index * SIZE}")

    def close(self) -> None:
        """Let others have the range."""
        os.close(self._lock)


def _open(path: Path) -> int:
    """By whoever made it: to lock a file it needs only to be read."""
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o644))
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


_mine: dict[int, PortRange] = {}


def mine() -> PortRange:
    """The range of this process. A forked child takes one of its own."""
    pid = os.getpid()
    if pid not in _mine:
        _mine[pid] = PortRange()
    return _mine[pid]


def free_port(count: int = 1) -> int:
    """A port that nobody else's rig takes, or the first of several in a row."""
    return mine().block(count)
