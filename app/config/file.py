"""Reading config.json: environment overrides and validation.

The file is judged as a whole before anything of it applies: `load` raises one `ConfigError` that lists every problem
with file, key, value and what is allowed. Unknown keys are not refused, so that a Mattermost config.json can be used
as it is; they are reported as warnings.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec.inspect import type_info

from app.config.cluster import judge as judge_cluster
from app.config.cluster import with_secrets
from app.config.settings import KEYS, SECRET_KEYS, Config, Section, SqlSettings, split_address
from app.config.settings import MASK as MASK  # whoever reads a configuration meets it here
from app.version import numbers_of
from db.pool import dsn

_DEFAULT = Path("config.json")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, what stands there, and what is allowed."""

    source: str
    key: str
    value: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.source}: {self.key} = {self.value}: {self.allowed}"


class ConfigError(Exception):
    """The configuration cannot be used; `problems` lists every reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class Loaded:
    """A valid configuration and what was odd about it."""

    config: Config
    warnings: list[str] = field(default_factory=list)


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Loaded:
    """Read the file (None: defaults only), apply `MM_SECTION_KEY` variables, validate. Raises ConfigError."""
    if path is None:
        return parse({}, "defaults", environment)
    raw = _read(path)
    loaded = parse(raw, str(path), environment)
    cluster = raw.get("ClusterSettings", {})
    if (cluster.get("Secret") or cluster.get("SecretNext")) and path.stat().st_mode & 0o077:
        loaded.warnings.append(f"{path}: holds the cluster's secret and can be read by others: chmod 600 it")
    return loaded


def find() -> Path | None:
    """config.json in the working directory; None without one. Where this user may not look, `load` says so."""
    with contextlib.suppress(PermissionError):
        if not _DEFAULT.exists():
            return None
    return _DEFAULT.absolute()


def store_sources(path: Path | None, settings: SqlSettings, environment: Mapping[str, str] = os.environ) -> str:
    """Write DataSource and DataSourceReplicas into the file, all else as it is; what was done, in words."""
    named = [name for name in environment if name.upper().startswith("MM_SQLSETTINGS_DATASOURCE")]
    if path is None or named:
        return f"not stored: set SqlSettings.DataSource where it comes from ({', '.join(named) or 'no file'})"
    raw = _read(path)
    section = raw.setdefault("SqlSettings", {})
    section["DataSource"] = settings.data_source
    section["DataSourceReplicas"] = settings.data_source_replicas
    _write(path, raw)
    return f"stored in {path}"


def overridden(environment: Mapping[str, str] = os.environ) -> dict[str, dict[str, bool]]:
    """Which keys the environment decides: true by section and key, as Mattermost shows it."""
    found: dict[str, dict[str, bool]] = {}
    for section, name in _overrides(environment, []):
        found.setdefault(section, {})[name] = True
    return found


def store(
    path: Path | None,
    changes: Mapping[str, Mapping[str, Any]],
    used: Config,
    environment: Mapping[str, str] = os.environ,
) -> list[str]:
    """Write values of keys into the file (None: into a new config.json), all else as it is; the keys that are others.

    What is as it is used, or is null, or 32 asterisks for a secret, is not written; neither is what the environment
    decides, nor what is no key. Raises ConfigError for what cannot be used together, and OSError: all is as it was.
    """
    raw = _read(path) if path is not None else {}
    known, decided = msgspec.to_builtins(used), _overrides(environment, [])
    written = []
    for section, values in changes.items():
        for name, value in values.items():
            dotted = f"{section}.{name}"
            if dotted not in KEYS or value is None or (section, name) in decided or value == known[section][name]:
                continue
            if dotted in SECRET_KEYS and MASK in (value if isinstance(value, list) else [value]):
                continue
            raw.setdefault(section, {})[name] = value
            written.append(dotted)
    if written:
        parse(raw, "what is to be kept", environment)
        _write(path or _DEFAULT.absolute(), raw)
    return written


def _write(path: Path, raw: Mapping[str, Any]) -> None:
    """All of it or nothing, also when the power goes; a new file is readable to its owner alone."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(raw, file, indent=4)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError([Problem(str(path), "(file)", "-", f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:
        raise ConfigError([Problem(str(path), "(file)", "-", f"is not valid JSON: {error}")]) from error
    if not isinstance(raw, dict):
        raise ConfigError([Problem(str(path), "(file)", "-", "must be a JSON object of sections")])
    return raw


