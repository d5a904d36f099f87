"""Where requests come from: what proxies of ours say counts, what clients invent does not."""

import pytest

from api.proxies import Proxies
from app.config import Config, ServiceSettings

PROXIES = Proxies(Config(service_settings=ServiceSettings(trusted_proxies=["10.0.0.0/8", "127.0.0.0/8", "fd00::/8"])))
FOREIGN = "198.51.100.7"


@pytest.mark.parametrize(
    ("peer", "forwarded", "real_ip", "client"),
    [
        (FOREIGN, b"", b"", FOREIGN),
        (FOREIGN, b"203.0.113.9", b"203.0.113.9", FOREIGN),
        ("10.0.0.1", b"203.0.113.9", b"", "203.0.113.9"),
        ("10.0.0.1", b"", b"203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", b"203.0.113.9", b"203.0.113.10", "203.0.113.9"),
        ("10.0.0.1", b"192.0.2.1, 203.0.113.9", b"", "203.0.113.9"),
        ("10.0.0.1", b"192.0.2.1, 203.0.113.9, 10.0.0.2,10.0.0.3", b"", "203.0.113.9"),
        ("10.0.0.1", b"10.1.1.1, 10.0.0.2", b"", "10.1.1.1"),
        ("10.0.0.1", b"nonsense, 10.0.0.2", b"", "10.0.0.2"),
        ("10.0.0.1", b"nonsense", b"203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", b"nonsense\xff", b"", "10.0.0.1"),
        ("10.0.0.1", b"1.2.3.4, " * 10_000 + b"203.0.113.9", b"", "203.0.113.9"),
        ("::ffff:10.0.0.1", b"::ffff:203.0.113.9", b"", "203.0.113.9"),
        ("::ffff:198.51.100.7", b"203.0.113.9", b"", FOREIGN),
        ("fd00::1", b"2001:db8:1:2:3:4:5:6", b"", "20010db800010002"),
        ("2001:db8:1:2::9", b"", b"", "20010db800010002"),
        ("", b"", b"", ""),
    ],
)
def test_the_client_is_the_last_address_that_is_none_of_ours(
    peer: str, forwarded: bytes, real_ip: bytes, client: str
) -> None:
    assert PROXIES.headers == (b"x-forwarded-for", b"x-real-ip")
    assert PROXIES.client(peer, (forwarded, real_ip)) == client


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1"])
def test_a_proxy_is_trusted_also_by_a_socket_for_both_kinds_of_addresses(peer: str) -> None:
    assert PROXIES.trusts(peer)


@pytest.mark.parametrize("peer", [FOREIGN, "::ffff:198.51.100.7", "::1", "", "unix"])
def test_others_are_not(peer: str) -> None:
    assert not PROXIES.trusts(peer)
