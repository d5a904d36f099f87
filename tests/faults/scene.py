"""Three nodes over a master and two replicas that faults are made on, and the acts that they are made of."""

import contextlib
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.rig.clocks import Clock
from tests.rig.cluster import Cluster, family
from tests.rig.wait import until
from tests.rig.wire import Way

NODES = (0, 1, 2)
ALL = frozenset(NODES)


@dataclass
class Scene:
    """The cluster, and what the witnesses of this round use. channels: ids; the first one is that which faults lock."""

    cluster: Cluster
    channels: list[str] = field(default_factory=list)
    clocks: list[Clock] = field(default_factory=list)
    now_master: Any = None
    """The server that took the master's place."""

    @property
    def is_postgres(self) -> bool:
        """Else MariaDB."""
        return self.cluster.servers.driver == "postgres"

    @property
    def master(self) -> Any:
        """The database server that was the master at the beginning."""
        return self.cluster.servers.master

    @property
    def replicas(self) -> list[Any]:
        """The other servers at the beginning."""
        return list(self.cluster.servers.replicas)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Of what the cluster has stored, whichever server is the master by now."""
        found: list[tuple[Any, ...]] = (self.now_master or self.master).execute(query, self.cluster.database)
        return found

    def sql(self, postgres: str, mysql: str = "") -> list[tuple[Any, ...]]:
        """Rows of a statement on the master, by its superuser; in the words of the server."""
        return self.cluster.sql(postgres if self.is_postgres else mysql or postgres)

    # Processes -------------------------------------------------------------------------------------------------------

    def processes(self, place: int, name: str) -> list[int]:
        """Pids of a node: of the supervisor, of a child by its name in ps, or of all ("node"). None where it has ended."""
        pids = self.cluster.pids(place)
        if name in ("node", "supervisor"):
            return pids if name == "node" else pids[:1]
        found = []
        for pid in pids:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    found.append(pid)
        return found

    def signal(self, place: int, name: str, number: int) -> list[int]:
        """To processes of a node; which got it. A whole node: the supervisor first, so that it starts no more."""
        if name == "node":
            self.signal(place, "supervisor", signal.SIGSTOP)
        pids = self.processes(place, name)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def resume(self, place: int, pids: list[int]) -> None:
        """SIGCONT: workers first, so that a supervisor that wakes does not find them silent."""
        still = set(self.cluster.pids(place))
        for pid in reversed([one for one in pids if one in still]):
            os.kill(pid, signal.SIGCONT)

    def ensure_running(self, place: int) -> None:
        """A node that has ended, or is ending, is started again."""
        node = self.cluster.nodes[place]
        assert node.process is not None
        if node.process.poll() is None and not self.cluster.pids(place)[1:]:
            node.process.wait(30)
        if node.process.poll() is not None:
            node.start()

    # Ways ------------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def ways(self, way: Way, *ends: tuple[int, int]) -> Iterator[None]:
        """What goes from the first to the second of these goes so, until the end."""
        for sender, receiver in ends:
            self.cluster.ways.set(sender, receiver, way)
        try:
            yield
        finally:
            for sender, receiver in ends:
                self.cluster.ways.open(sender, receiver)

    def server(self, index: int) -> int:
        """The place of the master (0), or of a replica, in the network."""
        return self.cluster.ways.server(index)

    # Databases -------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def held(self, *statements: str) -> Iterator[None]:
        """A session of somebody else that has a transaction open in which it did this, until the end."""
        if self.is_postgres:
            conninfo = self.master.dsn(self.cluster.database).replace("user=mmnode", "user=rig")
            with psycopg.connect(conninfo) as connection:
                for one in statements:
                    connection.execute(one.encode())
                yield
                connection.rollback()
        else:
            with self._held_on_mysql(statements):
                yield

    @contextlib.contextmanager
    def _held_on_mysql(self, statements: tuple[str, ...]) -> Iterator[None]:
        """By a script of the server's own client, which waits for its next line."""
        command = [
            "mariadb",
            "--no-defaults",
            "-n",
            "-N",
            "-u",
            "root",
            "-S",
            self.master.socket_path,
            self.cluster.database,
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write("".join(f"{one};\n" for one in ("SET autocommit = 0", *statements, "SELECT 'held'")))
            client.stdin.flush()
            try:
                while client.stdout.readline() not in ("held\n", ""):
                    pass  # what the statements gave
                yield
            finally:
                client.kill()

    @contextlib.contextmanager
    def frozen(self, server: Any) -> Iterator[None]:
        """SIGSTOP of a database server with all its processes, and SIGCONT at the end."""
        pids = family(server.process.pid)
        with self.cluster.frozen(pids):
            yield

    def end_sessions(self) -> None:
        """Every session of the nodes on the master is ended by an administrator."""
        if self.is_postgres:
            self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mmnode'")
            return
        for (number,) in self.sql("", "SELECT id FROM information_schema.processlist WHERE user = 'chat'"):
            with contextlib.suppress(Exception):  # it has ended by itself
                self.sql("", f"KILL {number}")

    def until_master(self) -> None:
        """Wait until it takes statements, also after a recovery of its own."""

        def answers() -> bool:
            try:
                self.sql("SELECT 1")
            except Exception:
                return False
            return True

        until(answers, 30, "the master to answer")


@contextlib.contextmanager
def repeating(act: Callable[[int], None], pause_s: float) -> Iterator[None]:
    """Do it again and again in a thread: act(0), act(1), … What it raises is raised at the end."""
    stop, failures = threading.Event(), []

    def run() -> None:
        number = 0
        while not stop.is_set():
            try:
                act(number)
            except BaseException as error:
                failures.append(error)
                return
            number += 1
            stop.wait(pause_s)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    if failures:
        raise failures[0]


def both(one: int, other: int) -> list[tuple[int, int]]:
    """The two directions of a link."""
    return [(one, other), (other, one)]


def pick(chance: random.Random, count: int) -> list[int]:
    """So many nodes."""
    return chance.sample(NODES, count)
