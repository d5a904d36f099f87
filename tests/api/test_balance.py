"""64 connections over 4 api workers: the most loaded has at most 1.5 times the mean."""

import socket
from collections.abc import Iterator

import pytest

from tests.plugins.resources import uses
from tests.rig.node import Node
from tests.rig.wait import until

CONNECTIONS, WORKERS, ROUNDS = 64, 4, 5


@pytest.fixture(scope="module")
@uses("node")
def own_node() -> Iterator[Node]:
    with Node(workers=WORKERS, ws_workers=1) as node:
        yield node


def _connect(node: Node) -> socket.socket:
    host, _, port = node.url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)))


def _loads(node: Node) -> list[int]:
    children = node.children()
    return [children[f"api{worker}"]["connections"] for worker in range(WORKERS)]


REQUEST = b"GET /api/v4/system/ping HTTP/1.1\r\nHost: node\r\n\r\n"


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("said", [b"", REQUEST[:20]], ids=["silent", "talking"])
def test_connections_are_spread_evenly(own_node: Node, number: int, said: bytes) -> None:
    until(lambda: sum(_loads(own_node)) == 0, what="no connections")
    connections = []
    try:
        for _ in range(CONNECTIONS):
            connections.append(_connect(own_node))
            connections[-1].sendall(said)
        until(lambda: sum(_loads(own_node)) == CONNECTIONS, what="all connections")
        loads = until(lambda: _even(_loads(own_node)), what=f"an even spread, not {_loads(own_node)}")
        print(loads)
        for connection in connections:  # every one is served, whoever accepted it
            connection.sendall(REQUEST[len(said) :])
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    finally:
        for connection in connections:
            connection.close()


def _even(loads: list[int]) -> list[int]:
    return loads if max(loads) <= 1.5 * CONNECTIONS / WORKERS else []
