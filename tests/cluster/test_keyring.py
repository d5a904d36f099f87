"""What the cluster's secret proves."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from cluster.peers.keyring import KeyRing, Registration, fingerprint, framed, hkdf, is_key

OLD, NEW = "o" * 32, "n" * 32
REGISTRATION = Registration("installation", "node1", 7, "k" * 40, "10.0.0.1:8075")


# RFC 5869, appendix A: test cases 1 to 3.
@pytest.mark.parametrize(
    ("secret", "salt", "info", "expected"),
    [
        ("0b" * 22, "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
        (bytes(range(0x50)).hex(), bytes(range(0x60, 0xB0)).hex(), bytes(range(0xB0, 0x100)).hex(),
         "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"),
        ("0b" * 22, "", "",
         "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
    ],
)  # fmt: skip
def test_hkdf_is_that_of_rfc_5869(secret: str, salt: str, info: str, expected: str) -> None:
    found = hkdf(bytes.fromhex(secret), bytes.fromhex(salt), bytes.fromhex(info), len(expected) // 2)
    assert found.hex() == expected


@pytest.mark.parametrize("length", [0, 8161])
def test_hkdf_gives_no_more_than_it_can(length: int) -> None:
    with pytest.raises(ValueError, match="8160"):
        hkdf(b"secret", b"", b"", length)


def test_a_registration_is_good_under_the_secret_it_was_sealed_with() -> None:
    assert KeyRing(OLD).is_good(REGISTRATION, KeyRing(OLD).seal(REGISTRATION))
    assert not KeyRing(NEW).is_good(REGISTRATION, KeyRing(OLD).seal(REGISTRATION))


@pytest.mark.parametrize("field", ["cluster_id", "node_id", "incarnation", "public_key", "address"])
def test_no_part_of_a_registration_can_be_changed(field: str) -> None:
    ring = KeyRing(OLD)
    mac = ring.seal(REGISTRATION)
    change: dict[str, Any] = {field: 8 if field == "incarnation" else "other"}
    other = replace(REGISTRATION, **change)
    assert ring.is_good(REGISTRATION, mac)
    assert not ring.is_good(other, mac)


@pytest.mark.parametrize("mac", ["", "ä", "0" * 64, "0" * 65])
def test_what_is_no_mac_is_refused(mac: str) -> None:
    assert not KeyRing(OLD).is_good(REGISTRATION, mac)


def test_nobody_is_shut_out_while_the_secret_is_replaced_node_by_node() -> None:
    """Each step is done on one node, then on the other: at every moment both believe each other."""
    steps = [(OLD, ""), (OLD, NEW), (NEW, OLD), (NEW, "")]
    for before, after in itertools.pairwise(steps):
        one, other = KeyRing(*before), KeyRing(*after)
        assert one.is_good(REGISTRATION, other.seal(REGISTRATION))
        assert other.is_good(REGISTRATION, one.seal(REGISTRATION))
    assert not KeyRing(*steps[-1]).is_good(REGISTRATION, KeyRing(*steps[0]).seal(REGISTRATION))


def test_the_two_purposes_have_keys_of_their_own() -> None:
    ring = KeyRing(OLD)
    assert ring.digest_key not in ring._mac_keys
    assert OLD not in repr(vars(ring))


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_different_fields_are_never_the_same_bytes(one: list[str], other: list[str]) -> None:
    assert (framed(*one) == framed(*other)) == (one == other)


def test_keys_of_curve_are_known_from_other_text() -> None:
    for _ in range(20):
        assert is_key(zmq.curve_keypair()[0].decode())
    for other in ("", "0" * 39, "0" * 41, "0" * 39 + "~", "#" * 40, "ä" * 40):
        assert not is_key(other), other


def test_a_fingerprint_tells_keys_apart_and_is_no_key() -> None:
    assert fingerprint("a" * 40) != fingerprint("b" * 40)
    assert len(fingerprint("a" * 40)) == 16
