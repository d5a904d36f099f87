"""Ids and tokens."""

import hashlib

import pytest

from db.model.ids import is_id, new_id, new_token, token_hash


def test_ids_are_26_characters_of_z_base_32_and_never_the_same() -> None:
    ids = [new_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(is_id(one) for one in ids)
    characters = "".join(ids)
    assert set(characters) == set("ybndrfg8ejkmcpqxot1uwisza345h769")
    counts = [characters.count(one) for one in set(characters)]
    assert max(counts) < 1.3 * min(counts)


@pytest.mark.parametrize("value", ["", "a" * 25, "a" * 27, "A" * 26, "a" * 25 + "-", "\u00e4" * 26, None, 7, b"a" * 26])
def test_what_is_no_id(value: object) -> None:
    assert not is_id(value)


def test_tokens_are_kept_as_their_hash() -> None:
    token = new_token()
    assert token_hash(token) == hashlib.sha256(token.encode()).hexdigest()
    assert len(token_hash("\ud800")) == 64
