"""Three real nodes over one database: one service, whatever breaks between them."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import requests

from app.passwords import CHEAP_VARIABLE
from tests.plugins.resources import uses
from tests.rig.at_once import AtOnce
from tests.rig.cluster import SECRET, Cluster
from tests.rig.kept import Kept
from tests.rig.lateness import within
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.ports import free_port
from tests.rig.rest import PASSWORD, Rest
from tests.rig.scale import scale
from tests.rig.socket import Socket
from tests.rig.wait import until
from ws.close import Close


@pytest.fixture(scope="module")
@uses("postgres")
def servers() -> Iterator[PgCluster]:
    """A master and two replicas."""
    with PgCluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kept(servers: PgCluster) -> Iterator[Kept[Cluster]]:
    """Where `cluster` comes from. Its nodes hash passwords as nodes do: guesses at once overlap only so."""
    with Kept(lambda: Cluster(servers, environment={CHEAP_VARIABLE: ""})) as kept:
        yield kept


def test_a_login_on_one_node_is_valid_on_every_other_at_once(cluster: Cluster) -> None:
    for number in range(scale(30, 300)):
        ann = new_user(cluster.nodes[number % 3].url)
        for place in range(3):
            assert cluster.client(ann, place).get("/users/me")["id"] == ann.id


def test_what_was_written_on_one_node_is_read_on_every_other_at_once(cluster: Cluster, servers: PgCluster) -> None:
    ann = new_user(cluster.nodes[0].url)
    team = new_team(ann)
    channel = new_channel(ann, team)
    here = [cluster.client(ann, place) for place in range(3)]
    for replica in servers.replicas:
        replica.delay_replay(2)
    at_once = AtOnce(cluster)
    try:
        for number in range(scale(150, 1700)):
            writer, reader = here[number % 3], here[(number + 1 + number // 3 % 2) % 3]
            post = writer.write(channel["id"], f"post {number}")
            at_once(
                lambda: (
                    reader.get(f"/posts/{post['id']}")["message"] == f"post {number}"  # noqa: B023
                    and reader.get(f"/channels/{channel['id']}/posts?per_page=1")["order"] == [post["id"]]  # noqa: B023
                    and reader.get(f"/channels/{channel['id']}")["total_msg_count"] == number + 1  # noqa: B023
                ),
                f"post {number}, its page and its channel's count",
            )
    finally:
        for replica in servers.replicas:
            replica.delay_replay(0)


def _is_out(rest: Rest) -> bool:
    return rest.call("GET", "/users/me").status_code == 401


def test_a_session_that_ends_on_one_node_has_ended_on_every_other(cluster: Cluster) -> None:
    at_once = AtOnce(cluster)
    for number in range(scale(20, 500)):
        ann = new_user(cluster.nodes[number % 3].url)
        others = [cluster.client(ann, place) for place in range(3) if place != number % 3]
        socket = Socket.open(others[0])
        for one in others:
            one.get("/users/me")
        ann.post("/users/logout", {})
        at_once(lambda: all(_is_out(one) for one in others), f"session {number} has ended")  # noqa: B023
        assert socket.expect_closed(2.0) == Close.SESSION_ENDED


def test_the_status_is_the_same_from_every_node(cluster: Cluster) -> None:
    seen = [cluster.members(place) for place in range(3)]
    for key in ("id", "version", "schema_version", "config_hash", "ipaddress", "hostname", "state", "is_alive"):
        assert len({tuple(members[place][key] for place in range(3)) for members in seen}) == 1, key
    assert {one["state"] for one in seen[0].values()} == {"green"}
    assert all(len(one["links"]) == 2 for one in seen[0].values())


def test_a_purge_of_the_cluster_has_a_result_of_each_node(cluster: Cluster) -> None:
    answer = cluster.admin.post("/caches/invalidate?cluster=true", {})
    ids = {one["id"] for one in cluster.members().values()}
    assert answer == {"status": "OK", "nodes": {node_id: {"result": "ok"} for node_id in ids}}


def test_a_killed_node_is_red_until_it_is_back(cluster: Cluster) -> None:
    began = time.monotonic()
    cluster.kill(2)
    until(lambda: not cluster.members(0)[2]["is_alive"], 5)
    assert within(3.5 + 1.0, since=began)  # the status itself is asked for by HTTP
    for place in (0, 1):  # one hears of the other's silence by its next beat
        until(lambda: not cluster.members(place)[2]["is_alive"], 3)  # noqa: B023
        members = cluster.members(place)
        assert (members[2]["state"], members[2]["reasons"]) == ("red", ["down"])
        assert [members[one]["state"] for one in (0, 1)] == ["green", "green"]
    ann = new_user(cluster.nodes[0].url)
    assert cluster.client(ann, 1).get("/users/me")["id"] == ann.id
    cluster.nodes[2].start()
    cluster.until_green()


def test_a_session_that_ends_while_the_bus_is_cut_has_ended_everywhere_within_2_s(cluster: Cluster) -> None:
    ann = new_user(cluster.nodes[0].url)
    there = cluster.client(ann, 1)
    there.get("/users/me")
    socket = Socket.open(there)
    cluster.cut(0, 1)
    ann.post("/users/logout", {})
    ended = time.monotonic()
    until(lambda: _is_out(there), 3)
    assert socket.expect_closed(3.0) == Close.SESSION_ENDED
    assert within(2.0 + 0.5, since=ended)


@pytest.mark.parametrize("one_way", [False, True])
def test_a_cut_between_two_nodes_makes_nobody_red_and_loses_no_event(cluster: Cluster, one_way: bool) -> None:
    ann, bob = new_user(cluster.nodes[0].url), new_user(cluster.nodes[1].url)
    team = new_team(ann, bob)
    channel = new_channel(ann, team, bob)
    socket = Socket.open(bob)
    cluster.cut(0, 1, one_way=one_way)
    wanted: list[str] = []
    until_time = time.monotonic() + scale(4, 30)
    while time.monotonic() < until_time:
        wanted.append(ann.write(channel["id"], f"post {len(wanted)}")["id"])
        assert {one["state"] for one in cluster.members(2).values()} == {"green"}
        time.sleep(0.2)
    cluster.heal()
    until(lambda: len(socket.posts()) >= len(wanted), 15, "all posts")
    assert [post["id"] for post in socket.posts()] == wanted
    cluster.until_green()


def test_after_a_long_cut_two_nodes_hear_each_other_soon(cluster: Cluster) -> None:
    """An attempt to connect that began during the cut is given up, not left to the kernel, which tries ever more rarely."""
    cluster.cut(0, 1)
    time.sleep(scale(15, 40))
    assert not cluster.hear_each_other(0, 1)
    cluster.heal()
    healed = time.monotonic()
    until(lambda: cluster.hear_each_other(0, 1), 20, "the two to hear each other")
    print(f"after {time.monotonic() - healed:.1f} s")
    assert within(3.0, since=healed)


def _statuses(cluster: Cluster, who: Rest, places: tuple[int, ...]) -> set[str]:
    return {cluster.client(cluster.admin, place).get(f"/users/{who.id}/status")["status"] for place in places}


def _held_up(cluster: Cluster) -> bool:
    """Whether one of the first two nodes says that its loops were late: then the other may have thought it dead."""
    return any("slow_loop" in cluster.members(place, passing=True)[place]["reasons"] for place in (0, 1))


def test_presence_is_the_same_on_every_node_and_right_soon_after_a_kill(cluster: Cluster) -> None:
    ann, bob = new_user(cluster.nodes[2].url), new_user(cluster.nodes[2].url)
    elsewhere = cluster.client(bob, 1)
    until(lambda: not _held_up(cluster), 40, "what was before to be over")
    sockets = [Socket.open(ann), Socket.open(bob), Socket.open(elsewhere)]
    until(lambda: _statuses(cluster, ann, (0, 1, 2)) == {"online"}, 5, "ann to be online everywhere")
    until(lambda: _statuses(cluster, bob, (0, 1, 2)) == {"online"}, 5, "bob to be online everywhere")
    cluster.kill(2)
    killed = time.monotonic()
    seen: set[str] = set()
    while _statuses(cluster, ann, (0, 1)) != {"offline"}:
        seen |= _statuses(cluster, bob, (0, 1))
        assert within(15, since=killed)
    took_s = time.monotonic() - killed
    until_time = time.monotonic() + 3
    while time.monotonic() < until_time:
        seen |= _statuses(cluster, bob, (0, 1))
    print(f"offline after {took_s:.1f} s")
    assert within(5.5, since=killed, until=killed + took_s)
    assert seen == {"online"} or _held_up(cluster), "he has another connection, and no node says that it was held up"
    assert sockets[2].closed is None


def test_a_configuration_that_differs_is_red_and_named_and_traffic_goes_on(cluster: Cluster) -> None:
    cluster.configure(cluster.nodes[1], {"TeamSettings": {"SiteName": "another"}})
    cluster.nodes[1].ask("reload")
    until(
        lambda: all(cluster.members(place)[1]["config_mismatch"] == ["TeamSettings"] for place in range(3)),
        5,
        "the section to be named",
    )
    for place in range(3):
        members = cluster.members(place)
        assert [members[one]["state"] for one in range(3)] == ["green", "red", "green"]
        assert members[1]["reasons"] == ["config_mismatch"]
        assert cluster.nodes[place].ping() == 200
    cluster.configure(cluster.nodes[1], {})
    cluster.nodes[1].ask("reload")
    cluster.until_green()


@pytest.mark.parametrize("what", ["relay", "api0", "all"])
def test_nothing_older_than_2_s_is_served_by_what_was_frozen(cluster: Cluster, what: str) -> None:
    ann = new_user(cluster.nodes[0].url)
    team = new_team(ann)
    channel = new_channel(ann, team)
    there = cluster.client(ann, 1)
    there.get(f"/channels/{channel['id']}/posts?per_page=1")
    acknowledged: list[tuple[float, int]] = []
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            ann.write(channel["id"], str(number))
            acknowledged.append((time.monotonic(), number))
            time.sleep(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    oldest = 0.0
    try:
        pids = cluster.pids(1) if what == "all" else [cluster.nodes[1].pid(what)]
        with cluster.frozen(pids):
            until_time = time.monotonic() + scale(4, 10)
            while time.monotonic() < until_time:
                if what == "relay":
                    oldest = max(oldest, _age_of_answer(there, channel["id"], acknowledged))
                time.sleep(0.1)
        until_time = time.monotonic() + 3
        while time.monotonic() < until_time:
            oldest = max(oldest, _age_of_answer(cluster.client(ann, 1), channel["id"], acknowledged))
    finally:
        ended.set()
        writer.join()
    print(f"oldest answer: {oldest:.2f} s")
    assert oldest <= 2.0
    cluster.until_green(30)


def _age_of_answer(rest: Rest, channel_id: str, acknowledged: list[tuple[float, int]]) -> float:
    """How long before the question the first post was acknowledged that the answer lacks."""
    asked = time.monotonic()
    try:
        response = rest.call("GET", f"/channels/{channel_id}/posts?per_page=1")
    except requests.RequestException:
        return 0.0  # its worker was replaced by the watchdog
    if response.status_code != 200:
        return 0.0
    message = next(iter(response.json()["posts"].values()))["message"]
    newest = int(message) if message.isdigit() else 0  # the first one tells who joined
    lacking = [when for when, number in list(acknowledged) if number > newest and when < asked]
    return asked - lacking[0] if lacking else 0.0


def test_garbage_on_its_ports_is_harmless(cluster: Cluster) -> None:
    address, _, first = cluster.network.inter_node(0).rpartition(":")
    for port in range(int(first), int(first) + 3):
        for data in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"\xff" + bytes(8) + b"\x7f\x03" + bytes(52)):
            with contextlib.suppress(OSError), socket.create_connection((address, port), 2) as connection:
                connection.sendall(data)
                connection.settimeout(0.3)
                connection.recv(100)
    ann = new_user(cluster.nodes[0].url)
    assert cluster.client(ann, 1).get("/users/me")["id"] == ann.id
    assert cluster.is_green()


@pytest.mark.node
@pytest.mark.namespaces
def test_a_node_with_another_secret_gets_nowhere_and_is_named(servers: PgCluster) -> None:
    with Cluster(servers, 2, spare=1) as cluster:
        stranger = cluster.add()
        cluster.configure(stranger, {"ClusterSettings": {"Secret": "quite another secret of 32 and more bytes"}})
        stranger.start()
        time.sleep(4)
        assert stranger.ping() == 503
        assert len(cluster.members(0)) == 2
        node_id = stranger.status()["node_id"]
        assert f"a registration is refused node={node_id}" in cluster.nodes[0].log
        assert cluster.nodes[0].ping() == cluster.nodes[1].ping() == 200
        stranger.stop()
        cluster.nodes.pop().__exit__()


@pytest.mark.node
@pytest.mark.namespaces
def test_a_node_joins_and_leaves_without_a_failed_request(servers: PgCluster) -> None:
    with Cluster(servers, 2, spare=1) as cluster, _in_use(cluster) as failed:
        third = cluster.add().start()
        cluster.until_green()
        until(lambda: third.ping() == 200, 5, "the third to take traffic")
        third.stop()
        until(lambda: len(cluster.members(0)) == 2, 5, "the third to be gone")
        third.start()
        cluster.until_green()
        cluster.kill(2)
        until(lambda: cluster.members(0).get(2, {}).get("state") == "red", 5, "the third to be red")
        assert cluster.nodes[0].ask("remove", node=str(cluster.members(0)[2]["id"]))["ok"]
        until(lambda: len(cluster.members(0)) == len(cluster.members(1)) == 2, 6, "the third to be removed")
        cluster.nodes.pop().__exit__()
        assert cluster.is_green()
    assert failed == []


@contextlib.contextmanager
def _in_use(cluster: Cluster) -> Iterator[list[str]]:
    """Requests to the first two nodes, one after the other on each; those that failed."""
    failed: list[str] = []
    done = [0, 0]
    ended = threading.Event()

    def use(place: int, rest: Rest) -> None:
        while not ended.is_set():
            response = rest.call("GET", "/users/me")
            done[place] += 1
            if response.status_code != 200:
                failed.append(response.text)

    threads = [threading.Thread(target=use, args=(place, new_user(cluster.nodes[place].url))) for place in (0, 1)]
    for thread in threads:
        thread.start()
    try:
        yield failed
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert min(done) > 50


@pytest.mark.node
@pytest.mark.namespaces
def test_the_secret_is_replaced_while_the_nodes_serve(servers: PgCluster) -> None:
    with Cluster(servers) as cluster:
        _replace_the_secret(cluster)


def _replace_the_secret(cluster: Cluster) -> None:
    old, new = SECRET, "the second secret of this cluster, long enough"
    steps = [{"Secret": old, "SecretNext": new}, {"Secret": new, "SecretNext": old}, {"Secret": new}]
    for step in steps:
        for node in cluster.nodes:
            cluster.configure(node, {"ClusterSettings": step})
            assert node.ask("reload")["ok"]
            assert cluster.is_green()
        time.sleep(3)  # rows are written under the new secret
        assert cluster.is_green()
    cluster.nodes[2].stop()
    cluster.nodes[2].start()
    cluster.until_green()


def test_wrong_passwords_are_counted_over_all_nodes(cluster: Cluster) -> None:
    ann = new_user(cluster.nodes[0].url)
    guesser = {"X-Forwarded-For": "198.51.100.9"}  # one address, whichever way it comes in
    answers: list[str] = []

    def guess(place: int) -> None:
        for number in range(8):
            rest = Rest(cluster.nodes[place].url)
            body = {"login_id": ann.user["username"], "password": f"wrong password {number}"}
            answer = rest.call("POST", "/users/login", body, headers=guesser)
            answers.append(answer.json()["id"])

    threads = [threading.Thread(target=guess, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    looked_at = [one for one in answers if one.startswith("api.user.login.invalid_credentials")]
    assert len(answers) == 24
    assert len(looked_at) <= 10  # ServiceSettings.MaximumLoginAttempts, whichever node is asked
    right = {"login_id": ann.user["username"], "password": PASSWORD}
    delayed = [Rest(node.url).call("POST", "/users/login", right, headers=guesser) for node in cluster.nodes]
    assert [one.json()["id"] for one in delayed] == ["api.user.check_user_login_attempts.too_many.app_error"] * 3
    assert {one.status_code for one in delayed} == {429}
    for number, node in enumerate(cluster.nodes):  # the owner is not kept out
        home = {"X-Forwarded-For": f"203.0.113.{number}"}
        assert Rest(node.url).call("POST", "/users/login", right, headers=home).status_code == 200
    assert cluster.nodes[2].ask("unlock", user=ann.user["username"])["ok"]
    assert Rest(cluster.nodes[0].url).call("POST", "/users/login", right, headers=guesser).status_code == 200


def test_who_is_deactivated_is_offline_on_every_node_at_once(cluster: Cluster) -> None:
    admin, ann = cluster.admin, new_user(cluster.nodes[1].url)
    socket = Socket.open(ann)
    until(lambda: _statuses(cluster, ann, (2,)) == {"online"})
    at_once = AtOnce(cluster)
    assert admin.call("PUT", f"/users/{ann.id}/active", {"active": False}).status_code == 200
    at_once(lambda: _statuses(cluster, ann, (0, 1, 2)) == {"offline"}, "ann is offline")
    assert socket.expect_closed(2.0) == Close.SESSION_ENDED
    time.sleep(0.5)  # what is left to be said of the connection
    assert _statuses(cluster, ann, (0, 1, 2)) == {"offline"}


@pytest.mark.node
def test_without_high_availability_no_port_is_open_to_other_nodes() -> None:
    port = free_port(3)
    with Node(workers=1, config={"ClusterSettings": {"InterNodeListenAddress": f"127.0.0.1:{port}"}}) as node:
        admin = new_user(node.url, "admin")
        assert admin.get("/cluster/status") == []
        for number in range(port, port + 3):
            with socket.socket() as one:
                assert one.connect_ex(("127.0.0.1", number)) != 0
