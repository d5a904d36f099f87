"""Fixtures of the tests of api."""

from collections.abc import Iterator

import pytest

from tests.api import world as worlds
from tests.api.world import World
from tests.rig.node import Node


@pytest.fixture(scope="session")
def world(node: Node) -> Iterator[World]:
    """A team, its channels and people in each relation to them; tests change nothing of it but by adding."""
    built = worlds.build(node.url, node.admin_name)
    yield built
    built.close()
