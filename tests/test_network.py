"""The network of the tests' nodes: what is cut is silent, what is slow comes late and in order, nothing is left behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.resources import uses
from tests.rig import network as rig
from tests.rig.network import Loopback, Namespaces, Unavailable, namespaces_available, remove_stale
from tests.rig.require import Require
from tests.rig.wait import until
from tests.rig.wire import Way

# Receives datagrams and prints when each came; sends one each 20 ms with the time in it.
_RECEIVE = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
while True:
    sent = float(s.recv(100))
    print(f"{sent} {time.monotonic() - sent:.4f}", flush=True)
"""
_SEND = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
while True:
    s.sendto(str(time.monotonic()).encode(), (sys.argv[2], int(sys.argv[3])))
    time.sleep(0.02)
"""


class Talk:
    """Datagrams from one place to another, all the time."""

    def __init__(self, net: Namespaces, sender: int, receiver: int, directory: Path) -> None:
        self._log = directory / f"{sender}-{receiver}"
        to = [net.address(receiver), str(9000 + sender)]
        with self._log.open("w") as log:
            self._processes = [
                subprocess.Popen(
                    [*net.prefix(place), sys.executable, "-c", script, *where], stdout=log, stderr=subprocess.STDOUT
                )
                for place, script, where in ((receiver, _RECEIVE, to), (sender, _SEND, [net.address(sender), *to]))
            ]

    def heard(self) -> list[tuple[float, float]]:
        """Of each datagram: when it was sent, how long it took."""
        lines = self._log.read_text().split("\n")[:-1]
        return [(float(sent), float(took)) for sent, took in map(str.split, lines)]

    def flows(self) -> bool:
        """Whether something that is sent from now on arrives within a second."""
        return self._since(time.monotonic(), 1.0)

    def is_silent(self) -> bool:
        """Whether nothing that is sent from now on arrives within half a second."""
        return not self._since(time.monotonic(), 0.5)

    def _since(self, began: float, timeout_s: float) -> bool:
        while time.monotonic() < began + timeout_s:
            if any(sent > began for sent, _ in self.heard()):
                return True
            time.sleep(0.02)
        return False

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
@uses("namespaces")
def net(require: Require) -> Iterator[Namespaces]:
    require("network namespaces")
    net = Namespaces(3)
    yield net
    net.close()


@pytest.fixture
def talks(net: Namespaces, tmp_path: Path) -> Iterator[dict[tuple[int, int], Talk]]:
    """Everybody to everybody."""
    ways = [(sender, receiver) for sender in range(3) for receiver in range(3) if sender != receiver]
    talks = {(sender, receiver): Talk(net, sender, receiver, tmp_path) for sender, receiver in ways}
    until(lambda: all(talk.heard() for talk in talks.values()), 10, "first words")
    yield talks
    for talk in talks.values():
        talk.stop()


def test_a_cut_is_of_one_way_only_and_silent_and_heals(net: Namespaces, talks: dict[tuple[int, int], Talk]) -> None:
    net.cut(0, 1)
    until(lambda: talks[0, 1].is_silent(), 3)
    assert all(talk.flows() for way, talk in talks.items() if way != (0, 1))
    net.cut(1, 0)
    until(lambda: talks[1, 0].is_silent(), 3)
    assert talks[0, 1].is_silent()
    assert talks[1, 2].flows()
    net.heal()
    assert all(talk.flows() for talk in talks.values())


def test_what_is_slow_comes_late_and_in_order(net: Namespaces, talks: dict[tuple[int, int], Talk]) -> None:
    began = time.monotonic()
    net.slow(0, 1, 0.2, 0.1)
    until(lambda: sum(sent > began + 0.1 for sent, _ in talks[0, 1].heard()) > 20, 5)
    slow = [(sent, took) for sent, took in talks[0, 1].heard() if sent > began + 0.1]
    assert all(took >= 0.2 for _, took in slow)
    assert [sent for sent, _ in slow] == sorted(sent for sent, _ in slow)
    others = sorted(took for sent, took in talks[1, 0].heard() if sent > began + 0.1)
    assert others[len(others) // 2] < 0.1
    net.heal()
    healed = time.monotonic()
    until(lambda: [took for sent, took in talks[0, 1].heard() if sent > healed and took < 0.1], 3, "speed")


def test_a_connection_outlives_a_cut(net: Namespaces) -> None:
    serve = (
        "import socket,sys; s=socket.create_server((sys.argv[1],9001)); c,_=s.accept(); print(c.makefile().readline())"
    )
    ask = (
        "import socket,sys,time; c=socket.create_connection((sys.argv[1],9001)); print('up',flush=True);"
        "sys.stdin.readline(); c.sendall(b'late but whole\\n'); time.sleep(20)"
    )
    server = subprocess.Popen(
        [*net.prefix(1), sys.executable, "-c", serve, net.address(1)], stdout=subprocess.PIPE, text=True
    )
    until(lambda: "9001" in subprocess.check_output([*net.prefix(1), "ss", "-tln"], text=True), 10, "a server")
    client = subprocess.Popen(
        [*net.prefix(0), sys.executable, "-c", ask, net.address(1)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    assert server.stdout is not None
    try:
        assert client.stdout.readline() == "up\n"
        net.cut(0, 1)
        assert client.stdin is not None
        client.stdin.write("\n")
        client.stdin.flush()
        time.sleep(0.5)
        net.heal()
        assert server.stdout.readline() == "late but whole\n"
    finally:
        for process in (client, server):
            process.kill()
            process.communicate()


@pytest.fixture
@uses("namespaces")
def tier(require: Require, tmp_path: Path) -> Iterator[tuple[Namespaces, dict[tuple[int, int], Talk]]]:
    """Two nodes and two servers, and who talks to whom."""
    require("network namespaces")
    net = Namespaces(2, servers=2)
    ways = [
        (a, b) for node in (0, 1) for server in map(net.server, (0, 1)) for a, b in ((node, server), (server, node))
    ]
    talks = {(sender, receiver): Talk(net, sender, receiver, tmp_path) for sender, receiver in ways}
    until(lambda: all(talk.heard() for talk in talks.values()), 10, "first words")
    yield net, talks
    for talk in talks.values():
        talk.stop()
    net.heal()
    net.close()


def test_ways_to_servers_are_cut_each_by_itself(tier: tuple[Namespaces, dict[tuple[int, int], Talk]]) -> None:
    net, talks = tier
    for cut in [(0, net.server(0)), (net.server(1), 1)]:
        net.cut(*cut)
        assert talks[cut].is_silent()
        assert all(talk.flows() for way, talk in talks.items() if way != cut)
        net.heal()
        assert talks[cut].flows()


def test_what_is_lost_mixed_up_or_too_long_is_so(tier: tuple[Namespaces, dict[tuple[int, int], Talk]]) -> None:
    net, talks = tier
    way = (0, net.server(0))
    net.set(*way, Way(mtu=30))
    assert talks[way].is_silent()
    net.set(*way, Way(jitter_s=0.2, loss=0.3, reorders=True))
    before = len(talks[way].heard())
    until(lambda: len(talks[way].heard()) >= before + 50, 10, "fifty words")
    sent = [at for at, _ in talks[way].heard()[before:]]
    assert sent != sorted(sent)
    assert max(sent) - min(sent) > 0.02 * 50 * 1.1, "none was lost"


@pytest.mark.namespaces
def test_what_a_killed_run_leaves_is_removed_with_its_processes(require: Require) -> None:
    require("network namespaces")
    script = (
        "import subprocess, time; from tests.rig.network import Namespaces; net = Namespaces(2);"
        "child = subprocess.Popen([*net.prefix(1), 'sleep', '600'], start_new_session=True, stdout=subprocess.DEVNULL);"
        "print(*net.names, child.pid, flush=True); time.sleep(600)"
    )
    root = Path(__file__).parents[1]
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root)
    with run:
        assert run.stdout is not None
        *names, pid = run.stdout.readline().split()
        until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"), 5)
        remove_stale()
        assert set(names) <= set(_namespaces()), "a run that goes on is left alone"
        run.kill()
    assert set(names) <= set(_namespaces())
    remove_stale()
    assert not set(names) & set(_namespaces())
    until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes(), 5)
    links = subprocess.check_output(["ip", "-o", "link"], text=True)
    assert f"{rig._PREFIX}{run.pid}b" not in links


def _namespaces() -> list[str]:
    return [line.split()[0] for line in subprocess.check_output(["ip", "netns", "list"], text=True).splitlines()]


@pytest.mark.namespaces
def test_closing_leaves_nothing(require: Require) -> None:
    require("network namespaces")
    before = len(os.listdir("/proc/self/fd"))
    net = Namespaces(2)
    names = net.names
    net.close()
    assert not set(names) & set(_namespaces())
    assert f"{rig._PREFIX}{os.getpid()}b" not in subprocess.check_output(["ip", "-o", "link"], text=True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_loopback_has_ports_and_says_that_it_cannot_be_cut() -> None:
    net = Loopback(2)
    assert net.inter_node(0) != net.inter_node(1)
    with pytest.raises(Unavailable, match="network namespaces"):
        net.cut(0, 1)


def test_a_user_has_no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert not namespaces_available.__wrapped__()
