"""Fixtures of stories."""

from collections.abc import Iterator

import pytest

from tests.plugins.drivers import Driver, driver_of
from tests.plugins.resources import uses
from tests.rig.cluster import Cluster
from tests.rig.kept import Kept
from tests.rig.mariadb import MariaCluster
from tests.rig.pgcluster import PgCluster
from tests.rig.prefetch import Prefetch
from tests.stories import tier as tiers
from tests.stories.tier import Tier


def another(request: pytest.FixtureRequest, fixture: str) -> bool:
    """Whether a later test of this module, on this database, asks for the fixture."""
    items = request.session.items
    later = items[items.index(request.node) + 1 :]
    return any(
        item.path == request.node.path
        and fixture in getattr(item, "fixturenames", ())
        and driver_of(item) == driver_of(request.node)
        for item in later
    )


@pytest.fixture(scope="module")
def prefetched_tiers(driver: Driver) -> Iterator[Prefetch[Tier]]:
    """Where `tier` comes from."""
    with Prefetch(lambda: tiers.running(driver)) as prefetch:
        yield prefetch


@pytest.fixture
@uses("node")
def tier(request: pytest.FixtureRequest, prefetched_tiers: Prefetch[Tier]) -> Iterator[Tier]:
    """A node, a master and two replicas of the story's own, to be broken."""
    manager, tier = prefetched_tiers.take(another=another(request, "tier"))
    yield tier
    prefetched_tiers.give_back(manager)


@pytest.fixture(scope="module")
def kept(servers: PgCluster | MariaCluster) -> Iterator[Kept[Cluster]]:
    """Where `cluster` comes from."""
    with Kept(lambda: Cluster(servers)) as kept:
        yield kept


@pytest.fixture
@uses("node", "namespaces")
def cluster(kept: Kept[Cluster]) -> Iterator[Cluster]:
    """Three nodes over the module's `servers`, as they were at the beginning whatever the last story did to them."""
    yield kept.take()
    kept.give_back()
