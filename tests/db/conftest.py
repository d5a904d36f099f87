"""Fixtures of the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.db.proxied import World, behind_a_proxy
from tests.plugins.drivers import Driver


@pytest.fixture(scope="module")
def kept_world(driver: Driver) -> Iterator[World]:
    """A server of the module's own behind a proxy."""
    with behind_a_proxy(driver) as found:
        yield found


@pytest.fixture
def world(kept_world: World) -> Iterator[World]:
    """The same, with all in order again after each test."""
    yield kept_world
    kept_world.proxy.heal()
