"""Digests of the configuration: what must be equal on all nodes, and what may differ."""

import itertools
from typing import Any

import msgspec
import pytest

from app.config.settings import SECRET_KEYS, Config
from cluster.peers.bodies import Beat
from cluster.peers.colours import Seen, judge
from cluster.peers.digest import config_hash, digests, without_password
from cluster.peers.keyring import KeyRing
from cluster.peers.membership import Liveness

KEY = KeyRing("a" * 32).digest_key
BASE: dict[str, dict[str, Any]] = {
    "SqlSettings": {"DataSource": "postgres://mm:pw@db:5432/mm?sslmode=verify-full", "DataSourceReplicas": ["host=a password=x"]},
    "ClusterSettings": {"Enable": True, "InterNodeUrls": ["http://node1:8075", "node2:8075"]},
    "TeamSettings": {"SiteName": "Chat"},
}  # fmt: skip
MAY_DIFFER = {
    "ServiceSettings.ListenAddress": ":1",
    "ServiceSettings.WebAppDirectory": "/other",
    "ClusterSettings.OverrideHostname": "other",
    "ClusterSettings.NetworkInterface": "eth1",
    "ClusterSettings.BindAddress": "10.0.0.9",
    "ClusterSettings.AdvertiseAddress": "other",
    "ClusterSettings.InterNodeListenAddress": ":1",
    "ClusterSettings.Secret": "b" * 32,
    "ClusterSettings.SecretNext": "b" * 32,
    "ClusterSettings.SecretFile": "/other",
    "FileSettings.Directory": "/other",
    "MetricsSettings.ListenAddress": ":1",
    "LogSettings.FileLocation": "/other",
    "LogSettings.ConsoleLevel": "DEBUG",
    "LogSettings.FileLevel": "DEBUG",
}


def config(**changes: Any) -> Config:
    raw = {name: dict(section) for name, section in BASE.items()}
    for dotted, value in changes.items():
        section, _, key = dotted.partition("_")
        raw.setdefault(section, {})[key] = value
    return msgspec.convert(raw, Config)


def judged(*nodes: tuple[Config, bytes]) -> list[list[str]]:
    """The sections in which each of these nodes is said to differ, by what they tell each other."""
    beats = [Beat(config_hash=config_hash(of), sections=dict(digests(of, key)), state="up") for of, key in nodes]
    found = judge([Seen(str(at), Liveness.UP, beat) for at, beat in enumerate(beats)], patient=False, upgrading=False)
    assert all(("config_mismatch" in reasons) == bool(sections) for _, reasons, sections in found.values())
    return [sections for _, _, sections in found.values()]


def compare(one: Config, other: Config) -> list[str]:
    mine, theirs = judged((one, KEY), (other, KEY))
    assert mine == theirs  # of two nobody knows who is right
    return mine


def other_value(value: object) -> object:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return value + "x"
        case list():
            return [*value, "x"]
    raise TypeError(value)


def test_every_key_counts_but_those_that_may_differ() -> None:
    """Walks all keys, so that a new one is either compared or put on the list above."""
    base = config()
    for section in msgspec.structs.fields(Config):
        values = getattr(base, section.name)
        for one in msgspec.structs.fields(section.type):
            dotted = f"{section.encode_name}.{one.encode_name}"
            changed = msgspec.structs.replace(
                values, **{one.name: MAY_DIFFER.get(dotted) or other_value(getattr(values, one.name))}
            )
            found = compare(base, msgspec.structs.replace(base, **{section.name: changed}))
            assert found == ([] if dotted in MAY_DIFFER else [section.encode_name]), dotted


def test_passwords_of_data_sources_may_differ_and_nothing_else_of_them() -> None:
    base = config()
    assert not compare(base, config(SqlSettings_DataSource="postgres://mm:other@db:5432/mm?sslmode=verify-full"))
    assert not compare(base, config(SqlSettings_DataSourceReplicas=["host=a password='o t\\'her'"]))
    assert compare(base, config(SqlSettings_DataSource="postgres://mm:pw@db2:5432/mm?sslmode=verify-full")) == [
        "SqlSettings"
    ]


