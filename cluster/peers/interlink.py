"""This node's part in the cluster: the shell around `mesh.py`, with the sockets, the registry and the clock.

    open():  enrol (a new incarnation) -> gate -> sockets -> the other members' rows -> connect
    run():   tick every 50 ms; read the registry every 2 s, at once when somebody unknown knocks

Its owner, the relay, hands over what its workers publish, and takes what comes (`Sink`).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import zmq

from cluster.bus import addresses
from cluster.bus.envelope import Envelope, Kind
from cluster.peers import masters
from cluster.peers.bodies import Beat
from cluster.peers.colours import Seen
from cluster.peers.keyring import KeyRing, Registration
from cluster.peers.links import Links
from cluster.peers.membership import DOWN_S, SUSPECT_S, Change, Liveness
from cluster.peers.mesh import BEAT_S, Mesh
from cluster.peers.outputs import Answered, Asked, Broadcast, Deliver, Direct, Lost, Met, Moved, Refused, Through
from cluster.peers.quiet import Witness, witnesses
from cluster.peers.requests import Requests
from cluster.peers.roster import Removal, Roster
from cluster.peers.terms import share
from cluster.peers.zap import Gate, KeyPair
from db.model.board import boottime_ns
from db.model.entities import ClusterNode
from db.model.errors import DatabaseError
from db.pool import systems
from db.pool.pool import Database
from db.sql import nodes

log = logging.getLogger(__name__)

TICK_S = 0.05
REGISTRY_S = 2.0
KNOCK_S = 0.2
UPGRADING = "rolling_upgrade"
_DISTURBED_S = 10.0
_FRESH_MS = 10_000
_RUNS_MS = 5_000
"""Twice what a node that runs lets pass between two looks at the registry."""
_GONE = (Liveness.DOWN, Liveness.LEFT)


class Sink(Protocol):
    """Who takes what comes from other nodes."""

    def deliver(self, envelope: Envelope, body: bytes) -> None:
        """A message of a peer."""

    def lost(self, node_id: str, reason: str) -> None:
        """Messages of a peer are gone: anything may have changed."""

    def through(self, worker: str, ticket: int) -> None:
        """All that serve know what this worker ("name/incarnation") told up to this ticket."""

    def moved(self, change: Change) -> None:
        """A peer is in another state."""

    def met(self, node_id: str) -> None:
        """A peer hears us from now on."""

    def joined(self) -> None:
        """Every peer that lives hears us, and we hear it."""

    def asked(self, command: str, arguments: dict[str, Any]) -> Awaitable[dict[str, Any]]:
        """A peer wants this node to do something."""

    def tell_who_has_no_master(self) -> None:
        """A peer has lost its master, or polls of ours have found something that such a one cannot find."""


@dataclass(frozen=True)
class Place:
    """Where and as whom this node takes part. listen: of the reliable lane. advertise: as others reach it."""

    cluster_id: str
    node_id: str
    listen: tuple[str, int]
    advertise: str
    hostname: str
    version: str
    urls: Sequence[str] = ()


def now_s() -> float:
    """Seconds of a clock that also counts while the machine sleeps."""
    return boottime_ns() / 1e9


class Interlink:
    """See above. Raises DatabaseError from `open` while the database is not there."""

    def __init__(
        self,
        place: Place,
        keys: KeyPair,
        keyring: KeyRing,
        database: Database,
        sink: Sink,
        renew: Callable[[Beat], None],
    ) -> None:
        """renew: brings up to date what our beats say, before each."""
        self._renew = renew
        self._place = place
        self._keys = keys
        self._keyring = keyring
        self._database = database
        self._sink = sink
        self._context = zmq.Context(io_threads=1)
        self._gate = Gate(self._context, self._stranger)
        self._links: Links
        self._roster: Roster
        self.mesh: Mesh
        self.requests: Requests
        self.stranger_at = float("-inf")
        """When somebody whose key is in no row that we have read last tried to connect."""
        self._touched: dict[str, float] = {}
        """When each node last wrote to the registry."""
        self._knocked = asyncio.Event()
        self._taking = False
        self._turn = 0
        self._said_joined = False
        self._leavers: list[Seen] = []
        """Who was taken out and still writes to the registry."""
        self._reseal = False
        self.outsider = False
        """Others live, and none of them holds our secret."""
        self.upgrading = False
        """An operator declared that the nodes are being brought to another version."""
        self.removed = False
        """An operator took this node out of the cluster."""
        self.superseded = False
        """Another process enrolled later under this node's id: this one is not to enrol again, but to end."""

    async def open(self, about: Beat) -> None:
        """Enrol, listen, connect. Raises DatabaseError."""
        incarnation = await self._enrol(0)
        self._roster = Roster(
            self._place.cluster_id, self._place.node_id, incarnation, self._keyring, self._keys.public
        )
        self.mesh = Mesh(self._place.node_id, self._place.cluster_id, incarnation, now_s(), about)
        self.requests = Requests(self.mesh, self._sink.asked, self._settle)
        self._links = Links(
            self._context,
            self._keys,
            self._place.listen,
            on_broadcast=self._heard,
            on_direct=self._told,
            after=self._settle,
        )
        try:
            await self._read_registry()
        except DatabaseError:
            self._links.close()
            raise

    async def _enrol(self, at_least: int) -> int:
        place = self._place

        def seal(incarnation: int) -> str:
            return self._keyring.seal(
                Registration(place.cluster_id, place.node_id, incarnation, self._keys.public, place.advertise)
            )

        return await nodes.enrol(
            self._database,
            place.node_id,
            public_key=self._keys.public,
            address=place.advertise,
            hostname=place.hostname,
            version=place.version,
            mac=seal,
            at_least=at_least,
        )

    async def run(self) -> None:
        """Until cancelled, or superseded."""
        reading = asyncio.create_task(self._follow_registry())
        renew_at = 0.0
        try:
            while not self.superseded:
                if now_s() >= renew_at:
                    renew_at = now_s() + BEAT_S
                    self.mesh.about.clock_ms = time.time_ns() // 1_000_000
                    self._renew(self.mesh.about)
                self.mesh.tick(now_s())
                self._settle()
                if reading.done():
                    reading.result()
                await asyncio.sleep(TICK_S)
            rival = self._roster.view.members.get(self._place.node_id)
            log.error(
                "another process runs as this node: it enrolled later, so this one stops; if its data directory is a"
                " copy of the other's, remove the file node_id in it and start it again",
                extra={
                    "node": self._place.node_id,
                    "other_host": rival.hostname if rival is not None else "",
                    "other_address": rival.address if rival is not None else "",
                },
            )
        finally:
            reading.cancel()

    async def close(self, *, leave: bool) -> None:
        """Say good-bye if we mean to stay away, and close the sockets."""
        if leave:
            self.mesh.leave()
            self._settle()
            with contextlib.suppress(DatabaseError):
                await nodes.leave(self._database, self._place.node_id, self.mesh.incarnation)
            await asyncio.sleep(0.05)  # the sockets' own thread sends it
        self._links.close()
        self._gate.close()
        self._context.term()

    def renew_secret(self, keyring: KeyRing) -> None:
        """Another secret, or one more: write our row under it, judge the others' by it."""
        self._keyring = keyring
        self._roster.renew(keyring)
        self._reseal = True
        self._knock()

    # Registry ------------------------------------------------------------------------------------------------------

    def _stranger(self) -> None:
        self.stranger_at = now_s()
        self._knock()

    def _knock(self) -> None:
        self._knocked.set()

    async def _follow_registry(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REGISTRY_S):
                    await self._knocked.wait()
                await asyncio.sleep(KNOCK_S)
            self._knocked.clear()
            try:
                await self._read_registry()
                if not await nodes.touch(self._database, self._place.node_id, self._roster.incarnation):
                    self._knock()  # somebody wrote our row: the next look says who
            except DatabaseError as error:
                log.warning("the registry of nodes cannot be read", extra={"reason": str(error).strip()})

    async def _read_registry(self) -> None:
        rows = await nodes.read_all(self._database)
        now = now_s()
        self._touched = {row.node_id: now - row.age_ms / 1000 for row in rows}
        self.upgrading = await systems.find(self._database, UPGRADING) == "1"
        view = self._roster.judge(rows, self._place.urls, self._lists())
        for node_id, reason in view.news:
            log.error("a registration is refused", extra={"node": node_id, "reason": reason.value})
        if view.superseded:
            self.superseded = True
            return
        self.removed = self._place.node_id in view.removed
        if self._reseal or not (view.registered or self.removed):
            self._reseal = False
            self._roster.incarnation = await self._enrol(self._roster.incarnation)
        fresh = [row for row in rows if row.node_id in view.refused and row.age_ms < _FRESH_MS]
        self.outsider = bool(fresh) and set(view.members) <= {self._place.node_id}
        self._gate.allow(view.keys)
        self._leavers = [
            _still_there(row)
            for row in rows
            if view.removed.get(row.node_id, Removal.LEFT) is not Removal.LEFT
            and row.node_id != self._place.node_id
            and row.age_ms < _RUNS_MS
        ]
        others = {node_id: member for node_id, member in view.members.items() if node_id != self._place.node_id}
        gone = [peer for peer in self._links.peers() if peer not in others]
        for peer in gone:
            self._links.disconnect(peer)
            why = view.removed.get(peer)
            said = {"node": peer, "reason": why.value if why else "no row"}
            log.info("a node is no member any more", extra=said)
        self.mesh.set_members(others, now_s())
        for node_id, member in others.items():
            host, _, port = member.address.rpartition(":")
            self._links.connect(node_id, (host.strip("[]"), int(port)), member.public_key)
        if gone:
            await self._links.rebind()
        self._settle()

    def _lists(self) -> Mapping[str, Sequence[str]] | None:
        """The InterNodeUrls of every live member, once all of them have told theirs."""
        lists: dict[str, Sequence[str]] = {self._place.node_id: self._place.urls}
        for node_id, peer in self.mesh.peers.items():
            if self.mesh.members.liveness(node_id) is Liveness.DOWN:
                continue
            if peer.beat is None:
                return None
            lists[node_id] = peer.beat.urls
        return lists

    # Out -----------------------------------------------------------------------------------------------------------

    def publish(self, kind: Kind, kind_class: str, body: bytes, *, worker: str = "") -> None:
        """To every peer."""
        self.mesh.publish(kind, kind_class, body, now_s(), worker=worker)
        self._settle()

    def changed(self, envelope: Envelope, body: bytes) -> None:
        """A commit of one of our workers; the worker is told by `through` when all that serve know of it."""
        now = now_s()
        seq = self.mesh.publish(
            Kind.CHANGED, envelope.kind_class, body, now, db_gen=envelope.db_gen, position=envelope.position
        )
        self.mesh.wait_for_all(seq, f"{envelope.worker}/{envelope.incarnation}", envelope.seq, now)
        self._settle()

    def send_to(self, address: str, body: bytes) -> bool:
        """To one worker of a peer. False: it is of no peer that lives."""
        live = [one for one in self.mesh.peers if self.mesh.members.liveness(one) not in _GONE]
        peer = addresses.node_at(address, live)
        if peer is not None:
            self.mesh.tell(peer, Kind.TO_WORKER, body, address)
            self._settle()
        return peer is not None

    def ask_elsewhere(self, body: bytes) -> None:
        """To a ws worker of a peer that has a master, of each such in its turn: of the highest term."""
        peers = masters.with_one(self.mesh, now_s())
        if peers:
            self._turn = (self._turn + 1) % len(peers)
            self.mesh.tell(peers[self._turn], Kind.TO_ELSEWHERE, body, "")
            self._settle()

    def is_heir_of(self, node_id: str) -> bool:
        """Whether this node does what is left to do of one that is gone: the first of those that live does."""
        members = self.mesh.members
        if node_id in members and members.liveness(node_id) not in _GONE:
            return False
        live = [one for one in members.node_ids() if members.liveness(one) not in _GONE]
        return self._place.node_id < min(live, default="~")

    def is_disturbed(self) -> bool:
        """Whether some peer is not heard, or was not of late: it may not know what we hold."""
        now, members = now_s(), self.mesh.members
        return any(
            members.own_silence_s(one, now) >= SUSPECT_S or now - members.since(one) < _DISTURBED_S
            for one in members.node_ids()
        )

    def is_isolated(self) -> bool:
        """Whether no peer is heard although one is alive: its row in the registry says so."""
        now, members = now_s(), self.mesh.members
        silent = {one: members.own_silence_s(one, now) for one in members.node_ids()}
        return all(one >= DOWN_S for one in silent.values()) and any(
            now - self._touched.get(one, 0.0) <= silence_s - DOWN_S for one, silence_s in silent.items()
        )

    def witnesses(self) -> list[Witness]:
        """What each node last said of its master."""
        return witnesses(self.mesh, self._roster.view.registered_ids)

    @property
    def repairs(self) -> int:
        """How often messages of peers were asked for once more."""
        return sum(peer.repairs for peer in self.mesh.peers.values())

    @property
    def dropped(self) -> int:
        """How many messages the sockets did not take."""
        return self._links.dropped

    def members(self) -> list[Seen]:
        """Everybody, this node first, as it sees them now."""
        now, mesh = now_s(), self.mesh
        mesh.about.heard_ms = {peer: max(0, round(age_s * 1000)) for peer, age_s in mesh.members.ages_s(now).items()}
        own = Liveness.DRAINING if mesh.draining else Liveness.UP if mesh.ready else Liveness.JOINING
        own = Liveness.REMOVED if self.removed else own
        seen = [Seen(mesh.node_id, own, mesh.about)]
        for node_id, peer in mesh.peers.items():
            seen.append(
                Seen(
                    node_id,
                    mesh.members.liveness(node_id),
                    peer.beat,
                    max(0.0, mesh.members.silence_s(node_id, now)),
                    peer.skew_ms,
                )
            )
        return seen + self._leavers

    def waits_for(self) -> str:
        """Why this node takes no traffic yet; '' when it does, as far as others are concerned."""
        if self.removed:
            why = self._roster.view.removed.get(self._place.node_id)
            listed = "InterNodeUrls of the others, and its own, to list it"
            return listed if why is Removal.NOT_LISTED else "its next start, as an operator removed it"
        if self.outsider:
            return "the ClusterSettings.Secret of the others: it has another one"
        return "" if self.mesh.joined else "the nodes that live to hear it: " + " ".join(self.mesh.unmet())

    def _settle(self) -> None:
        """Do what the protocol wants done, once for all that was read in a turn."""
        if self._taking:
            return
        self._taking = True
        try:
            share(self.mesh, self._database.board, now_s())
            self.mesh.acknowledge()
            while self.mesh.out:
                self._obey(self.mesh.out.popleft())
        finally:
            self._taking = False
        if self.mesh.joined and not self._said_joined:
            self._said_joined = True
            self._sink.joined()
            log.info("this node has joined the cluster", extra={"peers": len(self.mesh.peers)})

    def _obey(self, output: object) -> None:
        match output:
            case Broadcast():
                self._links.broadcast(output.header, output.body, lossy=output.lossy)
            case Direct():
                self._links.direct(output.peer, output.header, output.body)
            case Met():
                self._sink.met(output.peer)
            case Deliver():
                self._sink.deliver(output.envelope, output.body)
            case Lost():
                log.warning("messages of a node were lost", extra={"node": output.peer, "reason": output.reason})
                self._sink.lost(output.peer, output.reason)
            case Through():
                self._sink.through(output.worker, output.ticket)
            case Moved():
                self._sink.moved(output.change)
            case Asked():
                self.requests.asked(output)
            case Answered():
                self.requests.answered(output)
            case Refused():
                log.warning("a node sent what is refused", extra={"node": output.peer, "reason": output.reason})

    # In ------------------------------------------------------------------------------------------------------------

    def _heard(self, peer: str, envelope: Envelope, body: bytes) -> None:
        before = masters.is_lost_by_a_peer(self.mesh)
        self.mesh.heard(peer, envelope, body, now_s())
        if envelope.kind == Kind.BEAT and not before and masters.is_lost_by_a_peer(self.mesh):
            self._sink.tell_who_has_no_master()
        if envelope.kind == Kind.BEAT and (known := self.mesh.peers.get(peer)) is not None and known.beat is not None:
            known.skew_ms = known.beat.clock_ms - time.time_ns() // 1_000_000

    def _told(self, peer: str, envelope: Envelope, body: bytes) -> None:
        self.mesh.told(peer, envelope, body, now_s())


def _still_there(row: ClusterNode) -> Seen:
    """A node that was taken out, as its row has it: so it is the same to whoever looks."""
    host = row.address.rpartition(":")[0].strip("[]")
    beat = Beat(state="removed", version=row.version, hostname=row.hostname, address=host, url=f"http://{row.address}")
    return Seen(row.node_id, Liveness.REMOVED, beat, row.age_ms / 1000)
