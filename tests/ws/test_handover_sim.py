"""Real ws workers under a virtual clock, that stop one after the other: what their clients get is one stream without a hole.

Four workers on three nodes; clients as Mattermost's, that come back with their connection id and the number that they
expect, to any worker that serves; sockets that break with what was on its way; workers that stop with their node or
alone, are started again under the same address, or are killed, also while they hand over; a bus that delays what it
brings, and in half of the seeds loses and doubles what goes from worker to worker. Leaving out a guard must make seeds
fail.
"""

import asyncio
import json
import logging
import random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request

from app import replay, sessions
from app.context import Context
from app.events import messages as events
from app.events.messages import Audience, Event, Message, Parcels, Presence
from app.events.names import Name
from app.permissions import Actor
from app.ports import Upgrade
from app.replay import Found
from db.model.board import LocalBoard
from db.model.entities import Session
from db.model.ids import SessionId, UserId
from db.sql import channels
from tests.db.people import user
from tests.rig import virtual
from tests.rig.scale import for_each_seed, scale
from ws import claims, farewell
from ws.claims import Claims
from ws.client import Client
from ws.heads import Cursors
from ws.keeper import Keeper
from ws.server import TURN_S, WebSocketServer
from ws.stream import Stream

LENGTH_S = 8.0
SETTLE_S = 4.0
CHANNELS = ("c" * 26, "d" * 26)
PLACES = ("aaaaaa00", "aaaaaa01", "bbbbbb00", "cccccc00")


class Wrong(Exception):
    """An event was lost, doubled or out of order, or a client had to begin anew without a reason."""


class Worker:
    """A place, with the process that is there at the moment, if any."""

    def __init__(self, world: "World", address: str) -> None:
        self.world = world
        self.address = address
        self.live = True
        self.leaving = False
        ctx = SimpleNamespace(
            bus=self,
            db=SimpleNamespace(landed=lambda *_: None, board=LocalBoard()),
            config=SimpleNamespace(service_settings=SimpleNamespace(maximum_web_sockets_per_user=10)),
            client_config=SimpleNamespace(version_id="1"),
            hostname="here",
            now_ms=lambda: 1,
        )
        self.server = WebSocketServer(cast(Context, ctx), address)
        self.server.read_memberships = self._read_memberships  # type: ignore[method-assign]
        self._sweeping = asyncio.get_running_loop().create_task(self.server.sweep_for_ever())
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _read_memberships(self, user_id: str) -> Any:
        await asyncio.sleep(0.002)
        return {one: (1, len(truth)) for one, truth in self.world.truth.items()}, []

    async def _look(self) -> None:
        """As the poll of the outbox tells it."""
        while True:
            await asyncio.sleep(1.0)
            self.server.handle(events.Moved(tuple((one, len(truth)) for one, truth in self.world.truth.items())))

    def publish(self, message: Message) -> None:
        if self.live and not isinstance(message, Presence):
            for other in self.world.workers.values():
                self.world.carry(other.address, self.address, message)

    def send_to(self, address: str, message: Message) -> bool:
        if self.live:
            self.world.carry(address, self.address, message)
        return True

    async def stop(self, node: str | None) -> None:
        self.leaving = self.server.farewell.begun = True
        await self.server.drain(0.2, node=None if "parcels" in self.world.without else node)
        self.kill()

    def kill(self) -> None:
        self.live = False
        self._sweeping.cancel()
        self._looking.cancel()
        for client in list(self.server.clients):
            client.abort()


