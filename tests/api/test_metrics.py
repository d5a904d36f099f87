"""The metrics of a real node, as Prometheus reads them."""

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest
import requests

from tests.plugins.resources import uses
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.scrape import Series, parse
from tests.rig.socket import Socket
from tests.rig.wait import until


@pytest.fixture(scope="module")
@uses("node")
def own() -> Iterator[Node]:
    settings = {"MetricsSettings": {"Enable": True, "ListenAddress": ":0"}}
    with Node(workers=2, ws_workers=1, config=settings) as running:
        yield running


def _scrape(node: Node) -> Series:
    answer = requests.get(node.status()["metrics_url"], timeout=10)
    assert answer.status_code == 200
    return parse(answer.text)


def test_it_is_on_this_machine_only_when_just_a_port_is_named(own: Node) -> None:
    assert own.status()["metrics_url"].startswith("http://127.0.0.1:")


def test_the_main_port_says_nothing_of_it(own: Node) -> None:
    assert requests.get(own.url + "/metrics", timeout=10).status_code == 404


def test_what_happens_is_counted_whichever_worker_did_it_and_whoever_is_asked(own: Node) -> None:
    before = _scrape(own)
    ann = new_user(own.url)
    channel = new_channel(ann, new_team(ann))
    for _ in range(5):
        ann.write(channel["id"], "counted")
    assert (
        requests.post(
            own.url + "/api/v4/users/login", json={"login_id": "nobody", "password": "x"}, timeout=10
        ).status_code
        == 401
    )
    with contextlib.closing(Socket.open(ann)):

        def seen() -> bool:
            return all(_scrape(own).get("mattermost_http_websockets_total") == 1 for _ in range(6))

        until(seen, what="an open socket in the metrics")
    found = _scrape(own)

    def grew(name: str) -> float:
        return found.get(name, 0) - before.get(name, 0)

    assert grew("mattermost_post_total") == 5
    assert grew("mattermost_login_logins_total") >= 1
    assert grew("mattermost_login_logins_fail_total") == 1
    assert grew("mattermost_http_errors_total") >= 1
    assert grew('mmnode_http_responses_total{method="POST",status="2xx"}') >= 8
    assert grew("mattermost_http_requests_total") >= 8
    assert grew('mattermost_api_time_count{handler="create_post",method="POST",status_code="201"}') == 5


def test_what_the_status_shows_is_there(own: Node) -> None:
    workers = ("relay", "api0", "api1", "ws0")
    names = {"mmnode_outbox_age_seconds", "mmnode_leads", "mmnode_bus_messages_total", "mmnode_http_connections"}
    names |= {"mattermost_db_master_connections_total", "mmnode_db_up", "mattermost_http_websockets_total"}

    def shown() -> Series:
        found = _scrape(own)
        up = [found[f'mmnode_worker_up{{worker="{name}"}}'] for name in workers]
        return found if names <= found.keys() and all(up) else {}

    found = until(shown, what="figures of all workers")
    for name in workers:
        assert found[f'process_resident_memory_bytes{{worker="{name}"}}'] > 1 << 20
        assert f'mmnode_worker_loop_lag_seconds{{worker="{name}"}}' in found
    assert found["mmnode_db_up"] == 1
    assert found["mattermost_db_master_connections_total"] >= 1
    assert any(key.startswith("mattermost_cache_mem_hit_total{") for key in found)
    assert found["mmnode_metrics_lost"] == 0


def test_no_counter_falls_when_a_worker_is_killed(own: Node) -> None:
    ann = new_user(own.url)
    channel = new_channel(ann, new_team(ann))
    for _ in range(20):
        ann.write(channel["id"], "before")
    before = _scrape(own)
    restarts = 'mmnode_worker_restarts_total{worker="api0"}'
    os.kill(own.pid("api0"), signal.SIGKILL)
    until(lambda: _scrape(own).get(restarts, 0) == before[restarts] + 1, what="the restart in the metrics")
    until(lambda: own.children()["api0"]["state"] == "up", what="api0")
    now = _scrape(own)
    fallen = {
        key: (value, now.get(key)) for key, value in before.items() if _is_counter(key) and now.get(key, -1) < value
    }
    assert fallen == {}


def _is_counter(key: str) -> bool:
    name = key.partition("{")[0]
    return (
        name.endswith("_total")
        and not name.startswith("process_")
        and "connections" not in name
        and "websockets" not in name
    )


def test_a_change_waits_for_a_restart(own: Node) -> None:
    own.write_config({"MetricsSettings": {"Enable": False}})
    try:
        assert own.ask("reload")["restart_needed"] == ["MetricsSettings.Enable", "MetricsSettings.ListenAddress"]
        until(lambda: _scrape(own)['mmnode_config_pending{needs="restart"}'] == 2, what="pending keys in the metrics")
    finally:
        own.write_config({"MetricsSettings": {"Enable": True, "ListenAddress": ":0"}})
        assert own.ask("reload")["restart_needed"] == []
