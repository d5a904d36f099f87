"""Fifty connections of nobody and 10 Mbit/s of anything: no worker dies, nobody is cut off, everybody is answered, memory comes back."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.attacks.innocents import Innocents
from tests.attacks.strangers import KINDS
from tests.plugins.resources import uses
from tests.rig.balancer import Balancer
from tests.rig.cluster import Cluster
from tests.rig.node import Node
from tests.rig.pgcluster import PgCluster
from tests.rig.require import Require
from tests.rig.scale import PROVING, scale
from tests.rig.wait import until

SECONDS = scale(4, 60)
UNTIL_A_WORKER_HANGS = 25
"""So long frames took to have a worker killed when only whole texts were counted."""
BACK_S = 60
BEHIND_NGINX_SECONDS = scale(4, 20)
"""Of each kind alone: nginx reads them first, and all together come for as long as to a node."""
BEHIND_NGINX = ("websocket_frames", "big_bodies", "anything")
"""Of all kinds, where it is not proved."""
LARGER = 1.1
_ROOT = Path(__file__).parents[2]
_SLACK_MB = 8
"""What a worker of 40 MB may hold more than a tenth: caches of the innocents."""


@pytest.fixture(scope="module")
@uses("node")
def lone_node() -> Iterator[Node]:
    """Of two api workers and a ws worker."""
    with Node(workers=2) as node:
        yield node


@pytest.fixture(scope="module")
@uses("node", "namespaces")
def cluster() -> Iterator[Cluster]:
    """Two nodes."""
    with PgCluster(0) as servers, Cluster(servers, 2) as cluster:
        yield cluster


@pytest.fixture
def balancer(require: Require, cluster: Cluster) -> Iterator[Balancer]:
    """The document's nginx in front of both."""
    require("nginx")
    cluster.until_green()
    with Balancer("document", [node.url for node in cluster.nodes]) as balancer:
        yield balancer


def _attack(kind: str, url: str, seed: int, seconds: int) -> None:
    address = urlsplit(url)
    command = [
        sys.executable,
        "-m",
        "tests.attacks.strangers",
        kind,
        str(address.hostname),
        str(address.port),
        str(seconds),
        str(seed),
    ]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=seconds + 60)
    assert done.returncode == 0, done.stderr
    what = json.loads(done.stdout)
    print(kind, what)
    assert what["made"], "nobody connected"
    assert what["bytes"] > 1000, "they did nothing"


def _megabytes(node: Node) -> float:
    """What the processes of a node hold of memory that is no file's.

    Not the proportional set size: workers are forked, and what they touch of their common heap becomes their own for good.
    """
    total = 0
    for child in node.children().values():
        text = Path(f"/proc/{child['pid']}/smaps_rollup").read_text()
        total += int(next(line for line in text.splitlines() if line.startswith("Anonymous:")).split()[1])
    return total / 1024


def _pids(node: Node) -> dict[str, int]:
    return {name: child["pid"] for name, child in node.children().items()}


def _suffer(kind: str, nodes: Sequence[Node], url: str, seed: int, seconds: int) -> None:
    with Innocents(url):
        before = [(_pids(node), _megabytes(node)) for node in nodes]
        _attack(kind, url, seed, seconds)
        peak = [_megabytes(node) for node in nodes]
    for node, (pids, held), most in zip(nodes, before, peak, strict=True):
        print(f"MB: {held:.0f} before, {most:.0f} at the end")
        assert _pids(node) == pids, f"a worker was replaced:\n{node.log}"
        assert "Traceback" not in node.log
        until(lambda: _megabytes(node) <= held * LARGER + _SLACK_MB, BACK_S, f"memory near {held:.0f} MB again")  # noqa: B023


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_stands_strangers(lone_node: Node, kind: str) -> None:
    seconds = max(SECONDS, UNTIL_A_WORKER_HANGS) if kind == "websocket_frames" else SECONDS
    _suffer(kind, [lone_node], lone_node.url, 1, seconds)


@pytest.mark.parametrize("kind", KINDS if PROVING else BEHIND_NGINX)
def test_a_cluster_behind_the_nginx_of_the_document_stands_strangers(
    cluster: Cluster, balancer: Balancer, kind: str
) -> None:
    seconds = SECONDS if kind == "anything" else BEHIND_NGINX_SECONDS
    _suffer(kind, cluster.nodes, balancer.url, 2, seconds)
    assert "no live upstreams" not in balancer.log