@pytest.mark.parametrize(
    ("kind", "dsn", "expected"),
    [
        ("postgres", "postgres://mm:p@ss:w0rd@a,b:1/mm", "postgres://mm@a,b:1/mm"),
        ("postgres", "postgres://mm@a/mm?password=hunter2&x=1", "postgres://mm@a/mm?password&x=1"),
        ("postgres", "host=a PASSWORD = hunter2 dbname=mm", "host=a PASSWORD dbname=mm"),
        ("postgres", "host=a password='hun \\' ter2' sslpassword=hunter2", "host=a password sslpassword"),
        ("mysql", "mm:hun@ter:2@tcp(db:3306)/mm?tls=true", "mm@tcp(db:3306)/mm?tls=true"),
        ("mysql", "mm@tcp(db)/mm", "mm@tcp(db)/mm"),
    ],
)
def test_connection_strings_lose_their_password(kind: str, dsn: str, expected: str) -> None:
    assert without_password(kind, dsn) == expected


def test_the_order_of_nodes_and_replicas_and_the_form_of_an_entry_do_not_matter() -> None:
    one = config(SqlSettings_DataSourceReplicas=["host=a", "host=b"], ClusterSettings_InterNodeUrls=["Node1:1", "b:1"])
    other = config(SqlSettings_DataSourceReplicas=["host=b", "host=a"], ClusterSettings_InterNodeUrls=["http://b:1/", "http://node1:1"])  # fmt: skip
    assert not compare(one, other)


def test_a_section_at_its_defaults_is_the_same_as_one_that_is_not_known() -> None:
    assert set(digests(config(), KEY)) == {"SqlSettings", "ClusterSettings", "TeamSettings"}
    assert compare(config(), config(PasswordSettings_MinimumLength=9)) == ["PasswordSettings"]


def test_nodes_agree_while_the_secret_is_replaced() -> None:
    old, new = "o" * 32, "n" * 32
    rings = [KeyRing(old), KeyRing(old, new), KeyRing(new, old), KeyRing(new)]
    for one, other in itertools.pairwise(ring.digest_key for ring in rings):
        assert judged((config(), one), (config(), other)) == [[], []]


def test_while_the_secret_is_replaced_only_who_differs_is_said_to() -> None:
    old, new = (KeyRing(secret * 32).digest_key for secret in "on")
    different = config(TeamSettings_SiteName="x")
    for key in (old, new):
        first, second, third = judged((config(), old), (config(), new), (different, key))
        assert (first, second) == ([], [])
        assert "TeamSettings" in third


def test_who_does_not_know_the_secret_cannot_tell_equal_sections() -> None:
    mine, theirs = digests(config(), KEY), digests(config(), KeyRing("b" * 32).digest_key)
    assert not set(mine.values()) & set(theirs.values())
    assert all(len(value) == 32 for value in [*mine.values(), config_hash(config())])


def test_no_secret_is_hashed() -> None:
    """A secret in a digest could be guessed at by whoever sees it, and would differ while it is replaced."""
    assert set(MAY_DIFFER) | {"SqlSettings.DataSource", "SqlSettings.DataSourceReplicas"} >= SECRET_KEYS


def test_the_same_source_written_in_another_way_is_no_difference() -> None:
    url = "postgres://mm:pw@db:5432/mm?sslmode=verify-full"
    pairs = "dbname=mm user='mm' sslmode=verify-full host=db port=5432 password=another"
    assert config_hash(config(SqlSettings_DataSource=url)) == config_hash(config(SqlSettings_DataSource=pairs))
    elsewhere = pairs.replace("host=db", "host=other")
    assert config_hash(config(SqlSettings_DataSource=url)) != config_hash(config(SqlSettings_DataSource=elsewhere))
