"""A real master and real replicas that lag, die, come back and take over, under a node that must not let anybody see it."""

import asyncio
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from db import migrate
from db.drivers import postgres_failover
from db.numbers import term_in
from db.settings import PoolSettings
from tests.rig.load import Load, assert_exactly_once, writers
from tests.rig.mariadb import MariaCluster
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import Rest, unique
from tests.rig.scale import bound_s, scale
from tests.rig.socket import Socket
from tests.rig.wait import until
from ws.close import Close

LATE_S = 2.5


class Tier:
    """A node on a cluster of servers."""

    def __init__(self, cluster: PgCluster | MariaCluster, **options: Any) -> None:
        self.cluster: Any = cluster
        self.name = cluster.new_database()
        self.node = Node(workers=2, **options)
        self.configure(cluster.master.dsn(self.name), *(replica.dsn(self.name) for replica in cluster.replicas))

    def configure(self, master: str, *replicas: str) -> None:
        """Write config.json."""
        sources = {"DataSource": master, "DataSourceReplicas": list(replicas)}
        sql = {"DriverName": self.cluster.driver, **sources}
        self.node.write_config({"SqlSettings": sql, "TeamSettings": {"MaxUsersPerTeam": 1000}})

    def sql(self, query: str, server: Any = None) -> list[tuple[Any, ...]]:
        """Rows of a query on the master."""
        rows: list[tuple[Any, ...]] = (server or self.cluster.master).execute(query, self.name)
        return rows

    def databases(self) -> dict[str, Any]:
        """What `mmnode db status` says."""
        return self.node.ask("database")

    def replica_reads(self) -> list[int]:
        """Reads that each replica was given, by all workers."""
        pools = [worker["pool"]["replicas"] for worker in self.databases()["workers"].values()]
        return [sum(pool[index]["reads"] for pool in pools) for index in range(len(pools[0]))]

    def all_fit(self) -> bool:
        """Whether every replica is fit."""
        return [one["state"] for one in self.databases()["replica_states"]] == ["up"] * len(self.cluster.replicas)


@pytest.fixture
def tier(pg_cluster: PgCluster) -> Iterator[Tier]:
    tier = Tier(pg_cluster)
    with tier.node:
        until(tier.all_fit, what="fit replicas")
        yield tier


def _connections(who: Rest, count: int) -> Iterator[Rest]:
    """The same user on so many connections, in turn: they are spread over all api workers."""
    them = []
    for _ in range(count):
        one = Rest(who.url)
        one.user, one.token = who.user, who.token
        one.session.headers["Authorization"] = f"Bearer {who.token}"
        one.get("/users/me")
        them.append(one)
    return itertools.cycle(them)


def _uncached(who: Rest) -> Any:
    """A read that no cache of the node answers."""
    return who.get(f"/users/username/{who.user['username']}")


