"""No log makes anybody wait: readers that have stopped, disks that are full, and what is lost is counted."""

import contextlib
import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.host import systemd
from cluster.host.logwriter import CLOSE_S, Descriptor, LogFile, Writer
from tests.rig.lateness import within
from tests.rig.wait import until

ROOT = Path(__file__).parents[2]


def _lost(count: int, reason: str) -> str:
    return f"lost {count}: {reason}\n"


def _read_all(reader: int) -> bytes:
    os.set_blocking(reader, False)
    found = b""
    with contextlib.suppress(BlockingIOError):
        while data := os.read(reader, 1 << 20):
            found += data
    return found


def _read_until(reader: int, enough: Callable[[str], bool]) -> str:
    found = ""

    def read() -> bool:
        nonlocal found
        found += _read_all(reader).decode()
        return enough(found)

    until(read, 10, "what is to be read")
    return found


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """(reader, writer) of a pipe that holds one page."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield reader, writer
    os.close(reader)  # ends the thread that still writes
    os.close(writer)


def test_a_reader_that_stops_holds_nobody_up_and_what_it_misses_is_counted(pipe: tuple[int, int]) -> None:
    reader, end = pipe
    writer = Writer("pipe", Descriptor(end), _lost, queue_bytes=20_000)
    began = time.monotonic()
    for number in range(1000):
        writer.put(f"line {number} {'x' * 90}\n")
    assert within(0.5, since=began)
    found = _read_until(reader, lambda found: "lost" in found and writer.finish(time.monotonic()))
    writer.put("after\n")
    found += _read_until(reader, lambda found: "after" in found)
    *lines, note, last = found.splitlines()
    assert [int(line.split()[1]) for line in lines] == list(range(len(lines)))
    assert all(line.endswith("x" * 90) for line in lines)
    assert note == f"lost {1000 - len(lines)}: the queue was full"
    assert last == "after"
    assert len(lines) < 500


def test_room_that_returns_is_used_in_order(pipe: tuple[int, int]) -> None:
    """The number of lost lines stands where they would have stood."""
    reader, end = pipe
    writer = Writer("pipe", Descriptor(end), _lost, queue_bytes=10_000)
    for _ in range(200):
        writer.put("early " + "x" * 90 + "\n")
    found = _read_until(reader, lambda found: "early" in found and writer._put - writer._done <= 7000)
    writer.put("late\n")
    found += _read_until(reader, lambda found: "late" in found)
    kinds = [line.split()[0] for line in found.splitlines()]
    assert kinds == ["early"] * (len(kinds) - 2) + ["lost", "late"]


def test_lines_of_two_processes_do_not_mix(pipe: tuple[int, int]) -> None:
    reader, end = pipe
    writers = [Writer(name, Descriptor(end), _lost) for name in "ab"]
    for number in range(500):
        for writer in writers:
            writer.put(f"{writer.name * 60} {number}\n")
    found = _read_until(reader, lambda _: all(writer.finish(time.monotonic()) for writer in writers))
    found += _read_all(reader).decode()
    for name in "ab":
        assert re.findall(rf"^{name}{{60}} (\d+)$", found, re.MULTILINE) == [str(n) for n in range(500)]
    assert found.count("\n") == 1000


def test_the_end_waits_a_second_at_most_and_not_at_all_for_what_hangs_longer(pipe: tuple[int, int]) -> None:
    writer = Writer("pipe", Descriptor(pipe[1]), _lost)
    for _ in range(200):
        writer.put("x" * 90 + "\n")
    began = time.monotonic()
    assert not writer.finish(began + 0.3)
    assert within(0.35, since=began)
    until(lambda: time.monotonic() - began > CLOSE_S, 5, "it to hang for longer")
    began = time.monotonic()
    assert not writer.finish(began + 30)
    assert within(0.1, since=began)


def test_a_full_disk_is_told_once_and_the_lines_it_cost_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "mmnode.log"
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    told: list[tuple[str, str]] = []
    writer = Writer("file", LogFile(path), _lost, lambda *said: told.append(said))
    for number in range(3):
        writer.put(f"line {number}\n")
        until(lambda: writer.finish(time.monotonic()), 5, "the line to be tried")
    assert told == [("file", "No space left on device")]
    path.unlink()
    writer.put("room again\n")
    until(lambda: path.exists() and writer.finish(time.monotonic()), 5, "the line to be written")
    assert path.read_text() == "lost 3: No space left on device\nroom again\n"
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_line_that_was_cut_by_a_full_disk_does_not_swallow_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    file, write = LogFile(path), os.write
    file.write(b"first\n")
    room = 14

    def short(descriptor: int, data: bytes) -> int:
        nonlocal room
        if descriptor != file._descriptor:
            return write(descriptor, data)
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, data[:room])
        room -= written
        return written

    monkeypatch.setattr("cluster.host.logwriter.os.write", short)
    assert file.write(b"second\nthird line\n")[0] == 14
    assert file.write(b"fourth\n")[0] == 0
    room = 100
    assert file.write(b"fifth\n") == (6, None)
    assert path.read_text() == "first\nsecond\nthird l\nfifth\n"


def test_a_file_that_was_rotated_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = LogFile(path)
    file.write(b"old\n")
    path.rename(tmp_path / "log.1")
    file.write(b"new\n")
    assert (tmp_path / "log.1").read_text() == "old\n"
    assert path.read_text() == "new\n"


def test_a_destination_that_closes_is_survived() -> None:
    reader, end = os.pipe()
    os.close(reader)
    told: list[str] = []
    writer = Writer("gone", Descriptor(end), _lost, lambda _, reason: told.append(reason))
    writer.put("x\n")
    writer.put("y\n")
    until(lambda: writer.finish(time.monotonic()), 5, "both to be tried")
    assert told == ["Broken pipe"]
    writer.close()
    until(lambda: not any(one.name == "log gone" for one in threading.enumerate()), 5, "the thread's end")
    os.close(end)


_PROCESS = """
import logging, os, signal, sys, time
from app.config.settings import Config, LogSettings
from app.redaction import Redactor
from cluster.host import logs
logs.dump_stacks_on(signal.SIGUSR1)
logs.set_up(LogSettings(), "test", Redactor())
log = logging.getLogger("x")
"""


def _process(code: str, stderr: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", _PROCESS + code], cwd=ROOT, stderr=stderr, stdout=subprocess.PIPE)


def _fill(end: int) -> None:
    os.set_blocking(end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(end, b"." * 512)
    os.set_blocking(end, True)


@pytest.mark.parametrize(
    "code",
    [
        "log.error('said')",
        "print('said', file=sys.stderr)",
        "log.error('x' * 2_000_000)\nraise RuntimeError('at the end')",
        "sys.exit('a reason')",
        "import warnings; warnings.warn('said')",
        "import threading; one = threading.Thread(target=lambda: 1 / 0); one.start(); one.join()",
        "os.kill(os.getpid(), signal.SIGUSR1)",
        "log.error('said', exc_info=ValueError())\nlogging.getLogger('psycopg.pool').error('said')",
    ],
)
def test_a_process_ends_in_time_though_nobody_reads_what_it_says(pipe: tuple[int, int], code: str) -> None:
    _fill(pipe[1])
    with _process(f"{code}\n", pipe[1]) as process:
        try:
            process.wait(CLOSE_S + 8)  # and the start of an interpreter
        finally:
            process.kill()


def test_what_a_process_says_is_there_when_it_has_ended() -> None:
    code = "log.error('first')\nprint('second', file=sys.stderr)\nlog.error('third')\nraise RuntimeError('fourth')\n"
    with _process(code, subprocess.PIPE) as process:
        _, said = process.communicate(timeout=20)
    lines = said.decode().splitlines()
    assert "first" in lines[0]
    assert lines[1] == "second"
    assert "third" in lines[2]
    assert lines[3] == "Traceback (most recent call last):"
    assert lines[-1] == "RuntimeError: fourth"


def test_what_the_interpreter_says_holds_no_secret_either() -> None:
    code = (
        "secrets = Redactor()\nsecrets.learn_source('postgres', 'host=x password=hunter2-and-more')\n"
        "logs.set_up(LogSettings(), 'test', secrets)\n"
        "print('it is hunter2-and-more', file=sys.stderr)\nraise RuntimeError('not hunter2-and-more')\n"
    )
    with _process(code, subprocess.PIPE) as process:
        _, said = process.communicate(timeout=20)
    assert b"RuntimeError: not " in said
    assert b"hunter2-and-more" not in said


def test_stacks_are_dumped_and_a_reader_that_stopped_is_not_waited_for(pipe: tuple[int, int]) -> None:
    reader, end = pipe
    code = "print('there', flush=True)\ntime.sleep(0.3)\nprint('goes on', flush=True)\ntime.sleep(60)\n"
    for full in (False, True):
        if full:
            _fill(end)
        with _process(code, end) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"there\n"
                process.send_signal(signal.SIGUSR1)
                assert process.stdout.readline() == b"goes on\n"
            finally:
                process.kill()
        assert full or b"most recent call first" in _read_all(reader)


def test_a_service_manager_that_does_not_read_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        began = time.monotonic()
        for _ in range(2000):
            systemd.notify("READY=1")
        assert within(1.0, since=began)
        assert manager.recv(100) == b"READY=1"
