"""What joins the nodes of a test: namespaces with a bridge, whose ways can be cut and slowed, or only loopback.

A bridge in the root namespace joins the namespaces; clients reach every node through it. The way from one node to
another is broken by a route to that one address, into a tun device that we read: packets are dropped, or written into
the receiver's tun device when they are due. So nothing is refused and nothing is said, as on a real network; nobody
else is cut off, and the databases are not, which are reached by unix sockets: those know no network namespace.

Names carry the pid of the test run: what a killed one left behind is removed by the next.
"""

import contextlib
import fcntl
import heapq
import itertools
import os
import random
import re
import select
import signal
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from tests.rig.ports import free_port, mine
from tests.rig.wait import until

_PREFIX = "mmr"
_HTTP, _INTER_NODE = 8065, 8075
_TUNSETIFF, _TUN_WITHOUT_HEADER = 0x400454CA, 0x0001 | 0x1000
_MTU = 1500
_SUBNETS = 5
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

    def heal(self) -> None:
        """All ways are open and fast again."""

    def close(self) -> None:
        """Remove everything."""


def network(places: int) -> Net:
    """Namespaces where they can be had, else loopback."""
    return Namespaces(places) if namespaces_available() else Loopback(places)


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

    def __init__(self, places: int) -> None:
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

    def heal(self) -> None:
        """Nothing is broken."""

    def close(self) -> None:
        """Nothing is left."""


@dataclass(frozen=True)
class _Way:
    """What happens to packets of one direction."""

    is_cut: bool = False
    delay_s: float = 0.0
    jitter_s: float = 0.0


class Namespaces:
    """A bridge and a namespace for each place. Addresses: 10.77.N.1 and up; this side is 10.77.N.254."""

    def __init__(self, places: int) -> None:
        remove_stale()
        self._ways: dict[tuple[int, int], _Way] = {}
        self._wires: list[int] = []
        self._stop, self._stopped = os.pipe()
        number = next(_numbers) % 100
        self._bridge = f"{_PREFIX}{os.getpid()}b{number}"
        self.names = [f"{_PREFIX}{os.getpid()}-{number}-{place}" for place in range(places)]
        self._pump: threading.Thread | None = None
        try:
            self.subnet = self._make_bridge()
            for place in range(places):
                self._make_place(place)
        except BaseException:
            self.close()
            raise
        self._pump = threading.Thread(target=self._carry, daemon=True)
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
        self._wires.append(_open_tun(wire))
        _ip("link", "set", wire, "netns", name)
        _ip("-n", name, "link", "set", wire, "name", "wire", "mtu", str(_MTU), "up")

    def address(self, place: int) -> str:
        """Of the node there."""
        return f"{self.subnet}.{place + 1}"

    def http(self, place: int) -> str:
        """See `Net`."""
        return f"{self.address(place)}:{_HTTP}"

    def inter_node(self, place: int) -> str:
        """See `Net`."""
        return f"{self.address(place)}:{_INTER_NODE}"

    def prefix(self, place: int) -> tuple[str, ...]:
        """See `Net`."""
        return ("ip", "netns", "exec", self.names[place])

    def cut(self, sender: int, receiver: int) -> None:
        """See `Net`."""
        self._set(sender, receiver, _Way(is_cut=True))

    def slow(self, sender: int, receiver: int, delay_s: float, jitter_s: float = 0.0) -> None:
        """See `Net`."""
        self._set(sender, receiver, _Way(delay_s=delay_s, jitter_s=jitter_s))

    def _set(self, sender: int, receiver: int, way: _Way) -> None:
        known = (sender, receiver) in self._ways
        self._ways[sender, receiver] = way
        if not known:
            self._route("add", sender, receiver)

    def _route(self, action: str, sender: int, receiver: int) -> None:
        source = ("src", self.address(sender))
        _ip("-n", self.names[sender], "route", action, f"{self.address(receiver)}/32", "dev", "wire", *source)

    def heal(self) -> None:
        """See `Net`."""
        for sender, receiver in list(self._ways):
            self._route("delete", sender, receiver)
            del self._ways[sender, receiver]

    def close(self) -> None:
        """See `Net`. Whatever still runs there is killed."""
        os.close(self._stopped)
        if self._pump is not None:
            self._pump.join(5)
        os.close(self._stop)
        for wire in self._wires:
            os.close(wire)
        for place, name in enumerate(self.names):
            _delete_namespace(name)
            _ip("link", "delete", f"{self._bridge}v{place}", check=False)  # else it goes only a moment later
        _ip("link", "delete", self._bridge, check=False)

    def _carry(self) -> None:
        """Read what was routed into the wires; drop it, or hand it on when it is due."""
        due: list[tuple[float, int, int, bytes]] = []
        last_due: dict[tuple[int, int], float] = {}
        order = itertools.count()
        poll = select.poll()
        for descriptor in (self._stop, *self._wires):
            poll.register(descriptor, select.POLLIN)
        senders = {wire: place for place, wire in enumerate(self._wires)}
        while True:
            wait_ms = 1000 * max(0.0, due[0][0] - time.monotonic()) if due else None
            for descriptor, _ in poll.poll(wait_ms):
                if descriptor == self._stop:
                    return
                sender, packet = senders[descriptor], os.read(descriptor, 65_536)
                receiver = packet[19] - 1 if len(packet) >= 20 and packet[0] >> 4 == 4 else -1
                way = self._ways.get((sender, receiver))
                if not 0 <= receiver < len(self._wires) or (way is not None and way.is_cut):
                    continue
                way = way or _Way()
                at = time.monotonic() + way.delay_s + random.uniform(0, way.jitter_s)
                at = last_due[sender, receiver] = max(at, last_due.get((sender, receiver), 0.0))
                heapq.heappush(due, (at, next(order), receiver, packet))
            while due and due[0][0] <= time.monotonic():
                _, _, receiver, packet = heapq.heappop(due)
                with contextlib.suppress(OSError):  # its queue is full, or it is going: packets get lost
                    os.write(self._wires[receiver], packet)


def _open_tun(name: str) -> int:
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable(f"there is no tun device: {error}") from error
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


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