class World:
    """All of it. faulty: messages get lost and workers are killed; else nobody ever has a reason for a second hello."""

    def __init__(self, chance: random.Random, without: frozenset[str]) -> None:
        self.chance = chance
        self.without = without
        self.faulty = chance.random() < 0.5
        self.truth: dict[str, list[Event]] = {one: [] for one in CHANNELS}
        self.unnumbered = 0
        self.wrong: Wrong | None = None
        self.workers = {one: Worker(self, one) for one in PLACES}
        self.clients = [Follower(self, number) for number in range(chance.randint(1, 4))]
        self.handed = 0
        self.ends = virtual.now() + LENGTH_S
        """When everything calms down."""

    def fail(self, what: str) -> None:
        self.wrong = self.wrong or Wrong(f"{virtual.now() - 1000:.3f}: {what}")

    def carry(self, to: str, sender: str, message: Message) -> None:
        """From worker to worker. What goes to nobody comes back."""
        told = isinstance(message, Event)  # what is lost of these is another story (test_events_sim.py)
        self.handed += len(message.parcels) if isinstance(message, Parcels) else 0
        for _ in range(2 if self.faulty and not told and self.chance.random() < 0.1 else 1):
            if not self.faulty or told or self.chance.random() > 0.1:
                delays = [0.0005, 0.001, 0.005, *([0.02] if self.faulty else [])]
                # What has no number comes to all at once: when it does not, as much gets lost as ever did at a claim.
                same = isinstance(message, Event) and not message.seq
                delay_s = 0.001 if same else self.chance.choice(delays)
                virtual.running().call_later(delay_s, self._arrive, to, sender, message)

    def _arrive(self, to: str, sender: str, message: Message) -> None:
        worker = self.workers.get(to)
        if worker is not None and worker.live:
            worker.server.take([message])
        elif to != sender and isinstance(message, events.Claim) and not message.everybody and self.workers[sender].live:
            self.workers[sender].server.take([message])

    async def write(self) -> None:
        """Posts to a channel, and events that have no number."""
        while virtual.now() < self.ends:
            await asyncio.sleep(self.chance.choice([0.001, 0.01, 0.05]))
            if self.chance.random() < 0.2:
                self.unnumbered += 1
                event = events.build(Name.USER_UPDATED, {"number": self.unnumbered}, Audience())
            else:
                channel_id = self.chance.choice(CHANNELS)
                seq = len(self.truth[channel_id]) + 1
                event = events.build(Name.POSTED, {"number": seq}, Audience(channel_id=channel_id), seq)
                self.truth[channel_id].append(event)
            for worker in self.workers.values():
                self.carry(worker.address, "", event)

    async def restart(self) -> None:
        """Nodes stop in turn, or workers alone, and come back; now and then one is killed, whatever it is doing."""
        while virtual.now() < self.ends:
            await asyncio.sleep(self.chance.uniform(0.1, 1.0))
            what = self.chance.choice(["node", "node", "worker", *(["kill"] if self.faulty else [])])
            address = self.chance.choice(PLACES)
            stopping = [one for one in PLACES if one[:6] == address[:6]] if what == "node" else [address]
            if what == "kill":
                self.workers[address].kill()
            else:
                node = address[:6] if what == "node" else ""
                work = asyncio.gather(*(self.workers[one].stop(node) for one in stopping))
                if self.faulty and self.chance.random() < 0.2:
                    await asyncio.sleep(self.chance.uniform(0.0, 0.4))
                    for one in stopping:
                        self.workers[one].kill()
                await work
            await asyncio.sleep(self.chance.choice([0.0, 0.05, 0.5]))
            for one in stopping:
                self.workers[one] = Worker(self, one)

    async def run(self) -> tuple[int, int, int]:
        loop = asyncio.get_running_loop()
        following = [loop.create_task(client.follow()) for client in self.clients]
        await asyncio.sleep(0.1)
        jobs = [loop.create_task(self.write()), loop.create_task(self.restart())]
        await asyncio.sleep(LENGTH_S + SETTLE_S)
        for job in (*jobs, *following):
            if job.done() and not job.cancelled() and job.exception() is not None:
                raise cast(BaseException, job.exception())
            job.cancel()
        for client in self.clients:
            client.check_all()
        if self.wrong is not None:
            raise self.wrong
        return (
            sum(client.heard for client in self.clients),
            sum(client.resumed for client in self.clients),
            self.handed,
        )


class Link:
    """A socket: the transport that the worker sees; what it writes comes to the client a little later, or never."""

    def __init__(self, world: World, follower: "Follower") -> None:
        self.world, self.follower = world, follower
        self.client: Client
        self.open = True
        self.broken = False
        self.unread = 0
        self._at = virtual.now()

    def set_write_buffer_limits(self, high: int) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return not self.open

    def write(self, data: bytes) -> None:
        self.unread += len(data)
        self._at = max(self._at, virtual.now() + self.world.chance.choice([0.0002, 0.0002, 0.01]))
        virtual.running().call_at(self._at, self._read, data)

    def send(self, data: bytes) -> int:
        """As the socket that is written to directly."""
        self.write(data)
        return len(data)

    def _read(self, data: bytes) -> None:
        if not self.broken and self.follower.link is self:
            self.unread -= len(data)
            self.follower.read(self, data)

    def write_eof(self) -> None:
        virtual.running().call_at(self._at, self.end)

    def abort(self) -> None:
        """By the worker: what is on its way arrives, or not."""
        self.broken = self.broken or self.world.chance.random() < 0.5
        virtual.running().call_at(self._at, self.end)

    def end(self) -> None:
        if self.open:
            self.open = False
            self.broken = True
            self.client.connection_lost(None)
            self.follower.lost(self)


