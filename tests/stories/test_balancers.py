"""nginx and haproxy, as the samples in etc/ set them up, in front of three nodes that stop, die and come back."""

import asyncio
import signal
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import requests
from websockets.asyncio.client import connect

from db.model.ids import new_id
from tests.plugins.resources import uses
from tests.rig.balancer import Balancer
from tests.rig.cluster import Cluster
from tests.rig.load import Load, Readers, assert_exactly_once
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.require import Require
from tests.rig.rest import Rest
from tests.rig.scale import scale
from tests.rig.socket import Socket
from tests.rig.wait import until
from ws.close import Close

GRACE_S = 4
PATIENCE_S = 5
"""For a node that does not answer; 40 in the samples."""


@pytest.fixture(scope="module")
@uses("node", "namespaces")
def cluster() -> Iterator[Cluster]:
    """Three nodes that say for a while that they stop."""
    with PgCluster(0) as servers, Cluster(servers, config={"ClusterSettings": {"DrainGraceS": GRACE_S}}) as cluster:
        yield cluster


@pytest.fixture(params=["nginx", "haproxy"])
def balancer(request: pytest.FixtureRequest, require: Require, cluster: Cluster) -> Iterator[Balancer]:
    require(request.param)
    require("openssl")
    cluster.until_green()
    with Balancer(request.param, [node.url for node in cluster.nodes]) as balancer:
        yield balancer


def _expect_200(call: Callable[[], requests.Response]) -> None:
    response = call()
    assert response.status_code == 200, f"{response.status_code} {response.text[:200]}"


def _get(rest: Rest, path: str) -> requests.Response:
    """On a new connection."""
    return requests.get(f"{rest.url}/api/v4{path}", headers={"Authorization": f"Bearer {rest.token}"}, timeout=60)


def _traffic(balancer: Balancer) -> tuple[Load, Readers, Rest, dict[str, Any]]:
    people = [new_user(balancer.url).at(balancer.url) for _ in range(4)]
    team = new_team(people[0], *people[1:])
    channel = new_channel(people[0], team, *people[1:])
    load = Load([(one, channel["id"]) for one in people[:2]], pause_s=0.01)
    kept, new = partial(people[2].call, "GET", "/users/me"), partial(_get, people[3], "/users/me")
    readers = Readers([partial(_expect_200, call) for call in (kept, new)], pause_s=0.02)
    return load, readers, people[0], channel


def test_requests_and_websockets_go_through_to_every_node(balancer: Balancer, cluster: Cluster) -> None:
    ann = new_user(balancer.url).at(balancer.url)
    team = new_team(ann)
    channel = new_channel(ann, team)
    sockets: list[Socket] = []

    def every_node_holds_one() -> bool:
        """A node that was slow once is left out by nginx for 5 s."""
        sockets.append(Socket.open(ann))
        time.sleep(0.2)
        held = [sum(child.get("sockets", 0) for child in node.children().values()) for node in cluster.nodes]
        return all(held)

    until(every_node_holds_one, 10, "a socket on every node")
    post = ann.write(channel["id"], "through the balancer")
    for one in sockets:
        assert one.expect_post("through the balancer")["id"] == post["id"]
        assert one.ask("ping")["status"] == "OK"
        one.close()


def test_tls_ends_at_the_balancer_and_no_token_is_in_its_log(balancer: Balancer) -> None:
    ann = new_user(balancer.tls_url).at(balancer.tls_url)
    redirecting = f"http://127.0.0.1:{balancer.redirecting_port}"
    moved = requests.get(f"{redirecting}/api/v4/users/me?x=1", allow_redirects=False, timeout=10)
    assert moved.status_code == 308
    assert moved.headers["Location"].startswith("https://127.0.0.1")
    assert moved.headers["Location"].endswith("/api/v4/users/me?x=1")
    answer = requests.get(f"{balancer.tls_url}/api/v4/users/me?access_token={ann.token}", timeout=10)
    assert (answer.status_code, answer.json()["id"]) == (200, ann.id)
    assert answer.headers["Strict-Transport-Security"] == "max-age=63072000"
    body = {"login_id": ann.user["username"], "password": "wrong-password"}
    refused = requests.post(f"{balancer.tls_url}/api/v4/users/login", json=body, timeout=10)
    assert refused.status_code == 401
    assert refused.headers["Strict-Transport-Security"] == "max-age=63072000"

    async def hello() -> str:
        address = f"wss://127.0.0.1:{balancer.tls_port}/api/v4/websocket?access_token={ann.token}"
        async with connect(address) as connection:
            return str(await asyncio.wait_for(connection.recv(), 10))

    assert '"event":"hello"' in asyncio.run(hello()).replace(" ", "")
    for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context()
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):
            context.minimum_version = context.maximum_version = version
        with socket.create_connection(("127.0.0.1", balancer.tls_port)) as raw:
            if version is ssl.TLSVersion.TLSv1_1:
                with pytest.raises(ssl.SSLError):
                    context.wrap_socket(raw, server_hostname="127.0.0.1")
            else:
                context.wrap_socket(raw, server_hostname="127.0.0.1").close()
    until(lambda: "websocket" in balancer.access_log, 10, "the log of the requests")
    assert "/api/v4/users/me" in balancer.access_log
    assert ann.token not in balancer.access_log
    assert "access_token" not in balancer.access_log


