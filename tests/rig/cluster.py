"""Several nodes over one database, each in a network namespace of its own where root can make them, to be broken.

    with PgCluster(2) as servers, Cluster(servers) as cluster:
        cluster.cut(0, 1)                       # nothing goes between nodes 0 and 1, all else does
        cluster.kill(2)                         # kill -9 of all its processes
        cluster.client(ann, 1).get("/users/me")

A node is named by its place: 0, 1, 2. Each has a data directory, a config.json and a log of its own.
"""

import contextlib
import itertools
import os
import signal
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.rig.dblinks import DatabaseLinks
from tests.rig.mariadb import MariaCluster
from tests.rig.network import Namespaces, Unavailable, network
from tests.rig.node import Node
from tests.rig.people import new_user
from tests.rig.pgcluster import PgCluster
from tests.rig.rest import Rest
from tests.rig.wait import until

SECRET = "a secret of tests, of more than 32 bytes"
PASSING = frozenset({"slow_loop", "worker_restarting", "repair_rate", "hwm_drop"})
"""Reasons that stay for a while after what they tell of, or come with load."""
PRIVATE = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
"""Where tests, and the balancers that they start, come from: not from the node's own machine, as namespaces have it."""
_HEARD_MS = 1500
Sections = Mapping[str, Mapping[str, Any]]


