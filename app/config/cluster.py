"""What ClusterSettings must satisfy, in words for operators, and the cluster's secret from a file of its own."""

import os
import stat
from collections.abc import Iterator
from ipaddress import ip_address

import msgspec

from app.config.settings import ClusterSettings, Config, split_address

MIN_SECRET_BYTES = 32
_PORTS = "a port from 1 to 65533 (the two after it are used, too)"
_MAX_FILE_BYTES = 4096
_SHARED_DATABASE = (
    "needs a database that all nodes share: name it in SqlSettings.DataSource (the embedded one is this node's alone)"
)
_NEEDED = (
    f"must be set, with at least {MIN_SECRET_BYTES} bytes, the same on every node, because others can reach {{}}:"
    " use the environment (MM_CLUSTERSETTINGS_SECRET) or ClusterSettings.SecretFile"
)

Finding = tuple[str, object, str]
"""Dotted key, value, what is allowed."""


def judge(config: Config) -> Iterator[Finding]:
    """What is wrong with the section by itself, and with the rest of the configuration beside it."""
    cluster = config.cluster_settings
    yield from _judge_addresses(cluster)
    for name, secret in (("Secret", cluster.secret), ("SecretNext", cluster.secret_next)):
        if secret and len(secret.encode()) < MIN_SECRET_BYTES:
            yield (
                f"ClusterSettings.{name}",
                secret,
                f"must have at least {MIN_SECRET_BYTES} bytes (openssl rand -hex 32)",
            )
    if cluster.secret_next and not cluster.secret:
        yield "ClusterSettings.SecretNext", cluster.secret_next, "needs a ClusterSettings.Secret to come after"
    if not cluster.enable:
        return
    if not config.sql_settings.data_source:
        yield "ClusterSettings.Enable", True, _SHARED_DATABASE
    if not cluster.secret:
        reachable = next((address for address in _hosts(cluster) if not is_loopback(address)), None)
        if reachable is not None:
            yield "ClusterSettings.Secret", "", _NEEDED.format(reachable or "all addresses of this machine")


def with_secrets(cluster: ClusterSettings) -> ClusterSettings:
    """The section with what its SecretFile holds: the secret and, on a second line, the next one.

    Raises ValueError in words for operators, which never hold what is in the file.
    """
    if not cluster.secret_file:
        return cluster
    if cluster.secret or cluster.secret_next:
        raise ValueError("must be empty when ClusterSettings.Secret or SecretNext is given")
    lines = [line.strip() for line in _read_private(cluster.secret_file).splitlines() if line.strip()]
    if not 1 <= len(lines) <= 2:
        raise ValueError(
            "the file must hold the secret on one line and, while it is replaced, the next on a second one"
        )
    return msgspec.structs.replace(cluster, secret=lines[0], secret_next=lines[1] if len(lines) == 2 else "")


def split_url(entry: str) -> tuple[str, int]:
    """An entry of InterNodeUrls, `http://host:port` or `host:port`, as (host, port). Raises ValueError in words."""
    allowed = f"entries must be http://host:port or host:port, with {_PORTS}"
    scheme, separator, rest = entry.rpartition("://")
    if separator and scheme.lower() != "http":
        raise ValueError(f"{allowed}; nodes encrypt what they send by themselves")
    try:
        host, port = split_address(rest.removesuffix("/"))
    except ValueError as error:
        raise ValueError(allowed) from error
    if not _is_host(host) or not 1 <= port <= 65533:
        raise ValueError(allowed)
    return host, port


def split_advertised(address: str) -> tuple[str, int | None]:
    """AdvertiseAddress, `host` or `host:port`, as (host, port or None). Raises ValueError in words."""
    allowed = f"must be host or host:port, as other nodes reach this one, with {_PORTS}"
    try:
        bare = ip_address(address.removeprefix("[").removesuffix("]"))
        host, port = str(bare), None
    except ValueError:
        host, port = address, None
        if ":" in address:
            try:
                host, port = split_address(address)
            except ValueError as error:
                raise ValueError(allowed) from error
    if not _is_host(host) or _is_unspecified(host) or (port is not None and not 1 <= port <= 65533):
        raise ValueError(allowed)
    return host, port


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _judge_addresses(cluster: ClusterSettings) -> Iterator[Finding]:
    listen = cluster.inter_node_listen_address
    try:
        if not 1 <= split_address(listen)[1] <= 65533:
            yield "ClusterSettings.InterNodeListenAddress", listen, f"must be host:port or :port, with {_PORTS}"
    except ValueError as error:
        yield "ClusterSettings.InterNodeListenAddress", listen, str(error)
    if cluster.bind_address:
        try:
            ip_address(cluster.bind_address)
        except ValueError:
            yield "ClusterSettings.BindAddress", cluster.bind_address, "must be an IP address of this machine"
    if cluster.advertise_address:
        try:
            split_advertised(cluster.advertise_address)
        except ValueError as error:
            yield "ClusterSettings.AdvertiseAddress", cluster.advertise_address, str(error)
    for number, entry in enumerate(cluster.inter_node_urls):
        try:
            split_url(entry)
        except ValueError as error:
            yield f"ClusterSettings.InterNodeUrls[{number}]", entry, str(error)


def _hosts(cluster: ClusterSettings) -> Iterator[str]:
    """Every host by which nodes may be reached; '' is all of this machine's. Entries that are none are left out."""
    try:
        host = split_address(cluster.inter_node_listen_address)[0] or cluster.bind_address
        yield host or ("localhost" if cluster.network_interface == "lo" else "")
        if cluster.advertise_address:
            yield split_advertised(cluster.advertise_address)[0]
        for entry in cluster.inter_node_urls:
            yield split_url(entry)[0]
    except ValueError:
        return  # told of by _judge_addresses


def _is_host(host: str) -> bool:
    return 0 < len(host) <= 253 and all(one.isalnum() or one in "-._:" for one in host) and host.isascii()


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _read_private(path: str) -> str:
    """What a file holds that nobody else may read. Looks at what it opened, so that it cannot be swapped meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("must be a file")
        if found.st_uid != os.geteuid():
            raise ValueError("must belong to the user that runs mmnode")
        if found.st_mode & 0o177:
            raise ValueError(f"must be readable by its owner only: chmod 600 (it is {stat.S_IMODE(found.st_mode):04o})")
        return os.read(descriptor, _MAX_FILE_BYTES).decode()
    except UnicodeDecodeError:
        raise ValueError("must hold text") from None
    finally:
        os.close(descriptor)
