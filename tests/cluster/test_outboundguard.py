"""Which addresses and URLs somebody else's text may make us ask."""

from ipaddress import ip_address

import pytest

from cluster.outside.outboundguard import Guard, Target, is_own, is_public

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "2606:4700::1111",
    "2a00:1450:4001:81b::200e",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
]
INSIDE = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.1.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("192.88.99.1", "168.63.129.16"),
    *("::", "::1", "::7f00:1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "100::1", "2001:db8::1"),
    *("2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::101:101", "4000::1"),
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_asked(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", INSIDE)
def test_all_others_are_not_in_whatever_form(address: str) -> None:
    assert not is_public(ip_address(address))
    assert not Guard("").allows("example.com", ip_address(address))


def test_what_python_knows_to_be_inside_we_know_as_well() -> None:
    for first in range(256):
        for rest in ("0.0.1", "64.0.1", "168.1.1", "254.169.254", "31.255.1", "88.99.1"):
            address = ip_address(f"{first}.{rest}")
            assert not is_public(address) or address.is_global, address
    for first in range(0, 0x10000, 0x11):
        address = ip_address(f"{first:x}:1::1")
        assert not is_public(address) or (address.is_global and not address.is_multicast), address


def test_our_own_addresses_are_not_asked_though_they_are_public() -> None:
    assert is_own(ip_address("127.0.0.1"))
    assert not is_own(ip_address("8.8.8.8"))
    assert not Guard("", lambda _: True).allows("example.com", ip_address("8.8.8.8"))
    assert Guard("8.8.8.0/24", lambda _: True).allows("example.com", ip_address("8.8.8.8"))


@pytest.mark.parametrize(
    ("allowed", "host", "address", "is_allowed"),
    [
        ("10.0.0.0/8", "a", "10.9.9.9", True),
        ("10.0.0.0/8", "a", "11.0.0.1", True),
        ("10.0.0.0/8", "a", "192.168.0.1", False),
        ("10.0.0.5", "a", "10.0.0.5", True),
        ("10.0.0.5", "a", "10.0.0.6", False),
        ("hooks.internal", "hooks.internal", "10.0.0.6", True),
        ("Hooks.Internal.", "hooks.internal", "10.0.0.6", True),
        ("hooks.internal", "evil.hooks.internal", "10.0.0.6", False),
        ("a,10.0.0.0/8, b\nc", "c", "127.0.0.1", True),
        ("localhost", "127.0.0.1", "127.0.0.1", False),
        ("127.0.0.0/8", "a", "::ffff:127.0.0.1", True),
        ("::1/128", "a", "::1", True),
        ("[::1]", "a", "::1", True),
        ("", "a", "::1", False),
    ],
)
def test_what_is_allowed_by_name(allowed: str, host: str, address: str, is_allowed: bool) -> None:
    assert Guard(allowed).allows(host, ip_address(address)) is is_allowed


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://Example.com", "example.com", 80, "/"),
        ("https://example.com/a?b=c#d", "example.com", 443, "/a?b=c"),
        ("https://example.com:8443?x", "example.com", 8443, "/?x"),
        ("http://bücher.example/ä", "xn--bcher-kva.example", 80, "/%C3%A4"),
        ("http://[::1]:80/", "::1", 80, "/"),
        ("http://\uff11\uff12\uff17.0.0.1/", "127.0.0.1", 80, "/"),
        ("http://a/%zz<>", "a", 80, "/%zz%3C%3E"),
    ],
)
def test_urls(url: str, host: str, port: int, path: str) -> None:
    target = Target(url)
    assert (target.host, target.port, target.path) == (host, port, path)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "a",
            "//a",
            "ftp://a/",
            "file:///etc/passwd",
            "gopher://a",
            "http://",
            "http:///x",
            "http://:80/",
            "HTTP",
        ),
        *("http://u:p@a/", "http://a@b/", "http://a b/", "http://a/\r\nx: y", "http://a\\@b/", "http://a:99999/"),
        *("http://a:0/", "http://a:x/", "http://[::1/", "http://[fe80::1%25eth0]/", "http://a..b/", "http://\0/"),
        "http://a/" + "x" * 9000,
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the words are urlsplit's)
        Target(url)


def test_the_host_header_names_a_port_only_when_it_is_not_the_usual_one() -> None:
    assert [Target(url).authority for url in ("http://a/", "http://a:443/", "https://a:443/", "https://[::1]:1/")] == [
        *("a", "a:443", "a", "[::1]:1")
    ]
