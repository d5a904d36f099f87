"""Answers and errors in Mattermost's form."""

from collections.abc import Sequence
from http import HTTPStatus

import falcon
from falcon.asgi import Request, Response

from app.errors import AppError
from app.events import wire
from db.model.ids import new_id

JSON = "application/json"


def common_headers(request_id: str, version_id: str) -> dict[str, str]:
    """What every reply of the application says of itself; `answers.py` adds what never changes."""
    return {"X-Request-Id": request_id, "X-Version-Id": version_id}


def error_body(error: AppError, request_id: str | None) -> bytes:
    """Mattermost's error JSON. request_id: None leaves it out."""
    body = wire.app_error(error)
    if request_id is not None:
        body["request_id"] = request_id
    return wire.encode(body)


def send_error(req: Request, resp: Response, error: AppError) -> None:
    """Answer with an error."""
    resp.status = error.status
    resp.content_type = JSON
    resp.data = error_body(error, req.context.request_id)
    if error.retry_after_s is not None:
        resp.set_header("Retry-After", str(error.retry_after_s))
    if error.status == falcon.http_status_to_code(falcon.HTTP_413):
        resp.set_header("Connection", "close")


def not_modified(req: Request, resp: Response, *parts: object, exact: bool = False) -> bool:
    """Set the ETag; True, with a 304, when the client has this very state already.

    It is weak, as the same state leaves as it is, or as gzip; exact: of what is never packed, it is strong.
    """
    tag = ".".join(map(str, parts))
    resp.etag = f'"{tag}"' if exact else f'W/"{tag}"'
    known = req.if_none_match
    if not known or not any(str(one) in (tag, "*") for one in known):
        return False
    resp.status = 304
    return True


def raw_error(error: AppError, headers: Sequence[tuple[bytes, bytes]], lines: bytes) -> bytes:
    """A whole HTTP response with Mattermost's error JSON, after which the connection ends. lines: more of its head."""
    request_id = new_id()
    body = error_body(error, request_id)
    retry = f"Retry-After: {error.retry_after_s}\r\n" if error.retry_after_s is not None else ""
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
        f"Content-Type: {JSON}\r\nContent-Length: {len(body)}\r\nX-Request-Id: {request_id}\r\n"
        f"{retry}Connection: close\r\n"
    )
    more = b"".join(b"%b: %b\r\n" % one for one in headers)
    return head.encode() + more + lines + b"\r\n" + body
