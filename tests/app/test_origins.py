"""Of which pages a browser may talk to us."""

import random

import pytest

from app import origins
from app.config.settings import Config, ServiceSettings
from tests.rig.scale import for_each_seed, scale


def _config(site_url: str = "", allow_cors_from: str = "") -> Config:
    return Config(service_settings=ServiceSettings(site_url=site_url, allow_cors_from=allow_cors_from))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://chat.example.com", "chat.example.com"),
        ("http://chat.example.com:8065", "chat.example.com:8065"),
        ("HTTP://Chat.Example.Com", "chat.example.COM"),
        ("https://chat.example.com", "chat.example.com"),
        ("https://chat.example.com", "chat.example.com:443"),
        ("http://chat.example.com:80", "chat.example.com"),
        ("http://[::1]:8065", "[::1]:8065"),
    ],
)
def test_a_page_of_the_same_host_is_ours(origin: str, host: str) -> None:
    assert origins.allowed(origin, host, _config())


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example.com", "chat.example.com"),
        ("http://chat.example.com.evil.com", "chat.example.com"),
        ("http://chat.example.com:8066", "chat.example.com:8065"),
        ("https://chat.example.com", "chat.example.com:80"),
        ("http://chat.example.com@evil.com", "evil.com"),
        ("http://chat.example.com/path", "chat.example.com"),
        ("ftp://chat.example.com", "chat.example.com"),
        ("chat.example.com", "chat.example.com"),
        ("http:chat.example.com", "chat.example.com"),
        ("http://", ""),
        ("http://[", "["),
        ("http://[", "chat.example.com"),
        ("http://chat.example.com:x", "chat.example.com:x"),
        ("http://chat.example.com:99999999", "chat.example.com:99999999"),
        ("http://a\nb", "ab"),
        ("null", "null"),
        ("", ""),
    ],
)
def test_all_else_is_not(origin: str, host: str) -> None:
    assert not origins.allowed(origin, host, _config())


def test_a_page_without_encryption_is_not_ours_where_the_connection_is_encrypted() -> None:
    assert not origins.allowed("http://chat.example.com", "chat.example.com", _config(), secure=True)
    assert origins.allowed("https://chat.example.com", "chat.example.com", _config(), secure=True)


@pytest.mark.parametrize("site_url", ["https://chat.example.com", "https://chat.example.com/", "https://chat.example.com:443/mattermost"])  # fmt: skip
def test_the_site_url_is_ours_whatever_a_proxy_made_of_host(site_url: str) -> None:
    config = _config(site_url)
    assert origins.allowed("https://chat.example.com", "10.0.0.1:8065", config)
    assert origins.allowed("https://chat.example.com", "10.0.0.1:8065", _config(site_url, "https://other.example"))
    assert not origins.allowed("http://chat.example.com", "10.0.0.1:8065", config)
    assert not origins.allowed("https://evil.example.com", "10.0.0.1:8065", config)


def test_allow_cors_from_names_others() -> None:
    config = _config(allow_cors_from="https://a.example.com  https://B.example.com/")
    assert origins.allowed("https://a.example.com", "node", config)
    assert origins.allowed("https://b.example.com", "node", config)
    assert not origins.allowed("http://a.example.com", "node", config)
    assert not origins.allowed("https://c.example.com", "node", config)
    assert origins.allowed("https://c.example.com", "node", _config(allow_cors_from="*"))
    assert origins.allowed("null", "node", _config(allow_cors_from="*"))
    assert origins.allowed("app://main", "node", _config(allow_cors_from="app://main"))


def _whatever(chance: random.Random) -> None:
    text = "".join(chance.choices("http://[]:@a.%0-\x00\u00e9 ", k=chance.randrange(20)))
    assert origins.allowed(text, text, _config(text, text)) in (True, False)


def test_no_text_whatever_is_an_error() -> None:
    for_each_seed(scale(2_000, 50_000), _whatever)
