"""Which addresses a request that somebody else's text asks for may go to. Sans-I/O, but for the question what is ours.

What is not plainly a public unicast address is refused: loopback, private, link-local (with the metadata services of
clouds), multicast, reserved, and each form in which IPv6 carries one of these (mapped, NAT64, 6to4, Teredo).
`ServiceSettings.AllowedUntrustedInternalConnections` names what is allowed all the same.
"""

import re
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from urllib.parse import SplitResult, quote, urlsplit

Address = IPv4Address | IPv6Address

MAX_URL = 8192
_RESERVED = tuple(
    ip_network(one)
    for one in (
        # IANA's registries of special-purpose addresses (RFC 6890) and multicast.
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # Azure's own services, by a public address
        # Of 2000::/3, which is all of IPv6 that is unicast and global. 2001::/23 holds Teredo, 2002::/16 is 6to4.
        *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)
_GLOBAL = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_TARGET_SAFE = "/%:@!$&'()*+,;=~-._?[]"


def is_public(address: Address) -> bool:
    """Whether it is one that anybody on the internet could reach."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:  # how a network without IPv4 reaches it
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _GLOBAL:
            return False
    return not any(address in network for network in _RESERVED if network.version == address.version)


def is_own(address: Address) -> bool:
    """Whether it is an address of this machine: a public one of ours leads behind our own doors, too."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


class Guard:
    """allowed: AllowedUntrustedInternalConnections: hosts, addresses and networks, between spaces or commas."""

    def __init__(self, allowed: str, own: Callable[[Address], bool] = is_own) -> None:
        self._own = own
        self._hosts: set[str] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        for one in allowed.replace(",", " ").split():
            try:
                self._networks.append(ip_network(one.strip("[]"), strict=False))
            except ValueError:
                self._hosts.add(one.lower().rstrip("."))

    def allows(self, host: str, address: Address) -> bool:
        """Whether `host`, which is at `address`, may be asked."""
        if host.rstrip(".") in self._hosts:
            return True
        plain = (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
        if any(plain in network for network in self._networks if network.version == plain.version):
            return True
        return is_public(address) and not self._own(address)


class Target:
    """Where a URL leads. host: lower case, ASCII, without brackets. path: what a request line may hold.

    Raises ValueError for what is no plain http or https URL.
    """

    def __init__(self, url: str) -> None:
        if len(url) > MAX_URL or _UNSAFE.search(url):
            raise ValueError("a URL must be short, without spaces and control characters")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError("only http and https are spoken")
        if "@" in parts.netloc:
            raise ValueError("a URL must not hold credentials")
        self.scheme = parts.scheme
        self.host = _host_of(parts)
        if parts.port == 0:
            raise ValueError("there is no port 0")
        self.port = parts.port or _PORTS[self.scheme]
        query = f"?{parts.query}" if parts.query else ""
        self.path = quote((parts.path or "/") + query, safe=_TARGET_SAFE)
        self.url = f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What must be the same for two URLs to lead to the same server."""
        return self.scheme, self.host, self.port


def _host_of(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    if not host or "%" in host:
        raise ValueError("a URL needs a host, without a zone")
    try:
        return host.encode("idna").decode("ascii") if ":" not in host else str(IPv6Address(host))
    except UnicodeError as error:
        raise ValueError("the host's name cannot be used") from error
