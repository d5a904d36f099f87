"""The log: one event a line, a constant message plus fields. Fields come by `extra={…}`.

No process waits for its log (`logwriter.py`), and no line holds a secret of the configuration (`app/redaction.py`).
"""

import atexit
import faulthandler
import json
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from app import fields
from app.config.settings import LogSettings
from app.redaction import Redactor
from cluster.host.logwriter import CLOSE_S, Descriptor, Lines, LogFile, Writer

log = logging.getLogger(__name__)

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "message",
    "asctime",
    "taskName",
}
_LEVELS = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARN": logging.WARNING, "ERROR": logging.ERROR}


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class Line(logging.Formatter):
    """For people: time, level, process, message, fields."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on lines of its own."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = (
            f"{clock}.{int(record.msecs):03d} {record.levelname:<7} {self._process:<10}"
            f" {_one_line(record.getMessage())} {fields.text_of(_fields(record))}"
        ).rstrip()
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class Json(logging.Formatter):
    """For machines: a JSON object a line."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback is a field."""
        entry: dict[str, object] = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "msg": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(entry, ensure_ascii=False, default=str)


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


class Queued(logging.Handler):
    """Formats a record at once, and leaves it to a writer."""

    def __init__(self, writer: Writer, formatter: logging.Formatter, level: str, redactor: Redactor) -> None:
        super().__init__(_LEVELS[level])
        self.writer = writer
        self.setFormatter(formatter)
        self._redactor = redactor
        writer.tell = self._tell_lost

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`. A record that cannot be formatted is told as such."""
        try:
            text = self.format(record)
        except Exception:
            text = self.format(_record(logging.ERROR, "a line of the log cannot be formatted", at=record.name))
        self.writer.put(self._redactor.text(text) + "\n")

    def _tell_lost(self, count: int, reason: str) -> str:
        return self.format(_record(logging.WARNING, "lines of the log were lost", lost=count, reason=reason)) + "\n"


def _record(level: int, message: str, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord(__name__, level, __file__, 0, message, (), None)
    vars(record).update(fields)
    return record


def _on_trouble(name: str, reason: str) -> None:
    log.error("a log cannot be written", extra={"log": name, "reason": reason})


def set_up(settings: LogSettings, process: str, redactor: Redactor) -> None:
    """Send this process's log where the settings say. May be called again after a reload.

    From the first call on `sys.stderr` goes the same way, so that no print and no traceback can make the process wait.
    """
    root = logging.getLogger()
    files = {handler.writer.name: handler.writer for handler in root.handlers if isinstance(handler, Queued)}
    console = _console(redactor)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    if settings.enable_console:
        lines = Json(process) if settings.console_json else Line(process)
        root.addHandler(Queued(console, lines, settings.console_level, redactor))
    if settings.enable_file:
        path = settings.file_location
        writer = files.pop(path, None) or Writer(path, LogFile(Path(path)), _plain, _on_trouble)
        root.addHandler(Queued(writer, Json(process), settings.file_level, redactor))
    for left in files.values():
        if left is not console:
            left.close()
    root.setLevel(min((handler.level for handler in root.handlers), default=logging.WARNING))
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def _plain(lost: int, reason: str) -> str:
    return f"{lost} lines of the log were lost: {reason}\n"


def _console(redactor: Redactor) -> Writer:
    """The writer of standard error, which lives as long as the process."""
    if isinstance(sys.stderr, Lines):
        sys.stderr.redact = redactor.text
    else:
        sys.stderr = Lines(Writer("standard error", Descriptor(2), _plain, _on_trouble), 2, redactor.text)
        atexit.register(_finish)
    return sys.stderr.writer


def _finish() -> None:
    """Give the writers a second for what they hold. What the interpreter has to say after that is said directly, unless
    that would hang."""
    deadline = time.monotonic() + CLOSE_S
    writers = [handler.writer for handler in logging.getLogger().handlers if isinstance(handler, Queued)]
    for writer in writers:
        writer.finish(deadline)
    if isinstance(sys.stderr, Lines) and sys.stderr.writer.finish(deadline):
        sys.stderr = sys.__stderr__


def dump_stacks_on(number: signal.Signals) -> None:
    """Dump the stacks of all threads at this signal, and at a crash, without waiting for whoever reads them."""
    descriptor = _unblocking_stderr()
    faulthandler.enable(descriptor)
    faulthandler.register(number, descriptor, all_threads=True)


def _unblocking_stderr() -> int:
    """Standard error by an open file description of our own: a pipe that is full swallows what does not fit.

    A socket cannot be opened anew: then it is descriptor 2 itself, and whoever waits there is killed by the supervisor.
    """
    try:
        return os.open("/proc/self/fd/2", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return 2
