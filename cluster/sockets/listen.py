"""The listening sockets: one a worker, all on one port, opened and held by the supervisor.

With SO_REUSEPORT the kernel spreads connections evenly over the sockets (a single shared socket does not: decision
0004). As the supervisor holds them too, the accept queue of a killed worker waits for its successor.
"""

import socket
from typing import Any

from app.config.settings import MetricsSettings, split_address


class AddressInUse(Exception):
    """The address cannot be had."""


def open_listeners(
    address: str, count: int, backlog: int = 2048, *, key: str = "ServiceSettings.ListenAddress", everywhere: str = ""
) -> list[socket.socket]:
    """`count` listening sockets on `host:port`. Port 0: any free one, the same for all. Raises AddressInUse.

    key: where the address was set. everywhere: the host when only a port is given; '': all addresses.
    """
    host, port = split_address(address)
    host = host or everywhere
    listeners: list[socket.socket] = []
    try:
        family, sockaddr = _resolve(host, port)
        for _ in range(count):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(host)))
            if len(listeners) == 1:
                _require_free(family, sockaddr)
            listener.bind(sockaddr)
            sockaddr = (sockaddr[0], listener.getsockname()[1], *sockaddr[2:])
            listener.listen(backlog)
            listener.setblocking(False)
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise AddressInUse(f"{key} = {address}: {error.strerror or error}") from error
    return listeners


def metrics_listeners(settings: MetricsSettings, count: int) -> list[socket.socket]:
    """Those of `MetricsSettings`, which are on this machine only when they name just a port; [] when it is off."""
    if not settings.enable:
        return []
    key, here = "MetricsSettings.ListenAddress", "127.0.0.1"
    return open_listeners(settings.listen_address, count, key=key, everywhere=here)


def _resolve(host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    if not host:
        return (socket.AF_INET6, ("::", port, 0, 0)) if socket.has_dualstack_ipv6() else (socket.AF_INET, ("", port))
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, sockaddr = found[0]
    return family, sockaddr


def _require_free(family: int, sockaddr: tuple[Any, ...]) -> None:
    """SO_REUSEPORT would let a second node of the same user share the port unnoticed: find that out first."""
    if sockaddr[1] == 0:
        return
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(sockaddr[0] != "::"))
        probe.bind(sockaddr)


def url_of(listener: socket.socket) -> str:
    """The address as a URL that a browser on this machine can open."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 (compared, not bound)
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
