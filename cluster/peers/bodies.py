"""Bodies of what nodes say to each other directly: msgpack, with limits on every length, then a schema for each kind.

The other side counts as hostile until its body fits. Keys that a later version adds are ignored.
"""

from typing import Annotated, Any, TypeVar

import msgpack
import msgspec
from msgspec import Meta, Struct

MAX_BYTES = 256 * 1024
_MAX_DEPTH = 16
_Text = Annotated[str, Meta(max_length=256)]
_Number = Annotated[int, Meta(ge=0, le=1 << 53)]


class BadBody(Exception):
    """Not a body of ours, or beyond its limits."""


class Beat(Struct, kw_only=True):
    """What a node says of itself, twice a second. Ages and delays in ms.

    master: where it has the master of that term, as `db.pool.place.Where.told`; {} while it has not.
    term: (number, timeline), the highest that it knows. knows: peers that said to it what the envelope says: that they
    know that one, too.
    """

    state: _Text
    version: _Text = ""
    protocol: _Number = 1
    schema: _Number = 0
    tells: Annotated[str, Meta(max_length=64)] = ""
    """What it would tell clients if it were alone (`app.config.client.Told`)."""
    hostname: _Text = ""
    address: _Text = ""
    url: _Text = ""
    config_hash: _Text = ""
    sections: Annotated[dict[str, _Text], Meta(max_length=64)] = {}
    urls: Annotated[list[_Text], Meta(max_length=256)] = []
    reasons: Annotated[list[_Text], Meta(max_length=32)] = []
    term: tuple[_Number, _Number] = (0, 0)
    has_master: bool = True
    master: Annotated[dict[str, Annotated[str, Meta(max_length=4096)]], Meta(max_length=8)] = {}
    master_ms: _Number = 0
    """How long ago its master answered last."""
    clock_ms: _Number = 0
    lossy_tail: _Number = 0
    knows: Annotated[list[_Text], Meta(max_length=256)] = []
    heard_ms: Annotated[dict[str, _Number], Meta(max_length=256)] = {}


class Hole(Struct, kw_only=True):
    """Numbers of a stream that are asked for, both included."""

    first: _Number
    last: _Number


class Request(Struct, kw_only=True):
    """Something that another node is to do."""

    command: _Text
    arguments: Annotated[dict[str, Any], Meta(max_length=64)] = {}


class Answer(Struct, kw_only=True):
    """What came of it. done: False means that it has begun and takes a while."""

    done: bool = True
    body: Annotated[dict[str, Any], Meta(max_length=1024)] = {}


Body = TypeVar("Body", bound=Struct)


def pack(body: Struct) -> bytes:
    """Encode."""
    return bytes(msgpack.packb(msgspec.to_builtins(body)))


def unpack(data: bytes, kind: type[Body]) -> Body:
    """Decode. Raises BadBody."""
    if len(data) > MAX_BYTES:
        raise BadBody("too long")
    try:
        found = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_str_len=MAX_BYTES,
            max_bin_len=0,
            max_array_len=4096,
            max_map_len=1024,
            max_ext_len=0,
        )
        _check_depth(found, _MAX_DEPTH)
        return msgspec.convert(found, kind)
    except (ValueError, msgpack.UnpackException, msgspec.ValidationError, RecursionError) as error:
        raise BadBody(str(error)) from error


def _check_depth(value: Any, left: int) -> None:
    if not isinstance(value, (dict, list)):
        return
    if left == 0:
        raise BadBody("too deep")
    for item in value.values() if isinstance(value, dict) else value:
        _check_depth(item, left - 1)
