"""The log: one event a line, a constant message plus fields. Fields come by `extra={…}`."""

import json
import logging
import logging.handlers
import sys
import time
import traceback
from pathlib import Path

from app.config import LogSettings

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
        fields = "".join(f" {name}={_quoted(value)}" for name, value in _fields(record).items())
        line = (
            f"{clock}.{int(record.msecs):03d} {record.levelname:<7} {self._process:<10}"
            f" {_one_line(record.getMessage())}{fields}"
        )
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


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in ' "=\n\r' for c in text) else text


def set_up(settings: LogSettings, process: str) -> None:
    """Send this process's log where the settings say. May be called again after a reload."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    if settings.enable_console:
        console = logging.StreamHandler(sys.stderr)
        console.setFormatter(Json(process) if settings.console_json else Line(process))
        console.setLevel(_LEVELS[settings.console_level])
        root.addHandler(console)
    if settings.enable_file:
        path = Path(settings.file_location)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Each line is one write in append mode, so the processes of a node share the file; a rotated file is reopened.
        file = logging.handlers.WatchedFileHandler(path, encoding="utf-8")
        file.setFormatter(Json(process))
        file.setLevel(_LEVELS[settings.file_level])
        root.addHandler(file)
    root.setLevel(min((handler.level for handler in root.handlers), default=logging.WARNING))
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
