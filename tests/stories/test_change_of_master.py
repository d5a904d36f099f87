"""A change of the master by operators is the act of the whole cluster: by command, by HTTP, node by node.

Three nodes with writers on each. The old master lives, is dead, is frozen, or is reached by some nodes only. Nothing that
was acknowledged is lost or doubled, and nobody has to do anything on the other nodes.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins.drivers import drivers
from tests.rig.cluster import Cluster
from tests.rig.load import Load, assert_exactly_once
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.switch import Switch
from tests.rig.wait import until

pytestmark = [pytest.mark.node, pytest.mark.namespaces, drivers("postgres")]


class Change:
    """Three nodes over a master that they reach by `way`, and its heir."""

    def __init__(self, servers: PgCluster) -> None:
        self.servers = servers
        self.heir = servers.replicas[0]
        self.way = Switch(servers.master)
        database = servers.new_database("mm")
        self.config = {"SqlSettings": {"DataSource": self.way.dsn(database), "DataSourceReplicas": []}}
        self.cluster = Cluster(servers, config=self.config, database=database)
        servers.master.execute("GRANT EXECUTE ON FUNCTION pg_promote TO mmnode", database)

    def writers(self) -> list[tuple[Any, str]]:
        """Two on each node, in one channel."""
        cluster = self.cluster
        people = [new_user(cluster.nodes[0].url, f"writer{number}") for number in range(6)]
        channel = new_channel(people[0], new_team(people[0], *people[1:]), *people[1:])["id"]
        return [(cluster.client(one, number % 3), channel) for number, one in enumerate(people)]

    def to(self) -> str:
        """Connection string of the heir."""
        return self.heir.socket_dsn(self.cluster.database)

    def edit(self, *places: int) -> None:
        """Name the heir in config.json of these nodes, and reload it."""
        for place in places:
            node = self.cluster.nodes[place]
            self.cluster.configure(node, {"SqlSettings": {"DataSource": self.to(), "DataSourceReplicas": []}})
            assert node.ask("reload")["recycle_needed"] == ["SqlSettings.DataSource"]

    def check(self, load: Load) -> None:
        """All nodes write to the heir, and it has all that was acknowledged once."""
        assert_exactly_once(lambda query: self.heir.execute(query, self.cluster.database), load)
        for place in range(3):
            node = self.cluster.nodes[place]
            assert node.ask("database")["term"].startswith("2/"), f"node {place}"
            assert str(self.heir.data) in node.status()["database"]["master"], f"node {place}"

    def reasons(self, place: int) -> list[str]:
        """Why a node is not green."""
        return list(self.cluster.members(0)[place]["reasons"])


@pytest.fixture
def change() -> Iterator[Change]:
    with PgCluster(1) as servers:
        change = Change(servers)
        with change.way, change.cluster:
            yield change


def test_a_failover_by_command_moves_all_nodes(change: Change) -> None:
    with Load(change.writers(), 0.05) as load:
        load.expect_more(50)
        answer = change.cluster.nodes[0].ask("failover", to=change.to())
        assert answer["ok"], answer
        assert {one["result"] for one in answer["nodes"].values()} == {"ok"}
        assert len(answer["nodes"]) == 2
        load.expect_more(60)
    change.check(load)
    for node in change.cluster.nodes:
        assert str(change.heir.data) in json.loads(node.config_path.read_text())["SqlSettings"]["DataSource"]
        assert node.status()["recycle_needed"] == []
    change.cluster.until_green()


def test_the_documents_way_node_by_node_while_the_old_master_lives(change: Change) -> None:
    """Promote, edit, reload, recycle, one node after the other: the first recycle is that of all."""
    change.servers.synchronous(f"FIRST 1 ({change.heir.name})")
    with Load(change.writers(), 0.05) as load:
        load.expect_more(50)
        change.heir.promote()
        change.edit(0)
        answer = change.cluster.nodes[0].ask("recycle")
        assert answer["ok"], answer
        change.servers.synchronous("")
        load.expect_more(60)
        until(lambda: "config_pending" in change.reasons(1), 5, "config_pending on node 1")
        assert change.cluster.members(0)[1]["state"] == "yellow"
        refused = change.cluster.nodes[1].ask("recycle")
        assert refused["ok"] is False
        assert "another one has taken its place" in refused["error"] or "takes no writes" in refused["error"]
        change.cluster.restart(1)  # with the old name in its file, which leads to a master that takes no writes
        assert str(change.heir.data) in change.cluster.nodes[1].status()["database"]["master"]
        change.edit(1, 2)
        for place in (1, 2):
            answer = change.cluster.nodes[place].ask("recycle")
            assert answer["ok"], answer
            assert "nodes" not in answer
        load.expect_more(30)
    change.check(load)
    change.cluster.until_green()


def test_by_http_when_the_master_is_dead(change: Change) -> None:
    """Reload and recycle by administrators whose sessions the nodes know; the heir has all that was acknowledged."""
    change.servers.synchronous(f"FIRST 1 ({change.heir.name})")
    admins = [change.cluster.client(change.cluster.admin, place) for place in range(3)]
    for one in admins:
        one.get("/users/me")
    with Load(change.writers(), 0.05) as load:
        load.expect_more(50)
        change.servers.master.crash()
        change.heir.promote()
        for place in range(3):
            node = change.cluster.nodes[place]
            change.cluster.configure(node, {"SqlSettings": {"DataSource": change.to(), "DataSourceReplicas": []}})
        for one in admins:
            assert one.post("/config/reload", {})["status"] == "OK"
        assert admins[1].post("/database/recycle", {})["status"] == "OK"
        load.expect_more(60)
        assert admins[2].post("/database/recycle", {})["status"] == "OK"
    change.check(load)


def test_a_frozen_master_is_left_by_force_and_nobody_goes_back_to_it(change: Change) -> None:
    change.servers.synchronous(f"FIRST 1 ({change.heir.name})")
    with Load(change.writers(), 0.05) as load:
        load.expect_more(50)
        change.servers.master.freeze()
        try:
            refused = change.cluster.nodes[0].ask("failover", to=change.to())
            assert refused["ok"] is False
            assert "--force" in refused["error"]
            answer = change.cluster.nodes[0].ask("failover", to=change.to(), force=True)
            assert answer["ok"], answer
            load.expect_more(40)
        finally:
            change.servers.master.thaw()
        change.servers.synchronous("")
        load.expect_more(40)
    change.check(load)


def test_a_master_that_the_leader_does_not_reach_is_closed_by_another_node(change: Change) -> None:
    with Load(change.writers(), 0.05) as load:
        load.expect_more(50)
        process = change.cluster.nodes[0].process
        assert process is not None
        change.way.cut(process.pid)
        until(lambda: change.cluster.nodes[0].ask("database")["master_state"] == "down", 10, "node 0 without a master")
        answer = change.cluster.nodes[0].ask("failover", to=change.to())
        assert answer["ok"], answer
        load.expect_more(60)
    change.check(load)


def test_a_target_that_lacks_what_any_node_acknowledged_is_refused_with_the_list(change: Change) -> None:
    writers = change.writers()
    change.servers.catch_up()
    change.heir.promote()
    who, channel = writers[2]  # on node 2
    who.write(channel, "acknowledged")
    change.edit(0)
    answer = change.cluster.nodes[0].ask("recycle")
    assert answer["ok"] is False
    assert f"{channel} after" in answer["error"]
    who.write(channel, "and on")
    for place in range(3):
        assert change.cluster.nodes[place].ask("database")["term"].startswith("1/")
