"""A balancer that nobody named in TrustedProxies: its node says so where operators look, until it is named."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.resources import uses
from tests.rig.node import Node
from tests.rig.people import new_user
from tests.rig.rest import Rest
from tests.rig.wait import until

FORWARDED = {"X-Forwarded-For": "203.0.113.5"}
LIMITED: dict[str, dict[str, Any]] = {"RateLimitSettings": {"Enable": True, "PerSec": 1, "MaxBurst": 5}}
WORD = "untrusted_proxy (127.0.0.1 is not in ServiceSettings.TrustedProxies)"


@pytest.fixture
@uses("node")
def node() -> Iterator[Node]:
    """Without high availability. To it this machine is one on the network like any other."""
    config = {**LIMITED, "ServiceSettings": {"TrustedProxies": ["10.255.0.0/16"]}}
    with Node(workers=1, config=config) as node:
        yield node


def _told(node: Node) -> str:
    """What `mmnode status` prints."""
    command = [str(Path(sys.executable).with_name("mmnode")), "status", "--data-dir", str(node.data_dir)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def _failures(client: Rest, number: int) -> list[int]:
    return [client.call("GET", "/users/me", headers=FORWARDED).status_code for _ in range(number)]


def test_a_forgotten_proxy_is_told_of_in_the_status_until_it_is_named(node: Node) -> None:
    ann = new_user(node.url)
    assert WORD not in node.status()["reasons"]
    assert "untrusted_proxy" not in _told(node)
    assert [ann.call("GET", "/users/me", headers=FORWARDED).status_code for _ in range(20)] == [200] * 20
    until(lambda: WORD in node.status()["reasons"], 5, "the proxy to be told of")
    until(lambda: node.status()["colour"] == "yellow", 40, "nothing worse than that")
    assert f"yellow: {WORD}" in _told(node)
    assert node.log.count("their sender is no trusted proxy peer=127.0.0.1") == 1
    stranger = Rest(node.url)
    assert 429 in _failures(stranger, 10)  # by address failures count, and nothing else
    assert ann.call("GET", "/users/me", headers=FORWARDED | {"X-Forwarded-For": "203.0.113.6"}).status_code == 429
    node.write_config({**LIMITED, "ServiceSettings": {"TrustedProxies": ["127.0.0.0/8"]}})
    assert node.ask("reload")["ok"]
    until(lambda: WORD not in node.status()["reasons"], 5, "it to be forgotten")
    assert "untrusted_proxy" not in _told(node)