def _commits(tier: Tier) -> int:
    return int(tier.sql(f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{tier.name}'")[0][0])


def test_what_one_worker_wrote_every_other_reads_however_late_the_replicas(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    team = new_team(ann)
    old = [new_user(tier.node.url).user["username"] for _ in range(5)]
    for replica in tier.cluster.replicas:
        replica.delay_replay(2)
    turns = _connections(ann, 7)
    channel = new_channel(ann, team)
    misses = []
    for number in range(scale(60, 340)):
        post = next(turns).write(channel["id"], f"post {number}")
        if next(turns).get(f"/posts/{post['id']}")["message"] != f"post {number}":
            misses.append(("object", number))
        if next(turns).get(f"/channels/{channel['id']}/posts?per_page=1")["order"] != [post["id"]]:
            misses.append(("list", number))
        if next(turns).get(f"/channels/{channel['id']}")["total_msg_count"] != number + 1:
            misses.append(("count", number))
        if number % 5 == 0:
            made = new_channel(next(turns), team)
            mine = next(turns).get(f"/users/me/teams/{team['id']}/channels")
            if made["id"] not in [one["id"] for one in mine]:
                misses.append(("membership", number))
            next(turns).get(f"/teams/{team['id']}/channels/name/{made['name']}")
            bob = new_user(tier.node.url)
            next(turns).post(f"/teams/{team['id']}/members", {"team_id": team["id"], "user_id": bob.id})
            if [one["id"] for one in bob.get("/users/me/teams")] != [team["id"]]:
                misses.append(("team", number))
            bob.post("/users/logout", {})
            assert bob.call("GET", "/users/me").status_code == 401
    assert misses == []

    def spread() -> float:
        before, reads = sum(tier.replica_reads()), 50
        for number in range(reads):
            next(turns).get(f"/users/username/{old[number % 5]}")
        return (sum(tier.replica_reads()) - before) / reads

    # Reads of what changed longer ago than the replicas are late.
    share = until(lambda: (found := spread()) >= 0.8 and found, 10, "replicas to serve at least 80 % of the reads")
    print(f"{share:.0%} of unrelated reads by replicas")


def test_an_update_by_hand_is_seen_by_every_worker_within_2_s(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    for replica in tier.cluster.replicas:
        replica.delay_replay(4)
    turns = _connections(ann, 6)
    time.sleep(4.5)  # so that replicas have what was there before
    before = sum(tier.replica_reads())
    assert all(next(turns).get(f"/users/{ann.id}")["nickname"] == "" for _ in range(6))
    assert all(_uncached(next(turns))["nickname"] == "" for _ in range(6))
    assert sum(tier.replica_reads()) > before
    tier.sql(f"UPDATE users SET nickname = 'changed', update_at = update_at + 1 WHERE id = '{ann.id}'")
    changed_at = time.monotonic()
    until(lambda: all(next(turns).get(f"/users/{ann.id}")["nickname"] == "changed" for _ in range(6)), 4)
    until(lambda: all(_uncached(next(turns))["nickname"] == "changed" for _ in range(6)), 4)
    took_s = time.monotonic() - changed_at
    print(f"an UPDATE by hand was seen by all after {took_s:.2f} s")
    assert took_s <= bound_s(2.0)


class Reader:
    """Reads without pause; `failures`: answers that were not 200."""

    def __init__(self, calls: Sequence[Callable[[], Any]], pause_s: float = 0.01) -> None:
        self.failures: list[str] = []
        self.count = 0
        self._stop = threading.Event()
        self._pause_s = pause_s
        self._threads = [threading.Thread(target=self._run, args=(call,), daemon=True) for call in calls]

    def _run(self, call: Callable[[], Any]) -> None:
        while not self._stop.is_set():
            try:
                call()
                self.count += 1
            except Exception as error:
                self.failures.append(repr(error))
            time.sleep(self._pause_s)

    def __enter__(self) -> "Reader":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)


def test_a_replica_that_dies_lags_and_returns_fails_no_request(tier: Tier) -> None:
    people = [new_user(tier.node.url) for _ in range(4)]
    calls = [partial(_uncached, who) for who in people]
    first, second = tier.cluster.replicas

    def state(index: int) -> str:
        return str(tier.databases()["replica_states"][index]["state"])

    with Reader(calls) as reader:
        until(lambda: min(tier.replica_reads()) > 10, what="reads by both replicas")
        first.crash()
        until(lambda: state(0) != "up", 2.0, "the dead replica to be out")
        first.start()
        until(lambda: state(0) == "up", 10, "the replica to be back")
        before = tier.replica_reads()[0]
        until(lambda: tier.replica_reads()[0] > before + 10, 10, "reads by the replica that is back")
        second.pause_replay()
        tier.node.write_config(json.loads(tier.node.config_path.read_text()))  # nothing changes
        until(lambda: tier.databases()["replica_states"][1]["lag_ms"] > 0 or _touch(tier), 10, "lag")
        until(lambda: tier.databases()["replica_states"][1]["lag_ms"] > 5000 or _touch(tier), 20, "too much lag")
        time.sleep(0.5)
        before = tier.replica_reads()[1]
        seen = reader.count
        until(lambda: reader.count > seen + 50, what="reads going on")
        assert tier.replica_reads()[1] == before, "a replica that is too far behind was read"
        second.resume_replay()
        until(lambda: tier.replica_reads()[1] > before, 10, "reads by the replica that caught up")
    assert reader.failures == []


def test_frozen_servers_fail_no_read_and_hold_up_no_write_for_longer_than_they_are_frozen(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    turns = _connections(ann, 6)
    until(lambda: _uncached(next(turns)) and min(tier.replica_reads()) > 5, what="reads by both replicas")
    for replica in tier.cluster.replicas:
        replica.freeze()
    try:
        began = time.monotonic()
        for _ in range(6):
            _uncached(next(turns))
        assert time.monotonic() - began < 12  # 2 s for each connection that was waited for, at most
        until(lambda: not tier.all_fit(), 5, "the frozen replicas to be out")
        began = time.monotonic()
        for _ in range(6):
            _uncached(next(turns))
        assert time.monotonic() - began < 1.5
    finally:
        for replica in tier.cluster.replicas:
            replica.thaw()
    until(tier.all_fit, 10, "the replicas to be back")
    tier.cluster.master.freeze()
    timer = threading.Timer(1.5, tier.cluster.master.thaw)
    timer.start()
    new_team(ann)
    timer.join()


def test_a_master_that_stays_frozen_gives_503(pg_cluster: PgCluster) -> None:
    tier = Tier(pg_cluster, environment={"MM_SQLSETTINGS_QUERYTIMEOUT": "1"})
    with tier.node:
        ann = new_user(tier.node.url)
        channel = new_channel(ann, new_team(ann))
        pg_cluster.master.freeze()
        try:
            for path, body in [
                ("/posts", {"channel_id": channel["id"], "message": "m", "pending_post_id": "p"}),
                ("/teams", {"name": unique("t"), "display_name": "t", "type": "O"}),
            ]:
                began = time.monotonic()
                assert ann.call("POST", path, body, timeout=60).status_code == 503
                assert time.monotonic() - began < 15
            assert tier.node.ping() == 200
        finally:
            pg_cluster.master.thaw()
        until(lambda: _writes(ann), 10, "a write")
        post = ann.write(channel["id"], "m", pending_post_id="p")
        assert ann.get(f"/channels/{channel['id']}/posts?per_page=1")["order"] == [post["id"]]
        assert [row for (row,) in tier.sql("SELECT id FROM posts WHERE pending_post_id = 'p'")] == [post["id"]]


def test_a_newer_schema_serves_this_version_also_while_it_is_put_in_place(tier: Tier) -> None:
    with Load(writers(tier.node.url, 3)) as load:
        load.expect_more(50)
        tables = [name for (name,) in tier.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        for table in tables:
            tier.sql(
                f"ALTER TABLE {table} ADD COLUMN expanded TEXT NOT NULL DEFAULT 'x', ADD COLUMN may_be_null INTEGER"
            )
        tier.sql("CREATE TABLE later (id VARCHAR(26) PRIMARY KEY)")
        tier.sql("INSERT INTO schema_migrations (version, name) VALUES (9999, '9999_later.sql')")
        load.expect_more(100)
        ann = new_user(tier.node.url)
        new_channel(ann, new_team(ann))
        old_pid = tier.node.kill("api0")
        tier.node.wait_replaced("api0", old_pid)
        load.expect_more(50)
    assert load.retries <= 10
    assert_exactly_once(tier.sql, load)


def test_a_migration_that_was_killed_is_finished_by_the_next(pg_cluster: PgCluster, tmp_path: Path) -> None:
    dsn = pg_cluster.master.dsn(pg_cluster.new_database())
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"SqlSettings": {"DataSource": dsn}}))
    command = [str(Path(sys.executable).with_name("mmnode")), "db", "migrate", "--config", str(config)]
    with psycopg.connect(dsn) as in_the_way:
        in_the_way.execute("CREATE TABLE teams (id INTEGER)")
        migrating = subprocess.Popen(command)
        with psycopg.connect(dsn, autocommit=True) as watching:
            waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            until(lambda: watching.execute(waiting).fetchall(), what="a migration that is under way")
        migrating.kill()
        migrating.wait()
        in_the_way.rollback()
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "applied 0001_initial.sql" in said
    assert "up to date" in subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT version) FROM schema_migrations").fetchone()
    assert found == (migrate.newest(), migrate.newest())


def _touch(tier: Tier) -> bool:
    tier.sql(f"INSERT INTO systems (name, value) VALUES ('{unique('touched')}', '')")
    return False


def test_recycling_under_load_fails_no_request(tier: Tier) -> None:
    with Load(writers(tier.node.url, 4), pause_s=0.02) as load:
        people = [new_user(tier.node.url) for _ in range(2)]
        with Reader([partial(who.get, "/users/me") for who in people], pause_s=0.02) as reader:
            for _ in range(scale(3, 12)):
                load.expect_more(50)
                time.sleep(scale(0, 5))  # "every 5 s for a minute"
                answer = tier.node.ask("recycle")
                assert answer["ok"], answer
            load.expect_more(50)
    assert reader.failures == []
    assert load.retries == 0
    assert_exactly_once(tier.sql, load)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda tier: tier.cluster.master.dsn(tier.name).replace("port=", "port=1 options=''  application_name="),
            "refused",
        ),
        (lambda tier: tier.cluster.master.dsn(tier.cluster.new_database()), "installation"),
        (lambda tier: tier.cluster.replicas[0].dsn(tier.name), "takes no writes"),
        (lambda _: "nonsense", "connection string"),
        (lambda tier: f"{tier.cluster.master.dsn(tier.name)} sslmode=require", "SSL"),
    ],
    ids=["nobody there", "another installation", "a replica", "nonsense", "TLS where there is none"],
)
def test_a_recycle_that_cannot_be_verified_is_refused_and_the_old_pool_goes_on(
    tier: Tier, change: Callable[[Tier], str], words: str
) -> None:
    ann = new_user(tier.node.url)
    tier.configure(change(tier))
    assert tier.node.ask("reload")["recycle_needed"] == ["SqlSettings.DataSource", "SqlSettings.DataSourceReplicas"]
    answer = tier.node.ask("recycle")
    assert answer["ok"] is False
    assert words in answer["error"]
    assert ann.get("/users/me")["id"] == ann.id
    new_team(ann)


