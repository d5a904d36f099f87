"""Failovers of MariaDB, whose account of ours may not promote: the operator does; see test_failover.py."""

from tests.plugins.drivers import drivers
from tests.rig.load import Load, assert_exactly_once, writers
from tests.rig.people import new_team, new_user
from tests.rig.wait import until
from tests.stories.tier import Tier

pytestmark = drivers("mysql")


def test_a_planned_failover_under_load_loses_nothing(tier: Tier) -> None:
    master, (heir, other) = tier.cluster.master, tier.cluster.replicas
    with Load(writers(tier.node.url, 4)) as load:
        load.expect_more(100)
        master.root("SET GLOBAL read_only = 1")  # our account may not, nor promote: the operator's part
        tier.cluster.catch_up()
        heir.promote()
        other.follow(heir)
        answer = tier.node.ask("failover", to=heir.dsn(tier.name))
        assert answer["ok"], answer
        load.expect_more(100)
    assert_exactly_once(lambda query: tier.sql(query, heir), load)
    until(lambda: tier.databases()["replica_states"][0]["state"] == "up", 10, "the other to follow the new master")
    assert tier.databases()["term"].startswith("2/")


def test_a_killed_master_costs_no_acknowledged_post(tier: Tier) -> None:
    with Load(writers(tier.node.url, 4)) as load:
        for _ in range(3):
            load.expect_more(50)
            tier.cluster.master.crash()
            tier.cluster.master.start()
        load.expect_more(50)
    assert_exactly_once(tier.sql, load)


def test_a_failover_that_our_account_may_not_make_says_what_is_to_be_done(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    answer = tier.node.ask("failover", to=tier.cluster.replicas[0].dsn(tier.name))
    assert answer["ok"] is False
    assert "do it yourself and try again: SET GLOBAL read_only = 1 on the present master" in answer["error"]
    new_team(ann)


def test_a_master_that_returns_after_another_took_its_place_is_refused(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    master, (heir, _) = tier.cluster.master, tier.cluster.replicas
    tier.cluster.catch_up()
    master.crash()
    heir.promote()
    tier.configure(heir.dsn(tier.name))
    assert tier.node.ask("reload")["ok"]
    answer = tier.node.ask("recycle")
    assert answer["ok"], answer
    new_team(ann)
    until(lambda: tier.databases()["term"].startswith("2/"), 10, "the new term")
    master.start()
    tier.configure(master.dsn(tier.name))
    assert tier.node.ask("reload")["ok"]
    answer = tier.node.ask("recycle")
    assert answer["ok"] is False
    assert "another one has taken its place" in answer["error"]
    new_team(ann)
