"""A database password is nowhere but in the configuration: not in the log, an answer, an argument, an environment."""

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.plugins.resources import uses
from tests.rig.cluster import family
from tests.rig.node import Node
from tests.rig.wait import until

MMNODE = str(Path(sys.executable).with_name("mmnode"))
PIECES = ("Hunter2", "Secret9")
PASSWORD = "@/% #?".join(PIECES)
OTHER = "Elsewhere7'\"\\x"
SECRET = "Cluster5" * 5


class Tattler:
    """A PostgreSQL that refuses everybody, and says by which password (the tests' worst server)."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.refused = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(2)
                    if len(connection.recv(1000)) == 8:  # asks for TLS
                        connection.sendall(b"N")
                        connection.recv(1000)
                    said = f"no {PASSWORD} nor {quote(PASSWORD, safe='')} nor {OTHER} here"
                    fields = b"SFATAL\0VFATAL\0C28P01\0M" + said.encode() + b"\0\0"
                    connection.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)
                    self.refused += 1

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def tattler() -> Iterator[Tattler]:
    server = Tattler()
    yield server
    server.close()


@pytest.fixture
@uses("node")
def refused(tattler: Tattler) -> Iterator[Node]:
    """A node that its database does not let in."""
    source = f"postgres://mm:{quote(PASSWORD, safe='')}@127.0.0.1:{tattler.port}/mm"
    environment = {
        "MM_SQLSETTINGS_DATASOURCE": source,
        "MM_CLUSTERSETTINGS_SECRET": SECRET,
    }
    replicas = {
        "SqlSettings": {"DataSourceReplicas": [f"host=127.0.0.1 port={tattler.port} password={_quoted(OTHER)}"]}
    }
    node = Node(database="configured", environment=environment, config=replicas)
    try:
        node.launch()
        yield node
    finally:
        node.__exit__()


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _clean(text: str, where: str) -> None:
    for piece in (*PIECES, "Elsewhere7", SECRET[:16]):
        assert piece not in text, f"{piece} in {where}: {text}"


def _run(*arguments: str, said: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MM_")}
    return subprocess.run(
        [MMNODE, *arguments], input=said, capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def test_a_server_that_repeats_the_password_is_not_quoted(refused: Node, tattler: Tattler, tmp_path: Path) -> None:
    def answers() -> bool:
        with contextlib.suppress(OSError):
            return bool(refused.status()["ok"])
        return False

    until(answers, 20, "the control socket")
    until(lambda: "28P01" in refused.log or "here" in refused.log, 20, "a word of the refusal")
    for command in (
        ["status"],
        ["status", "--json"],
        ["db", "status"],
        ["cluster", "status"],
        ["db", "recycle"],
        ["config", "diff"],
    ):
        done = _run(*command, "--data-dir", str(refused.data_dir))
        _clean(done.stdout + done.stderr, " ".join(command))
    target = f"host=127.0.0.1 port={tattler.port} password={_quoted('Third' + PASSWORD)}"
    (tmp_path / "target").write_text(target + "\n")
    for to, said in (("-", target), (f"@{tmp_path / 'target'}", None), ("-", "postgres://mm:Hunter2/@x@h/mm")):
        done = _run("db", "failover", "--to", to, "--data-dir", str(refused.data_dir), said=said)
        assert done.returncode == 1
        assert json.loads(done.stdout)["ok"] is False
        _clean(done.stdout + done.stderr, "failover")
    refused.write_config(
        {"SqlSettings": {"DataSource": f"postgres://mm:{PASSWORD}@h/mm", "DataSourceReplicas": [PASSWORD]}}
    )
    _clean(json.dumps(refused.ask("reload")), "reload")
    assert refused.process is not None
    for pid in family(refused.process.pid):
        _clean(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace"), f"the arguments of {pid}")
        if pid != refused.process.pid:  # what the operator gave to it is the supervisor's alone
            _clean(Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace"), f"the environment of {pid}")
    assert tattler.refused > 2
    refused.stop()
    _clean(refused.log, "the log")
    assert "*" * 32 in refused.log


@pytest.mark.node
@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_what_is_wrong_with_a_configuration_is_said_without_a_password(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.json"
    for source in (
        f"postgres://mm:{PASSWORD}@h/mm",
        f"host=h password={PASSWORD}",
        f"mm:{PASSWORD}@tpc(h)/mm",
        f"mm:{PASSWORD}",
        f"mm:{PASSWORD}@tcp(h)/",
        PASSWORD,
        [PASSWORD],
        {"x": PASSWORD},
    ):
        as_master = {"DriverName": kind, "DataSource": source}
        as_replica = {"DriverName": kind, "DataSource": "host=h", "DataSourceReplicas": [source]}
        for settings in (as_master, as_replica, source):
            path.write_text(json.dumps({"SqlSettings": settings}))
            done = _run("config", "validate", "--config", str(path))
            _clean(done.stdout + done.stderr, f"the verdict on {settings}")


@pytest.mark.node
def test_a_password_among_the_arguments_is_refused_with_a_hint(tmp_path: Path) -> None:
    for to in (f"postgres://mm:{PASSWORD}@h/mm", f"host=h password={PASSWORD}", f"mm:{PASSWORD}@tcp(h)/mm"):
        done = _run("db", "failover", "--to", to, "--data-dir", str(tmp_path))
        assert done.returncode == 2
        assert "--to @FILE" in done.stderr
        _clean(done.stdout + done.stderr, "the hint")
    for nothing in ("", "-", f"@{tmp_path / 'absent'}"):
        assert _run("db", "failover", "--to", nothing, "--data-dir", str(tmp_path), said="").returncode == 2
