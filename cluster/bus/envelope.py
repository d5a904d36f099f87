"""Envelope <-> msgpack: the header of everything that crosses the bus.

One array, append-only: `[v, cluster, origin, incarnation, seq, kind, class, db_gen, position, worker, request_id]`.
Items that a later version adds at its end are ignored. The body is a frame of its own.
"""

import struct
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

VERSION = 1
MAX_HEADER_BYTES = 4096
MAX_BODY_BYTES = 256 * 1024
_Text = Annotated[str, Meta(max_length=256)]
_Number = Annotated[int, Meta(ge=0)]


class Kind(StrEnum):
    """What a message is."""

    WELCOME = "welcome"
    """relay -> worker: the stream to this worker starts after `seq`."""
    BEAT = "beat"
    """both ways, every half second: I live, and `seq` was the last number I sent."""
    MESSAGE = "message"
    """a bundle of messages of app/events/messages.py, for ws workers."""
    PRESENCE = "presence"
    """worker -> relay: a bundle of `Presence` of app/events/messages.py."""
    CHANGED = "changed"
    """shards that were changed by a commit (`pack_shards`), up to the position in the envelope."""
    ACK = "ack"
    """relay -> worker: the nodes know of your changes up to `seq`; relay -> relay: of your stream up to `seq`."""
    HELLO = "hello"
    """relay -> relay: I hear your beats; where does your stream stand? Answered by WELCOME."""
    REPAIR = "repair"
    """relay -> relay: send these again (`bodies.Hole`); what comes directly with a number is such a copy."""
    GONE = "gone"
    """relay -> relay: what you asked for, up to `seq`, is kept no more."""
    PROBE = "probe"
    """relay -> relay: do you live? Answered by ALIVE."""
    ALIVE = "alive"
    """relay -> relay: I do."""
    REQUEST = "request"
    """relay -> relay: do this (`bodies.Request`)."""
    ANSWER = "answer"
    """relay -> relay: what came of it (`bodies.Answer`)."""
    LEAVE = "leave"
    """relay -> relay: good-bye."""
    API_MESSAGE = "api_message"
    """as MESSAGE, for the other api workers."""
    TO_WORKER = "to_worker"
    """as MESSAGE, for the one ws worker whose address is the request id; may be lost, or come back to its sender."""
    TO_ELSEWHERE = "to_elsewhere"
    """as MESSAGE, for any one ws worker of a node that has a master; may be lost."""


class Class(StrEnum):
    """How much a message matters: what may be lost, what may not, what must be obeyed even when not understood."""

    CONTROL = "control"
    RELIABLE = "reliable"
    BEST_EFFORT = "best_effort"
    SECURITY = "security"


class BadEnvelope(Exception):
    """Not an envelope of ours, or beyond its limits."""


class Envelope(msgspec.Struct, frozen=True):
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


class _Items(msgspec.Struct, array_like=True):
    """What the array must hold; items beyond are skipped."""

    v: Annotated[int, Meta(ge=1)]
    cluster: _Text
    origin: _Text
    incarnation: _Number
    seq: _Number
    kind: _Text
    kind_class: _Text
    db_gen: _Text
    position: _Text
    worker: _Text
    request_id: _Text


MAX_SHARDS = 4096


def pack_shards(shards: Iterable[int]) -> bytes:
    """Numbers of shards, 2 bytes each."""
    return struct.pack(f"<{len(numbers := sorted(set(shards)))}H", *numbers)


def unpack_shards(body: bytes) -> tuple[int, ...]:
    """See `pack_shards`. Raises BadEnvelope."""
    if len(body) % 2 or len(body) > 2 * MAX_SHARDS:
        raise BadEnvelope("not a list of shards")
    return struct.unpack(f"<{len(body) // 2}H", body)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Items).decode


def pack(envelope: Envelope) -> bytes:
    """The header frame."""
    e = envelope
    return _encode(
        _Items(
            VERSION,
            e.cluster,
            e.origin,
            e.incarnation,
            e.seq,
            e.kind,
            e.kind_class,
            e.db_gen,
            e.position,
            e.worker,
            e.request_id,
        )
    )


def unpack(data: bytes) -> Envelope:
    """The envelope of a header frame. Raises BadEnvelope."""
    if len(data) > MAX_HEADER_BYTES:
        raise BadEnvelope("header too long")
    try:
        i = _decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadEnvelope(str(error)) from error
    return Envelope(
        i.cluster,
        i.origin,
        i.incarnation,
        i.seq,
        i.kind,
        i.kind_class,
        i.db_gen,
        i.position,
        i.worker,
        i.request_id,
    )
