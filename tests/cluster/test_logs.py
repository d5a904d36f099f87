"""The log: one event a line, whatever is in it."""

import json
import logging

from cluster.host.logs import Json, Line


def _record(message: str, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("app.x", logging.INFO, "f", 1, message, (), None)
    vars(record).update(fields)
    return record


def test_a_line_has_level_process_message_and_fields() -> None:
    line = Line("api0").format(_record("worker exited", worker="ws0", status=-9, reason="a b"))
    assert line.split(" ", 1)[1] == 'INFO    api0       worker exited worker=ws0 status=-9 reason="a b"'


def test_nobody_can_forge_a_line() -> None:
    line = Line("api0").format(_record("x\ny", client="a\nERROR fake", empty=""))
    assert "\n" not in line
    assert 'empty=""' in line


def test_json_is_one_object_a_line() -> None:
    record = _record("request failed", request_id="r", odd={1, 2})
    try:
        raise ValueError("why")
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    line = Json("api0").format(record)
    entry = json.loads(line)
    assert "\n" not in line
    assert (entry["msg"], entry["level"], entry["process"], entry["request_id"]) == (
        "request failed",
        "info",
        "api0",
        "r",
    )
    assert "ValueError: why" in entry["traceback"]
