"""kill -9 of each kind of process under load: it costs only what the process held."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.resources import uses
from tests.rig.cluster import is_alive
from tests.rig.directories import processes_of
from tests.rig.kept import Kept
from tests.rig.lateness import within
from tests.rig.load import Load, assert_exactly_once, writers
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.scale import scale
from tests.rig.socket import Socket
from tests.rig.wait import until

KINDS = ["api0", "api1", "ws0", "ws1", "relay", "postgres"]
BACK_S = {"postgres": 5.0}


@pytest.fixture(scope="module")
def kept_node() -> Iterator[Kept[Node]]:
    """Where `own_node` comes from."""
    with Kept(lambda: Node(database="embedded", workers=2, ws_workers=2)) as kept:
        yield kept


@pytest.fixture
@uses("node")
def own_node(kept_node: Kept[Node]) -> Iterator[Node]:
    """A node to be broken: it runs and is configured as at the beginning, whatever the last test did to it."""
    yield kept_node.take()
    kept_node.give_back()


def test_killing_each_kind_of_process_in_turn_under_load(own_node: Node) -> None:
    with Load(writers(own_node.url, 6)) as load:
        for name in KINDS * scale(1, 15):
            load.expect_more(50)
            old_pid = own_node.kill(name)
            killed_at = time.monotonic()
            own_node.wait_replaced(name, old_pid)
            back_s = time.monotonic() - killed_at
            print(f"{name} is back after {back_s:.2f} s, {len(load.acknowledged)} posts, {load.retries} retries")
            assert within(BACK_S.get(name, 2.0), since=killed_at, until=killed_at + back_s)
        load.expect_more(50)
    assert_exactly_once(own_node.sql, load)


def test_workers_are_started_anew_when_the_fork_server_has_died_too(own_node: Node) -> None:
    assert own_node.process is not None
    supervisor = own_node.process.pid
    (server,) = [pid for pid in _children(supervisor) if _name(pid) == "fork server"]
    with Load(writers(own_node.url, 2)) as load:
        load.expect_more(20)
        os.kill(server, signal.SIGKILL)
        for name in ("api0", "postgres", "relay"):  # what PostgreSQL leaves behind is the supervisor's to reap
            own_node.wait_replaced(name, own_node.kill(name))
        own_node.wait_up()
        load.expect_more(50)
    until(lambda: all(is_alive(pid) for pid in _children(supervisor)), 5, "no zombies")
    assert "the fork server has ended" in own_node.log
    assert_exactly_once(own_node.sql, load)


def test_killing_the_supervisor_leaves_no_orphan(own_node: Node) -> None:
    assert own_node.process is not None
    children = [child["pid"] for child in own_node.status()["children"]]
    assert len(children) == 6
    with Load(writers(own_node.url, 2)) as load:
        load.expect_more(20)
        os.kill(own_node.process.pid, signal.SIGKILL)
        own_node.process.wait()
        until(lambda: not any(is_alive(pid) for pid in children), 2.0, "the end of all children")
        load.stop()
    until(lambda: not processes_of(own_node.directory), 2.0, "no process of the node")
    own_node.start()
    assert_exactly_once(own_node.sql, load)


def test_a_killed_process_costs_only_the_sockets_it_held(own_node: Node) -> None:
    people = [new_user(own_node.url) for _ in range(12)]
    team = new_team(people[0], *people[1:])
    channel = new_channel(people[0], team, *people[1:])
    sockets = [Socket.open(person) for person in people]

    def everybody_hears(text: str) -> None:
        people[0].write(channel["id"], text)
        for one in sockets:
            if one.closed is None:
                one.expect_post(text)

    everybody_hears("before")
    for name in ("api0", "relay", "postgres"):
        own_node.wait_replaced(name, own_node.kill(name))
        own_node.wait_up()
        assert all(one.closed is None for one in sockets), name
        everybody_hears(f"after {name}")
    children = own_node.children()
    held = {name: children[name]["sockets"] for name in ("ws0", "ws1")}
    assert sum(held.values()) == 12
    assert min(held.values()) > 0
    pid = own_node.kill("ws0")
    until(lambda: sum(one.closed is not None for one in sockets) == held["ws0"], 5, "its sockets to be closed")
    everybody_hears("while it is away")
    own_node.wait_replaced("ws0", pid)
    assert sum(one.closed is None for one in sockets) == held["ws1"]
    for number, one in enumerate(sockets):
        if one.closed is not None:
            sockets[number] = Socket.open(people[number])
    everybody_hears("after ws0")
    for one in sockets:
        one.close()


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
