"""Where a connection string leads: without user, password and options, for people and logs; and with other servers."""

from dataclasses import asdict, dataclass

from db.drivers import mysql_dsn, postgres_dsn

NOT_UNDERSTOOD = "(a connection string that is not understood)"


@dataclass(frozen=True)
class Where:
    """What nodes may tell each other of a master: nothing of how one gets in. Several hosts, and their ports, are
    separated by commas; a host is also the path of a unix socket.
    """

    host: str
    port: str
    database: str

    def told(self) -> dict[str, str]:
        """For a message."""
        return asdict(self)

    @classmethod
    def of(cls, said: object) -> "Where | None":
        """What `told` made; None for anything else."""
        if not isinstance(said, dict) or not {"host", "port", "database"} <= said.keys():
            return None
        host, port, database = (said[name] for name in ("host", "port", "database"))
        if not all(isinstance(one, str) and "\0" not in one for one in (host, port, database)) or not database:
            return None
        return cls(host, port, database)


def where(driver: str, dsn: str) -> Where | None:
    """Where it leads; None when it is not understood."""
    try:
        if driver == "mysql":
            parts = mysql_dsn.parse(dsn)
            if parts.unix_socket:
                return Where(parts.unix_socket, "", parts.database)
            return Where(parts.host, str(parts.port), parts.database)
        said = postgres_dsn.parse(dsn)
    except ValueError:
        return None
    hosts = said.get("host", said.get("hostaddr", ""))
    ports = said.get("port", "") or "5432"
    if "," not in ports:
        ports = ",".join([ports] * len(hosts.split(",")))
    return Where(hosts, ports, said.get("dbname", said.get("user", "")))


def moved(driver: str, dsn: str, to: Where) -> str:
    """The same credentials and options, but other servers. Raises ValueError for what cannot be such a string."""
    if driver == "mysql":
        left, _, right = dsn.rpartition("/")
        credentials, _, _ = left.rpartition("@")
        _, mark, query = right.partition("?")
        address = f"tcp({_bracketed(to.host)}:{to.port})" if to.port else f"unix({to.host})"
        changed = f"{credentials}@{address}/{to.database}{mark}{query}"
        mysql_dsn.parse(changed)
        return changed
    said = postgres_dsn.read(dsn)
    said.pop("hostaddr", None)
    said |= {"host": to.host, "port": to.port, "dbname": to.database}
    quoted = {key: value.replace("\\", "\\\\").replace("'", "\\'") for key, value in said.items()}
    changed = " ".join(f"{key}='{value}'" for key, value in quoted.items())
    postgres_dsn.parse(changed)
    return changed


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
