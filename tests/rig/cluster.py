"""Several nodes over one database, each in a network namespace of its own, so that the ways between them can be cut.

A bridge in the root namespace joins them: clients reach every node through it, and the databases by unix sockets, which
know no network namespace. Cutting two nodes is a blackhole route to the other's address, so nobody else is cut off.
"""

import contextlib
import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.rig.node import Node, processes_of
from tests.rig.people import new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import Rest
from tests.rig.wait import until

SECRET = "a secret of tests, of more than 32 bytes"
_PREFIX = "mmt"
_numbers = itertools.count()


def _ip(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _remove_stale() -> None:
    """What a test run that was killed has left behind."""
    for name in [line.split()[0] for line in _ip("netns", "list").splitlines() if line.startswith(_PREFIX)]:
        if not Path(f"/proc/{name.removeprefix(_PREFIX).partition('-')[0]}").exists():
            _ip("netns", "delete", name, check=False)


class Network:
    """A bridge and a namespace for each place. Addresses: 10.77.N.1 and up; this side is .254."""

    def __init__(self, places: int) -> None:
        _remove_stale()
        number = next(_numbers)
        self.subnet = f"10.77.{(os.getpid() * 7 + number) % 250}"
        self._bridge = f"{_PREFIX}{os.getpid() % 100000}b{number}"
        self.names = [f"{_PREFIX}{os.getpid()}-{number}-{place}" for place in range(places)]
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("address", "add", f"{self.subnet}.254/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for place, name in enumerate(self.names):
            outer = f"{self._bridge}v{place}"
            _ip("netns", "add", name)
            _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", outer, "master", self._bridge, "up")
            _ip("-n", name, "address", "add", f"{self.address(place)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        self._cuts: set[tuple[int, int]] = set()

    def address(self, place: int) -> str:
        """Of the namespace."""
        return f"{self.subnet}.{place + 1}"

    def cut(self, sender: int, receiver: int) -> None:
        """Nothing goes from one to the other any more."""
        if (sender, receiver) not in self._cuts:
            self._cuts.add((sender, receiver))
            _ip("-n", self.names[sender], "route", "add", "blackhole", f"{self.address(receiver)}/32")

    def heal(self) -> None:
        """All ways are open again."""
        for sender, receiver in self._cuts:
            _ip("-n", self.names[sender], "route", "delete", "blackhole", f"{self.address(receiver)}/32")
        self._cuts.clear()

    def close(self) -> None:
        """Remove everything."""
        for name in self.names:
            _ip("netns", "delete", name, check=False)
        _ip("link", "delete", self._bridge, check=False)


class Cluster:
    """Nodes on a `PgCluster`'s new database. Use as a context manager: it starts them, and ends when all are green."""

    def __init__(
        self,
        servers: PgCluster,
        nodes: int = 3,
        *,
        workers: int = 1,
        spare: int = 0,
        config: dict[str, Any] | None = None,
    ) -> None:
        """spare: places for nodes that are added later."""
        self.servers = servers
        self.database = servers.new_database()
        self.network = Network(nodes + spare)
        self.config = config or {}
        self.nodes = [self._make(place, workers) for place in range(nodes)]
        self.admin: Rest

    def add(self) -> Node:
        """One more node in a spare place; not started."""
        node = self._make(len(self.nodes), self.nodes[0].workers)
        self.nodes.append(node)
        return node

    def _make(self, place: int, workers: int) -> Node:
        address = self.network.address(place)
        node = Node(
            workers=workers,
            prefix=("ip", "netns", "exec", self.network.names[place]),
            environment={
                "MM_SERVICESETTINGS_LISTENADDRESS": f"{address}:8065",
                "MM_CLUSTERSETTINGS_INTERNODELISTENADDRESS": f"{address}:8075",
            },
        )
        self.configure(node, {})
        return node

    def configure(self, node: Node, change: dict[str, dict[str, Any]]) -> None:
        """Write config.json: that of all, with a change."""
        servers = self.servers
        base: dict[str, dict[str, Any]] = {
            "SqlSettings": {
                "DataSource": servers.master.socket_dsn(self.database),
                "DataSourceReplicas": [one.socket_dsn(self.database) for one in servers.replicas],
                "MaxOpenConns": 16,
            },
            "ClusterSettings": {"Enable": True, "Secret": SECRET},
            "TeamSettings": {"MaxUsersPerTeam": 10_000},
        }
        for section, keys in itertools.chain(self.config.items(), change.items()):
            base[section] = base.get(section, {}) | keys
        node.write_config(base)

    def __enter__(self) -> "Cluster":
        try:
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.wait_ready()
            self.admin = new_user(self.nodes[0].url, "admin")
            self.until_green()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.network.heal()
        for node in self.nodes:
            self.signal(node, signal.SIGCONT)
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                node.process.send_signal(signal.SIGTERM)
        for node in self.nodes:
            node.__exit__()
        self.network.close()

    # Looking ---------------------------------------------------------------------------------------------------------

    def members(self, by: int = 0) -> dict[int, dict[str, Any]]:
        """What a node says of all: place -> object of the cluster's status."""
        rest = self.client(self.admin, by)
        try:
            found = rest.get("/cluster/status")
        finally:
            rest.close()
        places = {self.network.address(place): place for place in range(len(self.nodes))}
        return {places[one["ipaddress"]]: one for one in found if one["ipaddress"] in places}

    def is_green(self, by: int | None = None) -> bool:
        """Whether every node (or one) calls every node green."""
        for place in range(len(self.nodes)) if by is None else [by]:
            try:
                members = self.members(place)
            except (OSError, AssertionError):
                return False
            if len(members) < len(self.nodes) or any(one["state"] != "green" for one in members.values()):
                return False
        return True

    def until_green(self, timeout_s: float = 30.0) -> None:
        """Wait for that."""
        until(self.is_green, timeout_s, f"a green cluster; logs:\n{self.logs()}")

    def logs(self) -> str:
        """The end of what each node has logged."""
        return "\n".join(f"--- {place}\n{node.log[-3000:]}" for place, node in enumerate(self.nodes))

    def client(self, who: Rest, place: int) -> Rest:
        """The same session on another node: no cookies, a connection of its own."""
        rest = Rest(self.nodes[place].url)
        rest.user, rest.token = who.user, who.token
        rest.session.headers["Authorization"] = f"Bearer {who.token}"
        return rest

    # Breaking --------------------------------------------------------------------------------------------------------

    def cut(self, a: int, b: int, *, one_way: bool = False) -> None:
        """No packet goes from `a` to `b`, nor back unless `one_way`."""
        self.network.cut(a, b)
        if not one_way:
            self.network.cut(b, a)

    def heal(self) -> None:
        """All cuts are over."""
        self.network.heal()

    def signal(self, node: Node, number: int) -> None:
        """To every process of a node."""
        for pid in processes_of(node.directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def pids(self, place: int) -> list[int]:
        """Every process of a node."""
        node = self.nodes[place]
        assert node.process is not None
        return [node.process.pid, *(child["pid"] for child in node.status()["children"] if child["pid"])]

    def kill(self, place: int) -> None:
        """kill -9 of the node: all of it at once, as when a machine dies."""
        for pid in self.pids(place):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process = self.nodes[place].process
        assert process is not None
        process.wait(10)

    @contextlib.contextmanager
    def frozen(self, pids: list[int]) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
