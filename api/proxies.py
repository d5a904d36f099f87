"""Where requests come from, when proxies of ours stand in between.

A header of a proxy counts only when the peer is one of ServiceSettings.TrustedProxies, and of a list in it only what
they wrote: everything before the last address that is none of ours may be the client's own invention.

A peer that speaks like a proxy without being one of ours is told of (`Trust.note`): either it is a proxy that somebody
forgot to name, and then all of its clients look like one, or a client that invents.
"""

import logging
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from app.config.settings import Config

log = logging.getLogger(__name__)

SETTING = "ServiceSettings.TrustedProxies"
_ADDRESSES = 4096
_TOLD = 32
_MAPPED_BITS = 96
_OTHER_NAMES = (b"x-forwarded-for", b"x-forwarded-proto", b"x-real-ip", b"forwarded")
# Where a proxy of one's own stands. A stranger of the Internet who sends such headers is none, and colours nothing.
_NEAR = [
    ip_network(one)
    for one in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
]
# As gateways write them: 192.0.2.1:443 (Azure), [2001:db8::1]:443, [2001:db8::1].
_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([0-9.]+))(?::\d{1,5})?")


class Proxies:
    """Which peers may speak for their clients, and what they say."""

    def __init__(self, config: Config) -> None:
        self._networks = [_network(one) for one in config.service_settings.trusted_proxies]
        self.headers = tuple(one.lower().encode() for one in config.service_settings.trusted_proxy_ip_header)
        """Names, as in ASGI, of the headers for `client`."""

    def trusts(self, address: str) -> bool:
        """Whether `address` is a proxy of ours."""
        peer = _parse(address)
        return peer is not None and self._is_ours(peer)

    def client(self, peer: str, said: Sequence[bytes]) -> str:
        """The network of the client: its IPv4 address, or the /64 of its IPv6 address; '' when there is none.

        said: values of `headers`, in that order, b'' for those that are missing.
        """
        address = self._find(peer, said)
        if address is None:
            return peer
        return str(address) if address.version == 4 else address.packed[:8].hex()

    def address(self, peer: str, said: Sequence[bytes]) -> str:
        """The client's address itself, from the same."""
        return str(self._find(peer, said) or peer)

    def _find(self, peer: str, said: Sequence[bytes]) -> IPv4Address | IPv6Address | None:
        address = _parse(peer)
        if address is None or not self._is_ours(address):
            return address
        found = (self._first_foreign(value) for value in said if value)
        return next((one for one in found if one is not None), address)

    def _first_foreign(self, value: bytes) -> IPv4Address | IPv6Address | None:
        """Each proxy adds whom it heard at the end of the list: the last that is none of ours, else the first."""
        first = None
        for hop in reversed(value.decode("latin-1").split(",")):
            address = _parse(hop.strip())
            if address is None:
                break
            first = address
            if not self._is_ours(address):
                break
        return first

    def _is_ours(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


class Trust:
    """`Proxies` by the configuration of now. report: tells the node of an address that may be a forgotten one."""

    def __init__(self, config: Callable[[], Config], report: Callable[[str], None] = lambda _address: None) -> None:
        self._now = config
        self._report = report
        self._told: set[str] = set()
        self._renew()

    def _renew(self) -> None:
        self._config = self._now()
        proxies = Proxies(self._config)
        self._headers = proxies.headers
        self._names = frozenset([*proxies.headers, *_OTHER_NAMES])
        self._trusts = lru_cache(_ADDRESSES)(proxies.trusts)
        self._client = lru_cache(_ADDRESSES)(proxies.client)

    @property
    def names(self) -> frozenset[bytes]:
        """Headers, as in ASGI, that only proxies send."""
        return self._names

    @property
    def headers(self) -> tuple[bytes, ...]:
        """See `Proxies`."""
        if self._config is not self._now():
            self._renew()
        return self._headers

    def trusts(self, address: str) -> bool:
        """See `Proxies`."""
        if self._config is not self._now():
            self._renew()
        return self._trusts(address)

    def client(self, peer: str, said: Sequence[bytes]) -> str:
        """See `Proxies`."""
        if self._config is not self._now():
            self._renew()
        return self._client(peer, tuple(said))

    def is_forgotten(self, peer: str) -> bool:
        """Whether a peer that speaks like a proxy is likely to be one that nobody has named."""
        return not self.trusts(peer) and _is_near(peer)

    def note(self, peer: str) -> None:
        """This peer has sent a header that only proxies send."""
        if self.trusts(peer):
            return
        if _is_near(peer):
            self._report(peer)
        if peer not in self._told and len(self._told) < _TOLD:
            self._told.add(peer)
            log.warning(
                "forwarded headers do not count: their sender is no trusted proxy",
                extra={"peer": str(_parse(peer) or peer), "setting": SETTING},
            )


def is_https(forwarded_proto: str, peer: str, trusts: Callable[[str], bool]) -> bool:
    """Whether the client's own connection is encrypted: a proxy of ours says so. Our own sockets never are.

    forwarded_proto: the value of X-Forwarded-Proto, '' without one. trusts: of `Proxies` or `Trust`.
    """
    return forwarded_proto.strip().lower() == "https" and trusts(peer)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address, with or without a port; what came in over IPv4 at a socket for both kinds is IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        found = _WITH_PORT.fullmatch(text)
        if found is None:
            return None
        try:
            address = ip_address(found[1] or found[2])
        except ValueError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _network(text: str) -> IPv4Network | IPv6Network:
    """Addresses or a network; those of IPv4 also as a socket for both kinds shows them (::ffff:192.0.2.1)."""
    network = ip_network(text)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))


@lru_cache(_ADDRESSES)
def _is_near(peer: str) -> bool:
    address = _parse(peer)
    return address is not None and any(address in network for network in _NEAR)
