"""Request bodies as typed structs: size first, then form, then content."""

from typing import TypeVar

import msgspec
from falcon.asgi import Request

from app import errors
from app.context import Context
from app.errors import AppError

T = TypeVar("T")
_CHUNK = 65_536


class Login(msgspec.Struct, kw_only=True):
    """POST /users/login: `login_id` is a user name or an address."""

    login_id: str = ""
    password: str = ""
    device_id: str = ""


class TeamMember(msgspec.Struct, kw_only=True):
    """POST /teams/{team_id}/members."""

    team_id: str = ""
    user_id: str = ""


class ChannelMember(msgspec.Struct, kw_only=True):
    """POST /channels/{channel_id}/members."""

    user_id: str = ""


class View(msgspec.Struct, kw_only=True):
    """POST /channels/members/{user_id}/view."""

    channel_id: str = ""
    prev_channel_id: str = ""


class Typing(msgspec.Struct, kw_only=True):
    """POST /users/{user_id}/typing."""

    channel_id: str = ""
    parent_id: str = ""


async def read(req: Request, ctx: Context, wanted: type[T], name: str) -> T:
    """The body as a `wanted`. Raises 413, or 400 naming `name` for anything that is not one."""
    raw = await _read(req, ctx.config.service_settings.maximum_payload_size_bytes)
    try:
        body = msgspec.json.decode(raw, type=wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise errors.invalid_body(name) from error
    if b"\\u0000" in raw and _holds_nul(msgspec.to_builtins(body)):
        raise errors.invalid_body(name)  # no database text can hold it
    return body


async def _read(req: Request, limit: int) -> bytes:
    too_large = AppError("api.context.request_body_too_large.app_error", 413, MaximumPayloadSizeBytes=limit)
    if req.content_length is not None and req.content_length > limit:
        raise too_large
    parts: list[bytes] = []
    size = 0
    while part := await req.stream.read(_CHUNK):
        size += len(part)
        if size > limit:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(one) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return any(_holds_nul(one) for one in value)
    if isinstance(value, msgspec.Raw):
        return b"\\u0000" in bytes(value)
    return False
