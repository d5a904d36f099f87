"""Whether nodes have the same configuration, said without saying what it is: a keyed digest of each section.

What legally differs is left out: where a node listens and is reached, its names, directories, log files and levels; and
secrets, whose equality shows elsewhere (registrations, the database). Keys at their defaults are left out as well, so
that a version which knows more keys says the same.
"""

import contextlib
import hashlib
import hmac
import json
import re
from collections.abc import Mapping

import msgspec

from app.config.marks import Mark
from app.config.settings import KEYS, SECRET_KEYS, Config
from cluster.peers.roster import host_port
from db.pool import dsn as dsns

_OWN = frozenset(dotted for dotted, key in KEYS.items() if Mark.PER_NODE in key.marks)
_SOURCES = frozenset({"SqlSettings.DataSource", "SqlSettings.DataSourceReplicas"})
_PASSWORD_PAIR = re.compile(r"\b((?:ssl)?password)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]*)", re.IGNORECASE)
_HEX = 32

Digests = Mapping[str, str]
"""Section -> 32 hex characters; sections of which all is at its default are left out."""


def digests(config: Config, key: bytes) -> Digests:
    """Of every section, under `KeyRing.digest_key`."""
    return {
        name: hmac.new(key, name.encode() + b"\0" + text, hashlib.sha256).hexdigest()[:_HEX]
        for name, text in _sections(config).items()
    }


def config_hash(config: Config) -> str:
    """32 hex characters for the cluster's status: equal on nodes with the same configuration."""
    whole = b"\0".join(name.encode() + b"\0" + text for name, text in sorted(_sections(config).items()))
    return hashlib.sha256(whole).hexdigest()[:_HEX]


def without_password(driver: str, dsn: str) -> str:
    """A connection string without its password, in whichever of its forms."""
    if driver == "mysql":
        credentials, at, place = dsn.rpartition("@")
        return credentials.partition(":")[0] + at + place
    scheme, found, rest = dsn.partition("://")
    if found:
        credentials, at, place = rest.rpartition("@")
        dsn = scheme + found + credentials.partition(":")[0] + at + place
    return _PASSWORD_PAIR.sub(r"\1", dsn)


def _sections(config: Config) -> dict[str, bytes]:
    """What must be equal on all nodes, as canonical JSON."""
    found: dict[str, bytes] = {}
    for section in msgspec.structs.fields(Config):
        values = getattr(config, section.name)
        shared = {}
        for one in msgspec.structs.fields(section.type):
            dotted = f"{section.encode_name}.{one.encode_name}"
            value = getattr(values, one.name)
            if dotted in _OWN or (dotted in SECRET_KEYS and dotted not in _SOURCES) or value == _default(one):
                continue
            if dotted in _SOURCES:
                driver = config.sql_settings.driver_name
                listed = value if isinstance(value, list) else [value]
                value = sorted(_canonical(driver, dsn) for dsn in listed)
            elif dotted == "ClusterSettings.InterNodeUrls":
                value = sorted(map(host_port, value))
            shared[one.encode_name] = value
        if shared:
            found[section.encode_name] = msgspec.json.encode(shared, order="deterministic")
    return found


def _canonical(driver: str, text: str) -> str:
    """The same for every way to write one connection string, but for its password."""
    if driver != "mysql":
        with contextlib.suppress(ValueError):
            said = dsns.without_secrets(text)
            return json.dumps(said, sort_keys=True)
    return without_password(driver, text)


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
