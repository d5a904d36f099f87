"""What the cluster's secret proves: that whoever wrote a registration knew it. Keys by HKDF, proofs by HMAC-SHA-256.

While a secret is being replaced two are valid: a proof is good under either, and is made under the current one. The
keys stay in here; nothing prints them.
"""

import hashlib
import hmac
from dataclasses import dataclass

_SALT = b"mmnode cluster"
_HASH_BYTES = 32
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


@dataclass(frozen=True)
class Registration:
    """What a node says of itself in `cluster_nodes`, as far as others act on it.

    cluster_id: of the installation (`systems`), so that a row of another one's database proves nothing here.
    """

    cluster_id: str
    node_id: str
    incarnation: int
    public_key: str
    address: str


class KeyRing:
    """The current secret and, while it is being replaced, the other one.

    An empty secret is one that everybody knows: good for a cluster on one machine's loopback only, which
    `app/config/cluster.py` sees to.
    """

    def __init__(self, secret: str, other: str = "") -> None:
        secrets = [secret.encode(), *([other.encode()] if other else [])]
        self._mac_keys = [hkdf(one, _SALT, b"registration mac") for one in secrets]
        self.digest_key = hkdf(secrets[0], _SALT, b"configuration digest")
        """For `cluster/peers/digest.py`, under the current secret."""

    def seal(self, registration: Registration) -> str:
        """The MAC of a registration under the current secret: 64 hex characters."""
        return _mac(self._mac_keys[0], registration)

    def is_good(self, registration: Registration, mac: str) -> bool:
        """Whether `mac` was made under one of the secrets; how long that takes tells nothing about the right one."""
        given = mac.encode()
        return any(hmac.compare_digest(_mac(key, registration).encode(), given) for key in self._mac_keys)


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int = _HASH_BYTES) -> bytes:
    """A key of `length` bytes for the purpose `info` (RFC 5869, SHA-256)."""
    if not 0 < length <= 255 * _HASH_BYTES:
        raise ValueError("HKDF gives 1 to 8160 bytes")
    prk = hmac.digest(salt or bytes(_HASH_BYTES), secret, hashlib.sha256)
    block, key = b"", b""
    while len(key) < length:
        block = hmac.digest(prk, block + info + bytes([len(key) // _HASH_BYTES + 1]), hashlib.sha256)
        key += block
    return key[:length]


def framed(*fields: str) -> bytes:
    """The fields behind their lengths: no two different lists are the same bytes."""
    return b"".join(len(data).to_bytes(8, "big") + data for data in (field.encode() for field in fields))


def is_key(text: str) -> bool:
    """Whether it is 32 bytes in Z85 (RFC 32), as a public key of CURVE is."""
    values = [_Z85.find(one) for one in text]
    groups = [values[start : start + 5] for start in range(0, len(values), 5)]
    return len(text) == 40 and all(
        min(group) >= 0 and sum(value * 85 ** (4 - n) for n, value in enumerate(group)) < 1 << 32 for group in groups
    )


def fingerprint(public_key: str) -> str:
    """16 hex characters to tell keys apart in logs."""
    return hashlib.sha256(public_key.encode()).hexdigest()[:16]


def _mac(key: bytes, registration: Registration) -> str:
    text = framed(
        "mmnode registration 1",
        registration.cluster_id,
        registration.node_id,
        str(registration.incarnation),
        registration.public_key,
        registration.address,
    )
    return hmac.new(key, text, hashlib.sha256).hexdigest()
