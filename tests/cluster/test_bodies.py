"""What nodes say to each other directly: only what fits its schema comes through, and nothing crashes."""

import random

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.events import messages as events
from app.ratelimit import RateLimiter
from cluster.bus.envelope import BadEnvelope, Class, Envelope, Kind, unpack_shards
from cluster.peers.bodies import MAX_BYTES, Answer, BadBody, Beat, Hole, Request, pack, unpack
from cluster.peers.mesh import Mesh
from tests.rig.scale import scale

KINDS = [Beat, Hole, Request, Answer]
GOOD = [
    Beat(state="up", heard_ms={"a": 3}, sections={"x": "y"}, term=(2, 3)),
    Hole(first=1, last=2),
    Request(command="reload", arguments={"cluster": True}),
    Answer(done=False, body={"ok": True, "workers": {"api0": {"ok": True}}}),
]


@pytest.mark.parametrize("body", GOOD, ids=lambda body: type(body).__name__)
def test_what_is_packed_is_unpacked(body: Beat | Hole | Request | Answer) -> None:
    assert unpack(pack(body), type(body)) == body


def test_keys_of_a_later_version_are_ignored() -> None:
    assert unpack(msgpack.packb({"first": 1, "last": 2, "later": [1]}), Hole) == Hole(first=1, last=2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgpack.packb([1, 2]),
        msgpack.packb({"first": -1, "last": 2}),
        msgpack.packb({"first": 1 << 60, "last": 2}),
        msgpack.packb({"first": "1", "last": 2}),
        msgpack.packb({1: 2}),
        msgpack.packb({"first": 1, "last": 2, "x": msgpack.ExtType(1, b"x")}),
        msgpack.packb({"first": 1, "last": 2, "x": b"bytes"}),
        msgpack.packb({"first": 1, "last": 2, "x": [0] * 5000}),
        b"\x81\xa1x" + b"\x91" * 5000 + b"\xc0",
        b"\x81\xa1x" + b"\x91" * 20 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"x" * (MAX_BYTES + 1),
    ],
    ids=range(14),
)
def test_what_does_not_fit_is_refused(data: bytes) -> None:
    with pytest.raises(BadBody):
        unpack(data, Hole)


@given(st.binary(max_size=300))
@settings(max_examples=scale(500, 200_000), deadline=None)
def test_shards_are_numbers_or_refused(data: bytes) -> None:
    try:
        assert all(0 <= one < 65536 for one in unpack_shards(data))
    except BadEnvelope:
        assert len(data) % 2


ADMITTED = events.Admitted(tuple((b"%08d" % number, number) for number in range(1, 40)))


def _bundle(counts: object) -> bytes:
    return events.bundle([msgspec.msgpack.encode(["admitted", counts])])


def test_what_was_admitted_is_unpacked() -> None:
    assert events.unbundle(_bundle([[b"12345678", 3]])) == [events.Admitted(((b"12345678", 3),))]


@pytest.mark.parametrize(
    "counts",
    [
        None,
        3,
        [3],
        [[b"12345678"]],
        [[b"1234567", 3]],
        [[b"123456789", 3]],
        [[b"12345678", 0]],
        [[b"12345678", -3]],
        [[b"12345678", 1.5]],
        [[b"12345678", "3"]],
        [[b"12345678", 1_000_001]],
        [[b"12345678", 1 << 63]],
        [[3, b"12345678"]],
        [[b"12345678", 3, 3]],
        [[b"12345678", 1]] * 1001,
    ],
)
def test_counts_that_cannot_be_are_refused_whole(counts: object) -> None:
    with pytest.raises(msgspec.MsgspecError):
        events.unbundle(_bundle(counts))


def test_no_report_whatever_harms_a_limiter_beyond_another_burst() -> None:
    """Mangled bundles: refused, or counts within their bounds; keys and what is owed stay bounded."""
    chance = random.Random(11)
    limiter = RateLimiter(10, 100, 50)
    good = events.bundle([events.encode(ADMITTED)])
    read = 0
    for now_ns in range(scale(20_000, 1_000_000)):
        data = bytearray(good)
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            messages = events.unbundle(bytes(data))
        except msgspec.MsgspecError:
            continue
        for message in messages:
            if isinstance(message, events.Admitted):
                read += 1
                for key, number in message.counts:
                    limiter.apply(key, number, now_ns)
        assert len(limiter) <= 50
        assert limiter.admit(b"%08d" % chance.randrange(1, 40), now_ns).retry_ns <= (101 + 1) * 100_000_000
    assert read > 1000


def _mangled(chance: random.Random) -> bytes:
    data = bytearray(pack(chance.choice(GOOD)) if chance.random() < 0.8 else chance.randbytes(chance.randrange(200)))
    for _ in range(chance.randrange(4)):
        if data:
            data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.2 else data)


def test_no_envelope_whatever_breaks_a_node() -> None:
    """Every kind with any numbers and any body, by a peer that is let in: nothing is raised, and memory is bounded."""
    chance = random.Random(7)
    mesh = Mesh("a", "cluster", 1, 0.0)
    mesh.set_members(["a", "b", "c"], 0.0)
    kinds = [*Kind, "unknown"]
    numbers = [0, 1, 2, 3, 17, 1 << 20, 1 << 40]
    now = 0.0
    for count in range(scale(20_000, 1_000_000)):
        now += 0.001
        body = _mangled(chance)
        envelope = Envelope(
            chance.choice(["cluster", "cluster", "cluster", "other"]),
            chance.choice(["b", "b", "c", "x"]),
            chance.choice([1, 1, 1, 2, 1 << 30]) if count % 5000 == 0 else 1,
            chance.choice(numbers),
            chance.choice(kinds),
            chance.choice(list(Class)),
            request_id=chance.choice(["", "1", "2"]),
        )
        hear = mesh.heard if chance.random() < 0.5 else mesh.told
        hear(chance.choice("bcx"), envelope, body, now)
        if count % 50 == 0:
            mesh.tick(now)
            mesh.acknowledge()
        if count % 7 == 0:
            mesh.publish(Kind.CHANGED, Class.RELIABLE, b"", now)
        mesh.out.clear()
        for peer in mesh.peers.values():
            assert len(peer.intake._waiting) <= 8192
