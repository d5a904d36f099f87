"""A real node as a process of its own: started by the command that operators use, on a free port."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

from cluster import control, paths
from tests.rig import sql
from tests.rig.wait import until

READY_S = 40.0


def new_directory() -> Path:
    """A directory that PostgreSQL's own account can get to (pytest's are closed to others)."""
    directory = Path(tempfile.mkdtemp(prefix="mmnode-test-"))
    directory.chmod(0o755)
    return directory


class Node:
    """One node. Use as a context manager: it is stopped, and its directory removed, at the end."""

    def __init__(
        self,
        *,
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
            **(environment or {}),
        }
        self.write_config(config or {})
        self.process: subprocess.Popen[bytes] | None = None
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
        """What the node has logged so far."""
        return (self.directory / "node.log").read_text(errors="replace")

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

    def sql(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a query on the node's own database. What it changed is known to the node's caches then."""
        if self._environment.get("MM_SQLSETTINGS_DRIVERNAME") == "mysql":
            rows = sql.rows("mysql", self._environment["MM_SQLSETTINGS_DATASOURCE"], query, parameters)
        else:
            rows = sql.rows("postgres", self.master_dsn(), query, parameters)
        if not query.startswith("SELECT"):
            self.polled()
        return rows

    def master_dsn(self) -> str:
        """Where its PostgreSQL is."""
        return str(self.status()["database"]["master"])

    def polled(self) -> None:
        """Wait for a poll of the outbox that is sent after now."""
        since = time.monotonic()
        until(lambda: time.monotonic() - since > self.ask("database")["outbox_age_s"] + 0.001, what="a poll")

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


def processes_of(directory: Path) -> list[int]:
    """Pids of all processes whose command line or environment names the directory."""
    needle = str(directory).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if needle in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