def test_nodes_that_stop_in_turn_fail_no_request(balancer: Balancer, cluster: Cluster) -> None:
    load, readers, ann, _ = _traffic(balancer)
    codes: list[int] = []
    with load, readers:
        for _ in range(scale(1, 5)):
            for place, node in enumerate(cluster.nodes):
                load.expect_more(20)
                sockets = [Socket.open(ann) for _ in range(6)]
                direct = f"{node.url}/api/v4/system/ping"
                assert node.process is not None
                node.process.send_signal(signal.SIGTERM)
                until(lambda: requests.get(direct, timeout=5).status_code == 503, 2, "the ping to say no")  # noqa: B023
                said = requests.get(f"{node.url}/api/v4/users/me", headers=ann.session.headers, timeout=5)
                assert (said.status_code, said.headers["Connection"]) == (200, "close")
                assert node.process.wait(GRACE_S + 6) == 0
                until(lambda: any(one.closed for one in sockets), 2, "a socket of that node to be closed")  # noqa: B023
                codes += [one.closed for one in sockets if one.closed]
                for one in sockets:
                    one.close()
                load.expect_more(20)
                cluster.restart(place)
                cluster.until_green()
    print(f"{balancer.name}: {len(load.acknowledged)} posts, {readers.count} reads")
    assert set(codes) == {Close.SERVICE_RESTART}, "sockets were cut that the node would have closed"
    assert readers.failures == []
    assert load.failures == []
    assert load.reasons == []
    assert_exactly_once(cluster.sql, load)


def test_a_node_that_is_killed_fails_no_read_and_loses_no_post(balancer: Balancer, cluster: Cluster) -> None:
    load, readers, _, _ = _traffic(balancer)
    load.retried = (429, 502, 503)
    with load, readers:
        load.expect_more(50)
        cluster.kill(1)
        load.expect_more(100)
        cluster.restart(1)
        cluster.until_green()
        load.expect_more(20)
    print(f"{balancer.name}: {load.retries} posts sent again, {readers.count} reads")
    assert readers.failures == []
    assert_exactly_once(cluster.sql, load)


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_a_read_of_a_node_that_freezes_is_answered_by_another(name: str, require: Require, cluster: Cluster) -> None:
    require(name)
    require("openssl")
    cluster.until_green()
    with Balancer(name, [node.url for node in cluster.nodes], PATIENCE_S) as balancer:
        ann = new_user(balancer.url).at(balancer.url)
        cluster.stop(1)
        try:
            with ThreadPoolExecutor(9) as pool:  # at once: before any check can have missed its answer
                answers = list(pool.map(lambda _: _get(ann, "/users/me"), range(9)))
        finally:
            cluster.cont(1)
    assert [answer.status_code for answer in answers] == [200] * 9
    cluster.until_green()


def test_without_a_master_nodes_serve_what_they_keep_and_refuse_the_rest_themselves(
    balancer: Balancer, cluster: Cluster
) -> None:
    ann = new_user(balancer.url).at(balancer.url)
    channel = new_channel(ann, new_team(ann))
    post = ann.write(channel["id"], "kept")
    page = f"/channels/{channel['id']}/posts?per_page=1"
    clients = [cluster.client(ann, place) for place in range(3)]
    for client in clients * 3:  # what a copy depends on is known from the first read
        client.get(page)
    cluster.servers.master.stop()
    try:
        for client in clients:
            until(lambda: "degraded_reads" in client.call("GET", "/system/ping").text, 10, "reads without a master")  # noqa: B023
        with ThreadPoolExecutor(6) as pool:
            refused = list(pool.map(lambda _: _get(ann, f"/users/{new_id()}"), range(6)))
            kept = list(pool.map(lambda _: _get(ann, page), range(9)))
    finally:
        cluster.servers.master.start()
    assert [answer.status_code for answer in kept] == [200] * 9, kept[-1].text
    assert {tuple(answer.json()["order"]) for answer in kept} == {(post["id"],)}
    assert [(answer.status_code, "Retry-After" in answer.headers) for answer in refused] == [(503, True)] * 6
    assert {answer.json()["id"] for answer in refused} == {"api.context.server_busy.app_error"}
    until(lambda: _get(ann, "/users/me").status_code == 200, 10, "traffic again")
    cluster.until_green()
