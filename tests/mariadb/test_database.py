"""A master and replicas that lag, die and come back: see tests/stories/test_database.py."""

from collections.abc import Iterator

import pytest

from tests.rig.mariadb import MariaCluster
from tests.rig.require import Require
from tests.rig.wait import until
from tests.stories.test_database import (
    Tier,
    test_a_replica_that_dies_lags_and_returns_fails_no_request,
    test_an_update_by_hand_is_seen_by_every_worker_within_2_s,
    test_recycling_under_load_fails_no_request,
    test_replicas_are_added_and_removed_while_the_node_runs,
    test_what_one_worker_wrote_every_other_reads_however_late_the_replicas,
)

__all__ = [
    "test_a_replica_that_dies_lags_and_returns_fails_no_request",
    "test_an_update_by_hand_is_seen_by_every_worker_within_2_s",
    "test_recycling_under_load_fails_no_request",
    "test_replicas_are_added_and_removed_while_the_node_runs",
    "test_what_one_worker_wrote_every_other_reads_however_late_the_replicas",
]


@pytest.fixture
def tier(require: Require) -> Iterator[Tier]:
    require("MariaDB")
    with MariaCluster() as cluster:
        tier = Tier(cluster)
        with tier.node:
            until(tier.all_fit, what="fit replicas")
            yield tier
