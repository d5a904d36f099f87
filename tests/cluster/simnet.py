"""Nodes (the real `Mesh`) on a virtual network with a virtual clock: delays, drops, cuts, restarts."""

import functools
import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from cluster.bus.envelope import Class, Kind, unpack
from cluster.peers.mesh import Mesh
from cluster.peers.outputs import Broadcast, Deliver, Direct, Lost, Met, Moved, Output, Through
from tests.rig import virtual

TICK_S = 0.05


class Clock(Protocol):
    """What the network is driven by."""

    @property
    def now(self) -> float:
        """Seconds."""

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        """Do something later."""


class OwnClock:
    """A clock for the network alone. `run_until` lets time pass."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        """See `Clock`."""
        heapq.heappush(self._events, (self.now + delay_s, next(self._order), what))

    def run_until(self, when: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= when:
            at, _, what = heapq.heappop(self._events)
            self.now = max(self.now, at)
            what()
        self.now = when


class LoopClock:
    """The virtual loop's clock, for the network."""

    @property
    def now(self) -> float:
        """See `Clock`."""
        return virtual.now()

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        """See `Clock`."""
        virtual.running().call_later(delay_s, what)


@dataclass
class SimNode:
    """A node; `take` gets what its mesh wants of it, beside sending."""

    mesh: Mesh
    frozen_until: float = 0.0
    per_tick: int = 1 << 30
    """How much of what waits it reads in a turn, when it wakes."""
    inbox: list[Callable[[], None]] = field(default_factory=list)

    def take(self, output: Output, now: float) -> None:
        """An output of the mesh."""

    def renew(self, now: float) -> None:
        """Before every tick: see `RelayWorker._renew`."""

    def exchange(self, now: float) -> None:
        """Before anything is sent: see `cluster.peers.terms.share`."""


@dataclass
class Recorder(SimNode):
    """A node that remembers what it saw. seen: (origin, incarnation) -> numbers delivered."""

    through: Callable[["Recorder", Through], None] = lambda *_: None
    seen: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)
    moved: list[tuple[float, Moved]] = field(default_factory=list)

    def renew(self, now: float) -> None:
        """Its polls take no time."""
        self.mesh.may_serve(now)

    def take(self, output: Output, now: float) -> None:
        """See `SimNode`."""
        match output:
            case Deliver():
                envelope = output.envelope
                self.seen.setdefault((envelope.origin, envelope.incarnation), []).append(envelope.seq)
            case Lost():
                self.lost.append(output)
            case Moved():
                self.moved.append((now, output))
            case Through():
                self.through(self, output)
            case Met():
                pass
            case _:
                raise AssertionError(output)


N = TypeVar("N", bound=SimNode)


