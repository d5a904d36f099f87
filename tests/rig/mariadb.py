"""MariaDB servers of the tests' own, on free ports, alone or as a master with replicas by GTID.

One `mariadb-install-db` a session; every server is a copy of what it made, with the account of clients in it.
"""

import asyncio
import atexit
import itertools
import os
import pwd
import shutil
import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from db.model.settings import PoolSettings
from db.pool import migrate
from tests.plugins import resources
from tests.rig import lateness, sql
from tests.rig.directories import new_directory
from tests.rig.ports import free_port
from tests.rig.wait import until

USER, PASSWORD = "chat", "p@ss/w:rd"


def _account() -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    account = pwd.getpwnam("mysql")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@cache
def _template() -> Path:
    """A data directory with the account of clients in it, of a server that was stopped."""
    server = MariaDB()
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={server.data}", f"--tmpdir={server.directory}", "--skip-test-db", "--skip-name-resolve",
         "--auth-root-authentication-method=normal", "--innodb-log-file-size=8M"],
        check=True, stdout=subprocess.DEVNULL, cwd="/", **_account(),
    )  # fmt: skip
    server.start()
    for host in ("127.0.0.1", "localhost", "10.77.%"):
        server.root(
            f"CREATE USER {USER}@'{host}' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL ON *.* TO {USER}@'{host}'",
            f"REVOKE SUPER, READ_ONLY ADMIN ON *.* FROM {USER}@'{host}'",  # read_only is to hold for it
        )
    server.root("RESET MASTER")  # accounts are each server's own
    server.end()
    atexit.register(shutil.rmtree, server.directory, ignore_errors=True)
    return server.data


