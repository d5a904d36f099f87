"""Three nodes over one database, of either kind: one service for whoever writes and reads."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.plugins.drivers import Driver, drivers
from tests.rig import backends
from tests.rig.at_once import AtOnce
from tests.rig.cluster import Cluster
from tests.rig.load import Load, assert_exactly_once
from tests.rig.mariadb import MariaCluster
from tests.rig.network import Loopback, Unavailable
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import Rest
from tests.rig.scale import scale
from tests.rig.socket import Socket
from tests.rig.wait import until

pytestmark = drivers("postgres", "mysql")


@pytest.fixture(scope="module")
def servers(driver: Driver) -> Iterator[PgCluster | MariaCluster]:
    """A master for this module's nodes."""
    with backends.servers(driver, 0) as servers:
        yield servers


@pytest.mark.node
@pytest.mark.namespaces
def test_of_three_that_start_at_once_on_an_empty_database_one_migrates(servers: PgCluster | MariaCluster) -> None:
    for _ in range(scale(1, 20)):
        with Cluster(servers, enable=False) as cluster:
            applied = [
                [line for line in node.log.splitlines() if "migration applied" in line] for node in cluster.nodes
            ]
            assert sorted(bool(lines) for lines in applied) == [False, False, True], applied
            names = [line.partition("migration=")[2] for lines in applied for line in lines]
            assert len(names) == len(set(names)) > 0
            stored = [name for (name,) in cluster.sql("SELECT name FROM schema_migrations ORDER BY name")]
            assert names == stored
            assert not any("Traceback" in node.log for node in cluster.nodes)


def test_who_logs_in_on_one_node_is_known_to_every_other_at_once(cluster: Cluster) -> None:
    for number in range(scale(15, 300)):
        ann = new_user(cluster.nodes[number % 3].url)
        for place in range(3):
            assert cluster.client(ann, place).get("/users/me")["id"] == ann.id


def test_what_is_posted_on_one_node_is_read_on_every_other_at_once(cluster: Cluster) -> None:
    ann = new_user(cluster.nodes[0].url)
    channel = new_channel(ann, new_team(ann))
    here = [cluster.client(ann, place) for place in range(3)]
    at_once = AtOnce(cluster)
    for number in range(scale(60, 1500)):
        post = here[number % 3].write(channel["id"], f"post {number}")
        for place in range(3):
            assert here[place].get(f"/posts/{post['id']}")["message"] == f"post {number}"
            at_once(
                lambda: here[place].get(f"/channels/{channel['id']}/posts?per_page=1")["order"] == [post["id"]],  # noqa: B023
                f"post {number} is the newest of its channel",
            )


def test_all_nodes_tell_clients_the_lowest_version_and_the_same_configuration(cluster: Cluster) -> None:
    """As in a rolling update, behind a balancer that changes node with each request."""

    def told() -> set[str]:
        answers = [requests.get(f"{node.url}/api/v4/system/ping", timeout=10) for node in cluster.nodes * 2]
        return {answer.headers["X-Version-Id"] for answer in answers}

    until(lambda: len(told()) == 1, 10, "one version at the beginning")
    before = told()
    cluster.configure(cluster.nodes[1], {"ServiceSettings": {"CompatibilityVersion": "10.11.0"}})
    assert cluster.nodes[1].ask("reload")["ok"]
    until(lambda: all(one.startswith("10.11.0.") for one in told()) and len(told()) == 1, 10, "10.11.0 by all")
    ann = new_user(cluster.nodes[0].url)
    for place in range(3):
        assert cluster.client(ann, place).get("/config/client?format=old")["Version"] == "10.11.0"
        with contextlib.closing(Socket.open(cluster.client(ann, place))) as socket:
            assert socket.events[0]["data"]["server_version"].startswith("10.11.0.")
            assert socket.events[0]["data"]["server_hostname"]
    cluster.configure(cluster.nodes[1], {})
    assert cluster.nodes[1].ask("reload")["ok"]
    until(lambda: told() == before, 10, "the version of the beginning by all")


