"""Where a connection string leads, for people and logs: without user, password and options."""

import re
from urllib.parse import urlsplit

_PAIR = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S*)")
_MYSQL = re.compile(r"(?:[^@]*@)?(?:\w+\(([^)]*)\))?/([^?]*)")


def place_of(driver: str, dsn: str) -> str:
    """`host:port/database`, as far as the string says so; several hosts are separated by commas."""
    if driver == "mysql":
        found = _MYSQL.search(dsn[dsn.rfind("@") + 1 :])
        return f"{found[1] or ''}/{found[2]}" if found else "?"
    if "://" in dsn:
        parts = urlsplit(dsn)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path}"
    said = {key: value.strip("'") for key, value in _PAIR.findall(dsn)}
    port = f":{said['port']}" if "port" in said else ""
    return f"{said.get('host', said.get('hostaddr', ''))}{port}/{said.get('dbname', '')}"


def host_of(driver: str, dsn: str) -> str | None:
    """The first host of a connection string; None for a unix socket or none at all."""
    host = place_of(driver, dsn).partition("/")[0].partition(",")[0]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] or None
