"""Fields as people read them, in the log and in the audit log: `name=value name="a value with spaces"`."""

import json
from collections.abc import Mapping


def text_of(values: Mapping[str, object]) -> str:
    """The fields. What could be taken for another field, or another line, is in quotes, as in JSON."""
    return " ".join(f"{name}={_quoted(value)}" for name, value in values.items())


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in ' "=\n\r' for c in text) else text
