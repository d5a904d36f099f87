"""Envelope <-> msgpack: the header of everything that crosses the bus.

One array, append-only: `[v, cluster, origin, incarnation, seq, kind, class, db_gen, position, worker, request_id]`.
Items that a later version adds at its end are ignored. The body is a frame of its own.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgpack

VERSION = 1
MAX_HEADER_BYTES = 4096
MAX_BODY_BYTES = 256 * 1024
_WIDTH = 11
_MAX_TEXT = 256


class Kind(StrEnum):
    """What a message is."""

    WELCOME = "welcome"
    """relay -> worker: the stream to this worker starts after `seq`."""
    BEAT = "beat"
    """both ways, every half second: I live, and `seq` was the last number I sent."""
    MESSAGE = "message"
    """a bundle of messages of app/events.py, for those that need them."""
    PRESENCE = "presence"
    """worker -> relay: a bundle of `Presence` of app/events.py, which goes no further."""


class Class(StrEnum):
    """How much a message matters: what may be lost, what may not, what must be obeyed even when not understood."""

    CONTROL = "control"
    RELIABLE = "reliable"
    BEST_EFFORT = "best_effort"
    SECURITY = "security"


class BadEnvelope(Exception):
    """Not an envelope of ours, or beyond its limits."""


@dataclass(frozen=True)
class Envelope:
    """incarnation and seq: see `sequence.py`. db_gen, position: of the write this tells of, '' when of none."""

    cluster: str
    origin: str
    incarnation: int
    seq: int
    kind: str
    kind_class: str
    db_gen: str = ""
    position: str = ""
    worker: str = ""
    request_id: str = ""


_TYPES = (int, str, str, int, int, str, str, str, str, str, str)


def pack(envelope: Envelope) -> bytes:
    """The header frame."""
    e = envelope
    items = (VERSION, e.cluster, e.origin, e.incarnation, e.seq, e.kind, e.kind_class, e.db_gen, e.position, e.worker)
    return bytes(msgpack.packb((*items, e.request_id)))


def unpack(data: bytes) -> Envelope:
    """The envelope of a header frame. Raises BadEnvelope."""
    if len(data) > MAX_HEADER_BYTES:
        raise BadEnvelope("header too long")
    try:
        items: Any = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_str_len=_MAX_TEXT,
            max_bin_len=0,
            max_array_len=4 * _WIDTH,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise BadEnvelope(str(error)) from error
    if not isinstance(items, list) or len(items) < _WIDTH:
        raise BadEnvelope("not an array of the right length")
    for item, wanted in zip(items, _TYPES, strict=False):
        if type(item) is not wanted:
            raise BadEnvelope("an item of the wrong type")
    if items[0] < 1 or items[3] < 0 or items[4] < 0:
        raise BadEnvelope("a number out of range")
    return Envelope(*items[1:_WIDTH])