class Network(Generic[N]):
    """Ways between nodes. chance: where all randomness comes from. make: a node around its mesh."""

    def __init__(
        self,
        chance: random.Random,
        node_ids: list[str],
        clock: Clock,
        make: Callable[[Mesh], N],
        *,
        drop: float = 0.0,
        tick_s: float = TICK_S,
    ) -> None:
        self.chance = chance
        self.clock = clock
        self.drop = drop
        self.nodes: dict[str, N] = {}
        self.cuts: set[tuple[str, str]] = set()
        self.cut_since: dict[tuple[str, str], float] = {}
        self.healed_at: dict[tuple[str, str], float] = {}
        self._make = make
        self._tick_s = tick_s
        self._incarnations: dict[str, Iterator[int]] = {one: itertools.count(1) for one in node_ids}
        self._arrivals: dict[tuple[str, str, str], float] = {}
        for node_id in node_ids:
            clock.after(chance.random() * tick_s, functools.partial(self._tick, node_id))

    @property
    def now(self) -> float:
        """Seconds."""
        return self.clock.now

    def start(self, node_id: str) -> N:
        """A node begins, or begins anew."""
        mesh = Mesh(node_id, "cluster", next(self._incarnations[node_id]), self.now)
        node = self.nodes[node_id] = self._make(mesh)
        mesh.set_members(self._incarnations, self.now)
        self.settle(node_id)
        return node

    def stop(self, node_id: str) -> None:
        """kill -9."""
        self.nodes.pop(node_id, None)

    def cut(self, a: str, b: str) -> None:
        """Nothing goes from `a` to `b` any more."""
        if (a, b) not in self.cuts:
            self.cuts.add((a, b))
            self.cut_since[a, b] = self.now

    def heal(self) -> None:
        """All cuts are over."""
        for pair in self.cuts:
            self.healed_at[pair] = self.now
        self.cuts.clear()

    def freeze(self, node_id: str, seconds: float) -> None:
        """SIGSTOP, then SIGCONT: what comes meanwhile waits in its queues."""
        if node_id in self.nodes:
            self.nodes[node_id].frozen_until = self.now + seconds

    def settle(self, node_id: str) -> None:
        """Do what the mesh wants done, as `Interlink` does."""
        node = self.nodes[node_id]
        node.exchange(self.now)
        node.mesh.acknowledge()
        while node.mesh.out:
            match output := node.mesh.out.popleft():
                case Broadcast():
                    lane = "lossy" if output.lossy else "sub"
                    for other in node.mesh.peers:
                        self._send(node_id, other, lane, output.header, output.body)
                case Direct():
                    self._send(node_id, output.peer, "direct", output.header, output.body)
                case _:
                    node.take(output, self.now)

    def _tick(self, node_id: str) -> None:
        self.clock.after(self._tick_s, functools.partial(self._tick, node_id))
        node = self.nodes.get(node_id)
        if node is None or node.frozen_until > self.now:
            return
        waiting, node.inbox = node.inbox[: node.per_tick], node.inbox[node.per_tick :]
        for one in waiting:
            one()
        node.renew(self.now)
        node.mesh.tick(self.now)
        self.settle(node_id)

    def _send(self, sender: str, receiver: str, lane: str, header: bytes, body: bytes) -> None:
        """In order on each lane, as TCP has it; lost on a cut way or where a queue is full.

        A way that is cut takes the other one with it 1.5 s later, when ZeroMQ's heartbeats end the connection.
        """
        now, back = self.now, (receiver, sender)
        dead = (sender, receiver) in self.cuts or (back in self.cuts and now - self.cut_since[back] > 1.5)
        if dead or (lane != "direct" and self.chance.random() < self.drop):
            return
        route = (sender, receiver, lane)
        at = max(self._arrivals.get(route, 0.0), now + 0.0002 + self.chance.expovariate(500))
        self._arrivals[route] = at
        life = self.nodes.get(receiver)

        def arrive() -> None:
            node = self.nodes.get(receiver)
            if node is None or node is not life:
                return
            hear = node.mesh.told if lane == "direct" else node.mesh.heard
            if node.frozen_until > self.now or node.inbox:
                node.inbox.append(lambda: hear(sender, unpack(header), body, self.now))
                return
            hear(sender, unpack(header), body, self.now)
            self.settle(receiver)

        self.clock.after(at - now, arrive)


class SimNet(Network[Recorder]):
    """Nodes that do nothing but talk, with a clock of their own."""

    def __init__(self, chance: random.Random, node_ids: list[str], *, drop: float = 0.0) -> None:
        self.own = OwnClock()
        self.on_through: Callable[[Recorder, Through], None] = lambda *_: None
        make = functools.partial(Recorder, through=lambda node, one: self.on_through(node, one))
        super().__init__(chance, node_ids, self.own, make, drop=drop)
        for node_id in node_ids:
            self.start(node_id)

    def restart(self, node_id: str) -> None:
        """Begin anew, unless it runs."""
        if node_id not in self.nodes:
            self.start(node_id)

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        """Do something later."""
        self.own.after(delay_s, what)

    def run_until(self, when: float) -> None:
        """Let time pass."""
        self.own.run_until(when)

    def publish(self, node_id: str, ticket: int | None = None) -> int | None:
        """A message of this node to all; its number."""
        node = self.nodes.get(node_id)
        if node is None or node.frozen_until > self.now:
            return None
        seq = node.mesh.publish(Kind.CHANGED, Class.RELIABLE, b"", self.now)
        if ticket is not None:
            node.mesh.wait_for_all(seq, "w", ticket, self.now)
        self.settle(node_id)
        return seq
