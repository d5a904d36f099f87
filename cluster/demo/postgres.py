"""The demo's database: a PostgreSQL master and two replicas that it streams to, from the embedded wheel.

Each is reached by a unix socket in a directory of its own. A commit is acknowledged when one replica has it on
disk too, and when the master dies the replica that has more is promoted: so nothing that was acknowledged
is lost.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cluster.host import spawn
from cluster.host.paths import Paths
from cluster.node import embedded
from cluster.node.embedded import DATABASE, USER, Embedded

_CONNECTIONS = 150
_STOP_S = 5.0
_PATIENCE_S = 20.0


class Failed(Exception):
    """The demo's database does not do what it must; the text says what."""


@dataclass
class Server:
    """One server. process: None before its first start."""

    name: str
    embedded: Embedded
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def dsn(self) -> str:
        """Connection string for nodes, also in an environment variable or a list."""
        return f"postgres:///{DATABASE}?host={self.embedded.sockets}&user={USER}"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it; `ready` says when it answers."""
        found = self.embedded
        self.process = spawn.start_postgres(found.command(_CONNECTIONS), found.environment, found.account, found.log)

    def ready(self) -> bool:
        """Whether it takes connections. Raises Failed when it has ended."""
        if not self.alive:
            raise Failed(f"{self.name} does not start; its log is {self.embedded.log}")
        assert self.process is not None
        return self.embedded.ready(self.process.pid)

    def set(self, **settings: str) -> None:
        """Write settings; a server that runs applies them at once."""
        lines = "".join(f"{key} = '{value}'\n" for key, value in settings.items())
        with (self.embedded.data / "postgresql.auto.conf").open("a", encoding="ascii") as file:
            file.write(lines)
        if self.alive:
            self._ctl("reload")

    def promote(self) -> None:
        """Make a replica the master. Raises Failed."""
        self._ctl("promote", "-w")

    def _ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.embedded.data), *arguments)

    def ask(self, query: str) -> str:
        """One value of a query, as text. Raises Failed."""
        return self._run("psql", "-h", str(self.embedded.sockets), "-U", USER, "-d", DATABASE, "-XAtc", query)

    def _run(self, program: str, *arguments: str) -> str:
        account = self.embedded.account
        done = subprocess.run(  # noqa: S603 (a program of the wheel)
            [str(self.embedded.binaries / program), *arguments],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
            cwd="/",
            env={**self.embedded.environment, "PGCONNECT_TIMEOUT": "3"},
            user=account.user,
            group=account.group,
            extra_groups=account.groups,
        )
        if done.returncode:
            raise Failed(f"{self.name}: {program}: {(done.stderr or done.stdout).strip()}")
        return done.stdout.strip()


class Servers:
    """The three of them. paths: where the first one's things lie; the others' lie beside. say: tells the user."""

    def __init__(self, paths: Paths, say: Callable[[str], None]) -> None:
        self._say = say
        first = Server("postgres1", embedded.prepare(paths))
        first.set(wal_keep_size="64MB", wal_retrieve_retry_interval="200ms")
        for note in first.embedded.notes:
            say(note)
        self.all = [first, *(self._copy(first, paths, number) for number in (2, 3))]
        self.master = first
        self._set_synchronous()

    @staticmethod
    def _copy(first: Server, paths: Paths, number: int) -> Server:
        """A replica: a cold copy of the first server, which has not run yet."""
        origin = first.embedded
        sockets = paths.runtime / f"pg{number}"
        sockets.mkdir(mode=0o700)
        embedded.write_access(sockets, origin.account)
        data = origin.data.with_name(f"postgres{number}")
        shutil.copytree(origin.data, data, symlinks=True)
        (data / "standby.signal").touch()
        if origin.account.user is not None and origin.account.group is not None:
            for path in [data, *data.rglob("*")]:
                os.chown(path, origin.account.user, origin.account.group, follow_symlinks=False)
        log = origin.log.with_name(f"postgres{number}.log")
        server = Server(f"postgres{number}", replace(origin, data=data, sockets=sockets, log=log))
        server.set(primary_conninfo=_conninfo(first, server))
        return server

    def start(self) -> None:
        """Start all and wait until the replicas stream. Raises Failed."""
        for server in self.all:
            server.start()
        self._until(lambda: all(server.ready() for server in self.all), "the servers do not start")
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        self._until(lambda: self.master.ask(streaming) == str(len(self.replicas())), "the replicas do not stream")

    @property
    def dsn(self) -> str:
        """Connection string that finds the master, whichever of them it is."""
        hosts = ",".join(str(server.embedded.sockets) for server in self.all)
        return f"host={hosts} user={USER} dbname={DATABASE} target_session_attrs=read-write connect_timeout=2"

    def replicas(self) -> list[Server]:
        """Those that run, but for the master."""
        return [server for server in self.all if server is not self.master and server.alive]

    def look_after(self) -> None:
        """Promote a replica when the master has died. Raises Failed when there is none."""
        if self.master.alive:
            self._lose_dead_replicas()
            return
        began = time.monotonic()
        candidates = self.replicas()
        if not candidates:
            raise Failed("the last server of the database has died")
        # Sessions of the dead master end by themselves; what it acknowledged until then, one of these has.
        streaming = "SELECT count(*) FROM pg_stat_wal_receiver"
        self._until(lambda: all(one.ask(streaming) == "0" for one in candidates), "the dead master still streams")
        heir = max(candidates, key=lambda one: int(one.ask("SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn")))
        dead, self.master = self.master, heir
        self._set_synchronous()
        heir.promote()
        for one in self.replicas():
            one.set(primary_conninfo=_conninfo(heir, one))
        self._say(f"{dead.name} has died; {heir.name} is the master after {time.monotonic() - began:.1f} s")

    def _lose_dead_replicas(self) -> None:
        """Commits wait for replicas that run; with none left they wait for nobody."""
        if (names := self._standbys()) != self._synchronous:
            self._set_synchronous()
            self._say(f"a replica has died; commits wait for: {names or 'nobody'}")

    def _standbys(self) -> str:
        standbys = [one for one in self.all if one is not self.master and (one.process is None or one.alive)]
        names = ", ".join(one.name for one in standbys)
        return f"ANY 1 ({names})" if names else ""

    def _set_synchronous(self) -> None:
        self._synchronous = self._standbys()
        self.master.set(synchronous_standby_names=self._synchronous)

    @staticmethod
    def _until(condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(otherwise)
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop all: at once, the data go with them."""
        running: Sequence[Server] = [server for server in self.all if server.alive]
        for server in running:
            assert server.process is not None
            server.process.send_signal(signal.SIGQUIT)
        for server in running:
            assert server.process is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(_STOP_S)


def _conninfo(master: Server, replica: Server) -> str:
    return f"host={master.embedded.sockets} user={USER} application_name={replica.name}"
