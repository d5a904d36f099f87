"""The fork server beside a supervisor of the test's own; it forks workers that end at once, as their channel is closed."""

import ast
import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.host import spawn
from cluster.node import forkserver
from cluster.node.forkserver import Forked, ForkServer, Unanswered
from cluster.workers import roles
from tests.rig.cluster import is_alive
from tests.rig.wait import until


@pytest.fixture
def server() -> Iterator[ForkServer]:
    """A running one."""
    server = ForkServer("postgres")
    until(server.ready, 30, "a fork server")
    yield server
    server.close()


async def _fork(server: ForkServer) -> tuple[Forked, socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            return await server.fork("relay", 0, theirs, []), ours
        except Unanswered:
            ours.close()
            raise


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _names(pid: int) -> tuple[str, str]:
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return Path(f"/proc/{pid}/comm").read_text().strip(), command.rstrip(b"\0").decode()


async def test_a_worker_is_a_child_of_who_asked_and_outlives_the_fork_server(server: ForkServer) -> None:
    worker, ours = await _fork(server)
    assert _parent(worker.pid) == os.getpid()
    until(lambda: _names(worker.pid) == ("relay", "mmnode worker relay 0"), 5, "its names")
    assert os.getsid(worker.pid) == worker.pid  # before it took them
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not server.ready(), 5, "the supervisor to see it")
    assert worker.poll() is None
    until(server.ready, 30, "another one")
    second, theirs = await _fork(server)
    for one, end in ((worker, ours), (second, theirs)):
        end.close()  # the supervisor is gone, as they see it
        until(lambda one=one: one.poll() is not None, 5, "its end")  # type: ignore[misc]
        assert one.returncode == 0


async def test_a_fork_server_that_does_not_answer_is_replaced(
    server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forkserver, "_ANSWER_S", 0.2)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    with pytest.raises(Unanswered):
        await _fork(server)
    monkeypatch.undo()
    until(server.ready, 30, "another one")
    worker, ours = await _fork(server)
    ours.close()
    until(lambda: worker.poll() == 0, 5)


async def test_a_worker_keeps_no_socket_of_another_and_none_is_left_behind(server: ForkServer) -> None:
    def descriptors(pid: int) -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    assert server.pid is not None
    before = descriptors(server.pid)
    workers = [await _fork(server) for _ in range(3)]
    assert descriptors(server.pid) == before
    for number, (worker, ours) in enumerate(workers):
        ours.close()
        until(lambda worker=worker: worker.poll() is not None, 5)  # type: ignore[misc]
        assert all(other.poll() is None for other, _ in workers[number + 1 :])


def test_a_process_with_threads_forks_nobody() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        with pytest.raises(AssertionError, match="threads"):
            forkserver._fork_orphan(os.getpid())
    finally:
        ended.set()
        thread.join()


def test_what_workers_import_later_is_there_before_they_are_forked() -> None:
    later = [node for node in ast.walk(ast.parse(Path(roles.__file__).read_text())) if isinstance(node, ast.ImportFrom)]
    wanted = {name for node in later for name in _modules(node)}
    assert len(wanted) > 10
    code = (
        "import json, sys, threading, gc; from cluster.node import forkserver; forkserver.warm('postgres');"
        "assert threading.active_count() == 1 and gc.get_freeze_count() > 10_000;"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert wanted <= set(ast.literal_eval(done.stdout))


def _modules(node: ast.ImportFrom) -> list[str]:
    root = Path(roles.__file__).parents[1]
    inside = [f"{node.module}.{one.name}" for one in node.names]
    return [one for one in inside if (root / f"{one.replace('.', '/')}.py").exists()] or [str(node.module)]


def test_who_was_left_to_us_is_let_go_and_who_is_watched_is_not() -> None:
    """As the children of a PostgreSQL that was killed."""
    code = (
        "import os, subprocess, sys, time; from cluster.node.forkserver import reap_orphans; from cluster.host.spawn import adopt_orphans; adopt_orphans();"
        "left = subprocess.run(['sh', '-c', 'sleep 0.2 & echo $!'], capture_output=True, text=True);"
        "pid = int(left.stdout); ours = subprocess.Popen(['true']); time.sleep(0.5);"
        "reap_orphans({ours.pid}); print(os.path.exists(f'/proc/{ours.pid}'));"
        "ours.wait(); reap_orphans(set()); print(os.path.exists(f'/proc/{pid}')); reap_orphans(set())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_workers_end_with_the_supervisor_whatever_has_become_of_the_fork_server() -> None:
    code = (
        "import asyncio, os, signal, socket, sys, time; from cluster.node.forkserver import ForkServer;"
        "server = ForkServer('postgres')\n"
        "while not server.ready(): time.sleep(0.01)\n"
        "ours, theirs = socket.socketpair()\n"
        "print(server.pid, asyncio.run(server.fork('relay', 0, theirs, [])).pid, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        children = [int(one) for one in process.stdout.readline().split()]
        process.kill()
    until(lambda: not any(is_alive(pid) for pid in children), 5, "the end of both")


async def test_a_crashing_fork_server_is_started_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[float] = []
    real = spawn.start_python

    def start(arguments: list[str], descriptors: list[int]) -> subprocess.Popen[bytes]:
        started.append(asyncio.get_running_loop().time())
        return real(["forkserver", "no number", ""], descriptors)

    monkeypatch.setattr(spawn, "start_python", start)
    server = ForkServer("postgres")
    while len(started) < 4:
        assert not server.ready()
        await asyncio.sleep(0.01)
    server.close()
    assert started[3] - started[2] >= 0.4
