"""The address by which other nodes reach this one."""

import socket

from app.config.cluster import split_advertised
from app.config.settings import Config, split_address
from db.pool.place import host_of

_ANY = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 (what to recognise, not to bind)


def listen(config: Config) -> tuple[str, int]:
    """Host and port of the reliable lane. Host: an address, the name of an interface, or '' for all of them."""
    cluster = config.cluster_settings
    host, port = split_address(cluster.inter_node_listen_address)
    return host or cluster.bind_address or cluster.network_interface, port


def address(config: Config) -> str:
    """`host:port` of the reliable lane.

    ClusterSettings.AdvertiseAddress, else the host it listens on, else the source address towards the database.
    """
    listen_host, port = listen(config)
    said = config.cluster_settings.advertise_address
    if said:
        said_host, said_port = split_advertised(said)
        return _join(said_host, said_port or port)
    if listen_host not in _ANY and listen_host != config.cluster_settings.network_interface:
        return _join(listen_host, port)
    sql = config.sql_settings
    return _join(source_towards(host_of(sql.driver_name, sql.data_source)), port)


def source_towards(host: str | None) -> str:
    """The address of ours by which packets to `host` would leave; loopback when it is on this machine."""
    if host is None:
        return "127.0.0.1"
    family, kind, _, _, where = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(where)  # of UDP: nothing is sent
        return str(probe.getsockname()[0])


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
