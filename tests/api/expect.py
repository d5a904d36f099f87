"""What answers must look like."""

import json
from typing import Any

import requests

from app.errors import MESSAGES
from db.model.ids import is_id
from tests.rig.raw import Reply

NOBODYS_ID = "n" * 26
"""Of nothing; the same in each run, as the name of a test must be."""
ERROR_FIELDS = {"id", "message", "detailed_error", "request_id", "status_code"}
CONTEXT = {
    "session": "api.context.session_expired.app_error",
    "permissions": "api.context.permissions.app_error",
    "body": "api.context.invalid_body_param.app_error",
    "url": "api.context.invalid_url_param.app_error",
}


def refused(response: requests.Response | Reply, status: int | None = None, error_id: str | None = None) -> Any:
    """Mattermost's error JSON with this status (None: any 4xx) and id (None: any; a key of CONTEXT will do)."""
    status_code = response.status if isinstance(response, Reply) else response.status_code
    text = response.body if isinstance(response, Reply) else response.content
    assert 400 <= status_code < 500 if status is None else status_code == status, f"{status_code} {text!r}"
    headers = {name.lower(): value for name, value in response.headers.items()}
    assert headers["content-type"] == "application/json"
    error: dict[str, Any] = json.loads(text)
    assert set(error) == ERROR_FIELDS
    assert error["id"] in MESSAGES
    assert error["message"]
    assert error["detailed_error"] == ""
    assert is_id(error["request_id"])
    assert error["request_id"] == headers["x-request-id"]
    assert error["status_code"] == status_code
    if error_id is not None:
        assert error["id"] == CONTEXT.get(error_id, error_id)
    return error


def is_time_ms(value: object) -> bool:
    """Whether this is a time of these years in milliseconds."""
    return isinstance(value, int) and not isinstance(value, bool) and 1_600_000_000_000 < value < 4_100_000_000_000
