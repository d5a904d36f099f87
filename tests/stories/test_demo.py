"""mmnode demo, used as its own words say: three nodes over a database whose master and nodes are killed."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.plugins.resources import uses
from tests.rig import sql
from tests.rig.cluster import family
from tests.rig.directories import new_directory
from tests.rig.load import Load, assert_exactly_once
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.ports import free_port
from tests.rig.rest import Rest
from tests.rig.wait import until

MMNODE = str(Path(sys.executable).with_name("mmnode"))


class Demo:
    """A running demo, and what it has said."""

    def __init__(self) -> None:
        self.directory = new_directory()
        self.port_base = free_port(213)
        self._said = self.directory / "said"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MM_")}
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [MMNODE, "demo", "--port-base", str(self.port_base)],
                stdout=said,
                stderr=said,
                env={**environment, "TMPDIR": str(self.directory)},
                start_new_session=True,
            )
        self.urls = [f"http://127.0.0.1:{self.port_base + 100 * index}" for index in range(3)]

    @property
    def said(self) -> str:
        return self._said.read_text()

    def until_said(self, words: str, timeout_s: float = 60.0) -> None:
        until(lambda: words in self.said or self.process.poll() is not None, timeout_s, f"{words!r} in {self.said}")
        assert words in self.said, self.said

    def pid(self, name: str) -> int:
        """Of node1 … or postgres1 …, by what it said last."""
        return int(re.findall(rf"^{name} .*pid (\d+)", self.said, re.MULTILINE)[-1])

    def sql(self, query: str, server: str = "postgres1") -> list[tuple[Any, ...]]:
        (dsn,) = re.findall(rf"^{server} .*psql '(.*)'", self.said, re.MULTILINE)
        return sql.rows("postgres", dsn, query)

    def left(self) -> list[Path]:
        """Directories of demos that are still there."""
        return list(self.directory.glob("mmnode-demo-*"))

    def runtimes(self) -> set[Path]:
        return {Path(os.readlink(link)) for link in self.directory.glob("mmnode-demo-*/*/run")}


@pytest.fixture
@uses("node")
def demo() -> Iterator[Demo]:
    demo = Demo()
    try:
        demo.until_said("Ctrl-C stops everything.")
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.send_signal(signal.SIGINT)
            demo.process.wait(30)
        subprocess.run(["rm", "-rf", str(demo.directory)], check=True)


def _gone(pids: list[int]) -> bool:
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                return False
        except OSError:
            continue
    return True


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/v4/system/ping", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def test_a_client_of_the_demo_meets_one_service_and_ctrl_c_leaves_nothing(demo: Demo) -> None:
    for command in [line for line in demo.said.splitlines() if line.startswith("  curl")]:
        answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=True).stdout
        assert '"username":"ann"' in answer
    ann = Rest(demo.urls[0]).log_in("ann", "correct-horse")
    team = new_team(ann)
    channel = new_channel(ann, team)
    post = ann.write(channel["id"], "via node 1")
    for url in demo.urls[1:]:
        assert ann.at(url).get(f"/posts/{post['id']}")["message"] == "via node 1"
        assert ann.at(url).get(f"/channels/{channel['id']}/posts")["order"][0] == post["id"]
    directory = demo.left()[0]
    status = subprocess.run(
        [MMNODE, "cluster", "status", "--data-dir", str(directory / "node1")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split()[0] for line in status.stdout.splitlines()] == ["green"] * 3
    assert (directory / "config.json").stat().st_size > 0
    assert "Secret" not in (directory / "config.json").read_text()
    pids, runtimes = family(demo.process.pid), demo.runtimes()
    assert len(pids) > 1 + 3 * 4 + 3
    assert len(runtimes) == 4
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(20) == 0
    assert _gone(pids)
    assert demo.left() == []
    assert not any(runtime.exists() for runtime in runtimes)
    assert "Traceback" not in demo.said


def test_masters_and_nodes_of_the_demo_are_killed_and_no_acknowledged_post_is_lost(demo: Demo) -> None:
    ann, bob = (new_user(demo.urls[0]) for _ in range(2))
    channel = new_channel(ann, new_team(ann, bob), bob)["id"]
    with Load([(ann.at(demo.urls[0]), channel), (bob.at(demo.urls[2]), channel)]) as load:
        load.expect_more(30, 40)
        os.kill(demo.pid("node2"), signal.SIGKILL)
        demo.until_said("node2 has ended")
        os.kill(demo.pid("postgres1"), signal.SIGKILL)
        demo.until_said("postgres1 has died; postgres")
        load.expect_more(30, 40)
        demo.until_said("node2 is started again", 30)
        load.expect_more(30, 40)
        master = re.findall(r"(postgres\d) is the master", demo.said)[-1]
        os.kill(demo.pid(master), signal.SIGKILL)
        demo.until_said(f"{master} has died; postgres")
        load.expect_more(30, 40)
    master = re.findall(r"(postgres\d) is the master", demo.said)[-1]
    assert_exactly_once(lambda query: demo.sql(query, master), load)
    until(lambda: _answers(demo.urls[1]), 30, "node 2 to be back")
    assert ann.at(demo.urls[1]).get("/users/me")["id"] == ann.id


def test_a_demo_that_is_killed_leaves_no_process_and_the_next_one_removes_its_files(demo: Demo) -> None:
    pids, runtimes = family(demo.process.pid), demo.runtimes()
    demo.process.kill()
    demo.process.wait()
    until(lambda: _gone(pids), 5.0, "the end of all processes")
    assert len(demo.left()) == 1
    environment = {**os.environ, "TMPDIR": str(demo.directory)}
    left = demo.left()[0]
    command = [MMNODE, "demo", "--port-base", str(demo.port_base)]
    with (
        (demo.directory / "next").open("wb") as said,
        subprocess.Popen(command, stdout=said, stderr=said, env=environment) as following,
    ):
        until(lambda: not left.exists(), 20, "the files of the killed one to be gone")
        assert not any(runtime.exists() for runtime in runtimes)
        following.send_signal(signal.SIGINT)
        following.wait(60)
    assert demo.left() == []


@pytest.mark.node
def test_a_port_that_is_taken_is_named_and_nothing_stays() -> None:
    directory = new_directory()
    try:
        port = free_port(213)
        with socket.create_server(("127.0.0.1", port + 100)):
            done = subprocess.run(
                [MMNODE, "demo", "--port-base", str(port)],
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
                env={**os.environ, "TMPDIR": str(directory)},
            )
        assert done.returncode == 1
        assert f"127.0.0.1:{port + 100}: Address already in use" in done.stderr
        assert list(directory.iterdir()) == []
    finally:
        subprocess.run(["rm", "-rf", str(directory)], check=True)


def test_a_demo_whose_output_nobody_reads_goes_on_and_leaves_nothing(demo: Demo) -> None:
    """`mmnode demo | head`: writing to the pipe fails from then on."""
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 0
    reader, output = os.pipe()
    environment = {**os.environ, "TMPDIR": str(demo.directory)}
    command = [MMNODE, "demo", "--port-base", str(demo.port_base)]
    with subprocess.Popen(command, stdout=output, stderr=output, env=environment) as deaf:
        os.close(output)
        os.close(reader)
        until(lambda: all(map(_answers, demo.urls)), 60, "three nodes")
        deaf.send_signal(signal.SIGINT)
        assert deaf.wait(30) == 0
    assert demo.left() == []
