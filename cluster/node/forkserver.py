"""The fork server: a process that has imported all that workers need, and forks one for each that is asked for.

    supervisor ──"api 0" and its descriptors──> fork server ──fork, fork──> api0, whom the supervisor inherits
               <──────────── its pid ─────────

A worker begins in milliseconds, not after half a second of imports; all share the memory of what was imported; and a
worker that is started anew has the code of the node that it belongs to, whatever an upgrade has put on the disk since.

What is forked has no threads, no event loop, no sockets but its own: the fork server does nothing else, and refuses
when it finds a thread. Its children are orphans at once, so that they become the supervisor's (PR_SET_CHILD_SUBREAPER):
they live on when the fork server dies, and the next one is started when it is needed.
"""

import asyncio
import contextlib
import gc
import importlib
import json
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence

from cluster.host import spawn, title
from cluster.node.children import Child, State

log = logging.getLogger(__name__)

_READY = b"ready"
_REQUEST_BYTES = 4096
_MOST_DESCRIPTORS = 16
_ANSWER_S = 5.0
_MODULES = (
    "api.http.asgi",
    "api.http.balance",
    "api.http.drain",
    "api.http.metricsport",
    "api.proxies",
    "api.http.server",
    "api.http.throttle",
    "api.http.upgrade",
    "cluster.sockets.handover",
    "cluster.sockets.loads",
    "cluster.relay.relay",
    "cluster.workers.main",
    "ws.lookout",
    "ws.server",
)
"""What workers of all kinds import; the driver of the database comes with it (`_DRIVERS`)."""
_DRIVERS = {
    "postgres": ("db.drivers.postgres", "db.drivers.postgres_failover"),
    "mysql": ("db.drivers.mysql", "db.drivers.mysql_failover", "db.writer.mysql", "db.sql.mysql.outbox"),
}


class Unanswered(Exception):
    """The fork server is gone, or does not answer."""


class Forked:
    """A child of ours that another process has forked: the part of `subprocess.Popen` that is needed of it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status when it has ended; negative: the signal that ended it."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing, when it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkServer:
    """The supervisor's side. driver: of the database, "postgres" or "mysql"."""

    def __init__(self, driver: str) -> None:
        self._driver = driver
        self._life = Child("forkserver", watchdog_s=None)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """Of the running one."""
        return self._process.pid if self._process is not None else None

    def ready(self) -> bool:
        """Whether `fork` would be answered at once. Starts a fork server where there is none; never waits."""
        if self._process is not None and self._process.poll() is not None:
            log.error("the fork server has ended and is started again", extra={"status": self._process.returncode})
            self.close()
        if self._life.due(time.monotonic()):
            self._start()
        elif self._life.state is State.STARTING and self._socket is not None:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                if self._socket.recv(_REQUEST_BYTES) == _READY:
                    self._life.ready()
        return self._life.state is State.UP

    async def fork(self, role: str, index: int, end: socket.socket, inherited: Sequence[socket.socket]) -> Forked:
        """A new worker. `end` is its channel, `inherited` what it listens on. Raises Unanswered."""
        assert self._socket is not None
        descriptors = [end.fileno(), *(one.fileno() for one in inherited)]
        try:
            socket.send_fds(self._socket, [json.dumps([role, index]).encode()], descriptors)
            async with asyncio.timeout(_ANSWER_S):
                answer = await asyncio.get_running_loop().sock_recv(self._socket, _REQUEST_BYTES)
            return Forked(int(answer))
        except (OSError, TimeoutError, ValueError) as error:
            self.close()
            raise Unanswered(str(error) or type(error).__name__) from error

    def _start(self) -> None:
        spawn.adopt_orphans()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        with theirs:
            self._process = spawn.start_python(["forkserver", str(theirs.fileno()), self._driver], [theirs.fileno()])
        self._life.spawned(time.monotonic())

    def close(self) -> None:
        """End it. What it has forked lives on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._life.exited(time.monotonic())
        if self._socket is not None:
            self._socket.close()
        self._process = self._socket = None


def reap_orphans(ours: set[int]) -> None:
    """Let those end that we were given and never asked for: children of a PostgreSQL that was killed."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if found.si_pid in ours:
                return  # whoever watches it reaps it; then we get at the next
            os.waitpid(found.si_pid, 0)


# The fork server itself ----------------------------------------------------------------------------------------------


def warm(driver: str) -> None:
    """Import what workers need, and keep the collector away from it: it would copy each page by looking at it."""
    for name in (*_MODULES, *_DRIVERS[driver]):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def main(descriptor: int, driver: str) -> int:
    """The process, until the supervisor is gone; in each child, the worker's exit status."""
    supervisor = int(os.environ[spawn.PARENT_VARIABLE])
    spawn.die_with_parent(supervisor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    warm(driver)
    title.name_process("fork server", "mmnode forkserver")
    requests = socket.socket(fileno=descriptor)
    requests.send(_READY)
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, _MOST_DESCRIPTORS)
        if not data:
            return 0
        role, index = json.loads(data)
        pid = _fork_orphan(supervisor)
        if pid == 0:
            requests.close()
            return _be_worker(str(role), int(index), descriptors)
        for one in descriptors:
            os.close(one)
        requests.send(str(pid).encode())


def _fork_orphan(supervisor: int) -> int:
    """Fork a child of the supervisor's: its pid, and 0 in itself."""
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads must not be forked"
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        parent = os.getpid()
        child = os.fork()
        if child:
            os.write(writing, str(child).encode())
            os._exit(0)
        os.close(reading)
        os.close(writing)
        while os.getppid() == parent:
            time.sleep(0.0005)
        if os.getppid() != supervisor:  # it has ended meanwhile, and its own parent has us now
            os._exit(1)
        return 0
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(between, 0)
    return int(said)


def _be_worker(role: str, index: int, descriptors: list[int]) -> int:
    from cluster.workers import main

    os.setsid()
    title.name_process(spawn.name_of(role, index), f"mmnode worker {role} {index}")
    return main.main(role, index, descriptors)