class Cluster:
    """Nodes on a new database of `servers`, or on an empty one of theirs. Use as a context manager: it starts them all at once.

    enable: ClusterSettings.Enable; the start ends when all are green then, else when all are ready. spare: places for
    nodes that are added later. config, environment: of every node. linked: each reaches the master by a way of its own
    that can be cut (`cut_database`). routed: nodes reach all servers, which listen `everywhere`, through the network, where
    ways to them are broken like those between nodes (`server`). admin: the first user, logged in on node 0.
    """

    def __init__(
        self,
        servers: PgCluster | MariaCluster,
        nodes: int = 3,
        *,
        workers: int = 1,
        ws_workers: int = 1,
        spare: int = 0,
        enable: bool = True,
        config: Sections | None = None,
        environment: Mapping[str, str] | None = None,
        database: str = "",
        linked: bool = False,
        routed: bool = False,
    ) -> None:
        self.servers = servers
        self.links: DatabaseLinks | None = None
        self._linked, self._routed = linked, routed
        self.database = database or servers.new_database()
        self.config = config or {}
        self.enable = enable
        self._environment = dict(environment or {})
        self._workers, self._ws_workers = workers, ws_workers
        self.network = network(nodes + spare, 1 + len(servers.replicas) if routed else 0)
        self._count = nodes
        self.nodes = [self._make(place) for place in range(nodes)]
        self.admin: Rest

    def _make(self, place: int) -> Node:
        node = Node(
            database="configured",
            workers=self._workers,
            ws_workers=self._ws_workers,
            prefix=self.network.prefix(place),
            environment={
                "MM_SERVICESETTINGS_LISTENADDRESS": self.network.http(place),
                "MM_CLUSTERSETTINGS_INTERNODELISTENADDRESS": self.network.inter_node(place),
                **self._environment,
            },
        )
        self.configure(node, {})
        return node

    def add(self) -> Node:
        """One more node in a spare place; not started."""
        node = self._make(len(self.nodes))
        self.nodes.append(node)
        return node

    def configure(self, node: Node, change: Sections) -> None:
        """Write config.json of a node: that of all, with a change."""
        base: dict[str, dict[str, Any]] = {
            "SqlSettings": {
                "DriverName": self.servers.driver,
                "DataSource": self.dsn(self.servers.master),
                "DataSourceReplicas": [self.dsn(one) for one in self.servers.replicas],
                "MaxOpenConns": 16,
            },
            "TeamSettings": {"MaxUsersPerTeam": 10_000},
            "ServiceSettings": {"TrustedProxies": PRIVATE},
        }
        if self.enable:
            base["ClusterSettings"] = {"Enable": True, "Secret": SECRET, "DrainGraceS": 0}
        for section, keys in itertools.chain(self.config.items(), change.items()):
            base[section] = base.get(section, {}) | dict(keys)
        node.write_config(base)

    def dsn(self, server: Any) -> str:
        """How nodes reach a server."""
        if self._routed:
            return str(server.dsn(self.database, self.ways.address(self.server(server))))
        linked = self._linked and server is self.servers.master
        return str(server.dsn(self.database) if linked else server.socket_dsn(self.database))

    def server(self, server: Any) -> int:
        """The place of a server in the network, for `routed` clusters."""
        return self.ways.server([self.servers.master, *self.servers.replicas].index(server))

    @property
    def ways(self) -> Namespaces:
        """The network, whose ways can be broken. Raises Unavailable."""
        if not isinstance(self.network, Namespaces):
            raise Unavailable("only in a namespace of its own has a node a way of its own to others")
        return self.network

    def __enter__(self) -> "Cluster":
        try:
            if self._linked:
                self.links = DatabaseLinks(self.ways.names, self.servers.master.port).__enter__()
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.wait_ready()
            self.admin = new_user(self.nodes[0].url, "admin")
            if self.enable:
                self.until_green()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        for place, node in enumerate(self.nodes):
            self.cont(place)
            if node.process is not None and node.process.poll() is None:
                node.process.send_signal(signal.SIGTERM)
        for node in self.nodes:
            node.__exit__()
        if self.links is not None:
            self.links.__exit__()
        self.network.close()

    # Looking ---------------------------------------------------------------------------------------------------------

    def client(self, who: Rest, place: int) -> Rest:
        """The same session on another node: no cookies, a connection of its own."""
        return who.at(self.nodes[place].url)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a statement on the master, by its superuser."""
        return self.servers.master.execute(query, self.database)

    def members(self, by: int = 0, *, passing: bool = False) -> dict[int, dict[str, Any]]:
        """What a node says of all (GET /cluster/status): place -> object of the answer.

        passing: also what a busy machine, or a fault that is over, is yellow for.
        """
        rest = self.client(self.admin, by)
        try:
            found = rest.get("/cluster/status")
        finally:
            rest.close()
        places = {self.node_id(place): place for place in range(len(self.nodes))}
        return {places[one["id"]]: one if passing else _settled(one) for one in found if one["id"] in places}

    def node_id(self, place: int) -> str:
        """Who a node is; '' before its first start."""
        try:
            return (self.nodes[place].data_dir / "node_id").read_text().strip()
        except FileNotFoundError:
            return ""

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

    def hear_each_other(self, *places: int) -> bool:
        """Whether these nodes, or all, hear each other themselves: green they are also when a third one hears both."""
        ids = {self.node_id(place) for place in places or range(len(self.nodes))}
        links = {one["id"]: one["links"] for one in self.members(min(places, default=0)).values()}
        return all(
            links.get(one, {}).get(other, _HEARD_MS + 1) <= _HEARD_MS for one in ids for other in ids if one != other
        )

    def logs(self) -> str:
        """The end of what each node has logged."""
        return "\n".join(f"--- {place}\n{node.log[-3000:]}" for place, node in enumerate(self.nodes))

    # Breaking the ways between nodes ----------------------------------------------------------------------------------

    def cut(self, a: int, b: int, *, one_way: bool = False) -> None:
        """No packet goes from `a` to `b`, nor back unless `one_way`."""
        self.network.cut(a, b)
        if not one_way:
            self.network.cut(b, a)

    def isolate(self, place: int) -> None:
        """Cut a node from every other one; clients and the database still reach it."""
        for other in self._others(place):
            self.cut(place, other)

    def slow(self, place: int, ms: float, jitter_ms: float = 0.0) -> None:
        """What goes between a node and the others takes so much longer, each way, and up to so much more."""
        for other in self._others(place):
            self.network.slow(place, other, ms / 1000, jitter_ms / 1000)
            self.network.slow(other, place, ms / 1000, jitter_ms / 1000)

    def cut_database(self, place: int) -> None:
        """No byte goes between a node and the master any more, and nobody is told. For `linked` clusters."""
        assert self.links is not None
        self.links.cut(place)

    def heal(self) -> None:
        """All ways are open and fast again."""
        self.network.heal()
        if self.links is not None:
            self.links.heal()

    def _others(self, place: int) -> list[int]:
        return [one for one in range(len(self.nodes)) if one != place]

    # Breaking nodes ---------------------------------------------------------------------------------------------------

    def pids(self, place: int) -> list[int]:
        """Every process of a node: the supervisor first, then its workers and theirs; also while they are frozen."""
        process = self.nodes[place].process
        return family(process.pid) if process is not None and process.poll() is None else []

    def pid(self, place: int, name: str) -> int:
        """Process id of a child of a node: relay, api0, ws0."""
        return self.nodes[place].pid(name)

    def kill(self, place: int) -> None:
        """kill -9 of a node: all of it at once, as when a machine dies."""
        process = self.nodes[place].process
        assert process is not None
        _signal([process.pid], signal.SIGSTOP)  # it is to start no more children
        _signal(self.pids(place), signal.SIGKILL)
        process.wait(10)

    def kill_child(self, place: int, name: str) -> int:
        """kill -9 of one process of a node: relay, api0, ws0; the pid it had."""
        return self.nodes[place].kill(name)

    def stop(self, place: int) -> None:
        """SIGSTOP of a whole node: the kernel goes on accepting its connections and acknowledging its data."""
        process = self.nodes[place].process
        assert process is not None
        _signal([process.pid], signal.SIGSTOP)
        _signal(self.pids(place), signal.SIGSTOP)

    def cont(self, place: int) -> None:
        """SIGCONT: workers first, so that a supervisor that wakes does not find them silent."""
        _signal(reversed(self.pids(place)), signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self, pids: Collection[int]) -> Iterator[None]:
        """SIGSTOP of some processes, and SIGCONT at the end."""
        _signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(pids, signal.SIGCONT)

    def restore(self) -> None:
        """As at the beginning: all ways are open, every node runs and is configured as it was, all are green.

        Of the database's servers it asks only what green says: no replica is late.
        """
        self.heal()
        while len(self.nodes) > self._count:
            self.nodes.pop().__exit__()
        for place, node in enumerate(self.nodes):
            self.cont(place)
            node.restore()
        self.until_green()
        if self.enable:
            until(self.hear_each_other, 20, "all nodes to hear each other")

    def restart(self, place: int, config: Sections | None = None, **environment: str) -> None:
        """Stop a node in good order (if it runs) and start it, with a change of config.json and of its environment."""
        node = self.nodes[place]
        if node.process is not None and node.process.poll() is None:
            node.stop(timeout_s=60)
        if config is not None:
            self.configure(node, config)
        node.set_environment(**environment)
        node.start()


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def family(pid: int) -> list[int]:
    """A process and all that come from it, itself first."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process that has not ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _settled(member: dict[str, Any]) -> dict[str, Any]:
    reasons = [word for word in member["reasons"] if word not in PASSING]
    state = "green" if member["state"] == "yellow" and not reasons else member["state"]
    return member | {"reasons": reasons, "state": state}
