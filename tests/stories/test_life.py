"""The life of a node: start, reload, hang, drain, stop; as root and as a user, in any folder."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.plugins.resources import uses
from tests.rig.directories import new_directory, processes_of
from tests.rig.kept import Kept
from tests.rig.lateness import within
from tests.rig.load import Load
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest
from tests.rig.socket import Socket
from tests.rig.wait import until


@pytest.fixture(scope="module")
def kept_node() -> Iterator[Kept[Node]]:
    """Where `own_node` comes from."""
    with Kept(lambda: Node(database="embedded", workers=2, ws_workers=1)) as kept:
        yield kept


@pytest.fixture
@uses("node")
def own_node(kept_node: Kept[Node]) -> Iterator[Node]:
    """A node to be broken: it runs and is configured as at the beginning, whatever the last test did to it."""
    yield kept_node.take()
    kept_node.give_back()


def _client_config(node: Node) -> dict[str, str]:
    config: dict[str, str] = requests.get(f"{node.url}/api/v4/config/client?format=old", timeout=10).json()
    return config


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_stops_at_once_and_in_good_order(own_node: Node, number: int) -> None:
    ann = new_user(own_node.url, "ann")
    sockets = [Socket.open(ann) for _ in range(5)]
    began = time.monotonic()
    assert own_node.stop(number) == 0
    assert within(3.0, since=began)
    assert [one.expect_closed() for one in sockets] == [1012] * 5
    assert not processes_of(own_node.directory)
    assert not (own_node.data_dir / "run").is_symlink()
    assert "Traceback" not in own_node.log


def _connections(node: Node) -> int:
    return sum(child.get("connections", 0) for child in node.children().values())


def test_requests_under_way_are_finished_before_the_end(own_node: Node) -> None:
    ann = new_user(own_node.url, "ann")
    host, _, port = own_node.url.removeprefix("http://").rpartition(":")
    before = _connections(own_node)
    body = json.dumps({"login_id": ann.user["username"], "password": "Passw0rd!"}).encode()
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /api/v4/users/login HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:-1])
        until(lambda: _connections(own_node) > before)
        assert own_node.process is not None
        own_node.process.send_signal(signal.SIGTERM)
        until(lambda: "node is stopping" in own_node.log)
        connection.sendall(body[-1:])
        with connection.makefile("rb") as stream:
            answer = stream.read()  # to the end of the connection, which comes with the end of the answer
    assert answer.startswith(b"HTTP/1.1 200")
    assert ann.user["id"].encode() in answer
    assert own_node.process.wait(5) == 0


def test_the_second_start_takes_at_most_3_s_and_everything_is_still_there(own_node: Node) -> None:
    ann = new_user(own_node.url, "ann")
    team = new_team(ann)
    channel = new_channel(ann, team)
    post = ann.write(channel["id"], "still here")
    own_node.stop()
    began = time.monotonic()
    own_node.start()
    assert within(3.0, since=began)
    again = Rest(own_node.url).log_in(ann.user["username"])
    assert again.get(f"/posts/{post['id']}")["message"] == "still here"


@pytest.mark.parametrize("by", ["signal", "command"])
def test_a_reload_applies_what_can_be_applied_and_reports_the_rest(own_node: Node, by: str) -> None:
    before = _client_config(own_node)
    version = requests.get(f"{own_node.url}/api/v4/system/ping", timeout=10).headers["X-Version-Id"]
    own_node.write_config(
        {
            "TeamSettings": {"SiteName": "renamed"},
            "SqlSettings": {"MaxOpenConns": 50},
            "FileSettings": {"MaxFileSize": 1},
        }
    )
    assert _client_config(own_node) == before  # nothing happens before the reload
    if by == "signal":
        assert own_node.process is not None
        own_node.process.send_signal(signal.SIGHUP)
        until(lambda: "configuration reloaded" in own_node.log)
    else:
        command = [
            str(Path(sys.executable).with_name("mmnode")),
            "config",
            "reload",
            "--data-dir",
            str(own_node.data_dir),
        ]
        answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        assert answer["applied"] == ["TeamSettings.SiteName"]
        assert answer["restart_needed"] == ["FileSettings.MaxFileSize"]
        assert answer["recycle_needed"] == ["SqlSettings.MaxOpenConns"]
        assert {name: one["ok"] for name, one in answer["workers"].items()} == dict.fromkeys(
            ["relay", "ws0", "api0", "api1"], True
        )
    for _ in range(6):  # over both api workers
        response = requests.get(f"{own_node.url}/api/v4/config/client?format=old", timeout=10)
        assert response.json()["SiteName"] == "renamed"
        assert response.headers["X-Version-Id"] != version
    status = own_node.status()
    assert (status["restart_needed"], status["recycle_needed"]) == (
        ["FileSettings.MaxFileSize"],
        ["SqlSettings.MaxOpenConns"],
    )
    assert own_node.ask("recycle")["ok"]
    assert own_node.status()["recycle_needed"] == []


def test_a_reload_of_a_broken_file_changes_nothing_and_says_why(own_node: Node) -> None:
    before = _client_config(own_node)
    own_node.write_config({"TeamSettings": {"SiteName": "renamed", "MaxUsersPerTeam": "many"}})
    answer = own_node.ask("reload")
    assert answer["ok"] is False
    assert "TeamSettings.MaxUsersPerTeam" in answer["error"]
    assert _client_config(own_node) == before


def test_a_worker_started_after_a_reload_has_the_new_configuration(own_node: Node) -> None:
    own_node.write_config({"TeamSettings": {"SiteName": "renamed"}})
    own_node.ask("reload")
    for name in ("api0", "api1"):
        own_node.wait_replaced(name, own_node.kill(name))
    assert _client_config(own_node)["SiteName"] == "renamed"


def test_status_names_every_child(own_node: Node) -> None:
    command = [str(Path(sys.executable).with_name("mmnode")), "status", "--data-dir", str(own_node.data_dir)]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert text.startswith(f"up  {own_node.url}  node ")
    for name in ("postgres", "relay", "ws0", "api0", "api1"):
        assert f"  {name} " in text
    assert own_node.ask("no such command") == {"ok": False, "error": "unknown command 'no such command'"}


def test_a_second_node_on_the_same_data_directory_is_refused(own_node: Node) -> None:
    second = Node(database="embedded", directory=own_node.directory)
    second.launch()
    assert second.process is not None
    assert second.process.wait(20) == 1
    assert "another mmnode runs on this data directory" in own_node.log
    assert own_node.ping() == 200


@pytest.mark.parametrize(("name", "patience_s"), [("ws0", 5.0), ("relay", 5.0)])
def test_the_watchdog_replaces_a_worker_that_hangs(own_node: Node, name: str, patience_s: float) -> None:
    pid = own_node.pid(name)
    os.kill(pid, signal.SIGSTOP)
    stopped_at = time.monotonic()
    if name == "relay":
        until(lambda: own_node.ping() == 503, patience_s, "a ping that says that the node is broken")
    until(lambda: "a worker hangs and is killed" in own_node.log, patience_s + 3, "the watchdog")
    assert time.monotonic() - stopped_at >= patience_s - 1.0
    own_node.wait_replaced(name, pid)
    until(lambda: own_node.ping() == 200)
    ann = new_user(own_node.url, "ann")
    Socket.open(ann).close()


def test_a_supervisor_that_slept_blames_nobody(own_node: Node) -> None:
    assert own_node.process is not None
    pids = {name: child["pid"] for name, child in own_node.children().items()}
    os.kill(own_node.process.pid, signal.SIGSTOP)
    time.sleep(6.5)  # longer than the patience with ws workers and the relay
    os.kill(own_node.process.pid, signal.SIGCONT)
    until(lambda: own_node.status()["state"] == "up")
    time.sleep(1.0)
    assert {name: child["pid"] for name, child in own_node.children().items()} == pids


def test_a_worker_that_is_told_to_stop_is_replaced(own_node: Node) -> None:
    pid = own_node.pid("api0")
    os.kill(pid, signal.SIGTERM)
    own_node.wait_replaced("api0", pid)


@pytest.mark.node
def test_as_a_user() -> None:
    """The same start without being root: in a user namespace when we are."""
    directory = new_directory()
    if os.getuid() == 0:
        account = pwd.getpwnam("nobody")
        prefix = ["unshare", "--user", f"--map-user={account.pw_uid}", f"--map-group={account.pw_gid}", "--"]
    else:
        prefix = []
    node = Node(database="embedded", workers=1, directory=directory, prefix=prefix)
    with node:
        assert new_user(node.url, "ann").user["roles"] == "system_admin system_user"
        assert Path(node.status()["database"]["master"].split()[0].removeprefix("host=")).is_dir()
        node.polled()
        node.polled()
        assert "were lost" not in node.log  # the first term of a database is news, and nobody is here to miss anything


@pytest.mark.skipif(os.getuid() != 0, reason="only root hands its database to another account")
@pytest.mark.node
def test_as_root_in_a_folder_that_is_closed_to_others() -> None:
    directory = new_directory()
    closed = directory / "a folder with spaces"
    closed.mkdir(mode=0o700)
    real: Path | None = None
    try:
        with Node(database="embedded", workers=1, directory=closed) as node:
            assert "the database lies in /var/lib/mmnode/" in node.log
            real = (node.data_dir / "postgres").resolve()
            assert real.is_relative_to("/var/lib/mmnode")
            assert closed.stat().st_mode & 0o777 == 0o700
            ann = new_user(node.url, "ann")
            node.stop()
            node.start()
            assert Rest(node.url).log_in(ann.user["username"]).id == ann.id
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if real is not None:
            shutil.rmtree(real.parent, ignore_errors=True)


def _open_connections(node: Node) -> int:
    ((count,),) = node.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'mmnode %'")
    return int(count)


@pytest.mark.node
def test_connections_to_the_database_keep_within_the_budget() -> None:
    budget = 28  # what four api workers, two ws workers and the relay need at least, four each
    environment = {"MM_SQLSETTINGS_MAXOPENCONNS": str(budget)}
    with Node(database="embedded", workers=4, ws_workers=2, environment=environment) as node:
        people = [new_user(node.url) for _ in range(8)]
        team = new_team(people[0], *people[1:])
        channels = [new_channel(people[0], team, *people[1:]) for _ in range(4)]
        with Load([(one, channels[number % 4]["id"]) for number, one in enumerate(people)]) as load:
            for _ in range(5):
                load.expect_more(50)
                # A server that was told of the end of a connection needs a moment to end it.
                until(lambda: _open_connections(node) <= budget, 2, f"at most {budget} connections")
