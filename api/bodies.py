"""Request bodies as typed structs: size first, then form, then content."""

from collections.abc import Iterator
from typing import Any, TypeVar, get_args, get_origin

import msgspec
from falcon.asgi import Request

from app import errors
from app.context import Context
from app.errors import AppError

T = TypeVar("T")
_CHUNK = 65_536


async def read(req: Request, ctx: Context, wanted: type[T], name: str) -> T:
    """The body as a `wanted`. Raises 413, or 400 naming `name` for anything that is not one."""
    raw = await whole(req, ctx)
    try:
        str(raw, "utf-8")  # all of it: msgspec looks at nothing that it does not decode
        if b"null" in raw:
            raw = _without_nulls(raw, wanted)
        body = msgspec.json.decode(raw, type=wanted)
        msgspec.json.decode(raw)  # all of it: nobody is to get what is passed on unparsed and is no JSON
        holds_nul = b"\\u0000" in raw and any("\0" in text for text in _texts(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise errors.invalid_body(name) from error
    if holds_nul:
        raise errors.invalid_body(name)  # no database text can hold it
    return body


def _without_nulls(raw: bytes, wanted: Any) -> bytes:
    """Objects of our own without their members that are null: as in Mattermost, those are as not given."""
    of = (get_origin(wanted) or wanted, *get_args(wanted))
    if of[0] is list and of[1:] and isinstance(of[1], type) and issubclass(of[1], msgspec.Struct):
        members = msgspec.json.decode(raw, type=list[dict[str, msgspec.Raw]])
        return msgspec.json.encode([_given(one) for one in members])
    if issubclass(of[0], msgspec.Struct):
        return msgspec.json.encode(_given(msgspec.json.decode(raw, type=dict[str, msgspec.Raw])))
    return raw


def _given(members: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    return {key: value for key, value in members.items() if bytes(value) != b"null"}


def _texts(value: object) -> Iterator[str]:
    """Every text within."""
    if isinstance(value, msgspec.Raw):
        value = msgspec.json.decode(value)
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from (text for one in pair for text in _texts(one))
    elif isinstance(value, list):
        yield from (text for one in value for text in _texts(one))
    elif isinstance(value, msgspec.Struct):
        yield from (text for one in msgspec.structs.astuple(value) for text in _texts(one))


async def whole(req: Request, ctx: Context) -> bytes:
    """The body, once it is here: it is read once. Raises 413."""
    if not hasattr(req.context, "body"):
        req.context.body = await _read(req, ctx.config.service_settings.maximum_payload_size_bytes)
    body: bytes = req.context.body
    return body


async def _read(req: Request, limit: int) -> bytes:
    length = req.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    stream = req.stream
    while size != length and (part := await stream.read(_CHUNK)):
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
    return b"".join(parts)


def _too_large(limit: int) -> AppError:
    return AppError("api.context.request_body_too_large.app_error", 413, MaximumPayloadSizeBytes=limit)
