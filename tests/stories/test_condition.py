"""What three real nodes say of themselves, and what they still serve, while something is not as it should be."""

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from requests import Response

import app.version
from tests.plugins.resources import uses
from tests.rig.cluster import PRIVATE, Cluster
from tests.rig.lateness import within
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import Rest
from tests.rig.scale import scale
from tests.rig.wait import until

ROOT = Path(app.version.__file__).parent.parent


@pytest.fixture(scope="module")
@uses("postgres")
def servers() -> Iterator[PgCluster]:
    """A master and a replica."""
    with PgCluster(1) as cluster:
        yield cluster


def _pings(cluster: Cluster, places: tuple[int, ...] = (0, 1, 2)) -> list[tuple[int, str]]:
    answers = [cluster.client(cluster.admin, place).call("GET", "/system/ping") for place in places]
    return [(answer.status_code, answer.json().get("reason", "")) for answer in answers]


def _states(cluster: Cluster, by: int) -> list[tuple[str, list[str]]]:
    return [(one["state"], one["reasons"]) for _, one in sorted(cluster.members(by).items())]


def test_without_a_master_reads_go_on_until_somebody_might_write(cluster: Cluster, servers: PgCluster) -> None:
    ann = new_user(cluster.nodes[0].url)
    channel = new_channel(ann, new_team(ann))
    post = ann.write(channel["id"], "kept")
    page = f"/channels/{channel['id']}/posts?per_page=1"
    clients = [cluster.client(ann, place) for place in range(3)]

    def write(client: Rest) -> Response:
        return client.call("POST", "/posts", {"channel_id": channel["id"], "message": "lost"})

    for client in clients * 3:  # what a copy depends on is known from the first read
        client.get(page)
    servers.master.stop()
    try:
        until(lambda: _pings(cluster) == [(200, "degraded_reads")] * 3, 10, "reads without a master")
        until_time = time.monotonic() + scale(5, 60)
        while time.monotonic() < until_time:
            for client in clients:
                assert client.get("/users/me")["id"] == ann.id
                assert client.get(page)["order"] == [post["id"]]
            with ThreadPoolExecutor() as pool:
                refused = list(pool.map(write, clients))
            assert [(one.status_code, "Retry-After" in one.headers) for one in refused] == [(503, True)] * 3
        members = cluster.members()
        assert {tuple(one["reasons"]) for one in members.values()} == {("db_master_lost", "degraded_reads")}
        cluster.kill(2)  # it may have gone on where the database is
        until(lambda: _pings(cluster, (0, 1)) == [(503, "db_master_lost")] * 2, 10, "nothing without a master")
        until(lambda: clients[0].call("GET", "/users/me").status_code == 503, 5, "no stale session")
    finally:
        servers.master.start()
    began = time.monotonic()
    until(lambda: _pings(cluster, (0, 1)) == [(200, "")] * 2, 10, "traffic again")
    assert clients[0].get(page)["order"] == [post["id"]]
    assert clients[0].write(channel["id"], "again")["message"] == "again"
    assert within(3.0, since=began)
    cluster.nodes[2].start()
    cluster.until_green()


def test_a_node_of_another_version_is_red_and_traffic_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    later = tmp_path / "later"
    for folder in ("app", "api", "cluster", "db", "ws", "console"):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, later / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mmnode.py", later)
    version = later / "app" / "version.py"
    version.write_text(version.read_text().replace(f'"{app.version.VERSION}"', '"99.0.0"'))
    cluster.kill(1)
    cluster.nodes[1].set_environment(PYTHONPATH=str(later))
    cluster.nodes[1].start()
    wanted = [("green", []), ("red", ["version_mismatch"]), ("green", [])]
    for place in range(3):
        until(lambda: _states(cluster, place) == wanted, 10, f"{wanted} by node {place}")  # noqa: B023 (called at once)
        assert cluster.members(place)[1]["version"] == "99.0.0"
    until(lambda: _pings(cluster) == [(200, "")] * 3, 10, "traffic to all")
    ann = new_user(cluster.nodes[1].url)
    assert cluster.client(ann, 0).get("/users/me")["id"] == ann.id
    cluster.nodes[0].ask("upgrade", begin=True)  # what `mmnode cluster upgrade begin` says
    until(lambda: cluster.members(2)[1]["state"] == "yellow", 10, "the upgrade to be known")
    assert cluster.members(2)[1]["reasons"] == ["rolling_upgrade"]
    cluster.nodes[0].ask("upgrade", begin=False)