def test_replicas_are_added_and_removed_while_the_node_runs(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    first, second = tier.cluster.replicas
    turns = _connections(ann, 6)
    team = new_team(ann)
    channel = new_channel(ann, team)
    for replicas in ([], [first], [first, second], [second]):
        tier.configure(tier.cluster.master.dsn(tier.name), *(replica.dsn(tier.name) for replica in replicas))
        assert tier.node.ask("reload")["ok"]
        answer = tier.node.ask("recycle")
        assert answer["ok"], answer
        assert len(tier.node.status()["database"]["replicas"]) == len(replicas)
        for number in range(20):
            post = next(turns).write(channel["id"], f"{number}")
            assert next(turns).get(f"/channels/{channel['id']}/posts?per_page=1")["order"] == [post["id"]]
        if replicas:
            until(lambda: _uncached(next(turns)) and min(tier.replica_reads()) > 0, what="reads by replicas")


def test_a_master_that_dies_is_replaced_without_loss_by_a_multi_host_string(pg_cluster: PgCluster) -> None:
    tier = Tier(pg_cluster)
    tier.configure(pg_cluster.multihost(tier.name))
    heir = pg_cluster.replicas[0]
    with tier.node:
        pg_cluster.synchronous(f"FIRST 1 ({heir.name})")
        with Load(writers(tier.node.url, 4)) as load:
            load.expect_more(100)
            pg_cluster.master.crash()
            time.sleep(0.5)
            heir.promote()
            promoted_at = time.monotonic()
            load.expect_more(1)
            took_s = time.monotonic() - promoted_at
            print(f"writing again {took_s:.2f} s after the promotion")
            assert took_s <= 5.0
            load.expect_more(100)
        assert_exactly_once(lambda query: tier.sql(query, heir), load)
        # The old master returns, as if nothing had happened, under the same name: nobody writes to it.
        pg_cluster.master.start()
        with Load(writers(tier.node.url, 2)) as load:
            load.expect_more(20)
            answer = tier.node.ask("recycle")
            assert answer["ok"], answer
            load.expect_more(20)
        assert_exactly_once(lambda query: tier.sql(query, heir), load)


def test_a_failover_by_hand_is_one_edit_a_reload_and_a_recycle(tier: Tier) -> None:
    tier.cluster.synchronous("ANY 1 (*)")
    with Load(writers(tier.node.url, 4)) as load:
        load.expect_more(100)
        tier.cluster.master.crash()
        heir, other = tier.cluster.by_progress()
        heir.promote()
        other.follow(heir)
        tier.configure(heir.dsn(tier.name), other.dsn(tier.name))
        assert tier.node.ask("reload")["ok"]
        answer = tier.node.ask("recycle")
        assert answer["ok"], answer
        recycled_at = time.monotonic()
        load.expect_more(1)
        assert time.monotonic() - recycled_at <= 5.0
        load.expect_more(100)
    assert_exactly_once(lambda query: tier.sql(query, heir), load)
    until(lambda: _follows(tier), 20, "the other replica to follow the new master")
    assert tier.databases()["term"].startswith("2/")


def _follows(tier: Tier) -> bool:
    return bool(tier.databases()["replica_states"][0]["state"] == "up")


def test_a_planned_failover_under_load_loses_and_fails_nothing(tier: Tier) -> None:
    heir, other = tier.cluster.replicas
    tier.cluster.master.execute("GRANT EXECUTE ON FUNCTION pg_promote TO mmnode", tier.name)
    reader = new_user(tier.node.url)
    with Load(writers(tier.node.url, 4)) as load, Reader([partial(reader.get, "/users/me")]) as reads:
        load.expect_more(100)
        other.follow(heir)  # before: what the old master writes later it could never get rid of
        began = time.monotonic()
        answer = tier.node.ask("failover", to=heir.dsn(tier.name))
        assert answer["ok"], answer
        print(f"failover took {time.monotonic() - began:.2f} s, {load.retries} retries")
        load.expect_more(100)
    assert reads.failures == []
    assert load.retries == 0
    assert_exactly_once(lambda query: tier.sql(query, heir), load)
    stored = json.loads(tier.node.config_path.read_text())["SqlSettings"]
    assert stored == {
        "DriverName": "postgres",
        "DataSource": heir.dsn(tier.name),
        "DataSourceReplicas": [other.dsn(tier.name)],
    }
    until(lambda: _follows(tier), 20, "the other replica to follow the new master")
    with (
        psycopg.connect(tier.cluster.master.dsn(tier.name)) as old,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        old.execute("DELETE FROM posts")


def test_a_failover_is_refused_and_undone_when_the_target_cannot_be_promoted(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    answer = tier.node.ask("failover", to=tier.cluster.replicas[0].dsn(tier.name))
    assert answer["ok"] is False
    assert "GRANT EXECUTE ON FUNCTION pg_promote" in answer["error"]
    new_team(ann)


def test_a_failover_to_a_replica_that_is_behind_is_refused_and_undone(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    tier.cluster.master.execute("GRANT EXECUTE ON FUNCTION pg_promote TO mmnode", tier.name)
    tier.cluster.catch_up()
    late = tier.cluster.replicas[0]
    late.pause_replay()
    channel = new_channel(ann, new_team(ann))
    ann.write(channel["id"], "not everywhere")
    answer = tier.node.ask("failover", to=late.dsn(tier.name))
    assert answer["ok"] is False
    assert "has not replayed all" in answer["error"]
    ann.write(channel["id"], "still writing")


def test_a_failover_without_the_old_master_needs_force_and_names_what_would_be_lost(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    tier.cluster.master.execute("GRANT EXECUTE ON FUNCTION pg_promote TO mmnode", tier.name)
    channel = new_channel(ann, new_team(ann))
    tier.cluster.catch_up()
    late, heir = tier.cluster.replicas
    late.set("primary_conninfo", "")
    until(lambda: tier.sql("SELECT count(*) FROM pg_stat_replication") == [(1,)], what="the replica to be cut off")
    ann.write(channel["id"], "acknowledged")
    tier.cluster.master.crash()
    refused = tier.node.ask("failover", to=heir.dsn(tier.name))
    assert refused["ok"] is False
    assert "--force" in refused["error"]
    behind = postgres_failover.missing(late.dsn(tier.name), PoolSettings(""), {channel["id"]: 3})
    assert asyncio.run(behind) == [(channel["id"], 2)]
    answer = tier.node.ask("failover", to=heir.dsn(tier.name), force=True)
    assert answer["ok"], answer
    page = ann.get(f"/channels/{channel['id']}/posts")
    assert page["posts"][page["order"][0]]["message"] == "acknowledged"
    ann.write(channel["id"], "and on")


def test_a_failover_to_a_server_that_lacks_acknowledged_posts_is_refused_with_a_list(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    channel = new_channel(ann, new_team(ann))
    tier.cluster.catch_up()
    cut_off = tier.cluster.replicas[0]
    cut_off.promote()  # by mistake, while the master goes on
    ann.write(channel["id"], "acknowledged")
    answer = tier.node.ask("failover", to=cut_off.dsn(tier.name))
    assert answer["ok"] is False
    assert f"lacks posts of 1 channels (--force goes on): {channel['id']} after 2" in answer["error"]
    ann.write(channel["id"], "still writing")


def test_after_a_failover_that_lost_posts_every_client_has_what_is_there_and_all_of_it(tier: Tier) -> None:
    """The heir never had two posts that a socket has heard of, and at once gets more than that."""
    ann, bob = new_user(tier.node.url), new_user(tier.node.url)
    channel = new_channel(ann, new_team(ann, bob), bob)
    ann.write(channel["id"], "kept")
    tier.cluster.catch_up()
    heir = tier.cluster.replicas[0]
    heir.set("primary_conninfo", "")
    until(lambda: tier.sql("SELECT count(*) FROM pg_stat_replication") == [(1,)], what="the replica to be cut off")
    before = Socket.open(bob)
    for number in range(2):
        ann.write(channel["id"], f"lost {number}")
        before.expect_post(f"lost {number}")
    tier.cluster.master.crash()
    heir.promote()
    tier.configure(heir.dsn(tier.name))
    assert tier.node.ask("reload")["ok"]
    assert tier.node.ask("recycle")["ok"]
    for number in range(4):
        ann.write(channel["id"], f"new {number}")
    assert before.expect_closed(bound_s(LATE_S)) == Close.SERVICE_RESTART
    after = Socket.open(bob)
    page = bob.get(f"/channels/{channel['id']}/posts")
    messages = [page["posts"][one]["message"] for one in reversed(page["order"]) if not page["posts"][one]["type"]]
    assert messages == ["kept", "new 0", "new 1", "new 2", "new 3"]
    ann.write(channel["id"], "and on")
    after.expect_post("and on")
    after.close()
    numbers = [row[0] for row in tier.sql(f"SELECT seq FROM posts WHERE channel_id = '{channel['id']}'", heir)]
    assert [term_in(seq) for seq in sorted(numbers)] == [1] * (len(numbers) - 5) + [2] * 5


def test_an_old_master_that_returns_is_refused(tier: Tier) -> None:
    heir = tier.cluster.replicas[0]
    ann = new_user(tier.node.url)
    old = tier.cluster.master
    old.crash()
    heir.promote()
    tier.configure(heir.dsn(tier.name))
    tier.node.ask("reload")
    assert tier.node.ask("recycle")["ok"]
    until(lambda: tier.databases()["term"].startswith("2/"), what="the new term")
    old.start()
    tier.configure(old.dsn(tier.name))
    tier.node.ask("reload")
    answer = tier.node.ask("recycle")
    assert answer["ok"] is False
    assert "another one has taken its place" in answer["error"]
    new_team(ann)
    assert tier.sql("SELECT count(*) FROM teams", old) == [(0,)]


def test_a_database_that_is_gone_gives_503_and_is_used_again_within_2_s(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    team = new_team(ann)
    tier.cluster.master.crash()
    began = time.monotonic()
    response = ann.call(
        "POST", "/channels", {"team_id": team["id"], "name": unique("c"), "display_name": "x", "type": "O"}
    )
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert time.monotonic() - began < 10
    assert tier.node.ping() == 200
    assert ann.get("/users/me")["id"] == ann.id, "replicas go on answering"
    tier.cluster.master.start()
    back_at = time.monotonic()
    until(lambda: _writes(ann), 5, "a write")
    assert time.monotonic() - back_at <= bound_s(2.0)


def _writes(who: Rest) -> bool:
    name = unique("team")
    return who.call("POST", "/teams", {"name": name, "display_name": name, "type": "O"}).status_code == 201


def test_a_node_waits_for_its_database_and_says_so(pg_cluster: PgCluster) -> None:
    tier = Tier(pg_cluster)
    pg_cluster.master.crash()
    try:
        tier.node.launch()
        until(lambda: "waiting for the database" in tier.node.log, 20, "the node to say that it waits")
        assert tier.node.status()["state"] == "starting"
        pg_cluster.master.start()
        tier.node.wait_ready()
        new_user(tier.node.url)
    finally:
        tier.node.__exit__()


def test_nodes_that_start_at_once_on_an_empty_database_migrate_it_once(pg_cluster: PgCluster) -> None:
    tier = Tier(pg_cluster)
    nodes = [tier.node, Node(workers=1), Node(workers=1)]
    for node in nodes[1:]:
        node.write_config(json.loads(tier.node.config_path.read_text()))
    try:
        for node in nodes:
            node.launch()
        for node in nodes:
            node.wait_ready()
        applied = sum(node.log.count("migration applied migration=0001") for node in nodes)
        assert applied == 1
    finally:
        for node in nodes:
            node.__exit__()


def test_the_status_of_the_database_tells_schema_roles_lag_and_use(tier: Tier) -> None:
    for replica in tier.cluster.replicas:
        replica.pause_replay()
    until(lambda: tier.databases()["replica_states"][0]["lag_ms"] > 100 or _touch(tier), 10, "lag")
    said = tier.databases()
    assert said["schema_version"] == said["schema_needed"] == migrate.newest()
    assert (said["driver"], said["master_state"], len(said["replicas"])) == ("postgres", "up", 2)
    assert said["outbox_age_s"] < 3
    assert {"relay", "ws0", "api0", "api1"} == {"relay", *said["workers"]}
    for worker in said["workers"].values():
        assert set(worker["pool"]["master"]) == {"open", "in_use", "waiting"}
        assert len(worker["pool"]["replicas"]) == 2
    assert "password" not in json.dumps(said)


def test_a_ninth_replica_is_refused(pg_cluster: PgCluster) -> None:
    tier = Tier(pg_cluster)
    replica = pg_cluster.replicas[0].dsn(tier.name)
    tier.configure(pg_cluster.master.dsn(tier.name), *[replica] * 8)
    with tier.node:
        new_user(tier.node.url)
        tier.configure(pg_cluster.master.dsn(tier.name), *[replica] * 9)
        answer = tier.node.ask("reload")
        assert answer["ok"] is False
        assert "SqlSettings.DataSourceReplicas" in answer["error"]
        assert "at most 8" in answer["error"]


def test_the_database_is_never_asked_as_superuser(pg_cluster: PgCluster) -> None:
    name = pg_cluster.new_database()
    with psycopg.connect(pg_cluster.master.dsn(name)) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchall() == [(False,)]