def parse(raw: Mapping[str, Any], source: str, environment: Mapping[str, str]) -> Loaded:
    """Build the configuration from what a file holds. Raises ConfigError with every problem found."""
    problems: list[Problem] = []
    warnings: list[str] = []
    overrides = _overrides(environment, warnings)
    sections: dict[str, Section] = {}
    known_sections = {f.encode_name: f for f in msgspec.structs.fields(Config)}
    unknown = sorted(set(raw) - set(known_sections))
    if unknown:
        warnings.append(f"{source}: unknown sections are ignored: {', '.join(unknown)}")
    for section_name, section_field in known_sections.items():
        given = raw.get(section_name, {})
        if not isinstance(given, dict):
            problems.append(Problem(source, section_name, _shown(section_name, given), "must be a JSON object"))
            continue
        known = {f.encode_name: f for f in msgspec.structs.fields(section_field.type)}
        unknown = sorted(set(given) - set(known))
        if unknown:
            warnings.append(f"{source}: unknown keys of {section_name} are ignored: {', '.join(unknown)}")
        values: dict[str, Any] = {}
        for name, one in known.items():
            dotted = f"{section_name}.{name}"
            variable, text = overrides.get((section_name, name), ("", None))
            where = f"environment {variable}" if text is not None else source
            if text is None and name not in given:
                continue
            value = given.get(name) if text is None else text
            try:
                if text is not None:
                    value = _from_text(text, one.type)
                values[one.name] = msgspec.convert(value, one.type)
            except (msgspec.ValidationError, ValueError) as error:
                problems.append(Problem(where, dotted, _shown(dotted, value), _allowed(one.type, error)))
        if not problems:
            sections[section_field.name] = section_field.type(**values)
    if not problems:
        config = Config(**sections)  # type: ignore[arg-type]
        try:
            config = msgspec.structs.replace(config, cluster_settings=with_secrets(config.cluster_settings))
        except ValueError as error:
            named = config.cluster_settings.secret_file
            problems.append(Problem(source, "ClusterSettings.SecretFile", json.dumps(named), str(error)))
        problems.extend(_judge(config, source))
    if problems:
        raise ConfigError(problems)
    for dotted, text in data_sources(config.sql_settings):
        if dsn.in_the_clear(config.sql_settings.driver_name, text, environment):
            warnings.append(
                f"{source}: {dotted}: nothing ensures that the connection is encrypted, and to the right server"
                f" ({'tls=true' if config.sql_settings.driver_name == 'mysql' else 'sslmode=verify-full'} would)"
            )
    return Loaded(config, warnings)


