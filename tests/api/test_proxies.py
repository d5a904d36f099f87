"""Where requests come from: what proxies of ours say counts, what clients invent does not."""

import pytest

from api.proxies import Proxies, Trust
from app.config.settings import Config, ServiceSettings

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
        ("10.0.0.1", b"203.0.113.9:51234", b"", "203.0.113.9"),
        ("10.0.0.1", b"192.0.2.1:1, 203.0.113.9:51234, 10.0.0.2:443", b"", "203.0.113.9"),
        ("10.0.0.1", b"[2001:db8:1:2::9]:443", b"", "20010db800010002"),
        ("10.0.0.1", b"[2001:db8:1:2::9]", b"", "20010db800010002"),
        ("10.0.0.1", b"[::ffff:203.0.113.9]:443", b"", "203.0.113.9"),
        ("10.0.0.1", b"", b"203.0.113.9:51234", "203.0.113.9"),
        ("10.0.0.1", b"203.0.113.9:", b"", "10.0.0.1"),
        ("10.0.0.1", b"203.0.113.9:123456", b"", "10.0.0.1"),
        ("10.0.0.1", b"[203.0.113", b"", "10.0.0.1"),
        ("10.0.0.1", b"1.2.3.4.5:80", b"", "10.0.0.1"),
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


def test_by_itself_only_this_machine_is_trusted() -> None:
    proxies = Proxies(Config())
    assert [proxies.trusts(one) for one in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")] == [True] * 4
    assert not any(proxies.trusts(one) for one in ("10.0.0.1", "172.16.0.1", "192.168.0.1", "fd00::1", FOREIGN))


@pytest.mark.parametrize(
    ("named", "inside", "outside"),
    [
        ("::ffff:10.9.0.2", "10.9.0.2", "10.9.0.3"),
        ("::ffff:10.9.0.0/112", "10.9.255.255", "10.10.0.0"),
        ("::ffff:0:0/96", "203.0.113.9", "fd00::1"),
        ("::/0", "fd00::1", "203.0.113.9"),
    ],
)
def test_an_address_may_be_named_as_a_socket_for_both_kinds_shows_it(named: str, inside: str, outside: str) -> None:
    proxies = Proxies(Config(service_settings=ServiceSettings(trusted_proxies=[named])))
    assert proxies.trusts(inside)
    assert not proxies.trusts(outside)


def test_the_log_shows_an_address_as_it_is_to_be_named(caplog: pytest.LogCaptureFixture) -> None:
    Trust(Config).note("::ffff:10.9.0.2")
    assert [record.__dict__["peer"] for record in caplog.records] == ["10.9.0.2"]


def test_who_speaks_like_a_proxy_and_is_none_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    trust = Trust(Config, told.append)
    for peer in ("192.168.7.7", "192.168.7.7", "127.0.0.1", FOREIGN, FOREIGN, "fd00::7"):
        trust.note(peer)
    assert [record.__dict__["peer"] for record in caplog.records] == ["192.168.7.7", FOREIGN, "fd00::7"]
    assert {record.__dict__["setting"] for record in caplog.records} == {"ServiceSettings.TrustedProxies"}
    assert told == ["192.168.7.7", "192.168.7.7", "fd00::7"]  # the node's colour is not a stranger's to choose


def test_strangers_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    trust = Trust(Config)
    for number in range(1000):
        trust.note(f"198.51.{number // 250}.{number % 250}")
    assert len(caplog.records) == 32


def test_another_configuration_applies_at_once() -> None:
    config = Config()
    trust = Trust(lambda: config)
    assert not trust.trusts("10.0.0.1")
    assert trust.client("10.0.0.1", [FOREIGN.encode(), b""]) == "10.0.0.1"
    config = Config(
        service_settings=ServiceSettings(trusted_proxies=["10.0.0.1"], trusted_proxy_ip_header=["X-Client"])
    )
    assert trust.trusts("10.0.0.1")
    assert trust.client("10.0.0.1", [FOREIGN.encode()]) == FOREIGN
    assert trust.headers == (b"x-client",)
    assert b"x-client" in trust.names
