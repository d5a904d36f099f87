"""Synchronous replication that does not wait: what no copy of the master has is acknowledged to nobody."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.plugins.drivers import drivers
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import unique
from tests.rig.wait import until
from tests.stories.tier import Tier

WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'mmnode api'"
POST = "post"
TEAM = "team"


def _require(tier: Tier) -> None:
    config = json.loads(tier.node.config_path.read_text())
    config["SqlSettings"]["RequireSynchronous"] = True
    tier.node.write_config(config)
    for command in ("reload", "recycle"):
        answer = tier.node.ask(command)
        assert answer["ok"], answer


def _cancel(tier: Tier) -> bool:
    """Cancel the waits of all commits of api workers; whether there were any."""
    waiting = tier.sql(WAITING)
    for (pid,) in waiting:
        tier.sql(f"SELECT pg_cancel_backend({pid})")
    return bool(waiting)


def _reasons(tier: Tier) -> list[str]:
    return list(tier.node.status()["reasons"])


@drivers("postgres")
@pytest.mark.parametrize("what", [POST, TEAM])
def test_a_commit_whose_wait_for_the_standby_is_cancelled_is_acknowledged_when_a_standby_has_it(
    tier: Tier, what: str
) -> None:
    ann = new_user(tier.node.url)
    channel = new_channel(ann, new_team(ann))
    name = unique("team")
    path, body = {
        POST: ("/posts", {"channel_id": channel["id"], "message": "m", "pending_post_id": name}),
        TEAM: ("/teams", {"name": name, "display_name": name, "type": "O"}),
    }[what]
    standby = tier.cluster.replicas[0]
    tier.cluster.synchronous(standby.name)
    standby.stop()
    try:
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(ann.call, "POST", path, body, timeout=60)
            until(lambda: _cancel(tier), 10, "a commit that waits for the standby")
            if what == POST:  # written again under its id, so that its outcome is known as soon as a standby has it
                until(lambda: tier.sql(WAITING), 10, "a commit that waits again")
                assert not answer.done()
            else:
                until(
                    lambda: not _cancel(tier) and answer.done(), 10, "an answer; others may have been cancelled before"
                )
                assert answer.result().status_code == 503
            standby.start()
            if what == POST:
                assert answer.result().status_code == 201
                rows = tier.sql(f"SELECT id FROM posts WHERE pending_post_id = '{name}'", standby)
                assert [one for (one,) in rows] == [answer.result().json()["id"]]
    finally:
        if standby.process is None or standby.process.poll() is not None:
            standby.start()
        tier.cluster.synchronous("")


@drivers("postgres")
def test_without_synchronous_standbys_nothing_is_written_where_they_are_required(tier: Tier) -> None:
    ann = new_user(tier.node.url)
    channel = new_channel(ann, new_team(ann))
    _require(tier)
    until(lambda: _reasons(tier) == ["replication_not_synchronous"], 10, "the reason")
    refused = ann.call("POST", "/posts", {"channel_id": channel["id"], "message": "lost"}, timeout=60)
    assert refused.status_code == 503
    assert ann.get("/users/me")["id"] == ann.id
    tier.cluster.synchronous(tier.cluster.replicas[0].name)
    try:
        until(lambda: not _reasons(tier), 10, "all to be well")
        assert ann.write(channel["id"], "kept")["message"] == "kept"
    finally:
        tier.cluster.synchronous("")


@drivers("mysql")
def test_semi_synchronous_replication_that_fell_back_is_shown_and_where_it_is_required_nothing_is_written(
    tier: Tier,
) -> None:
    master, replica = tier.cluster.master, tier.cluster.replicas[0]
    ann = new_user(tier.node.url)
    channel = new_channel(ann, new_team(ann))

    def post(message: str) -> Any:
        return ann.call("POST", "/posts", {"channel_id": channel["id"], "message": message}, timeout=60)

    def semi_synchronous(*, on: bool) -> None:
        replica.root(
            f"SET GLOBAL rpl_semi_sync_slave_enabled = {int(on)}", "STOP SLAVE IO_THREAD", "START SLAVE IO_THREAD"
        )

    master.root("SET GLOBAL rpl_semi_sync_master_timeout = 300", "SET GLOBAL rpl_semi_sync_master_enabled = 1")
    try:
        semi_synchronous(on=True)
        assert post("both have it").status_code == 201
        until(lambda: not _reasons(tier), 10, "all to be well")
        semi_synchronous(on=False)
        assert post("after the time-out it goes on alone").status_code == 201
        until(lambda: _reasons(tier) == ["replication_not_synchronous"], 10, "the reason")
        assert tier.node.status()["colour"] == "yellow"
        _require(tier)
        assert post("refused").status_code == 503
        semi_synchronous(on=True)
        until(lambda: not _reasons(tier), 10, "all to be well")
        assert post("both have it again").status_code == 201
        semi_synchronous(on=False)  # the server still waits, and then no more: for this commit
        assert post("nobody but the master has it").status_code == 503
    finally:
        master.root("SET GLOBAL rpl_semi_sync_master_enabled = 0")
