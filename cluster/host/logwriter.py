"""Where lines go out: a thread for each destination, and before it a queue that never makes anybody wait.

Standard error may be a pipe whose reader has stopped, a log file may lie on a disk that is full or hangs. O_NONBLOCK
would be a property of the open file description, which other programs share, and does nothing for files; so a thread
writes, and only the thread waits (decision 0029). What the queue cannot take is dropped and counted, what cannot be
written is counted as well; the next line that gets through is preceded by how many were lost.
"""

import contextlib
import io
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

QUEUE_BYTES = 1 << 20
"""What waits for one destination, at most."""
CLOSE_S = 1.0
"""How long the end of a process waits for its lines, at most."""
_POLL_S = 0.002
_OWN_LINE_BYTES = 64
"""What an entry of the queue costs besides its text."""


class Sink(Protocol):
    """A destination. `write` may block."""

    def write(self, data: bytes) -> tuple[int, OSError | None]:
        """Write all of it; how many bytes are written, and why not all are."""

    def close(self) -> None:
        """Let go of what it holds."""


class Descriptor:
    """An open descriptor that others may use as well."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> tuple[int, OSError | None]:
        """See `Sink`."""
        return _write_all(self._descriptor, data)

    def close(self) -> None:
        """See `Sink`. It is not ours."""


class LogFile:
    """A file in append mode, so that the processes of a node share it; opened again after it was rotated."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._torn = False
        """Whether the end of the line that we wrote last is missing."""

    def write(self, data: bytes) -> tuple[int, OSError | None]:
        """See `Sink`."""
        try:
            self._open()
        except OSError as error:
            return 0, error
        if self._torn:
            _, failure = _write_all(self._descriptor, b"\n")
            if failure is not None:
                return 0, failure
        written, failure = _write_all(self._descriptor, data)
        self._torn = written > 0 and not data[:written].endswith(b"\n")
        return written, failure

    def _open(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                there, ours = self._path.stat(), os.fstat(self._descriptor)
                if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                    return
            self.close()
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        self._descriptor = os.open(self._path, flags, 0o640)
        self._torn = False

    def close(self) -> None:
        """See `Sink`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _write_all(descriptor: int, data: bytes) -> tuple[int, OSError | None]:
    written = 0
    while written < len(data):
        try:
            written += os.write(descriptor, data[written:])
        except OSError as error:
            return written, error
    return written, None


class Writer:
    """The queue and the thread of one destination.

    name: of the destination, for the log. tell: makes the line that says how many lines were lost, and why.
    on_trouble(name, reason): is called by the thread when the first line after a good one cannot be written.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        tell: Callable[[int, str], str],
        on_trouble: Callable[[str, str], None] = lambda _name, _reason: None,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self.name = name
        self.tell = tell
        self._on_trouble = on_trouble
        self._sink = sink
        self._queue_bytes = queue_bytes
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._lock = threading.RLock()  # what the garbage collector ends may speak while we hold it
        self._put = self._done = 0
        """Bytes, ever: the difference is what waits."""
        self._dropped = 0
        self._unwritten = 0
        self._reason = ""
        self._failing = False
        self._busy_since = 0.0
        """When the write under way began; 0: none is."""
        self._thread = threading.Thread(target=self._run, name=f"log {name}", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Queue a line, which ends with a newline, or drop it. Never waits."""
        data = line.encode("utf-8", "backslashreplace")
        with self._lock:
            if self._put - self._done + len(data) > self._queue_bytes:
                self._dropped += data.count(b"\n")
                return
            if self._dropped:
                self._admit(self._lost_line())
            self._admit(data)

    def close(self) -> None:
        """The thread ends when it has written what waits; does not wait for that."""
        self._queue.put(None)

    def finish(self, deadline: float) -> bool:
        """Wait until all is written, at most until the monotonic `deadline`, and not for what hangs. Whether it is."""
        while self._put != self._done:
            busy_since, now = self._busy_since, time.monotonic()
            if now >= deadline or (busy_since and now - busy_since > CLOSE_S):
                return False
            time.sleep(_POLL_S)
        return True

    def _admit(self, data: bytes) -> None:
        self._put += len(data) + _OWN_LINE_BYTES
        self._queue.put(data)

    def _lost_line(self) -> bytes:
        lost, self._dropped = self._dropped, 0
        return self.tell(lost, "the queue was full").encode()

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the main thread
        kept: bytes | None = b""
        while kept is not None:
            lines, kept = self._take(kept)
            if lines:
                self._write(lines)
                with self._lock:
                    self._done += sum(map(len, lines)) + _OWN_LINE_BYTES * len(lines)
                    if self._dropped and self._put == self._done:
                        self._admit(self._lost_line())
        self._sink.close()

    def _take(self, kept: bytes | None) -> tuple[list[bytes], bytes | None]:
        """The next lines, as many as a pipe takes in one piece; and the one after them (None: no more will come)."""
        first = kept or self._queue.get()
        if first is None:
            return [], None
        lines, size = [first], len(first)
        while not self._queue.empty():
            line = self._queue.get()
            if line is None or size + len(line) > select.PIPE_BUF:
                return lines, line
            lines.append(line)
            size += len(line)
        return lines, b""

    def _write(self, lines: list[bytes]) -> None:
        owed = self.tell(self._unwritten, self._reason).encode() if self._unwritten else b""
        data = owed + b"".join(lines)
        self._busy_since = time.monotonic()
        written, error = self._sink.write(data)
        self._busy_since = 0.0
        if written >= len(owed):
            self._unwritten = 0
        if error is not None:
            self._unwritten += data[max(written, len(owed)) :].count(b"\n")
            self._reason = error.strerror or type(error).__name__
            if not self._failing:
                self._on_trouble(self.name, self._reason)
        self._failing = error is not None


class Lines(io.TextIOBase):
    """In the place of `sys.stderr`: what the interpreter and libraries print goes through a writer, line by line.

    redact: gives a text without the secrets in it.
    """

    def __init__(self, writer: Writer, descriptor: int, redact: Callable[[str], str]) -> None:
        self.writer = writer
        self.redact = redact
        self._descriptor = descriptor
        self._begun = ""

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """Of the stream it stands for."""
        return self._descriptor

    def write(self, text: str) -> int:
        """Queue the lines that are complete now."""
        whole, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline:
            self.writer.put(self.redact(whole) + newline)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        """See `write`."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Whoever prints waits for nothing."""
