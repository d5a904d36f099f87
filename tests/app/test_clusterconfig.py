"""ClusterSettings: what is refused, and in which words; the secret and who may read it."""

import os
from pathlib import Path

import pytest

from app.config import file as configfile
from app.config.cluster import split_advertised, split_url
from app.config.file import MASK, ConfigError, load, parse
from app.config.settings import ClusterSettings

SECRET = "0123456789abcdef0123456789abcdef"
SHARED = {"DataSource": "postgres://mm:pw@db/mm?sslmode=verify-full"}
LOOPBACK = {"Enable": True, "InterNodeListenAddress": "127.0.0.1:8075"}


def cluster(given: dict[str, object], environment: dict[str, str] | None = None) -> ClusterSettings:
    raw = {"ClusterSettings": given, "SqlSettings": SHARED}
    return parse(raw, "config.json", environment or {}).config.cluster_settings


def problem(given: dict[str, object], sql: dict[str, object] = SHARED) -> configfile.Problem:  # type: ignore[assignment]
    with pytest.raises(ConfigError) as caught:
        parse({"ClusterSettings": given, "SqlSettings": sql}, "config.json", {})
    (found,) = caught.value.problems
    return found


def test_the_defaults_are_mattermosts_and_ours() -> None:
    found = cluster({})
    assert (found.enable, found.cluster_name, found.use_ip_address, found.read_only_config) == (False, "", True, True)
    assert (found.gossip_port, found.streaming_port) == (8074, 8075)
    assert (found.write_barrier_ms, found.peer_timeout_policy) == (50, "prompt")
    assert (found.drain_grace_s, found.degraded_read_max_s) == (10, 600)


def test_a_mattermost_section_is_taken_as_it_is() -> None:
    given = {
        "Enable": True, "ClusterName": "production", "OverrideHostname": "app1", "NetworkInterface": "eth0",
        "BindAddress": "10.0.0.1", "AdvertiseAddress": "10.0.0.1", "UseIpAddress": True, "ReadOnlyConfig": True,
        "GossipPort": 8074, "StreamingPort": 8075, "Secret": SECRET,
        "InterNodeUrls": ["http://10.0.0.1:8075", "http://10.0.0.2:8075"],
    }  # fmt: skip
    loaded = parse({"ClusterSettings": given, "SqlSettings": SHARED}, "config.json", {})
    assert not loaded.warnings
    assert loaded.config.cluster_settings.network_interface == "eth0"


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("InterNodeListenAddress", "8075", "host:port"),
        ("InterNodeListenAddress", ":0", "1 to 65533"),
        ("InterNodeListenAddress", ":65534", "the two after it"),
        ("BindAddress", "node1", "IP address"),
        ("AdvertiseAddress", "0.0.0.0", "as other nodes reach"),
        ("AdvertiseAddress", ":8075", "host or host:port"),
        ("AdvertiseAddress", "node1:x", "host or host:port"),
        ("InterNodeUrls", ["https://node1:8075"], "encrypt"),
        ("InterNodeUrls", ["node1"], "http://host:port"),
        ("InterNodeUrls", ["http://:8075"], "http://host:port"),
        ("InterNodeUrls", ["http://node1:8075/path"], "http://host:port"),
        ("InterNodeUrls", ["http://node1:65535"], "65533"),
        ("InterNodeUrls", ["http://no de:8075"], "http://host:port"),
        ("WriteBarrierMs", 5001, "at most 5000"),
        ("PeerTimeoutPolicy", "slow", "'patient', 'prompt'"),
        ("SecretNext", SECRET, "needs a ClusterSettings.Secret"),
    ],
)
def test_what_is_wrong_is_refused_whether_enabled_or_not(key: str, value: object, allowed: str) -> None:
    found = problem({key: value})
    assert found.key.startswith(f"ClusterSettings.{key}")
    assert allowed in found.allowed


def test_the_entry_that_is_wrong_is_named() -> None:
    assert problem({"InterNodeUrls": ["node1:8075", "node2"]}).key == "ClusterSettings.InterNodeUrls[1]"


