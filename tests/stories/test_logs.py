"""Whoever should read the log does not: the node goes on, mends itself, obeys and stops."""

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.resources import uses
from tests.rig.directories import new_directory
from tests.rig.lateness import within
from tests.rig.node import Node
from tests.rig.wait import until


class Reader:
    """The reading end of the node's standard error, which reads only when it is told to."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, 4096)
        self.said = ""

    def stop(self) -> None:
        """Not one byte more fits into the pipe."""
        for piece in (b"." * 4096, b"."):
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(self._descriptor, piece)

    def read(self) -> str:
        """What has been said so far."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._descriptor, 1 << 16):
                self.said += data.decode(errors="replace")
        return self.said

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
@uses("node")
def heard() -> Iterator[tuple[Node, Reader]]:
    """A node of its own, and who reads its log."""
    directory = new_directory()
    reader = Reader(directory / "stderr")
    prefix = ["sh", "-c", f'exec "$@" 2>{directory}/stderr', "sh"]
    with Node(workers=2, directory=directory, prefix=prefix) as node:
        yield node, reader
    reader.close()


def _replaced_after_death(node: Node, name: str) -> None:
    pid = node.kill(name)
    killed_at = time.monotonic()
    node.wait_replaced(name, pid)
    assert within(2.5, since=killed_at)


def test_with_a_reader_that_stopped_what_dies_is_replaced_and_the_node_obeys_and_stops(
    heard: tuple[Node, Reader],
) -> None:
    node, reader = heard
    until(lambda: "node is ready" in reader.read(), what="the log")
    reader.stop()
    for name in ("api0", "relay", "ws0", "relay"):
        _replaced_after_death(node, name)
    began = time.monotonic()
    assert node.ask("reload", timeout_s=20)["ok"]
    assert within(2.0, since=began)
    until(lambda: node.ping() == 200, what="the ping")
    # Read again: all that was said meanwhile comes, in order.
    until(lambda: reader.read().count("configuration reloaded") == 1, what="the rest of the log")
    ended = [line for line in reader.said.splitlines() if "has ended and is started again" in line]
    assert [line.rpartition("worker=")[2].split()[0] for line in ended] == ["api0", "relay", "ws0", "relay"]
    assert "were lost" not in reader.said
    reader.stop()
    began = time.monotonic()
    assert node.stop(timeout_s=20) == 0
    assert within(4.5, since=began)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 64 KiB."""
    directory = new_directory()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory)]
    subprocess.run(mounted, check=True)
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)
    directory.rmdir()


@pytest.mark.namespaces
@pytest.mark.node
def test_a_full_disk_of_the_log_file_is_said_elsewhere_and_ends_nothing(small_disk: Path) -> None:
    path, filler = small_disk / "logs" / "mmnode.log", small_disk / "filler"
    with Node(config={"LogSettings": {"EnableFile": True, "FileLocation": str(path)}}) as node:
        until(lambda: path.exists() and "node is ready" in path.read_text(), what="a line in the file")
        assert path.stat().st_mode & 0o777 == 0o640
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"." * 4096)
        for name in ("api0", "relay") * 12:
            _replaced_after_death(node, name)
            if "a log cannot be written" in node.log:
                break
        assert "a log cannot be written log=" in node.log
        assert 'reason="No space left on device"' in node.log
        _replaced_after_death(node, "relay")
        assert node.ask("reload")["ok"]
        filler.unlink()
        assert node.ask("reload")["ok"]
        until(lambda: "lines of the log were lost" in path.read_text(), what="the count in the file")
        assert node.stop(timeout_s=20) == 0
