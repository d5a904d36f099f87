"""A PostgreSQL master with streaming replicas, on 127.0.0.1, for tests that break servers.

One `initdb` a process; every server is a cold copy of it, so that a replica needs no base backup. Clients come as the
role `mmnode`, which is no superuser; the rig itself as `rig`. Nothing is synced to the disk: what dies here is processes.
"""

import atexit
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from functools import cache, partial
from pathlib import Path
from typing import Any

import psycopg

from cluster.host import paths, spawn
from cluster.node import embedded
from tests.rig import lateness
from tests.rig.directories import new_directory
from tests.rig.ports import free_port
from tests.rig.wait import until

_OPTIONS = """
listen_addresses='127.0.0.1'
fsync=off
full_page_writes=off
shared_buffers=16MB
max_connections=100
wal_level=replica
hot_standby=on
max_wal_senders=10
wal_keep_size=64MB
wal_receiver_status_interval=100ms
wal_receiver_timeout=5s
wal_sender_timeout=5s
wal_retrieve_retry_interval=100ms
autovacuum=off
logging_collector=off
max_standby_streaming_delay=1s
"""


@cache
def _template() -> tuple[Path, embedded.Embedded]:
    """A data directory with the role `mmnode` in it, and how to run it."""
    home = new_directory()
    lock = paths.lock(home / "data")
    places = paths.prepare(home / "data")
    found = embedded.prepare(places)
    os.close(lock)
    template = home / "template"
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    home.chmod(0o777)
    options = ("-U", "rig", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-instructions", "-N")
    _run(found, "initdb", "-D", template, *options)
    sql = "CREATE ROLE mmnode LOGIN;\n"
    _run(found, "postgres", "--single", "-D", template, "postgres", stdin=sql.encode())
    return template, found


def _run(found: embedded.Embedded, program: str, *arguments: str | Path, stdin: bytes | None = None) -> None:
    account = found.account
    subprocess.run(
        [str(found.binaries / program), *map(str, arguments)],
        input=stdin,
        check=True,
        capture_output=True,
        cwd="/",
        env=found.environment,
        user=account.user,
        group=account.group,
        extra_groups=account.groups,
    )


class PgServer:
    """One server; `execute` and the rest act as the superuser on the database `postgres`.

    everywhere: it listens on all addresses, for clients in the namespaces of `tests/rig/network.py`.
    """

    def __init__(self, directory: Path, name: str, *, everywhere: bool = False) -> None:
        template, self._found = _template()
        self.name = name
        self.port = free_port()
        self.data = directory / name
        subprocess.run(["cp", "-a", template, self.data], check=True)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"{_OPTIONS}port={self.port}\nunix_socket_directories='{self.data}'\n")
            file.write("listen_addresses='*'\n" * everywhere)
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write("host replication all 127.0.0.1/32 trust\n")
            file.write("host all mmnode 10.77.0.0/16 trust\n" * everywhere)
        self.log = directory / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._frozen: list[int] = []

    def start(self) -> "PgServer":
        """Start and wait until it takes connections."""
        lateness.start()
        command = [str(self._found.binaries / "postgres"), "-D", str(self.data)]
        self.process = spawn.start_postgres(command, self._found.environment, self._found.account, self.log)
        until(self._answers, 20, f"{self.name} to answer")
        return self

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop in good order."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)

    def crash(self) -> None:
        """kill -9 of the postmaster and all its children: a machine that dies acknowledges nothing more."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)  # it is to start no more children
        pids = [self.process.pid, *self._children()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """SIGSTOP: the kernel still accepts connections and acknowledges data."""
        assert self.process is not None
        self._frozen = [self.process.pid, *self._children()]
        for pid in self._frozen:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        for pid in self._frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _children(self) -> list[int]:
        assert self.process is not None
        return [
            int(pid)
            for task in Path(f"/proc/{self.process.pid}/task").iterdir()
            for pid in (task / "children").read_text().split()
        ]

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as superuser; its rows."""
        with psycopg.connect(self._conninfo("rig", database), autocommit=True, connect_timeout=3) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def _conninfo(self, user: str, database: str, host: str = "127.0.0.1") -> str:
        return f"host={host} port={self.port} user={user} dbname={database}"

    def dsn(self, database: str, host: str = "127.0.0.1") -> str:
        """For clients."""
        return self._conninfo("mmnode", database, host)

    def socket_dsn(self, database: str) -> str:
        """For clients in other network namespaces."""
        return f"host={self.data} port={self.port} user=mmnode dbname={database}"

    @property
    def socket_path(self) -> str:
        """Where it listens for clients in other network namespaces."""
        return f"{self.data}/.s.PGSQL.{self.port}"

    def follow(self, master: "PgServer") -> None:
        """Become a replica of it: before the start, or while running."""
        conninfo = f"host=127.0.0.1 port={master.port} user=rig application_name={self.name}"
        if self.process is None:
            (self.data / "standby.signal").touch()
            shutil.copystat(self.data / "PG_VERSION", self.data / "standby.signal")
            uid, gid = os.stat(self.data).st_uid, os.stat(self.data).st_gid
            os.chown(self.data / "standby.signal", uid, gid)
            with (self.data / "postgresql.conf").open("a") as file:
                file.write(f"primary_conninfo='{conninfo}'\n")
        else:
            self.set("primary_conninfo", conninfo)

    def set(self, name: str, value: str) -> None:
        """ALTER SYSTEM and reload."""
        self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")

    def delay_replay(self, seconds: float) -> None:
        """A replica: stay behind by so much from now on."""
        self.set("recovery_min_apply_delay", f"{int(seconds * 1000)}ms")

    def pause_replay(self) -> None:
        """A replica: receive, but replay nothing more."""
        self.execute("SELECT pg_wal_replay_pause()")
        until(lambda: self.execute("SELECT pg_get_wal_replay_pause_state()") == [("paused",)], what="the pause")

    def resume_replay(self) -> None:
        """A replica: go on."""
        self.execute("SELECT pg_wal_replay_resume()")

    def promote(self) -> None:
        """A replica: become a master."""
        assert self.execute("SELECT pg_promote(true, 20)") == [(True,)]


