"""config.json: defaults, environment, and errors that say where, what and what is allowed."""

import json
from pathlib import Path

import msgspec
import pytest

from app.config import file as configfile
from app.config.file import MASK, ConfigError, load, parse
from app.config.settings import Config, apply_live, differences, needs_restart, split_address


def _problems(raw: dict[str, object], environment: dict[str, str] | None = None) -> list[configfile.Problem]:
    with pytest.raises(ConfigError) as caught:
        parse(raw, "config.json", environment or {})
    return caught.value.problems


def test_mysql_needs_a_data_source_of_its_own() -> None:
    (problem,) = _problems({"SqlSettings": {"DriverName": "mysql"}})
    assert problem.key == "SqlSettings.DataSource"
    assert "embedded one is PostgreSQL" in problem.allowed
    parse({"SqlSettings": {"DriverName": "mysql", "DataSource": "mm:pw@tcp(db)/mm"}}, "config.json", {})
    sources = {"DataSource": "mm:hunter2@tcp(db", "DataSourceReplicas": ["mm:hunter2@tcp(db)/mm?tls=maybe"]}
    source, replica = _problems({"SqlSettings": {"DriverName": "mysql", **sources}})
    assert "no /database" in source.allowed
    assert replica.key == "SqlSettings.DataSourceReplicas[0]"
    assert "tls must be one of" in replica.allowed
    assert "hunter2" not in f"{source} {replica}"


def test_a_connection_string_that_can_never_work_is_refused_without_showing_it() -> None:
    sources = {
        "DataSource": "postgres://mm:hunter2@db/mm?sslmode=disabled",
        "DataSourceReplicas": ["postgres://mm:hunter2@db/mm", "mm:hunter2@tcp(db)/mm"],
    }
    source, replica = _problems({"SqlSettings": sources})
    assert source.key == "SqlSettings.DataSource"
    assert "sslmode must be one of disable" in source.allowed
    assert replica.key == "SqlSettings.DataSourceReplicas[1]"
    assert "neither postgres" in replica.allowed
    assert "hunter2" not in f"{source} {replica}"
    own = "postgres://mmuser:mostest@localhost/mattermost_test?sslmode=disable&connect_timeout=10&binary_parameters=yes"
    parse({"SqlSettings": {"DataSource": own}}, "config.json", {})


@pytest.mark.parametrize(
    "url",
    ["http://", "https://[::1", "https://a.example:port", "https://a.example/?x=1", "https://a.example/#x", "https://u@a.example",
     "https://a.example/a/../b", "https://a.example/a%2Fb", "https://a.example/%2e%2e"],
)  # fmt: skip
def test_a_site_url_has_a_host_and_a_plain_path(url: str) -> None:
    (problem,) = _problems({"ServiceSettings": {"SiteURL": url}})
    assert problem.key == "ServiceSettings.SiteURL"


@pytest.mark.parametrize(
    "url", ["", "http://a", "https://a.example:8443/x/y/", "http://[::1]:8065", "https://a.example/x%20y"]
)
def test_good_site_urls(url: str) -> None:
    assert parse({"ServiceSettings": {"SiteURL": url}}, "config.json", {}).config.service_settings.site_url == url


def test_an_empty_file_means_mattermosts_defaults() -> None:
    config = parse({}, "config.json", {}).config
    assert config.service_settings.listen_address == ":8065"
    assert config.cluster_settings.enable is False
    assert config.cluster_settings.inter_node_listen_address == ":8075"
    assert config.cluster_settings.inter_node_urls == []
    assert config.sql_settings.driver_name == "postgres"


def test_keys_are_mattermosts() -> None:
    raw = {"ServiceSettings": {"SiteURL": "https://chat.example.com", "ListenAddress": "127.0.0.1:1"}}
    service = parse(raw, "config.json", {}).config.service_settings
    assert (service.site_url, service.listen_address) == ("https://chat.example.com", "127.0.0.1:1")


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("MM_SERVICESETTINGS_LISTENADDRESS", "127.0.0.1:18065", ("service_settings", "listen_address", "127.0.0.1:18065")),
        ("mm_ServiceSettings_MaximumLoginAttempts", "3", ("service_settings", "maximum_login_attempts", 3)),
        ("MM_TEAMSETTINGS_ENABLEOPENSERVER", "TRUE", ("team_settings", "enable_open_server", True)),
        ("MM_TEAMSETTINGS_ENABLEUSERCREATION", "0", ("team_settings", "enable_user_creation", False)),
        ("MM_SERVICESETTINGS_TRUSTEDPROXIES", "10.0.0.0/8  ::1", ("service_settings", "trusted_proxies", ["10.0.0.0/8", "::1"])),
    ],
)  # fmt: skip
def test_environment_overrides_the_file(variable: str, text: str, expected: tuple[str, str, object]) -> None:
    raw = {"ServiceSettings": {"ListenAddress": ":1"}, "TeamSettings": {"EnableOpenServer": False}}
    config = parse(raw, "config.json", {variable: text}).config
    section, name, value = expected
    assert getattr(getattr(config, section), name) == value


