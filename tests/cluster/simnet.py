"""Nodes (the real `Mesh`) on a virtual network with a virtual clock: delays, drops, cuts, restarts."""

import functools
import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cluster.envelope import Class, Kind, unpack
from cluster.mesh import Broadcast, Deliver, Direct, Lost, Mesh, Met, Moved, Output, Through

TICK_S = 0.05


@dataclass
class SimNode:
    """A node and what it saw. seen: (origin, incarnation) -> numbers delivered."""

    mesh: Mesh
    seen: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)
    moved: list[tuple[float, Moved]] = field(default_factory=list)
    frozen_until: float = 0.0
    inbox: list[Callable[[], None]] = field(default_factory=list)


class SimNet:
    """`run_until` lets time pass. chance: where all randomness comes from."""

    def __init__(self, chance: random.Random, node_ids: list[str], *, drop: float = 0.0) -> None:
        self.chance = chance
        self.now = 1000.0
        self.drop = drop
        self.nodes: dict[str, SimNode] = {}
        self.cuts: set[tuple[str, str]] = set()
        self.cut_since: dict[tuple[str, str], float] = {}
        self.healed_at: dict[tuple[str, str], float] = {}
        self.on_through: Callable[[SimNode, Through], None] | None = None
        self._incarnations: dict[str, Iterator[int]] = {one: itertools.count(1) for one in node_ids}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._arrivals: dict[tuple[str, str, str], float] = {}
        for node_id in node_ids:
            self.start(node_id)
            self.after(chance.random() * TICK_S, functools.partial(self._tick, node_id))

    def start(self, node_id: str) -> None:
        """A node begins, or begins anew."""
        mesh = Mesh(node_id, "cluster", next(self._incarnations[node_id]), self.now)
        self.nodes[node_id] = SimNode(mesh)
        mesh.set_members(self._incarnations, self.now)
        self._do(node_id)

    def restart(self, node_id: str) -> None:
        """Begin anew, unless it runs."""
        if node_id not in self.nodes:
            self.start(node_id)

    def stop(self, node_id: str) -> None:
        """kill -9."""
        self.nodes.pop(node_id, None)

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._events, (self.now + delay_s, next(self._order), what))

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

    def run_until(self, when: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= when:
            at, _, what = heapq.heappop(self._events)
            self.now = max(self.now, at)
            what()
        self.now = when

    def publish(self, node_id: str, ticket: int | None = None) -> int | None:
        """A message of this node to all; its number."""
        node = self.nodes.get(node_id)
        if node is None or node.frozen_until > self.now:
            return None
        seq = node.mesh.publish(Kind.CHANGED, Class.RELIABLE, b"", self.now)
        if ticket is not None:
            node.mesh.wait_for_all(seq, "w", ticket, self.now)
        self._do(node_id)
        return seq

    def _tick(self, node_id: str) -> None:
        self.after(TICK_S, lambda: self._tick(node_id))
        node = self.nodes.get(node_id)
        if node is None or node.frozen_until > self.now:
            return
        waiting, node.inbox = node.inbox, []
        for one in waiting:
            one()
        node.mesh.tick(self.now)
        self._do(node_id)

    def _do(self, node_id: str) -> None:
        node = self.nodes[node_id]
        node.mesh.acknowledge()
        while node.mesh.out:
            self._obey(node_id, node, node.mesh.out.popleft())

    def _obey(self, node_id: str, node: SimNode, output: Output) -> None:
        match output:
            case Broadcast():
                for other in self._incarnations:
                    if other != node_id:
                        self._send(node_id, other, "lossy" if output.lossy else "sub", output.header, output.body)
            case Direct():
                self._send(node_id, output.peer, "direct", output.header, output.body)
            case Deliver():
                envelope = output.envelope
                node.seen.setdefault((envelope.origin, envelope.incarnation), []).append(envelope.seq)
            case Lost():
                node.lost.append(output)
            case Through():
                if self.on_through is not None:
                    self.on_through(node, output)
            case Moved():
                node.moved.append((self.now, output))
            case Met():
                pass
            case _:
                raise AssertionError(output)

    def _send(self, sender: str, receiver: str, lane: str, header: bytes, body: bytes) -> None:
        """In order on each lane, as TCP has it; lost on a cut way or where a queue is full.

        A way that is cut takes the other one with it 1.5 s later, when ZeroMQ's heartbeats end the connection.
        """
        back = (receiver, sender)
        dead = (sender, receiver) in self.cuts or (back in self.cuts and self.now - self.cut_since[back] > 1.5)
        if dead or (lane != "direct" and self.chance.random() < self.drop):
            return
        route = (sender, receiver, lane)
        at = max(self._arrivals.get(route, 0.0), self.now + 0.0002 + self.chance.expovariate(500))
        self._arrivals[route] = at
        life = self.nodes.get(receiver)

        def arrive() -> None:
            node = self.nodes.get(receiver)
            if node is None or node is not life:
                return
            hear = node.mesh.told if lane == "direct" else node.mesh.heard
            if node.frozen_until > self.now:
                node.inbox.append(lambda: hear(sender, unpack(header), body, self.now))
                return
            hear(sender, unpack(header), body, self.now)
            self._do(receiver)

        self.after(at - self.now, arrive)
