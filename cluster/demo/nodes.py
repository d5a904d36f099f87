"""mmnode demo: three nodes over a PostgreSQL master with two replicas, on this machine, to see them fail and go on.

Everything lies in a directory of its own and is gone at the end. Whatever dies comes back, or is replaced: a node is
started again, a master's place is taken by a replica. Nothing outlives this process, however it ends.
"""

import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cluster.demo.postgres import Failed, Servers
from cluster.host import paths, spawn
from cluster.host.logwriter import CLOSE_S, Descriptor, Writer
from cluster.host.paths import DataDirInUse
from cluster.node.embedded import NotAvailable

NODES = 3
_PREFIX = "mmnode-demo-"
_TICK_S = 0.1
_READY_S = 60.0
_STOP_S = 10.0
_RETURN_S = 10.0
_TAIL_BYTES = 2000
_SIGN_UP = {"username": "ann", "email": "ann@example.com", "password": "correct-horse"}
_LOG_IN = {"login_id": "ann", "password": "correct-horse"}


@dataclass
class DemoNode:
    """A node of the demo: how it is started, what became of it."""

    number: int
    directory: Path
    http_port: int
    inter_node_port: int
    process: "subprocess.Popen[bytes] | None" = None
    died_at: float | None = None

    @property
    def name(self) -> str:
        """For people and for its files."""
        return f"node{self.number}"

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.directory / self.name

    @property
    def log(self) -> Path:
        """Its log."""
        return self.directory / f"{self.name}.log"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self, secret: str) -> None:
        """Start it. It dies with us: its workers die with it."""
        parent = os.getpid()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.upper().startswith("MM_")},
            "MM_SERVICESETTINGS_LISTENADDRESS": f"127.0.0.1:{self.http_port}",
            "MM_CLUSTERSETTINGS_INTERNODELISTENADDRESS": f"127.0.0.1:{self.inter_node_port}",
            "MM_CLUSTERSETTINGS_SECRET": secret,
        }
        command = [sys.executable, "-P", "-m", "mmnode", "--workers", "1", "--ws-workers", "1"]
        places = ["--config", str(self.directory / "config.json"), "--data-dir", str(self.data)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 (our own program)
                [*command, *places],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment,
                start_new_session=True,  # Ctrl-C is ours to handle
                # The only code of ours between fork and exec: it takes no lock that a thread might have held.
                preexec_fn=lambda: spawn.die_with_parent(parent),
            )
        self.died_at = None

    def answers(self) -> bool:
        """Whether it says that it should get traffic."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=2)
        try:
            connection.request("GET", "/api/v4/system/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Demo:
    """`run` starts everything, looks after it until Ctrl-C or SIGTERM, stops everything, and returns the exit status.

    port_base: HTTP of the first node; the second's is 100 higher, the third's 200; each one's first port for the other
    nodes is 10 above its HTTP port.
    """

    def __init__(self, port_base: int) -> None:
        self._stopping = False
        self._secret = secrets.token_hex(32)
        self._directory = Path(tempfile.gettempdir())
        self._port_base = port_base
        self._nodes: list[DemoNode] = []
        self._servers: Servers | None = None
        # Who reads them may stop or go, and the demo still looks after its processes, and takes its directory away.
        self._output = Writer("standard output", Descriptor(1), _lost)
        self._errors = Writer("standard error", Descriptor(2), _lost)

    def run(self) -> int:
        """See the class."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        _remove_stale()
        self._directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = paths.lock(self._directory)
        if os.getuid() == 0:
            self._directory.chmod(0o711)  # the account of PostgreSQL must get to its own folders in it
        places = None
        status = 0
        try:
            (self._directory / "database").mkdir(mode=0o755)
            places = paths.prepare(self._directory / "database")
            self._start(places)
            while not self._stopping:
                time.sleep(_TICK_S)
                self._look_after()
        except (Failed, NotAvailable) as error:
            self._errors.put(f"mmnode: {error}\n")
            status = 1
        finally:
            self._end()
            if places is not None:
                paths.clean_up(places)
            shutil.rmtree(self._directory, ignore_errors=True)
            os.close(lock)
            deadline = time.monotonic() + CLOSE_S
            self._output.finish(deadline)
            self._errors.finish(deadline)
        return status

    def _say(self, text: str) -> None:
        self._output.put(f"{text}\n")

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _start(self, places: paths.Paths) -> None:
        began = time.monotonic()
        self._say("starting PostgreSQL: a master and two replicas …")
        self._servers = Servers(places, self._say)
        self._servers.start()
        self._write_config(self._servers)
        self._say("starting three nodes …")
        for index in range(NODES):
            http_port = self._port_base + 100 * index
            self._nodes.append(DemoNode(index + 1, self._directory, http_port, http_port + 10))
        for node in self._nodes:
            node.start(self._secret)
        deadline = time.monotonic() + _READY_S
        while not self._stopping and not all(node.answers() for node in self._nodes):
            for node in self._nodes:
                if not node.alive:
                    raise Failed(f"{node.name} does not start:\n{_tail(node.log)}")
            if time.monotonic() > deadline:
                raise Failed(f"the nodes are not ready after {_READY_S:.0f} s; their logs are in {self._directory}")
            time.sleep(_TICK_S)
        if not self._stopping:
            self._explain(self._servers, time.monotonic() - began)

    def _write_config(self, servers: Servers) -> None:
        """One file for all nodes, as it is to be; what differs, and the secret, they get by the environment."""
        config = {
            "TeamSettings": {"SiteName": "mmnode demo", "EnableOpenServer": True},
            "SqlSettings": {
                "DataSource": servers.dsn,
                "DataSourceReplicas": [server.dsn for server in servers.replicas()],
                "MaxOpenConns": 30,
            },
            "ClusterSettings": {"Enable": True, "DrainGraceS": 0},
            "FileSettings": {"Directory": str(self._directory / "files")},
        }
        (self._directory / "config.json").write_text(json.dumps(config, indent=4), encoding="utf-8")

    def _explain(self, servers: Servers, seconds: float) -> None:
        program = Path(sys.executable).with_name("mmnode")
        first, second, third = self._nodes
        assert second.process is not None
        assert servers.master.process is not None
        lines = [
            "",
            *(f"{node.name}  {node.url}  pid {_pid(node.process)}  log {node.log}" for node in self._nodes),
            *(
                f"{server.name}  {'master ' if server is servers.master else 'replica'}  pid {_pid(server.process)}"
                f"  psql '{server.dsn}'"
                for server in servers.all
            ),
            f"ready after {seconds:.1f} s; everything lies in {self._directory} and is removed at the end",
            "",
            "The first account becomes the administrator. Sign up on one node, log in on another:",
            f"  curl -s {first.url}/api/v4/users -d '{json.dumps(_SIGN_UP)}'",
            f"  curl -si {second.url}/api/v4/users/login -d '{json.dumps(_LOG_IN)}'",
            "Or point a Mattermost client at any of the three.",
            "",
            "See the cluster:",
            f"  watch -n 0.5 {program} cluster status --data-dir {first.data}",
            "Kill a node; the others go on, and it is started again after a while:",
            f"  kill -9 {second.process.pid}",
            "Stop one in good order:",
            f"  {program} drain --data-dir {third.data}",
            "Kill the master of the database; a replica takes its place and no acknowledged post is lost:",
            f"  kill -9 {servers.master.process.pid}",
            f"  {program} db status --data-dir {first.data}",
            "",
            "Ctrl-C stops everything.",
        ]
        self._say("\n".join(lines))

    def _look_after(self) -> None:
        """What has died comes back or is replaced."""
        assert self._servers is not None
        self._servers.look_after()
        now = time.monotonic()
        for node in self._nodes:
            if node.alive:
                continue
            if node.died_at is None:
                node.died_at = now
                self._say(f"{node.name} has ended; it is started again in {_RETURN_S:.0f} s")
            elif now - node.died_at >= _RETURN_S:
                node.start(self._secret)
                self._say(f"{node.name} is started again, pid {_pid(node.process)}")

    def _end(self) -> None:
        self._say("stopping …")
        running = [node.process for node in self._nodes if node.process is not None and node.alive]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._servers is not None:
            self._servers.stop()
        for node in self._nodes:
            _remove_runtime(node.data)


def _lost(lost: int, reason: str) -> str:
    return f"({lost} lines were lost: {reason})\n"


def _pid(process: "subprocess.Popen[bytes] | None") -> int | str:
    return process.pid if process is not None else "-"


def _tail(log: Path) -> str:
    return log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace") if log.exists() else ""


def _remove_stale() -> None:
    """Directories of demos that were killed."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if directory.is_symlink() or directory.stat().st_uid != os.getuid():
                continue
            lock = paths.lock(directory)
        except (DataDirInUse, OSError):
            continue
        for data in directory.iterdir():
            _remove_runtime(data)
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _remove_runtime(data: Path) -> None:
    """The runtime directory of a node, or of the database, that was killed."""
    link = data / "run"
    if link.is_symlink() and Path(os.readlink(link)).name.startswith("mmnode-"):
        shutil.rmtree(os.readlink(link), ignore_errors=True)