def test_all_problems_are_found_at_once_each_with_file_key_value_and_what_is_allowed() -> None:
    problems = _problems(
        {
            "ServiceSettings": {"ListenAddress": 5, "MaximumLoginAttempts": 0},
            "SqlSettings": {"DriverName": "oracle"},
            "TeamSettings": [],
        },
        {"MM_LOGSETTINGS_CONSOLEJSON": "maybe"},
    )
    assert [str(problem) for problem in problems] == [
        "config.json: ServiceSettings.ListenAddress = 5: must be text",
        "config.json: ServiceSettings.MaximumLoginAttempts = 0: must be a whole number at least 1",
        "config.json: TeamSettings = []: must be a JSON object",
        "config.json: SqlSettings.DriverName = \"oracle\": must be one of 'mysql', 'postgres'",
        'environment MM_LOGSETTINGS_CONSOLEJSON: LogSettings.ConsoleJson = "maybe": must be true or false',
    ]


@pytest.mark.parametrize(
    ("section", "key", "value", "allowed"),
    [
        ("ServiceSettings", "ListenAddress", "8065", "host:port"),
        ("ServiceSettings", "ListenAddress", "::1:8065", "brackets"),
        ("ServiceSettings", "SiteURL", "chat.example.com", "http://"),
        ("ServiceSettings", "TrustedProxyIPHeader", ["X-Real-IP:"], "name of a header"),
        ("RateLimitSettings", "PerSec", 0, "at least 1"),
        ("RateLimitSettings", "MaxBurst", -1, "at least 1"),
        ("RateLimitSettings", "MemoryStoreSize", 0, "at least 1"),
        ("RateLimitSettings", "VaryByHeader", "a header", "name of a header"),
        ("PasswordSettings", "MinimumLength", 4, "at least 5 and at most 72"),
        ("PasswordSettings", "MinimumLength", 73, "at least 5 and at most 72"),
        ("AuditSettings", "RetentionDays", 0, "at least 1 and at most 3650"),
        ("AuditSettings", "MaximumRows", 999, "at least 1000 and at most 100000000"),
        ("ServiceSettings", "TrustedProxies", ["not a network"], "networks"),
        ("ServiceSettings", "AllowedUntrustedInternalConnections", "host 10.0.0.1/8 10.0.0.0/33", "networks"),
        ("MetricsSettings", "ListenAddress", "8067", "host:port"),
        ("SqlSettings", "DataSourceReplicas", ["a"] * 9, "at most 8"),
        ("LogSettings", "EnableFile", True, "must name a file"),
    ],
)
def test_what_types_cannot_say_is_judged_too(section: str, key: str, value: object, allowed: str) -> None:
    (problem,) = _problems({section: {key: value}})
    assert problem.key.startswith(section)
    assert allowed in problem.allowed


def test_secrets_are_never_shown() -> None:
    (problem,) = _problems({"SqlSettings": {"DataSource": ["postgres://mm:hunter2@db/mm"]}})
    assert problem.value == MASK
    assert "hunter2" not in str(problem)


def test_unknown_keys_are_kept_and_warned_about() -> None:
    loaded = parse(
        {"ServiceSettings": {"NoSuchKey": 1}, "PluginSettings": {}}, "config.json", {"MM_TEAMSETTINGS_X": "1"}
    )
    assert loaded.warnings == [
        "environment: MM_TEAMSETTINGS_X names no known setting and is ignored",
        "config.json: unknown sections are ignored: PluginSettings",
        "config.json: unknown keys of ServiceSettings are ignored: NoSuchKey",
    ]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_file_that_is_no_json_object_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        load(path, {})


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.json.*cannot be read"):
        load(tmp_path / "gone.json", {})


def test_a_reload_applies_live_settings_and_keeps_those_that_need_a_restart() -> None:
    old = parse({}, "config.json", {}).config
    raw = {
        "ServiceSettings": {"ListenAddress": ":1", "MaximumLoginAttempts": 3},
        "ClusterSettings": {"InterNodeUrls": ["a:1"]},
    }
    wanted = parse(raw, "config.json", {}).config
    applied = apply_live(old, wanted)
    assert differences(old, applied) == ["ServiceSettings.MaximumLoginAttempts"]
    assert differences(applied, wanted) == ["ServiceSettings.ListenAddress", "ClusterSettings.InterNodeUrls"]
    assert all(needs_restart(key) for key in differences(applied, wanted))


def test_the_configuration_survives_its_way_to_a_worker() -> None:
    config = parse({"TeamSettings": {"SiteName": "näme"}}, "config.json", {}).config
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config


def test_the_sample_file_is_valid() -> None:
    sample = Path(__file__).parents[2] / "etc" / "config.json"
    loaded = load(sample, {})
    assert not loaded.warnings
    assert json.loads(sample.read_text())["ClusterSettings"] == {
        "Enable": False,
        "InterNodeListenAddress": ":8075",
        "InterNodeUrls": [],
    }


@pytest.mark.parametrize(
    ("address", "expected"),
    [(":8065", ("", 8065)), ("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:80", ("::1", 80)), ("host:0", ("host", 0))],
)
def test_addresses_are_split(address: str, expected: tuple[str, int]) -> None:
    assert split_address(address) == expected


def test_rate_limits_are_off_with_mattermosts_defaults_and_wait_for_a_restart() -> None:
    limits = parse({}, "config.json", {}).config.rate_limit_settings
    assert msgspec.to_builtins(Config())["RateLimitSettings"] == {
        "Enable": False,
        "PerSec": 10,
        "MaxBurst": 100,
        "MemoryStoreSize": 10_000,
        "VaryByRemoteAddr": True,
        "VaryByUser": False,
        "VaryByHeader": "",
    }
    assert not limits.enable
    on = parse({"RateLimitSettings": {"Enable": True}}, "config.json", {}).config
    assert differences(Config(), on) == ["RateLimitSettings.Enable"]
    assert apply_live(Config(), on) == Config()
