"""Connection strings as Mattermost and Go's MySQL driver write them: `user:password@tcp(host:port)/name?tls=true`.

The last `/` ends the address, the last `@` before it the credentials, so that a password may hold both. What is said
of errors repeats nothing of the string: what was meant as a password may stand anywhere in it.
"""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

Tls = Literal["false", "preferred", "skip-verify", "true"]

_TLS: tuple[Tls, ...] = ("false", "preferred", "skip-verify", "true")
_FORM = "it must look like user:password@tcp(host:port)/database or user:password@unix(/path)/database"
_HOST = re.compile(r"[A-Za-z0-9._:%-]*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# Options of Go's driver that say what this one does anyway, or that mean nothing to it.
# fmt: off
_WITHOUT_MEANING = frozenset({
    "allowAllFiles", "allowCleartextPasswords", "allowFallbackToPlaintext", "allowNativePasswords",
    "allowOldPasswords", "charset", "checkConnLiveness", "clientFoundRows", "collation", "columnsWithAlias",
    "compress", "connectionAttributes", "interpolateParams", "loc", "maxAllowedPacket", "multiStatements",
    "parseTime", "readTimeout", "rejectReadOnly", "serverPubKey", "timeTruncate", "writeTimeout",
})
# fmt: on


@dataclass(frozen=True)
class Dsn:
    """Where a database is and as whom to reach it.

    unix_socket: '' for TCP. tls: `preferred` takes it when the server offers it, `skip-verify` demands it, `true`
    demands a certificate of that host as well. timeout_s: for a connection to be made, None: the caller's.
    unknown: names of options that are not ours and are not obeyed.
    """

    user: str
    password: str = field(repr=False)
    host: str
    port: int
    unix_socket: str
    database: str
    tls: Tls = "false"
    timeout_s: float | None = None
    unknown: tuple[str, ...] = ()


def parse(text: str) -> Dsn:
    """Read a connection string. Raises ValueError in words for operators."""
    left, slash, right = text.rpartition("/")
    if not slash:
        raise ValueError(f"the connection string has no /database: {_FORM}")
    name, _, query = right.partition("?")
    if not name:
        raise ValueError(f"the connection string names no database: {_FORM}")
    credentials, at, address = left.rpartition("@")
    if not at:
        raise ValueError(f"the connection string names no user: {_FORM}")
    user, _, password = credentials.partition(":")
    host, port, unix_socket = _address(address)
    options = dict(parse_qsl(query, keep_blank_values=True))
    timeout = options.pop("timeout", "")
    return Dsn(
        user=user,
        password=password,
        host=host,
        port=port,
        unix_socket=unix_socket,
        database=unquote(name),
        tls=_tls(options.pop("tls", "false")),
        timeout_s=_seconds("timeout", timeout) if timeout else None,
        unknown=tuple(sorted(set(options) - _WITHOUT_MEANING)),
    )


def _address(text: str) -> tuple[str, int, str]:
    """(host, port, path of a unix socket) of `tcp(host:port)` or `unix(/path)`; '' is the local server."""
    protocol, bracket, rest = text.partition("(")
    if (bracket and not rest.endswith(")")) or (text and not bracket and text not in ("tcp", "unix")):
        raise ValueError(f"the address is not understood: {_FORM}")
    inner = rest[:-1]
    if protocol == "unix":
        return "", 0, inner or "/tmp/mysql.sock"  # noqa: S108 (the default of Go's driver)
    if protocol not in ("", "tcp"):
        raise ValueError("the protocol is not supported: it must be tcp or unix")
    host, colon, port = inner, "", ""
    if not inner.endswith("]") and inner.count(":") != 0:
        host, colon, port = inner.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("the address is not understood: an IPv6 address needs brackets, [::1]:3306")
    if not _HOST.fullmatch(host):
        raise ValueError(f"the name of the host is none: {_FORM}")
    if colon and not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise ValueError("the port must be a number from 1 to 65535")
    return host or "127.0.0.1", int(port or 3306), ""


def _tls(text: str) -> Tls:
    lowered = {"1": "true", "0": "false"}.get(text, text.lower())
    for mode in _TLS:
        if mode == lowered:
            return mode
    raise ValueError(f"the option tls must be one of {', '.join(_TLS)}")


def _seconds(name: str, text: str) -> float:
    """A duration as Go writes it: `1m30s`, `500ms`."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"the option {name} must be a duration like 30s or 500ms")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
