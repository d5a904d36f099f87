"""PostgreSQL's connection strings, read as libpq does (PostgreSQL manual, §34.1.1), but without its guesses.

A password that is not percent-encoded moves the borders of a URL: `postgres://mm:p/w@host/db` names to libpq the host
`mm`, and what it says of that holds a piece of the password. Such strings are refused here, before libpq sees them, and
no error of ours repeats a part of the string.

What libpq knows goes to libpq. What only Mattermost's driver (Go's lib/pq) knows is dropped, and every other key is a
setting of the session, as it is there (`search_path`).
"""

import functools
import re

_SCHEME = re.compile(r"postgres(?:ql)?://")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_HOST = re.compile(r"[A-Za-z0-9._:%-]*|[/@].*")
_AS_CODES = (
    "characters like @ / : # ? % & and spaces in its parts must be written as codes (%40 for @, %2F for /, %25 for %)"
)
_IN_QUOTES = "a value with spaces, quotes or backslashes must be written 'in \\'quotes\\''"


_LIB_PQ_ONLY = frozenset({"binary_parameters", "disable_prepared_binary_result", "krbspn"})
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
    return parts(text)[0]


def parts(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """libpq's parameters, and the settings of the session. Raises as `parse`."""
    said: dict[str, str] = {}
    settings: dict[str, str] = {}
    for key, value in read(text).items():
        if key in _known_to_libpq():
            said[key] = value
        elif key == "ssl" and value == "true":  # of JDBC's URLs, as libpq takes it
            said["sslmode"] = "require"
        elif key not in _LIB_PQ_ONLY:
            if not _SETTING.fullmatch(key):
                raise ValueError(f"it holds a key that is no name of an option or of a setting: {_IN_QUOTES}")
            settings[key] = value
    _judge(said)
    return said, settings


@functools.cache
def _known_to_libpq() -> frozenset[str]:
    from psycopg import pq  # libpq: a node on MySQL does without

    return frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())


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


def read(text: str) -> dict[str, str]:
    """Keyword -> value, as `host=a,b` for several hosts. Raises ValueError in words that hold nothing of `text`."""
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    scheme = _SCHEME.match(text)
    said = _of_url(text[scheme.end() :]) if scheme else _of_pairs(text)
    how = _AS_CODES if scheme else _IN_QUOTES
    for host in said.get("host", "").split(","):
        if not _HOST.fullmatch(host):
            raise ValueError(f"the name of its host is none: {how}")
    for port in said.get("port", "").split(","):
        if port and not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
            raise ValueError(f"its port must be a number from 1 to 65535: {how}")
    return said


def _of_url(rest: str) -> dict[str, str]:
    said: dict[str, str] = {}
    end = re.search("[@/]", rest)
    if end and end[0] == "@":
        user, _, password = rest[: end.start()].partition(":")
        said |= {"user": _decoded(user), "password": _decoded(password)}
        rest = rest[end.end() :]
    if "@" in rest:
        raise ValueError(f"it has more than one @: {_AS_CODES}")
    place, _, query = rest.partition("?")
    hosts, _, database = place.partition("/")
    found = [re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]*))(?::(.*))?", one) for one in hosts.split(",")]
    if any(one is None for one in found):
        raise ValueError(f"its hosts are not understood: {_AS_CODES}")
    named = [(_decoded(one[1] or one[2]), _decoded(one[3] or "")) for one in found if one is not None]
    said["host"] = ",".join(host for host, _ in named)
    said["port"] = ",".join(port for _, port in named)
    said["dbname"] = _decoded(database)
    for option in query.split("&") if query else []:
        key, equals, value = option.partition("=")
        if not equals or not key or "=" in value:
            raise ValueError(f"an option behind its ? is not name=value: {_AS_CODES}")
        said[_decoded(key)] = _decoded(value)
    return {key: value for key, value in said.items() if value}


def _decoded(text: str) -> str:
    if "%" in _ENCODED.sub("", text) or "%00" in text or any(one.isspace() for one in text):
        raise ValueError(_AS_CODES)
    data = _ENCODED.sub(lambda code: chr(int(code[1], 16)), text.encode().decode("latin-1"))
    return data.encode("latin-1").decode("utf-8", "surrogateescape")


_PAIR = re.compile(
    r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'(?=\s|$)|((?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)?(?=\s|$))", re.DOTALL
)


def _of_pairs(text: str) -> dict[str, str]:
    said: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        pair = _PAIR.match(text, at)
        if pair is None:
            raise ValueError(f"it is neither postgres://… nor name=value pairs: {_IN_QUOTES}")
        value = pair[2] if pair[2] is not None else pair[3] or ""
        said[pair[1]] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        at = pair.end()
    return {key: value for key, value in said.items() if value}
