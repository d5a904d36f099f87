"""Where a connection string leads, for people and logs: without user, password and options."""

from db.drivers import mysql_dsn, postgres_dsn

NOT_UNDERSTOOD = "(a connection string that is not understood)"


def place_of(driver: str, dsn: str) -> str:
    """`host:port/database`, as far as the string says so; several hosts are separated by commas."""
    try:
        if driver == "mysql":
            parts = mysql_dsn.parse(dsn)
            return f"{parts.unix_socket or f'{_bracketed(parts.host)}:{parts.port}'}/{parts.database}"
        said = postgres_dsn.parse(dsn)
    except ValueError:
        return NOT_UNDERSTOOD
    hosts = said.get("host", said.get("hostaddr", "")).split(",")
    ports = said.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    named = [_bracketed(host) + (f":{port}" if port else "") for host, port in zip(hosts, ports, strict=False)]
    return f"{','.join(named)}/{said.get('dbname', '')}"


def host_of(driver: str, dsn: str) -> str | None:
    """The first host of a connection string; None for a unix socket or none at all."""
    place = place_of(driver, dsn)
    if place == NOT_UNDERSTOOD:
        return None
    host = place.partition("/")[0].partition(",")[0]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] or None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