def test_what_an_administrator_declares_on_one_node_is_so_on_every_other(cluster: Cluster) -> None:
    admin = cluster.admin
    here = [cluster.client(admin, place) for place in range(3)]
    channel = new_channel(admin, new_team(admin))

    def typing() -> list[int]:
        body = {"channel_id": channel["id"]}
        return [one.call("POST", f"/users/{admin.id}/typing", body).status_code for one in here]

    assert here[1].call("POST", "/server_busy?seconds=600").status_code == 200
    assert [one.get("/server_busy")["busy"] for one in here] == [True] * 3
    until(lambda: typing() == [503] * 3, 10, "503 by every node")
    assert here[2].call("DELETE", "/server_busy").status_code == 200
    until(lambda: typing() == [200] * 3, 10, "200 by every node")
    here[1].post("/system/onboarding/complete", {"organization": "Ours"})
    assert [one.get("/system/onboarding/complete")["value"] for one in here] == ["true"] * 3
    refused = here[0].call("PUT", "/config/patch", {"TeamSettings": {"SiteName": "Ours"}})
    assert (refused.status_code, refused.json()["id"]) == (403, "ent.cluster.save_config.error")


def test_one_channel_has_one_order_whoever_writes(cluster: Cluster) -> None:
    writers, channel = _writers(cluster, 6)
    with Load(writers) as load:
        load.expect_more(scale(200, 5000), 60)
    assert_exactly_once(cluster.sql, load)
    rows = cluster.sql(f"SELECT seq, create_at FROM posts WHERE channel_id = '{channel}' ORDER BY seq")
    assert [at for _, at in rows] == sorted(at for _, at in rows)
    assert len({at for _, at in rows}) == len(rows)


def test_a_retry_on_another_node_is_the_same_post(cluster: Cluster) -> None:
    ann = new_user(cluster.nodes[0].url)
    channel = new_channel(ann, new_team(ann))
    here = [cluster.client(ann, place) for place in range(3)]
    for number in range(scale(10, 300)):
        pending = f"{ann.id}:{number}"
        ids: list[str] = []

        def write(place: int, pending: str = pending, ids: list[str] = ids) -> None:
            ids.append(here[place].write(channel["id"], pending, pending_post_id=pending)["id"])

        threads = [threading.Thread(target=write, args=(place,)) for place in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(ids) == 3
        assert len(set(ids)) == 1


def _writers(cluster: Cluster, count: int, *places: int) -> tuple[list[tuple[Rest, str]], str]:
    """New users who write to one channel, each on a node of its own; and the channel."""
    people = [new_user(cluster.nodes[0].url, f"writer{number}") for number in range(count)]
    channel = str(new_channel(people[0], new_team(people[0], *people[1:]), *people[1:])["id"])
    where = places or (0, 1, 2)
    return [(cluster.client(one, where[number % len(where)]), channel) for number, one in enumerate(people)], channel


def test_the_others_go_on_when_a_node_dies_and_it_comes_back(cluster: Cluster) -> None:
    survivors, channel = _writers(cluster, 4, 0, 1)
    ann, _ = survivors[0]
    mortal = cluster.client(ann, 2)
    with Load(survivors) as load:
        load.expect_more(50)
        post: dict[str, Any] = mortal.write(channel, "before")
        cluster.kill(2)
        assert cluster.pids(2) == []
        load.expect_more(100)
        assert ann.get(f"/posts/{post['id']}")["message"] == "before"
        began = time.monotonic()
        cluster.restart(2)
        print(f"back after {time.monotonic() - began:.1f} s")
        assert mortal.get(f"/posts/{post['id']}")["message"] == "before"
        assert load.retries == 0
    mortal.write(channel, "after")
    assert_exactly_once(cluster.sql, load)


@pytest.mark.node
def test_nodes_on_loopback_are_a_cluster_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.rig.cluster.network", Loopback)  # what a user gets who may make no namespaces
    with PgCluster(0) as servers, Cluster(servers, 2) as cluster:
        ann = new_user(cluster.nodes[0].url)
        assert cluster.client(ann, 1).get("/users/me")["id"] == ann.id
        assert cluster.is_green()
        with pytest.raises(Unavailable):
            cluster.cut(0, 1)


def test_a_node_that_is_frozen_holds_up_nobody_else(cluster: Cluster) -> None:
    others, channel = _writers(cluster, 4, 0, 1)
    mine = cluster.client(others[0][0], 2)
    with Load(others) as load:
        load.expect_more(20)
        cluster.stop(2)
        load.expect_more(100)
        cluster.cont(2)
        load.expect_more(20)
        assert load.retries == 0
    until(lambda: cluster.nodes[2].ping() == 200, 10)
    mine.write(channel, "awake")
    assert_exactly_once(cluster.sql, load)