class Follower:
    """A client as Mattermost's. number: of its user."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.user_id = f"user{number}"
        self.session_id = f"session{number}"
        self.connection_id = ""
        self.next = 0
        self.hellos = self.heard = self.resumed = 0
        self.had: dict[str, int] = {}
        """By channel; nothing before the first post after a hello, as it fetches the channel then."""
        self.marked = 0
        self._first = False
        self.link: Link | None = None
        self._data = b""
        self._gone = asyncio.Event()

    async def follow(self) -> None:
        world = self.world
        while True:
            serving = [one for one in world.workers.values() if one.live and not one.leaving]
            if not serving:
                await asyncio.sleep(0.02)
                continue
            self._gone.clear()
            if world.faulty and world.chance.random() < 0.1:
                self._connect(world.chance.choice(serving))  # and nobody waits for what comes of it
            self._connect(world.chance.choice(serving))
            broken_s = world.chance.choice([0.3, 1.0, 100.0]) if virtual.now() < world.ends else 100.0
            try:
                async with asyncio.timeout(broken_s):
                    await self._gone.wait()
            except TimeoutError:
                if world.chance.random() < 0.7 and self.link is not None:
                    self.link.end()  # else it only seems to live
            self.link = None
            await asyncio.sleep(world.chance.choice([0.0, 0.01, 0.2, 1.0]))

    def _connect(self, worker: Worker) -> None:
        link = self.link = Link(self.world, self)
        self._data, self._first = b"", True
        target = f"/?connection_id={self.connection_id}&sequence_number={self.next}"
        request = WSConnection(ConnectionType.CLIENT).send(Request(host="test", target=target))
        upgrade = Upgrade(self.user_id, self.session_id, "", request, b"")
        link.client = Client(worker.server, upgrade, cast(Any, link))
        link.client.connection_made(cast(Any, link))

    def lost(self, link: Link) -> None:
        if link is self.link:
            self._gone.set()

    def read(self, link: Link, data: bytes) -> None:
        self._data += data
        if self._data.startswith(b"HTTP"):
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            assert b"101" in head
            self._data = rest
        while len(self._data) >= 2:
            opcode, length = self._data[0] & 0x0F, self._data[1]
            at = 2
            if length == 126:
                length, at = int.from_bytes(self._data[2:4], "big"), 4
            if len(self._data) < at + length:
                return
            payload, self._data = self._data[at : at + length], self._data[at + length :]
            if opcode == 1:
                self._hear(json.loads(payload))
            elif opcode == 8:
                link.end()
                return

    def _hear(self, frame: dict[str, Any]) -> None:
        number, name = frame["seq"], frame["event"]
        if name == "hello":
            self._begin(frame)
            return
        if number != self.next:
            self.world.fail(f"{self.user_id} got number {number} and not {self.next}")
        self.next = number + 1
        self.heard += 1
        self.resumed += self._first
        self._first = False
        if name == "user_updated":
            if self.marked and frame["data"]["number"] != self.marked + 1:
                self.world.fail(f"{self.user_id} heard {frame['data']['number']} after {self.marked}")
            self.marked = frame["data"]["number"]
        elif name == "posted":
            channel_id, seq = frame["broadcast"]["channel_id"], frame["channel_seq"]
            if seq != self.had.get(channel_id, seq - 1) + 1:
                self.world.fail(f"{self.user_id} got {channel_id[0]}/{seq} after {self.had[channel_id]}")
            self.had[channel_id] = seq

    def _begin(self, frame: dict[str, Any]) -> None:
        """A hello: everything is fetched anew."""
        self.hellos += 1
        if self.hellos > 1 and not self.world.faulty:
            self.world.fail(f"{self.user_id} was told hello again")
        if frame["data"]["connection_id"] == self.connection_id:
            self.world.fail("a hello under the same id")
        self.connection_id = frame["data"]["connection_id"]
        self.next = 1
        self._first = False
        self.had = {}
        self.marked = 0

    def check_all(self) -> None:
        """Nothing is missing at the end."""
        for channel_id, seq in self.had.items():
            if seq != len(self.world.truth[channel_id]):
                self.world.fail(
                    f"{self.user_id} has {channel_id[0]} up to {seq} of {len(self.world.truth[channel_id])}"
                )
        if self.marked not in (0, self.world.unnumbered):
            self.world.fail(f"{self.user_id} has {self.marked} of {self.world.unnumbered} that have no number")


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "ws")


async def _live(chance: random.Random, without: frozenset[str], patch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    failed: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["exception"]))
    world = World(chance, without)

    async def read(_ctx: Context, channel_id: str, after: int) -> Found:
        await asyncio.sleep(chance.choice([0.001, 0.001, 0.05]))
        truth = world.truth[channel_id]
        upto = min(len(truth), after + chance.choice([3, 500]))
        return Found(upto, len(truth), tuple(truth[after:upto]))

    async def find_seqs(_db: object, channel_ids: list[str]) -> dict[str, tuple[int, int]]:
        return {one: (len(world.truth[one]), 0) for one in channel_ids}

    async def recheck(_ctx: Context, session_id: str) -> Actor:
        await asyncio.sleep(0.001)
        user_id = session_id.replace("session", "user")
        return Actor(Session(SessionId(session_id), "", UserId(user_id), 1, 1 << 60, 1, "", ""), user(user_id))

    ids = random.Random(chance.random())
    for module in (claims, farewell):
        patch.setattr(module, "new_id", lambda: "".join(ids.choices("abcdefghijkmnopqrstuvwxyz", k=26)))
    patch.setattr("ws.client.unacknowledged", lambda link: link.unread)
    splits = random.Random(chance.random())
    slow = splits.choice([0.0, 0.1, 0.4])

    def monotonic() -> float:
        """As a busy machine's: a turn may be over at any message. Not its real clock, which would decide what a seed does."""
        return virtual.now() + (2 * TURN_S if splits.random() < slow else 0.0)

    patch.setattr("ws.server.time", SimpleNamespace(monotonic=monotonic))
    patch.setattr(replay, "read", read)
    patch.setattr(channels, "find_seqs", find_seqs)
    patch.setattr(sessions, "recheck", recheck)
    found = await world.run()
    if failed:
        raise failed[0]
    return found


