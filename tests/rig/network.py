"""What joins the nodes of a test: namespaces with a bridge, whose ways can be cut and slowed, or only loopback.

A bridge in the root namespace joins the namespaces; clients reach every node through it. The way from one node to
another is broken by a route to that one address, into a tun device that we read: packets are dropped, or written into
the receiver's tun device when they are due (`tests/rig/wire.py`). So nothing is refused and nothing is said, as on a real
network, and nobody else is cut off. Databases are reached by unix sockets, which know no network namespace, unless servers
have addresses here: then each way between a node and a server is broken like one between nodes.

Names carry the pid of the test run: what a killed one left behind is removed by the next.
"""

import contextlib
import itertools
import os
import re
import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import Protocol

from tests.rig.ports import free_port, mine
from tests.rig.wait import until
from tests.rig.wire import MTU, Pump, Way

_PREFIX = "mmr"
_HTTP, _INTER_NODE = 8065, 8075
_SUBNETS = 5
_FIRST_SERVER = 200
_TABLE = 7700
"""Of routes from servers to nodes, for subnet 0; the next subnet has the next one."""
_numbers = itertools.count()


class Unavailable(Exception):
    """The machine cannot do this; the text says why."""


class Net(Protocol):
    """Places for nodes, 0 and up."""

    def http(self, place: int) -> str:
        """ListenAddress of the node there."""

    def inter_node(self, place: int) -> str:
        """InterNodeListenAddress of the node there; the two ports after it are free too."""

    def prefix(self, place: int) -> tuple[str, ...]:
        """What to put before a command so that it runs there."""

    def cut(self, sender: int, receiver: int) -> None:
        """Nothing goes from one to the other any more; nobody is told."""

    def slow(self, sender: int, receiver: int, delay_s: float, jitter_s: float = 0.0) -> None:
        """What goes from one to the other takes so much longer, and up to so much more. The order stays."""

    def set(self, sender: int, receiver: int, way: Way) -> None:
        """What goes from one to the other goes so."""

    def heal(self) -> None:
        """All ways are open and fast again."""

    def close(self) -> None:
        """Remove everything."""


def network(places: int, servers: int = 0) -> Net:
    """Namespaces where they can be had, else loopback."""
    return Namespaces(places, servers) if namespaces_available() else Loopback(places)


@cache
def namespaces_available() -> bool:
    """Whether this process may make network namespaces, bridges and tun devices here. Removes what is stale, too."""
    if os.getuid() != 0:
        return False
    try:
        remove_stale()
        Namespaces(1).close()
    except (Unavailable, OSError):
        return False
    return True


class Loopback:
    """Free ports of 127.0.0.1. Nothing can be cut."""

    def __init__(self, places: int, servers: int = 0) -> None:
        if servers:
            raise Unavailable("nothing can be cut between nodes and servers on loopback")
        self._ports = [free_port(3) for _ in range(places)]

    def http(self, place: int) -> str:
        """See `Net`: any free port; the node says which."""
        return "127.0.0.1:0"

    def inter_node(self, place: int) -> str:
        """See `Net`."""
        return f"127.0.0.1:{self._ports[place]}"

    def prefix(self, place: int) -> tuple[str, ...]:
        """See `Net`."""
        return ()

    def cut(self, sender: int, receiver: int) -> None:
        """Not here."""
        raise Unavailable("ways between nodes are cut by network namespaces, and only root can make those")

    def slow(self, sender: int, receiver: int, delay_s: float, jitter_s: float = 0.0) -> None:
        """Not here."""
        self.cut(sender, receiver)

    def set(self, sender: int, receiver: int, way: Way) -> None:
        """Not here."""
        self.cut(sender, receiver)

    def heal(self) -> None:
        """Nothing is broken."""

    def close(self) -> None:
        """Nothing is left."""


