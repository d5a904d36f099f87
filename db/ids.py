"""Mattermost's ids: 26 characters of z-base-32, and tokens of the same form."""

import hashlib
import os
from typing import NewType

UserId = NewType("UserId", str)
TeamId = NewType("TeamId", str)
ChannelId = NewType("ChannelId", str)
PostId = NewType("PostId", str)
SessionId = NewType("SessionId", str)

ID_LENGTH = 26
_Z_BASE_32 = b"ybndrfg8ejkmcpqxot1uwisza345h769"
_FIVE_BITS = bytes(_Z_BASE_32[byte & 31] for byte in range(256))
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


def new_id() -> str:
    """A new id: 26 characters of z-base-32, 130 random bits of the system's secure source."""
    return os.urandom(ID_LENGTH).translate(_FIVE_BITS).decode("ascii")


new_token = new_id
"""A new bearer token: of the same form, and as hard to guess."""


def token_hash(token: str) -> str:
    """What is stored and compared in place of a token: SHA-256, in hexadecimal (security S4.1)."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def is_id(value: object) -> bool:
    """Whether `value` has the form of an id (not whether anything bears it)."""
    return isinstance(value, str) and len(value) == ID_LENGTH and _ID_CHARACTERS.issuperset(value)