def test_whatever_stops_a_client_gets_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:

    def live(chance: random.Random) -> tuple[int, int, int]:
        return virtual.run(_live(chance, frozenset(), monkeypatch))

    count = scale(60, 10_000)
    found = for_each_seed(count, live)
    heard, resumed, handed = (sum(column) for column in zip(*found, strict=True))
    assert heard > 200 * count
    assert resumed > 4 * count, "hardly anybody came back: the test shows nothing"
    assert handed > 4 * count, "hardly anything was handed over: the test shows nothing"


def _without(guard: str, patch: pytest.MonkeyPatch) -> None:
    match guard:
        case "hold":
            pack = Client.pack

            def let_go_on(client: Client, frame_of: Any) -> Any:
                found = pack(client, frame_of)
                client._holding = False
                client._mark()
                return found

            patch.setattr(Client, "pack", let_go_on)
        case "clear":
            part = Client.part
            patch.setattr(Client, "part", lambda client, kept: part(client, kept=kept and False))
        case "dead":
            patch.setattr("ws.client._PROXY_BYTES", 0)
            patch.setattr(Stream, "written", lambda _: [])
        case "log":
            patch.setattr(Keeper, "note", lambda *_: None)
        case "cursors":
            patch.setattr(Cursors, "positions", lambda _: {})
        case "told":
            patch.setattr(Keeper, "told", lambda _: ())
        case "everybody":
            patch.setattr(Claims, "_may_be_anywhere", lambda _: False)


@pytest.mark.parametrize("guard", ["parcels", "hold", "clear", "dead", "log", "told", "cursors", "everybody"])
def test_without_a_guard_streams_have_holes_or_end(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _without(guard, monkeypatch)
    for seed in range(100):
        try:
            virtual.run(_live(random.Random(seed), frozenset({guard}), monkeypatch))
        except Wrong:
            return
    pytest.fail("nothing was lost and nobody began anew: the simulation would not notice either")
