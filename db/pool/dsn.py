"""What may be said of a connection string, of whichever kind of server: never its password.

A connection string that can be read in two ways is refused (`judge`) before a driver reads it in the wrong one and
repeats a piece of the password as the name of a host (decision 0029).
"""

import json
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import quote, quote_plus, unquote

from db.drivers import mysql_dsn, postgres_dsn

_SHORTEST = 6
"""Of what is looked for in a text: of shorter ones every other word would hold one."""
_PASSWORD_KEYS = ("password", "sslpassword")
_MAY_HOLD = re.compile(r"password|passwd|:.*@", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"\w+://")


def judge(driver: str, dsn: str) -> None:
    """Raises ValueError, in words without any part of the string, when it cannot be read, or not in one way only."""
    if driver == "mysql":
        mysql_dsn.parse(dsn)
    else:
        postgres_dsn.parse(dsn)


def without_secrets(dsn: str) -> dict[str, str]:
    """What a connection string of PostgreSQL says, but for its passwords. Raises ValueError."""
    return {key: value for key, value in postgres_dsn.read(dsn).items() if key not in _PASSWORD_KEYS}


def in_the_clear(driver: str, dsn: str, environment: Mapping[str, str]) -> bool:
    """Whether the string leads to another machine and does not demand TLS with the server's certificate and name.

    environment: libpq takes from it what the string leaves out.
    """
    if driver == "mysql":
        parts = mysql_dsn.parse(dsn)
        return not parts.unix_socket and parts.tls != "true" and not _is_local(parts.host)
    said = postgres_dsn.parse(dsn)
    hosts = said.get("hostaddr") or said.get("host") or environment.get("PGHOSTADDR") or environment.get("PGHOST", "")
    mode = said.get("sslmode") or environment.get("PGSSLMODE", "")
    return mode != "verify-full" and not all(map(_is_local, hosts.split(",")))


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in ("", "localhost") or host.startswith(("/", "@"))


def may_hold_password(dsn: str) -> bool:
    """Whether a text that is meant as a connection string may have a password in it."""
    return _MAY_HOLD.search(_SCHEME.sub("", dsn, count=1)) is not None


def secrets_of(driver: str, dsn: str) -> set[str]:
    """Every form of the string's passwords in which a text could repeat them, and worth to be looked for."""
    if driver == "mysql":
        try:
            parts = mysql_dsn.parse(dsn)
        except ValueError:
            return _guessed(dsn)
        return forms({parts.password}, {parts.user, parts.host, parts.database})
    try:
        said = postgres_dsn.read(dsn)
    except ValueError:
        return _guessed(dsn)
    passwords = {said[key] for key in _PASSWORD_KEYS if key in said}
    return forms(passwords, {value for key, value in said.items() if key not in _PASSWORD_KEYS})


def forms(secrets: Iterable[str], known: Iterable[str] = ()) -> set[str]:
    """Secrets as they are, as URLs write them, as JSON and Python quote them; without the short and the `known`."""
    found: set[str] = set()
    for secret in secrets:
        in_quotes = secret.replace("\\", "\\\\").replace("'", "\\'")
        written = {secret, unquote(secret), quote(secret, safe=""), quote(secret), quote_plus(secret)}
        written |= {repr(secret)[1:-1], in_quotes, secret.replace("'", "''")}
        for form in written:  # a field of the log, or an answer, may be JSON of it
            found |= {form, json.dumps(form)[1:-1], json.dumps(form, ensure_ascii=False)[1:-1]}
    return {form for form in found if len(form) >= _SHORTEST} - set(known)


def _guessed(dsn: str) -> set[str]:
    """Of a string that cannot be read: all between the first : and the last @, and its pieces."""
    _, _, rest = dsn.rpartition("://")
    region = rest.rpartition("@")[0].partition(":")[2] or rest.partition("assword")[2].lstrip(" =")
    return forms({region, *re.split(r"[^A-Za-z0-9]+", region)})