class PgCluster:
    """A master and its replicas. Use as a context manager. everywhere: see `PgServer`."""

    driver = "postgres"

    def __init__(self, replicas: int = 2, *, everywhere: bool = False) -> None:
        self.directory = new_directory()
        self.directory.chmod(0o777)
        self.master, *self.replicas = [
            PgServer(self.directory, name, everywhere=everywhere)
            for name in ("master", *(f"replica{index}" for index in range(replicas)))
        ]
        self._numbers = itertools.count(1)

    def __enter__(self) -> "PgCluster":
        self.master.start()
        for replica in self.replicas:
            replica.follow(self.master)
            replica.start()
        until(self._streaming, 20, "all replicas to stream")
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self.master, *self.replicas):
            server.stop()
        shutil.rmtree(self.directory)

    def _streaming(self) -> bool:
        found = self.master.execute("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
        return bool(found[0][0] == len(self.replicas))

    def new_database(self, name: str = "", template: str = "template1") -> str:
        """The name of a new database, which every replica has: a copy of `template`, which is empty by default."""
        name = name or f"test{next(self._numbers)}"
        self.master.execute(f"CREATE DATABASE {name} OWNER mmnode TEMPLATE {template} STRATEGY FILE_COPY")
        self.catch_up()
        return name

    def catch_up(self) -> None:
        """Wait until the replicas have replayed all that the master has written."""
        position = self.master.execute("SELECT pg_current_wal_lsn()")[0][0]
        for replica in self.replicas:
            reached = partial(replica.execute, f"SELECT 1 WHERE pg_last_wal_replay_lsn() >= '{position}'")
            until(reached, 20, f"{replica.name} to catch up")

    def synchronous(self, standbys: str) -> None:
        """Commits wait for these standbys, in PostgreSQL's words ('' for none)."""
        self.master.set("synchronous_standby_names", standbys)

    def by_progress(self) -> list[PgServer]:
        """The replicas of a master that died, first the one that has most: the others can follow it, not it them."""
        for replica in self.replicas:
            until(lambda: not replica.execute("SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'"))  # noqa: B023 (called at once)
        received = "SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn"
        return sorted(self.replicas, key=lambda replica: replica.execute(received)[0][0], reverse=True)

    def multihost(self, database: str) -> str:
        """A connection string that finds the master among all of them."""
        servers = (self.master, *self.replicas)
        ports = ",".join(str(server.port) for server in servers)
        hosts = ",".join("127.0.0.1" for _ in servers)
        return (
            f"host={hosts} port={ports} user=mmnode dbname={database} target_session_attrs=read-write connect_timeout=2"
        )
