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


# Ids made ahead, because a call of the system's source costs as much for 64 as for one. Never in two processes.
_ready: list[str] = []
_AHEAD = 64
os.register_at_fork(after_in_child=_ready.clear)


def new_id() -> str:
    """A new id: 26 characters of z-base-32, 130 random bits of the system's secure source."""
    try:
        return _ready.pop()
    except IndexError:
        text = _random_text(_AHEAD * ID_LENGTH)
        _ready.extend(text[at : at + ID_LENGTH] for at in range(ID_LENGTH, len(text), ID_LENGTH))
        return text[:ID_LENGTH]


def derived_id(text: str) -> str:
    """The id of what this text names and what is in no table: the same on every node."""
    return hashlib.sha256(text.encode()).digest()[:ID_LENGTH].translate(_FIVE_BITS).decode("ascii")


def new_token() -> str:
    """A new bearer token: of the same form, and as hard to guess. Never made ahead: it is nowhere before it is used."""
    return _random_text(ID_LENGTH)


def _random_text(length: int) -> str:
    return os.urandom(length).translate(_FIVE_BITS).decode("ascii")


def token_hash(token: str) -> str:
    """What is stored and compared in place of a token: SHA-256, in hexadecimal (security S4.1)."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def is_id(value: object) -> bool:
    """Whether `value` has the form of an id (not whether anything bears it)."""
    return isinstance(value, str) and len(value) == ID_LENGTH and _ID_CHARACTERS.issuperset(value)
