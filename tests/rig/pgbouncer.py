"""PgBouncer before a PostgreSQL server of the tests."""

import os
import pwd
import shutil
import socket
import subprocess
from typing import Any, Literal

from tests.rig.directories import new_directory
from tests.rig.pgcluster import PgServer
from tests.rig.ports import free_port
from tests.rig.wait import until

PoolMode = Literal["session", "transaction", "statement"]


class PgBouncer:
    """A running pooler. Use as a context manager.

    ignores: startup parameters that it takes and forgets; others that it does not know end a connection.
    """

    def __init__(self, server: PgServer, pool_mode: PoolMode, *, ignores: str = "") -> None:
        self._directory = new_directory()
        self.port = free_port()
        users = self._directory / "users.txt"
        users.write_text('"mmnode" ""\n')
        self._config = self._directory / "pgbouncer.ini"
        self._config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {users}\npool_mode = {pool_mode}\n"
            f"ignore_startup_parameters = {ignores}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def dsn(self, database: str) -> str:
        """For clients."""
        return f"postgres://mmnode@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def __enter__(self) -> "PgBouncer":
        account: dict[str, Any] = {}
        if os.getuid() == 0:  # it does not run as root
            nobody = pwd.getpwnam("nobody")
            account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            for path in (self._directory, *self._directory.iterdir()):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["pgbouncer", "-q", str(self._config)],
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **account,
            )
        until(self._listens, 10, "PgBouncer to listen")
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory)
