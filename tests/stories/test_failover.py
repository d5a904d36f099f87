"""A master that dies, is replaced, or returns: no acknowledged write is lost, and nobody writes to the old one."""

import asyncio
import json
import time
from collections.abc import Callable
from functools import partial

import psycopg
import pytest

from db.drivers import postgres_failover
from db.model.numbers import term_in
from db.model.settings import PoolSettings
from tests.rig.lateness import within
from tests.rig.load import Load, Readers, assert_exactly_once, writers
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.socket import Socket
from tests.rig.wait import until
from tests.stories.tier import Tier, follows
from ws.close import Close

pytestmark = [pytest.mark.node, pytest.mark.postgres]

LATE_S = 2.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda tier: tier.cluster.master.dsn(tier.name).replace("port=", "port=1 options=''  application_name="),
            "refused",
        ),
        (lambda tier: tier.cluster.master.dsn(tier.cluster.new_database()), "installation"),
        (lambda tier: tier.cluster.replicas[0].dsn(tier.name), "takes no writes"),
        (lambda tier: f"{tier.cluster.master.dsn(tier.name)} sslmode=require", "SSL"),
    ],
    ids=["nobody there", "another installation", "a replica", "TLS where there is none"],
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


def test_a_connection_string_that_cannot_be_read_is_refused_by_the_reload(tier: Tier) -> None:
    tier.configure("postgres://mm:p/w@db/mm")
    answer = tier.node.ask("reload")
    assert answer["ok"] is False
    assert "must be written as codes" in answer["error"]
    assert tier.node.status()["recycle_needed"] == []


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
            assert within(5.0, since=promoted_at, until=promoted_at + took_s)
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
        assert within(5.0, since=recycled_at)
        load.expect_more(100)
    assert_exactly_once(lambda query: tier.sql(query, heir), load)
    until(lambda: follows(tier), 20, "the other replica to follow the new master")
    assert tier.databases()["term"].startswith("2/")


def test_a_planned_failover_under_load_loses_and_fails_nothing(tier: Tier) -> None:
    heir, other = tier.cluster.replicas
    tier.cluster.master.execute("GRANT EXECUTE ON FUNCTION pg_promote TO mmnode", tier.name)
    reader = new_user(tier.node.url)
    with Load(writers(tier.node.url, 4)) as load, Readers([partial(reader.get, "/users/me")]) as reads:
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
    until(lambda: follows(tier), 20, "the other replica to follow the new master")
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
    refused = tier.node.ask("recycle")
    assert refused["ok"] is False
    assert f"lacks posts of 1 channels (--force goes on): {channel['id']}" in refused["error"]
    assert tier.node.ask("recycle", force=True)["ok"]
    for number in range(4):
        ann.write(channel["id"], f"new {number}")
    assert before.expect_closed(LATE_S) == Close.SERVICE_RESTART
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