def test_a_cluster_needs_a_database_that_nodes_share() -> None:
    found = problem(LOOPBACK, {})
    assert found.key == "ClusterSettings.Enable"
    assert "SqlSettings.DataSource" in found.allowed


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"InterNodeListenAddress": ":8075"}, "all addresses"),
        ({"InterNodeListenAddress": "10.0.0.1:8075"}, "10.0.0.1"),
        ({"InterNodeListenAddress": ":8075", "BindAddress": "10.0.0.1"}, "10.0.0.1"),
        ({"InterNodeListenAddress": ":8075", "NetworkInterface": "eth0"}, "all addresses"),
        ({"AdvertiseAddress": "node1"}, "node1"),
        ({"InterNodeUrls": ["127.0.0.1:8075", "http://node2:8075"]}, "node2"),
    ],
)
def test_a_cluster_that_others_can_reach_needs_a_secret(given: dict[str, object], named: str) -> None:
    found = problem(LOOPBACK | given)
    assert found.key == "ClusterSettings.Secret"
    assert named in found.allowed
    assert "MM_CLUSTERSETTINGS_SECRET" in found.allowed
    assert cluster(LOOPBACK | given | {"Secret": SECRET}).enable


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"InterNodeListenAddress": "[::1]:8075"},
        {"InterNodeListenAddress": ":8075", "BindAddress": "127.0.0.2"},
        {"InterNodeListenAddress": ":8075", "NetworkInterface": "lo"},
        {"InterNodeUrls": ["http://localhost:8075", "127.0.0.1:8175"], "AdvertiseAddress": "127.0.0.1:8075"},
    ],
)
def test_on_loopback_a_cluster_may_go_without(given: dict[str, object]) -> None:
    assert cluster(LOOPBACK | given).enable


# The secret ---------------------------------------------------------------------------------------------------------


def test_a_short_secret_is_refused_and_not_shown() -> None:
    found = problem({"Secret": SECRET[:31]})
    assert "at least 32 bytes" in found.allowed
    assert found.value == MASK
    assert SECRET[:31] not in str(found)
    assert cluster({"Secret": "ä" * 16}).secret  # bytes, not characters


def test_the_secret_comes_from_the_environment() -> None:
    assert cluster({}, {"MM_CLUSTERSETTINGS_SECRET": SECRET}).secret == SECRET


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


def test_the_secret_comes_from_a_file(secret_file: Path) -> None:
    assert cluster({"SecretFile": str(secret_file)}).secret == SECRET
    secret_file.write_text(f"{SECRET}\n{SECRET[::-1]}\n")
    found = cluster({"SecretFile": str(secret_file)})
    assert (found.secret, found.secret_next) == (SECRET, SECRET[::-1])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700])
def test_a_file_that_others_may_read_is_refused(secret_file: Path, mode: int) -> None:
    secret_file.chmod(mode)
    found = problem({"SecretFile": str(secret_file)})
    assert found.key == "ClusterSettings.SecretFile"
    assert "chmod 600" in found.allowed
    assert f"{mode:04o}" in found.allowed


def test_a_file_of_somebody_else_is_refused(secret_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert "belong to the user" in problem({"SecretFile": str(secret_file)}).allowed


@pytest.mark.parametrize("content", [b"", b"a\nb\nc\n", b"\xff" * 40, b"short"])
def test_a_file_that_holds_something_else_is_refused_without_showing_it(secret_file: Path, content: bytes) -> None:
    secret_file.write_bytes(content)
    assert "short" not in str(problem({"SecretFile": str(secret_file)}))


def test_a_missing_file_a_directory_and_two_sources_are_refused(tmp_path: Path, secret_file: Path) -> None:
    assert "No such file" in problem({"SecretFile": str(tmp_path / "gone")}).allowed
    assert "must be a file" in problem({"SecretFile": str(tmp_path)}).allowed
    assert "must be empty" in problem({"SecretFile": str(secret_file), "Secret": SECRET}).allowed


def test_a_config_file_with_the_secret_that_others_may_read_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(f'{{"ClusterSettings": {{"Secret": "{SECRET}"}}}}')
    path.chmod(0o644)
    (warning,) = load(path, {}).warnings
    assert "chmod 600" in warning
    assert SECRET not in warning
    path.chmod(0o600)
    assert not load(path, {}).warnings


@pytest.mark.parametrize(
    ("entry", "expected"),
    [("http://node1:8075", ("node1", 8075)), ("10.0.0.1:1/", ("10.0.0.1", 1)), ("HTTP://[::1]:80", ("::1", 80))],
)
def test_entries_are_split(entry: str, expected: tuple[str, int]) -> None:
    assert split_url(entry) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("node1", ("node1", None)),
        ("node1:80", ("node1", 80)),
        ("::1", ("::1", None)),
        ("[fd00::1]:80", ("fd00::1", 80)),
    ],
)
def test_advertised_addresses_are_split(address: str, expected: tuple[str, int | None]) -> None:
    assert split_advertised(address) == expected
