"""Connection strings as Mattermost's driver for PostgreSQL (Go's lib/pq) takes them: a URL, or pairs of `key=value`.

What libpq knows goes to libpq. What only lib/pq knows is dropped, and every other key is a setting of the session, as
it is there (`search_path`). What is said of errors is ours alone: libpq's own words repeat what they were given, and
where a password is not written as it must be, any part of the string may hold a piece of it.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

_SCHEMES = ("postgres://", "postgresql://")
_FORM = "it must look like postgres://user:password@host:port/database or host=… user=… password=… dbname=…"
_LIBPQ = frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())
_LIB_PQ_ONLY = frozenset({"binary_parameters", "disable_prepared_binary_result", "krbspn"})
_PAIR = re.compile(
    r"""\s*([^\s='"]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'(?=\s|$)|((?!')(?:[^\s\\]|\\.)*)(?=\s|$))""", re.DOTALL
)
_LOOSE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_WORDS = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
}
_NUMBERS = (
    "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
)  # fmt: skip


def parse(text: str) -> dict[str, str]:
    """libpq's parameters. Raises ValueError, in words for operators, for a string that can never work."""
    if "\0" in text:
        raise ValueError(f"it holds a NUL character: {_FORM}")
    said: dict[str, str] = {}
    settings: list[str] = []
    for key, value in _of_url(text) if text.startswith(_SCHEMES) else _of_pairs(text):
        if key in _LIBPQ:
            said[key] = value
        elif key == "ssl" and value == "true":  # of JDBC's URLs, as libpq takes it
            said["sslmode"] = "require"
        elif key not in _LIB_PQ_ONLY:
            settings.append(_setting(key, value))
    _judge(said)
    if settings:
        said["options"] = " ".join([*settings, said.get("options", "")]).strip()
    return said


def _of_pairs(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while text[at:].strip():
        found = _PAIR.match(text, at)
        if found is None:
            raise ValueError(f"it is neither a URL nor pairs of key=value: {_FORM}")
        at = found.end()
        quoted, plain = found[2], found[3]
        yield found[1], re.sub(r"\\(.)", r"\1", plain if quoted is None else quoted, flags=re.DOTALL)


def _of_url(text: str) -> Iterator[tuple[str, str]]:
    if _LOOSE_PERCENT.search(text):
        raise ValueError(
            "it has a percent sign without a character's two hexadecimal digits: a percent sign itself is %25"
        )
    scheme, _, rest = text.partition("://")
    at = rest.find("@")
    slash = rest.find("/")
    credentials = at + 1 if at >= 0 and (slash < 0 or at < slash) else 0
    place, _, query = rest[credentials:].partition("?")
    try:
        said = conninfo_to_dict(f"{scheme}://{rest[:credentials]}{place}")
    except psycopg.Error:
        raise ValueError(f"it is no URL of a database: {_FORM}") from None
    for key, value in said.items():
        yield key, str(value)
    for pair in filter(None, query.split("&")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"its options must be pairs of key=value: {_FORM}")
        yield unquote(key), unquote(value)


def _setting(key: str, value: str) -> str:
    """A setting of the session as the option of a server's command line."""
    if not _SETTING.fullmatch(key):
        raise ValueError(f"it holds a key that is no name of an option or of a setting: {_FORM}")
    return f"-c {key}=" + re.sub(r"([\\\s])", r"\\\1", value)


def _judge(said: dict[str, str]) -> None:
    """What libpq would find only when it connects, and then each time anew."""
    for key, allowed in _WORDS.items():
        if key in said and said[key] not in allowed:
            raise ValueError(f"{key} must be one of {', '.join(allowed)}")
    for key in _NUMBERS:
        if key in said and not re.fullmatch(r"-?[0-9]{1,9}", said[key]):
            raise ValueError(f"{key} must be a whole number")
    ports = str(said.get("port", "")).split(",")
    if not all(not port or (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535) for port in ports):
        raise ValueError("a port must be a number from 1 to 65535")
    hosts = said.get("host", said.get("hostaddr", "")).split(",")
    if len(ports) not in (1, len(hosts)):
        raise ValueError("there must be one port, or one for each host")
