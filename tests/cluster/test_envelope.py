"""Envelopes: what comes back from msgpack is what went in, and nothing else gets through."""

import random

import msgpack
import pytest

from cluster.bus.envelope import MAX_HEADER_BYTES, BadEnvelope, Class, Envelope, Kind, pack, unpack
from tests.rig.scale import for_each_seed, scale

ENVELOPE = Envelope("cluster", "n" * 26, 3, 17, Kind.MESSAGE, Class.RELIABLE, "gen", "0/1", "api0", "req")


def test_an_envelope_survives() -> None:
    assert unpack(pack(ENVELOPE)) == ENVELOPE


def test_items_that_a_later_version_adds_are_ignored() -> None:
    items = msgpack.unpackb(pack(ENVELOPE))
    assert unpack(msgpack.packb([*items, "new", 7, True])) == ENVELOPE


@pytest.mark.parametrize("missing", range(1, 12))
def test_too_few_items_are_refused(missing: int) -> None:
    items = msgpack.unpackb(pack(ENVELOPE))
    with pytest.raises(BadEnvelope):
        unpack(msgpack.packb(items[:-missing]))


@pytest.mark.parametrize("position", range(11))
@pytest.mark.parametrize("value", [None, 1.5, b"x", [], True, -1])
def test_items_of_another_type_are_refused(position: int, value: object) -> None:
    items = msgpack.unpackb(pack(ENVELOPE))
    items[position] = value
    with pytest.raises(BadEnvelope):
        unpack(msgpack.packb(items))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x91" * 4000,
        msgpack.packb({"a": 1}),
        msgpack.packb([0, *([""] * 10)]),
        msgpack.packb(["x" * 300, *([""] * 10)]),
        pack(ENVELOPE) + b"\x00",
        b"\x00" * (MAX_HEADER_BYTES + 1),
    ],
)
def test_bombs_and_garbage_are_refused(data: bytes) -> None:
    with pytest.raises(BadEnvelope):
        unpack(data)


def _mangle(chance: random.Random) -> None:
    data = bytearray(pack(ENVELOPE))
    for _ in range(chance.randrange(1, 6)):
        match chance.randrange(3):
            case 0:
                data[chance.randrange(len(data))] = chance.randrange(256)
            case 1:
                del data[chance.randrange(len(data)) :]
                data += b"\x00"
            case 2:
                data[chance.randrange(len(data)) : 0] = chance.randbytes(chance.randrange(20))
    try:
        envelope = unpack(bytes(data))
    except BadEnvelope:
        return
    assert unpack(pack(envelope)) == envelope


def test_mangled_envelopes_are_refused_or_well_formed() -> None:
    for_each_seed(scale(5_000, 1_000_000), _mangle)
