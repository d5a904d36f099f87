"""A PostgreSQL server of the tests' own, from the embedded wheel, on a unix socket."""

import itertools
import os
import signal
import subprocess
from pathlib import Path

import psycopg

from cluster import embedded, paths, spawn
from tests.rig.node import new_directory
from tests.rig.wait import until


class Postgres:
    """A running server; `new_database` gives each test one of its own."""

    def __init__(self) -> None:
        self.directory = new_directory()
        self._lock = paths.lock(self.directory / "data")
        self._paths = paths.prepare(self.directory / "data")
        self.embedded = embedded.prepare(self._paths)
        self._numbers = itertools.count(1)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Postgres":
        """Start and wait until it takes connections."""
        self.process = process = spawn.start_postgres(
            self.embedded.command(100), self.embedded.environment, self.embedded.account, self.embedded.log
        )
        until(lambda: self.embedded.ready(process.pid), 20, "a ready PostgreSQL")
        return self

    def stop(self) -> None:
        """Stop it in good order, and remove its files."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(10)
        paths.clean_up(self._paths)
        os.close(self._lock)
        subprocess.run(["rm", "-rf", str(self.directory)], check=True)

    def crash(self) -> None:
        """kill -9 the postmaster; its backends notice and end."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def dsn(self) -> str:
        """Of the database `mmnode`."""
        return self.embedded.dsn

    def new_database(self) -> str:
        """Connection string of a new, empty database."""
        name = f"test{next(self._numbers)}"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.dsn.replace(f"dbname={embedded.DATABASE}", f"dbname={name}")

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.embedded.log
