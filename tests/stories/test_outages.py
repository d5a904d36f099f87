"""Databases that are frozen, gone, new, or newer than the node."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from db.pool import migrate
from tests.rig.lateness import within
from tests.rig.load import Load, assert_exactly_once, writers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import unique
from tests.rig.wait import until
from tests.stories.tier import Tier, connections, touch, uncached, writes

pytestmark = [pytest.mark.node, pytest.mark.postgres]


def test_frozen_servers_fail_no_read_and_hold_up_no_write_for_longer_than_they_are_frozen(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    turns = connections(ann, 6)
    until(lambda: uncached(next(turns)) and min(tier.replica_reads()) > 5, what="reads by both replicas")
    for replica in tier.cluster.replicas:
        replica.freeze()
    try:
        began = time.monotonic()
        for _ in range(6):
            uncached(next(turns))
        assert within(12, since=began)  # 2 s for each connection that was waited for, at most
        until(lambda: not tier.all_fit(), 5, "the frozen replicas to be out")
        began = time.monotonic()
        for _ in range(6):
            uncached(next(turns))
        assert within(1.5, since=began)
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
                assert within(15, since=began)
            assert tier.node.ping() == 200
        finally:
            pg_cluster.master.thaw()
        until(lambda: writes(ann), 10, "a write")
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
    assert found == (len(migrate.available()), len(migrate.available()))


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
    assert within(10, since=began)
    assert tier.node.ping() == 200
    assert ann.get("/users/me")["id"] == ann.id, "replicas go on answering"
    tier.cluster.master.start()
    back_at = time.monotonic()
    until(lambda: writes(ann), 5, "a write")
    assert within(2.0, since=back_at)


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
    nodes = [tier.node, Node(database="configured", workers=1), Node(database="configured", workers=1)]
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
    until(lambda: tier.databases()["replica_states"][0]["lag_ms"] > 100 or touch(tier), 10, "lag")
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
