"""Where requests come from, when proxies of ours stand in between.

A header of a proxy counts only when the peer is one of ServiceSettings.TrustedProxies, and of a list in it only what
they wrote: everything before the last address that is none of ours may be the client's own invention.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from falcon.asgi import Request

from app.config import Config


class Proxies:
    """Which peers may speak for their clients, and what they say."""

    def __init__(self, config: Config) -> None:
        self._networks = [ip_network(one) for one in config.service_settings.trusted_proxies]
        self.headers = tuple(one.lower().encode() for one in config.service_settings.trusted_proxy_ip_header)
        """Names, as in ASGI, of the headers for `client`."""

    def trusts(self, address: str) -> bool:
        """Whether `address` is a proxy of ours."""
        peer = _parse(address)
        return peer is not None and self._is_ours(peer)

    def is_https(self, req: Request) -> bool:
        """Whether the client's own connection is encrypted."""
        forwarded = req.get_header("X-Forwarded-Proto")
        if forwarded and self.trusts(req.remote_addr):
            return forwarded.strip().lower() == "https"
        return req.scheme == "https"

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


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address; what came in over IPv4 at a socket for both kinds is IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