def test_a_node_that_hears_nobody_says_so_and_serves(cluster: Cluster) -> None:
    for other in (0, 1):
        cluster.cut(2, other)
    until(lambda: cluster.members(2)[2]["reasons"] == ["bus_isolated"], 15, "the isolation to be known")
    assert cluster.members(2)[2]["state"] == "red"
    until(lambda: cluster.members(0)[2]["reasons"] == ["down"], 5)
    assert cluster.members(0)[0]["state"] == "green"  # it still hears node 1
    ann = new_user(cluster.nodes[2].url)
    assert cluster.client(ann, 0).get("/users/me")["id"] == ann.id
    cluster.heal()
    cluster.until_green()


def test_what_passes_is_yellow_for_a_while(cluster: Cluster) -> None:
    def reasons() -> set[str]:
        return set(cluster.members(0, passing=True)[1]["reasons"])

    cluster.nodes[1].kill("ws0")
    until(lambda: "worker_restarting" in reasons(), 10, "the restart to be told of")
    assert cluster.members(0, passing=True)[1]["state"] == "yellow"
    until(lambda: not reasons(), 40, "it to be over")
    with cluster.frozen([cluster.nodes[1].pid("api0")]):
        until(lambda: "worker_restarting" in reasons(), 15, "the worker to be missed")
    until(lambda: "slow_loop" in reasons(), 10, "the slow loop to be told of")


def test_a_replica_that_is_gone_is_yellow(cluster: Cluster, servers: PgCluster) -> None:
    servers.replicas[0].stop()
    try:
        until(lambda: {tuple(one["reasons"]) for one in cluster.members().values()} == {("replica_lag",)}, 10)
        assert {one["state"] for one in cluster.members().values()} == {"yellow"}
    finally:
        servers.replicas[0].start()
    cluster.until_green()


def test_a_directory_of_files_that_cannot_be_written_is_yellow(cluster: Cluster, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        unwritable = Path("/proc/sys")  # root may write anywhere else
    else:
        unwritable = tmp_path / "files"
        unwritable.mkdir(mode=0o500)
    cluster.kill(1)
    cluster.configure(cluster.nodes[1], {"FileSettings": {"Directory": str(unwritable)}})
    cluster.nodes[1].start()
    until(lambda: "files_error" in cluster.members(0)[1]["reasons"], 15, "the directory to be told of")


def test_a_proxy_that_is_not_trusted_is_yellow_until_it_is_named(cluster: Cluster) -> None:
    def trust(networks: list[str]) -> None:
        for node in cluster.nodes:
            cluster.configure(node, {"ServiceSettings": {"TrustedProxies": networks}})
            assert node.ask("reload")["ok"]

    def reasons() -> list[str]:
        return [reason for reason in cluster.members(0)[1]["reasons"] if reason.startswith("untrusted_proxy (")]

    trust(["127.0.0.0/8"])
    forwarded = {"X-Forwarded-For": "203.0.113.5"}
    assert cluster.client(cluster.admin, 1).call("GET", "/users/me", headers=forwarded).status_code == 200
    until(lambda: bool(reasons()), 10, "the proxy to be told of")
    assert reasons()[0].endswith(" is not in ServiceSettings.TrustedProxies)")
    until(lambda: cluster.members(0)[1]["state"] == "yellow", 10, "yellow, and not red while configurations differed")
    assert cluster.members(0)[0]["state"] == "green"  # it heard nothing of the kind
    trust(PRIVATE)
    cluster.until_green()