class MariaDB:
    """A running server; `new_database` gives each test one of its own.

    everywhere: it listens on all addresses, for clients in the namespaces of `tests/rig/network.py`.
    """

    def __init__(self, server_id: int = 1, *, everywhere: bool = False) -> None:
        self.server_id = server_id
        self._listens_on = "0.0.0.0" if everywhere else "127.0.0.1"
        self.name = f"server{server_id}"
        self.directory = new_directory()
        if os.getuid() == 0:
            shutil.chown(self.directory, "mysql")
        self.data = self.directory / "data"
        self._numbers = itertools.count(1)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._read_only = 0
        """Also when it starts again."""
        self._schema: list[str] = []
        """What makes an empty database one with our schema, once there is one to copy."""

    def start(self) -> "MariaDB":
        """Start and wait until it takes connections."""
        lateness.start()
        if not self.data.exists():
            subprocess.run(["cp", "-a", _template(), self.data], check=True)
        # tmpdir: a server that starts removes the temporary tables of others from a common one.
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["mariadbd", "--no-defaults", f"--datadir={self.data}", f"--tmpdir={self.directory}", f"--port={self.port}", f"--bind-address={self._listens_on}",
                 f"--socket={self.data}/s.sock", f"--pid-file={self.data}/pid", f"--server-id={self.server_id}", "--log-bin=bin",
                 "--binlog-format=ROW", "--log-slave-updates", "--gtid-strict-mode=1", "--gtid-domain-id=0",
                 "--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_ci",
                 "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--innodb-flush-log-at-trx-commit=2",
                 "--innodb-flush-method=nosync", "--sync-binlog=0", "--skip-name-resolve", "--performance-schema=0",
                 "--log-bin-trust-function-creators=1", "--slave-net-timeout=4",
                 f"--read-only={self._read_only}", "--max-connections=200"],
                stdout=log, stderr=log, cwd="/", start_new_session=True, **_account(),
            )  # fmt: skip
        until(self._ready, 30, "a ready MariaDB")
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text(errors="replace")
        try:
            self.root("SELECT 1")
        except Exception:
            return False
        return True

    def root(self, *statements: str) -> None:
        """Run statements as root, each on a connection of its own."""
        for statement in statements:
            sql.rows("mysql", f"root:@unix({self.data}/s.sock)/mysql", statement)

    def execute(self, query: str, database: str = "mysql") -> list[tuple[Any, ...]]:
        """Run a statement as root; its rows."""
        return sql.rows("mysql", f"root:@unix({self.data}/s.sock)/{database}", query)

    def new_database(self, *, schema: bool = False) -> str:
        """Connection string of a new database: an empty one, or one with our schema."""
        name = self._create()
        if schema:
            sql.script(f"root:@unix({self.data}/s.sock)/{name}", self._with_schema())
        return self.dsn(name)

    def _create(self) -> str:
        name = f"test{next(self._numbers)}"
        self.root(f"CREATE DATABASE {name}")
        return name

    def _with_schema(self) -> list[str]:
        """Statements that copy our schema into an empty database, from one that nobody uses."""
        if not self._schema:
            name = self._create()
            asyncio.run(migrate.run(PoolSettings(self.dsn(name), driver="mysql")))
            self._schema = self._dump(name)
        return self._schema

    def _dump(self, name: str) -> list[str]:
        """Statements that make another database what this one is: tables, what is in them, triggers."""
        tables = [table for (table,) in self.execute("SHOW TABLES", name)]
        statements = [f"CREATE TABLE {table} LIKE {name}.{table}" for table in tables]
        statements += [f"INSERT INTO {table} SELECT * FROM {name}.{table}" for table in tables]
        for trigger, *_ in self.execute("SHOW TRIGGERS", name):
            statements.append(str(self.execute(f"SHOW CREATE TRIGGER {trigger}", name)[0][2]))
        others = self.execute(
            f"SELECT 'routine', routine_name FROM information_schema.routines WHERE routine_schema = '{name}'"
            f" UNION SELECT 'view', table_name FROM information_schema.views WHERE table_schema = '{name}'"
            f" UNION SELECT 'event', event_name FROM information_schema.events WHERE event_schema = '{name}'"
            " UNION SELECT 'foreign key', constraint_name FROM information_schema.referential_constraints"
            f" WHERE constraint_schema = '{name}'"
        )
        assert not others, f"copy these too: {others}"
        return statements

    def dsn(self, name: str, host: str = "127.0.0.1") -> str:
        """Connection string of a database."""
        return f"{USER}:{PASSWORD}@tcp({host}:{self.port})/{name}?charset=utf8mb4,utf8&readTimeout=30s"

    def socket_dsn(self, name: str) -> str:
        """For clients in other network namespaces."""
        return f"{USER}:{PASSWORD}@unix({self.data}/s.sock)/{name}?charset=utf8mb4,utf8"

    @property
    def socket_path(self) -> str:
        """Where it listens for clients in other network namespaces."""
        return f"{self.data}/s.sock"

    def follow(self, master: "MariaDB") -> None:
        """Become a replica of it."""
        self._read_only = 1
        self.root(
            "STOP SLAVE",
            f"CHANGE MASTER TO master_host='127.0.0.1', master_port={master.port}, master_user='{USER}',"
            f" master_password='{PASSWORD}', master_use_gtid=slave_pos, master_connect_retry=1,"
            " master_heartbeat_period=1",
            "START SLAVE",
            "SET GLOBAL read_only = 1",
        )

    def delay_replay(self, seconds: float) -> None:
        """A replica: stay behind by so much from now on."""
        self.root("STOP SLAVE", f"CHANGE MASTER TO master_delay={int(seconds)}", "START SLAVE")

    def pause_replay(self) -> None:
        """A replica: receive, but replay nothing more."""
        self.root("STOP SLAVE SQL_THREAD")

    def resume_replay(self) -> None:
        """A replica: go on."""
        self.root("START SLAVE SQL_THREAD")

    def promote(self) -> None:
        """A replica: become a master."""
        self._read_only = 0
        self.root("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0")

    def end(self) -> None:
        """Stop in good order."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def stop(self) -> None:
        """Stop in good order, and remove its files."""
        self.end()
        shutil.rmtree(self.directory)

    def crash(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.directory / "mariadb.log"


def shared() -> MariaDB:
    """The server that the tests of this process share; it ends with it."""
    resources.require("mariadb")
    return _shared()


@cache
def _shared() -> MariaDB:
    server = MariaDB().start()
    atexit.register(server.stop)
    return server


class MariaCluster:
    """A master and its replicas. Use as a context manager; what tests need of it is named as in `PgCluster`."""

    driver = "mysql"

    def __init__(self, replicas: int = 2, *, everywhere: bool = False) -> None:
        self.master, *self.replicas = [MariaDB(1 + index, everywhere=everywhere) for index in range(1 + replicas)]
        self._numbers = itertools.count(1)

    def __enter__(self) -> "MariaCluster":
        self.master.start()
        for replica in self.replicas:
            replica.start()
            replica.follow(self.master)
        return self

    def __exit__(self, *_: object) -> None:
        for server in (*self.replicas, self.master):
            server.stop()

    def new_database(self) -> str:
        """The name of a new, empty database, which every replica has."""
        name = f"test{next(self._numbers)}"
        self.master.execute(f"CREATE DATABASE {name}")
        self.catch_up()
        return name

    def catch_up(self) -> None:
        """Wait until the replicas have replayed all that the master has written."""
        position = self.master.execute("SELECT @@gtid_binlog_pos")[0][0]
        for replica in self.replicas:
            assert replica.execute(f"SELECT master_gtid_wait('{position}', 20)") == [(0,)]
