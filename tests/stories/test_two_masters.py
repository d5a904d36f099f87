"""A replica is promoted while the old master lives, and only some find it: nothing is acknowledged on the old one after
anything was on the new one.

The old master waits for its replica as long as nobody acknowledges on the new one; then it is told to go on alone, as
failover managers do. So whatever it acknowledges from there on is lost, and before it can acknowledge nothing.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from db.model.numbers import term_in
from tests.plugins.drivers import Driver, drivers
from tests.rig import backends
from tests.rig.cluster import Cluster
from tests.rig.lateness import within
from tests.rig.load import Load, assert_exactly_once
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.switch import Switch
from tests.rig.wait import until

pytestmark = [pytest.mark.node, pytest.mark.namespaces]


@pytest.fixture
def servers(driver: Driver) -> Iterator[Any]:
    """A master with a replica of this story alone: what is promoted is no replica any more."""
    with backends.servers(driver, 1) as servers:
        yield servers


class Split:
    """Three nodes with writers on each, and two servers of which both may be written to."""

    def __init__(self, servers: Any, cluster: Cluster) -> None:
        self.servers = servers
        self.cluster = cluster
        self.heir = servers.replicas[0]
        self.waits = isinstance(servers, PgCluster)
        """Whether the old master can be made to acknowledge nothing that its replica has not."""

    def pid(self, place: int) -> int:
        """Of a node's supervisor."""
        process = self.cluster.nodes[place].process
        assert process is not None
        return process.pid

    def stored(self) -> dict[str, int]:
        """pending id -> number, of what the heir has."""
        rows = self.heir.execute("SELECT pending_post_id, seq FROM posts WHERE pending_post_id IS NOT NULL", self.name)
        return dict(rows)

    @property
    def name(self) -> str:
        """Of the database."""
        return self.cluster.database

    def run(self, lead: Callable[["Split"], None]) -> None:
        """The story. lead: lets somebody find the heir, once it is promoted."""
        cluster, heir = self.cluster, self.heir
        people = [new_user(cluster.nodes[0].url, f"writer{number}") for number in range(6)]
        channel = new_channel(people[0], new_team(people[0], *people[1:]), *people[1:])["id"]
        watched = new_user(cluster.nodes[0].url)
        self.servers.catch_up()
        if self.waits:
            self.servers.synchronous(f"FIRST 1 ({heir.name})")
        with Load([(cluster.client(one, number % 3), channel) for number, one in enumerate(people)], 0.05) as load:
            load.expect_more(50)
            heir.promote()
            lead(self)
            until(lambda: self._first(load) is not None, 20, "a post on the new master")
            first = self._first(load) or 0
            if self.waits:
                self.servers.synchronous("")
            at = time.monotonic()
            self._end(watched)
            load.expect_more(100)
            print(f"a hundred more {time.monotonic() - at:.1f} s after the first")
        stored = self.stored()
        lost = [number for number, one in enumerate(load.acknowledged) if one.pending_id not in stored]
        if self.waits:
            assert_exactly_once(lambda query: heir.execute(query, self.name), load)
        else:  # what it had acknowledged before; each client may have one answer on its way
            assert not load.failures
            assert len({one.post_id for one in load.acknowledged}) == len(load.acknowledged)
            assert [number for number in lost if number > first + len(people)] == []
        for place in range(3):
            assert cluster.nodes[place].ask("database")["term"].startswith("2/")

    def _first(self, load: Load) -> int | None:
        """The place of the first acknowledged post that the new master has of its own."""
        stored = self.stored()
        for number, one in enumerate(list(load.acknowledged)):
            if term_in(stored.get(one.pending_id, 0)) == 2:
                return number
        return None

    def _end(self, watched: Any) -> None:
        """A session that is ended on one node is of no use on any other."""
        theirs = [self.cluster.client(watched, place) for place in range(3)]
        theirs[0].post("/users/logout", {})
        ended_at = time.monotonic()
        for one in theirs:
            until(lambda: one.call("GET", "/users/me").status_code in (401, 503), 10, "the session's end")  # noqa: B023
        assert within(2.0, since=ended_at)


@drivers("postgres")
def test_a_replica_that_one_node_finds_by_its_list_of_hosts_is_the_master_of_all(servers: Any) -> None:
    database = servers.new_database()
    with ExitStack() as stack:
        old = stack.enter_context(Switch(servers.master))
        new = stack.enter_context(Switch(servers.replicas[0]))
        hosts = {
            "DataSource": f"host={old.directory},{new.directory} port=5432,5432 user=mmnode dbname={database}"
            " target_session_attrs=read-write connect_timeout=2",
            "DataSourceReplicas": [],
        }
        cluster = stack.enter_context(Cluster(servers, config={"SqlSettings": hosts}, database=database))
        Split(servers, cluster).run(lambda split: old.cut(split.pid(0)))


@drivers("postgres", "mysql")
def test_a_proxy_that_leads_one_process_elsewhere_leads_all_there(servers: Any) -> None:
    database = servers.new_database()
    with ExitStack() as stack:
        proxy = stack.enter_context(Switch(servers.master))
        way = {"DataSource": proxy.dsn(database), "DataSourceReplicas": []}
        cluster = stack.enter_context(Cluster(servers, config={"SqlSettings": way}, database=database))

        def lead(split: Split) -> None:
            proxy.lead(split.heir)
            proxy.end(cluster.pid(0, "api0"))

        Split(servers, cluster).run(lead)