class Namespaces:
    """A bridge and a namespace for each place. Addresses: 10.77.N.1 and up; this side is 10.77.N.254.

    servers: so many addresses of this side, for servers that listen on all of its addresses; `server` names their places.
    """

    def __init__(self, places: int, servers: int = 0) -> None:
        remove_stale()
        self._ways: dict[tuple[int, int], Way] = {}
        self._pump = Pump(self._ways)
        number = next(_numbers) % 100
        self._bridge = f"{_PREFIX}{os.getpid()}b{number}"
        self.names = [f"{_PREFIX}{os.getpid()}-{number}-{place}" for place in range(places)]
        try:
            self.subnet = self._make_bridge()
            for place in range(places):
                self._make_place(place)
            if servers:
                self._make_servers(servers)
        except BaseException:
            self.close()
            raise
        self._pump.start()

    def _make_bridge(self) -> str:
        _ip("link", "add", self._bridge, "type", "bridge")
        taken = set(re.findall(r"\b10\.77\.(\d+)\.", _ip("-4", "address")))
        first = _SUBNETS * mine().index  # those of this process, as its ports are
        number = next((one for one in range(first, first + _SUBNETS) if str(one) not in taken), None)
        if number is None:
            raise Unavailable(f"all subnets of this process are taken: 10.77.{first} and {_SUBNETS - 1} more")
        subnet = f"10.77.{number}"
        _ip("address", "add", f"{subnet}.254/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        return subnet

    def _make_place(self, place: int) -> None:
        name, outer = self.names[place], f"{self._bridge}v{place}"
        _ip("netns", "add", name)
        _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", outer, "master", self._bridge, "up")
        _ip("-n", name, "address", "add", f"{self.address(place)}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        # Packets of peers come in by the wire, answers leave by eth0.
        no_filter = "for one in all default; do echo 0 > /proc/sys/net/ipv4/conf/$one/rp_filter; done"
        _run("ip", "netns", "exec", name, "sh", "-c", no_filter)
        wire = f"{self._bridge}t{place}"
        self._open_wire(wire, place)
        _ip("link", "set", wire, "netns", name)
        _ip("-n", name, "link", "set", wire, "name", "wire", "mtu", str(MTU), "up")

    def _make_servers(self, count: int) -> None:
        wire = f"{self._bridge}s"
        self._open_wire(wire, *(self.server(index) for index in range(count)))
        _ip("link", "set", wire, "mtu", str(MTU), "up")
        Path(f"/proc/sys/net/ipv4/conf/{wire}/rp_filter").write_text("0")
        for index in range(count):
            _ip("address", "add", f"{self.address(self.server(index))}/24", "dev", self._bridge)
        for rule in _ip("rule", "list").splitlines():  # what a killed run left, which had this subnet
            if f"lookup {self._table}" in rule:
                _ip("rule", "delete", "lookup", self._table)
        _ip("route", "add", "default", "dev", wire, "table", self._table)

    def _open_wire(self, name: str, *places: int) -> None:
        try:
            self._pump.open(name, *places)
        except OSError as error:
            raise Unavailable(f"there is no tun device: {error}") from error

    @property
    def _table(self) -> str:
        return str(_TABLE + int(self.subnet.rpartition(".")[2]))

    def server(self, index: int) -> int:
        """The place of a server, for `address`, `cut`, `slow` and `set`."""
        return _FIRST_SERVER + index

    def address(self, place: int) -> str:
        """Of the node or the server there."""
        return f"{self.subnet}.{place + 1}"

    def http(self, place: int) -> str:
        """See `Net`."""
        return f"{self.address(place)}:{_HTTP}"

    def inter_node(self, place: int) -> str:
        """See `Net`."""
        return f"{self.address(place)}:{_INTER_NODE}"

    def prefix(self, place: int) -> tuple[str, ...]:
        """See `Net`. Servers are on this side."""
        return () if place >= _FIRST_SERVER else ("ip", "netns", "exec", self.names[place])

    def cut(self, sender: int, receiver: int) -> None:
        """See `Net`."""
        self.set(sender, receiver, Way(is_cut=True))

    def slow(self, sender: int, receiver: int, delay_s: float, jitter_s: float = 0.0) -> None:
        """See `Net`."""
        self.set(sender, receiver, Way(delay_s=delay_s, jitter_s=jitter_s))

    def set(self, sender: int, receiver: int, way: Way) -> None:
        """See `Net`."""
        known = (sender, receiver) in self._ways
        self._ways[sender, receiver] = way
        if not known:
            self._route("add", sender, receiver)

    def _route(self, action: str, sender: int, receiver: int) -> None:
        if sender >= _FIRST_SERVER:
            _ip("rule", action, "from", self.address(sender), "to", self.address(receiver), "lookup", self._table)
            return
        source = ("src", self.address(sender))
        _ip("-n", self.names[sender], "route", action, f"{self.address(receiver)}/32", "dev", "wire", *source)

    def heal(self) -> None:
        """See `Net`."""
        for sender, receiver in list(self._ways):
            self.open(sender, receiver)

    def open(self, sender: int, receiver: int) -> None:
        """One way is open and fast again, if it was not."""
        if self._ways.pop((sender, receiver), None) is not None:
            self._route("delete", sender, receiver)

    def close(self) -> None:
        """See `Net`. Whatever still runs there is killed."""
        self._pump.close()
        for place, name in enumerate(self.names):
            _delete_namespace(name)
            _ip("link", "delete", f"{self._bridge}v{place}", check=False)  # else it goes only a moment later
        _ip("link", "delete", self._bridge, check=False)


def remove_stale() -> None:
    """What test runs that were killed have left behind: their processes, namespaces and bridges."""
    for name in [line.split()[0] for line in _ip("netns", "list").splitlines() if line]:
        if _is_stale(name):
            _delete_namespace(name)
    links: list[str] = re.findall(r"^\d+: (\w+)", _ip("-o", "link"), re.MULTILINE)
    for name in filter(_is_stale, links):
        _ip("link", "delete", name, check=False)


def _is_stale(name: str) -> bool:
    mine = re.match(rf"{_PREFIX}(\d+)[-b]", name)
    return mine is not None and not Path(f"/proc/{mine[1]}").exists()


def _delete_namespace(name: str) -> None:
    def pids() -> list[int]:
        return [int(pid) for pid in _ip("netns", "pids", name, check=False).split()]

    for pid in pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not pids(), 10, f"the end of all processes of {name}")
    _ip("netns", "delete", name, check=False)


def _ip(*arguments: str, check: bool = True) -> str:
    return _run("ip", *arguments, check=check)


def _run(*command: str, check: bool = True) -> str:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise Unavailable(f"{command[0]}: {error.strerror}") from error
    if check and done.returncode:
        raise Unavailable(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
