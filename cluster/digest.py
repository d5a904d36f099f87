"""What must be equal on all nodes, as digests that tell nothing of the values: one for each section."""

import hashlib
import hmac

import msgspec

from app.config import SECRET_KEYS, Config
from cluster.keyring import KeyRing

OF_A_NODE = SECRET_KEYS | {
    "ServiceSettings.ListenAddress",
    "ClusterSettings.AdvertiseAddress",
    "ClusterSettings.InterNodeListenAddress",
    "ClusterSettings.OverrideHostname",
    "ClusterSettings.Secret",
    "ClusterSettings.SecretNext",
    "LogSettings.FileLocation",
}
"""What may differ from node to node."""


def sections(config: Config, keyring: KeyRing) -> dict[str, str]:
    """A digest for each section, under the cluster's secret."""
    found = {}
    for section in msgspec.structs.fields(Config):
        name = section.encode_name
        values = msgspec.to_builtins(getattr(config, section.name))
        kept = {key: value for key, value in values.items() if f"{name}.{key}" not in OF_A_NODE}
        text = msgspec.json.encode([name, sorted(kept.items())])
        found[name] = hmac.new(keyring.digest_keys[0], text, hashlib.sha256).hexdigest()[:16]
    return found


def whole(digests: dict[str, str]) -> str:
    """Of all sections: 32 hex characters."""
    return hashlib.sha256(msgspec.json.encode(sorted(digests.items()))).hexdigest()[:32]
