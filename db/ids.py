"""Mattermost's ids: 26 characters of z-base-32 over a random UUID, and tokens of the same form."""

import base64
import hashlib
import secrets
import uuid
from typing import NewType

UserId = NewType("UserId", str)
TeamId = NewType("TeamId", str)
ChannelId = NewType("ChannelId", str)
PostId = NewType("PostId", str)
SessionId = NewType("SessionId", str)

ID_LENGTH = 26
_RFC4648 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_Z_BASE_32 = b"ybndrfg8ejkmcpqxot1uwisza345h769"
_TO_Z = bytes.maketrans(_RFC4648, _Z_BASE_32)
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


def _encode(random_bytes: bytes) -> str:
    return base64.b32encode(random_bytes).translate(_TO_Z)[:ID_LENGTH].decode("ascii")


def new_id() -> str:
    """A new id: 26 characters of a-z0-9, 122 random bits."""
    return _encode(uuid.uuid4().bytes)


def new_token() -> str:
    """A new bearer token: 26 characters, 130 bits from the system's secure source."""
    return _encode(secrets.token_bytes(17))


def token_hash(token: str) -> str:
    """What is stored and compared in place of a token: SHA-256, in hexadecimal (security S4.1)."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def is_id(value: object) -> bool:
    """Whether `value` has the form of an id (not whether anything bears it)."""
    return isinstance(value, str) and len(value) == ID_LENGTH and _ID_CHARACTERS.issuperset(value)
