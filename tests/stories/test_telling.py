"""What nodes tell their operators: each change of state in one line, and what a node that takes no traffic waits for."""

import time
from collections.abc import Iterator

import pytest

from tests.plugins.resources import uses
from tests.rig.cluster import Cluster
from tests.rig.pgcluster import PgCluster
from tests.rig.wait import until

STATE = "a node is in another state"


@pytest.fixture(scope="module")
@uses("postgres")
def servers() -> Iterator[PgCluster]:
    """A master."""
    with PgCluster(0) as servers:
        yield servers


def _lines(cluster: Cluster, by: int, about: int, *words: str) -> list[str]:
    """Lines of a node's log about the state of one, with all of these words."""
    wanted = (STATE, f"node={cluster.node_id(about)}", *words)
    return [line for line in cluster.nodes[by].log.splitlines() if all(word in line for word in wanted)]


def test_a_start_in_good_order_warns_of_nothing_and_a_death_is_one_error_with_what_to_do(cluster: Cluster) -> None:
    before = len(cluster.nodes[0].log.splitlines())
    cluster.restart(2)
    cluster.until_green()
    new = cluster.nodes[0].log.splitlines()[before:]
    assert not [line for line in new if " WARNING " in line or " ERROR " in line], new
    cluster.kill(2)
    until(lambda: _lines(cluster, 0, 2, " ERROR ", "down"), 10, "the death to be told of")
    (line,) = _lines(cluster, 0, 2, " ERROR ")
    assert "mmnode cluster remove NODE" in line
    until(lambda: _lines(cluster, 1, 2, " ERROR ", "down"), 10, "the other one to tell of it")
    assert len(_lines(cluster, 1, 2, " ERROR ")) == 1
    cluster.nodes[2].start()
    cluster.until_green()


def test_a_configuration_that_differs_is_told_by_all_and_a_log_level_is_none(cluster: Cluster) -> None:
    node = cluster.nodes[1]
    cluster.configure(node, {"LogSettings": {"ConsoleLevel": "DEBUG"}})
    assert node.ask("reload")["ok"]
    time.sleep(2)  # four beats
    assert cluster.is_green()
    cluster.configure(node, {"TeamSettings": {"MaxUsersPerTeam": 7}})
    assert node.ask("reload")["ok"]
    for by in range(3):
        until(lambda: _lines(cluster, by, 1, " ERROR ", "config_mismatch", "sections=TeamSettings"), 10, "the mismatch")  # noqa: B023


def test_who_was_taken_out_is_listed_alike_while_it_runs_and_says_what_it_waits_for(cluster: Cluster) -> None:
    assert cluster.nodes[0].ask("remove", node=cluster.node_id(2))["ok"]
    for by in (0, 1):
        until(lambda: cluster.members(by)[2]["reasons"] == ["removed"], 10, "the node to be listed as removed")  # noqa: B023
    assert cluster.members(0)[2] == cluster.members(1)[2] | {"last_seen_ms": cluster.members(0)[2]["last_seen_ms"]}
    ping = until(lambda: _waits(cluster, 2), 10, "the node to say so")
    assert "removed it" in ping
    until(lambda: "waits_for (" in " ".join(cluster.nodes[2].status()["reasons"]), 10, "its status to say so")
    (line,) = until(lambda: _lines(cluster, 2, 2, "reasons=removed"), 10, "its log to say so")
    assert "stop it: it is no member any more" in line
    until(lambda: "no member any more" in cluster.nodes[2].log.split(line)[1], 10, "it to give up the others")
    assert not [one for one in cluster.nodes[2].log.split(line)[1].splitlines() if " ERROR " in one]
    cluster.restart(2)
    cluster.until_green()


def _waits(cluster: Cluster, place: int) -> str:
    answer = cluster.client(cluster.admin, place).call("GET", "/system/ping")
    return str(answer.json().get("waits_for", "")) if answer.status_code == 503 else ""
