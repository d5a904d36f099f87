"""A real node as a process of its own: started by the command that operators use, on a free port.

Its passwords are hashed cheaply, because nothing that it tests is about them; tests/api/test_sessions.py has a node that is costly.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import requests

from app.passwords import CHEAP_VARIABLE
from cluster.host import paths
from cluster.node import control
from tests.plugins import resources
from tests.rig import lateness, postgres, sql
from tests.rig.directories import new_directory
from tests.rig.wait import until

READY_S = 40.0
POLL_S = 1.0
"""How often a node polls the outbox."""


class Node:
    """One node. Use as a context manager: it is stopped, and its directory removed, at the end.

    database: "shared" is a new database of the server that tests share; "embedded" the node's own PostgreSQL;
    "configured" whatever config or environment name.
    """

    def __init__(
        self,
        *,
        database: Literal["shared", "embedded", "configured"] = "shared",
        workers: int = 2,
        ws_workers: int = 1,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.directory = directory or new_directory()
        self.data_dir = self.directory / "node-data"
        self.config_path = self.directory / "config.json"
        self.workers = workers
        self.ws_workers = ws_workers
        self._prefix = prefix
        self._environment = {
            "MM_SERVICESETTINGS_LISTENADDRESS": "127.0.0.1:0",
            "MM_TEAMSETTINGS_ENABLEOPENSERVER": "true",
            CHEAP_VARIABLE: str(self.data_dir),
            **(environment or {}),
        }
        resources.require("node")
        if database == "shared":
            self._environment["MM_SQLSETTINGS_DATASOURCE"] = postgres.shared().new_database(schema=True)
        self.write_config(config or {})
        self.process: subprocess.Popen[bytes] | None = None
        self._first = ("", dict(self._environment))
        """config.json and environment of the first start."""
        self._log_from = 0
        self.url = ""
        self.admin_name = ""

    def write_config(self, config: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace config.json."""
        self.config_path.write_text(json.dumps(config))

    def set_environment(self, **variables: str) -> None:
        """More variables, or other values, from the next start on."""
        self._environment.update(variables)

    @property
    def log(self) -> str:
        """What the node has logged since its start, or since `restore`."""
        return (self.directory / "node.log").read_bytes()[self._log_from :].decode(errors="replace")

    def start(self) -> "Node":
        """Start and wait until it says that it is ready."""
        self.launch()
        return self.wait_ready()

    def wait_ready(self) -> "Node":
        """Wait until it says that it is ready."""
        until(self._is_ready, READY_S, f"a ready node; its log:\n{self.log}")
        return self

    def launch(self) -> None:
        """Start without waiting."""
        lateness.start()
        if self.process is None:
            self._first = (self.config_path.read_text(), dict(self._environment))
        with (self.directory / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self._prefix,
                    str(Path(sys.executable).with_name("mmnode")),
                    *("--workers", str(self.workers), "--ws-workers", str(self.ws_workers)),
                    *("--config", str(self.config_path), "--data-dir", str(self.data_dir)),
                ],
                stdout=log,
                stderr=log,
                cwd="/",
                env={**os.environ, **self._environment},
                start_new_session=True,
            )

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended with status {self.process.returncode}:\n{self.log}")
        try:
            status = self.status()
        except OSError:
            return False
        self.url = status["url"]
        return bool(status["state"] == "up")

    def restore(self) -> None:
        """Run under the configuration and the environment of the first start, whatever has become of it."""
        config, environment = self._first
        runs = self.process is not None and self.process.poll() is None
        same = self.config_path.read_text() == config
        self.config_path.write_text(config)
        goes_on = runs and environment == self._environment and (same or self._returns_live())
        if runs and not goes_on:
            self.stop(timeout_s=60)
        self._environment = dict(environment)
        self._log_from = (self.directory / "node.log").stat().st_size
        if not goes_on:
            self.start()
        self.wait_up()

    def _returns_live(self) -> bool:
        """Whether what config.json says can be had without a restart."""
        if self.ask("reload").get("restart_needed"):
            return False
        return not self.status()["recycle_needed"] or bool(self.ask("recycle")["ok"])

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send a command to the control socket."""
        return control.ask(paths.control_socket(self.data_dir), command, **arguments)

    def status(self) -> dict[str, Any]:
        """The answer of `mmnode status --json`."""
        return self.ask("status")

    def children(self) -> dict[str, dict[str, Any]]:
        """What the status says of each child, by name."""
        return {child["name"]: child for child in self.status()["children"]}

    def pid(self, name: str) -> int:
        """Process id of a child."""
        return int(self.children()[name]["pid"])

    def kill(self, name: str) -> int:
        """kill -9 a child; the pid it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_up(self, timeout_s: float = 20.0) -> None:
        """Wait until every child serves."""
        until(lambda: self.status()["state"] == "up", timeout_s, f"all children up; log:\n{self.log}")

    def wait_replaced(self, name: str, old_pid: int, timeout_s: float = 20.0) -> None:
        """Wait until another process serves in the place of `old_pid`."""

        def replaced() -> bool:
            child = self.children()[name]
            return child["pid"] not in (None, old_pid) and child["state"] == "up"

        until(replaced, timeout_s, f"a successor of {name}; log:\n{self.log}")

    def sql(self, query: str, *parameters: object, settle: bool = True) -> list[tuple[Any, ...]]:
        """Rows of a query on the node's own database. What it changed is known to the node's caches then.

        settle: False where more follows, or where no cache holds what is changed: a second is spared.
        """
        if self._environment.get("MM_SQLSETTINGS_DRIVERNAME") == "mysql":
            rows = sql.rows("mysql", self._environment["MM_SQLSETTINGS_DATASOURCE"], query, parameters)
        else:
            rows = sql.rows("postgres", self.master_dsn(), query, parameters)
        if settle and not query.startswith("SELECT"):
            self.polled()
        return rows

    def master_dsn(self) -> str:
        """Where its PostgreSQL is."""
        return self._environment.get("MM_SQLSETTINGS_DATASOURCE") or str(self.status()["database"]["master"])

    def polled(self) -> None:
        """Wait for a poll of the outbox that is sent after now."""
        since = time.monotonic()

        def has_come() -> bool:
            age_s = self.ask("database")["outbox_age_s"]
            if time.monotonic() - since > age_s + 0.001:
                return True
            time.sleep(max(0.0, POLL_S - age_s))  # each question is put to every worker
            return False

        until(has_come, what="a poll")

    def touch(self, channel_id: str, seq: str = "seq + 1") -> None:
        """Move the head of a channel, as everything does that changes what its lists show."""
        mysql = self._environment.get("MM_SQLSETTINGS_DRIVERNAME") == "mysql"
        changed = "changed_at = unix_timestamp() * 1000" if mysql else "changed_xid = pg_current_xact_id()"
        self.sql(f"UPDATE channel_heads SET seq = {seq}, {changed} WHERE channel_id = %s", channel_id)

    def ping(self) -> int:
        """Status of the health check; 0 when there is no answer."""
        try:
            return requests.get(f"{self.url}/api/v4/system/ping", timeout=2).status_code
        except requests.RequestException:
            return 0

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 10.0) -> int:
        """Signal it and wait for its end; the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def __enter__(self) -> "Node":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