def _overrides(environment: Mapping[str, str], warnings: list[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """Environment variables by (section, key): (variable, text)."""
    names: dict[str, tuple[str, str]] = {}
    section_prefixes: list[str] = []
    for section in msgspec.structs.fields(Config):
        section_prefixes.append(f"MM_{section.encode_name.upper()}_")
        for one in msgspec.structs.fields(section.type):
            names[f"MM_{section.encode_name}_{one.encode_name}".upper()] = (
                section.encode_name,
                one.encode_name,
            )
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for variable, text in environment.items():
        upper = variable.upper()
        if upper in names:
            found[names[upper]] = (variable, text)
        elif upper.startswith(tuple(section_prefixes)):
            warnings.append(f"environment: {variable} names no known setting and is ignored")
    return found


def _from_text(text: str, wanted: Any) -> Any:
    """An environment variable's text as the type of its setting; lists are separated by spaces."""
    base = _base(wanted)
    if base is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError("not a boolean")
        return text.lower() in ("true", "1")
    if base is int:
        return int(text)
    if base is list:
        return text.split()
    return text


def _base(wanted: Any) -> Any:
    while get_origin(wanted) is Annotated:
        wanted = get_args(wanted)[0]
    origin = get_origin(wanted)
    return origin if origin is not None else wanted


def _allowed(wanted: Any, error: Exception) -> str:
    """What a setting allows, in words, from its type."""
    info = type_info(wanted)
    match info:
        case msgspec.inspect.BoolType():
            return "must be true or false"
        case msgspec.inspect.LiteralType(values=values):
            return "must be one of " + ", ".join(repr(value) for value in values)
        case msgspec.inspect.IntType(ge=low, le=high):
            bounds = [f"at least {low}"] if low is not None else []
            bounds += [f"at most {high}"] if high is not None else []
            return " ".join(["must be a whole number", *[" and ".join(bounds)]]).strip()
        case msgspec.inspect.StrType(max_length=longest):
            return "must be text" + (f" of at most {longest} characters" if longest is not None else "")
        case msgspec.inspect.ListType(max_length=longest):
            most = f" with at most {longest} entries" if longest is not None else ""
            return f"must be a list of texts{most} (in the environment: separated by spaces)"
    return str(error)


def _shown(dotted: str, value: object) -> str:
    """A value for an error: not when it is a secret, nor when it stands in the place of a section with secrets."""
    secret = dotted in SECRET_KEYS or any(key.startswith(f"{dotted}.") for key in SECRET_KEYS)
    return MASK if secret and value else json.dumps(value, ensure_ascii=False, default=str)


def data_sources(sql: SqlSettings) -> list[tuple[str, str]]:
    """Each connection string with its key."""
    named = [("SqlSettings.DataSource", sql.data_source)] if sql.data_source else []
    return named + [(f"SqlSettings.DataSourceReplicas[{n}]", one) for n, one in enumerate(sql.data_source_replicas)]


def _judge(config: Config, source: str) -> list[Problem]:
    """What single types cannot say."""
    problems: list[Problem] = []

    def refuse(dotted: str, value: object, allowed: str) -> None:
        problems.append(Problem(source, dotted, _shown(dotted, value), allowed))

    service = config.service_settings
    try:
        split_address(service.listen_address)
    except ValueError as error:
        refuse("ServiceSettings.ListenAddress", service.listen_address, str(error))
    try:
        split_address(config.metrics_settings.listen_address)
    except ValueError as error:
        refuse("MetricsSettings.ListenAddress", config.metrics_settings.listen_address, str(error))
    if numbers_of(service.compatibility_version) is None:
        allowed = "must be a version of three numbers (11.7.0)"
        refuse("ServiceSettings.CompatibilityVersion", service.compatibility_version, allowed)
    if service.web_app_directory and not os.access(Path(service.web_app_directory, "root.html"), os.R_OK):
        allowed = "must be a directory with a finished build of a web app, whose root.html can be read"
        refuse("ServiceSettings.WebAppDirectory", service.web_app_directory, allowed)
    for one in service.allowed_untrusted_internal_connections.replace(",", " ").split():
        if "/" in one and not _is_network(one):
            refuse("ServiceSettings.AllowedUntrustedInternalConnections", one, "must be hosts, addresses or networks")
    for network in service.trusted_proxies:
        try:
            ip_network(network)
        except ValueError:
            refuse("ServiceSettings.TrustedProxies", network, "must be addresses or networks (10.0.0.0/8)")
    names = [("RateLimitSettings.VaryByHeader", config.rate_limit_settings.vary_by_header or "none")]
    names += [("ServiceSettings.TrustedProxyIPHeader", one) for one in service.trusted_proxy_ip_header]
    for dotted, name in names:
        if not _HEADER_NAME.fullmatch(name):
            refuse(dotted, name, "must be the name of a header (X-Forwarded-For)")
    if service.site_url and not service.site_url.startswith(("http://", "https://")):
        refuse("ServiceSettings.SiteURL", service.site_url, "must start with http:// or https://")
    elif service.site_url and not _is_site_url(service.site_url):
        refuse("ServiceSettings.SiteURL", service.site_url, "must be scheme://host[:port][/path], without query")
    sql = config.sql_settings
    if sql.driver_name == "mysql" and not sql.data_source:
        refuse("SqlSettings.DataSource", "", "must name a MySQL or MariaDB database: the embedded one is PostgreSQL")
    for dotted, text in data_sources(sql):
        try:
            dsn.judge(sql.driver_name, text)
        except ValueError as error:
            refuse(dotted, [MASK], str(error))
    if sql.data_source_replicas and not sql.data_source:
        refuse("SqlSettings.DataSourceReplicas", [MASK], "needs a SqlSettings.DataSource to be replicas of")
    for dotted, value, allowed in judge_cluster(config):
        refuse(dotted, value, allowed)
    if config.log_settings.enable_file and not config.log_settings.file_location:
        refuse("LogSettings.FileLocation", "", "must name a file when LogSettings.EnableFile is true")
    return problems


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_site_url(url: str) -> bool:
    """Whether its parts can be told apart, and there are no others than Mattermost has."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or "@" in parts.netloc or "%2f" in parts.path.lower())
    return bool(parts.hostname) and plain and {".", ".."}.isdisjoint(unquote(parts.path).split("/"))
