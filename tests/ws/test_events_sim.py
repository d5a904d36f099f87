"""The real heads, hub and repairs under a virtual clock: whatever is lost, every client gets every event once, in order.

And what clients make of the events that they get (posts, edits, deletions, reactions) is in the end what the database
holds, whether an event came by the bus, as it was, or was built anew from rows that had changed meanwhile.

One worker; writers that commit and publish, or die between the two; a bus that loses, doubles and delays; polls of the
heads; a database that is slow, gone for a while, and fails over with the loss of its last commits; a way to it that is
cut for this node alone, while peers have a master and can tell, or cannot; clients that come, join channels, leave them
and go. Leaving out a guard must make seeds fail.
"""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from socket import socket
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from app import replay
from app.context import Context
from app.events import messages as events
from app.events.messages import Audience, ChannelMembership, Event, Lent, Moved
from app.replay import Found
from db.model import board
from db.model.board import Term
from db.model.errors import Unavailable
from db.model.ids import new_id
from db.model.numbers import TERM_BITS, term_in
from db.sql import channels
from tests.rig import virtual
from tests.rig.scale import for_each_seed, scale
from ws.close import Close
from ws.fanout import SharedFrame
from ws.heads import Cursors
from ws.repairs import Repairs
from ws.stream import Stream

LENGTH_S = 30.0
LATE_S = 2.5
SETTLE_S = 5.0
GIVE_UP_S = 6.0
"""The connection of a query whose answer never comes is given up."""
NOTICED_S = 1.6
"""Within this a node and its peers know that only it has no master."""
CHANNELS = ("c", "d")


def _now() -> float:
    return virtual.now()


class Wrong(Exception):
    """An event was lost, doubled, late or out of order."""


Picture = dict[int, tuple[str, bool]]
"""Posts by their number: what each says, and whether somebody reacted to it."""


@dataclass(frozen=True)
class Row:
    """A change of a channel. at: when it was committed. ref: the number of the post it is of."""

    seq: int
    at: float
    kind: str
    ref: int
    text: str


def _apply(picture: Picture, kind: str, ref: int, text: str, reacted: bool) -> None:
    """What a client makes of an event."""
    match kind:
        case "posted" | "post_edited":
            picture[ref] = (text, reacted)
        case "post_deleted":
            picture.pop(ref, None)
        case "reaction_added" | "reaction_removed" if ref in picture:
            picture[ref] = (picture[ref][0], kind == "reaction_added")


class Truth:
    """A channel in the database. before: all numbers of the present term are greater, as `db.model.numbers.BEFORE`."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.before = 0

    @property
    def next(self) -> int:
        return max(self.head, self.before) + 1

    def add(self, at: float, kind: str, ref: int = 0, text: str = "") -> None:
        """Commit a change."""
        self.rows.append(Row(self.next, at, kind, ref, text))

    def row(self, seq: int) -> Row | None:
        """The change that has this number; None: it is lost."""
        return next((row for row in reversed(self.rows) if row.seq == seq), None)

    def numbers(self, after: int, upto: int) -> set[int]:
        """Of the changes in between."""
        return {row.seq for row in self.rows if after < row.seq <= upto}

    @property
    def head(self) -> int:
        return self.rows[-1].seq if self.rows else 0

    def picture(self, upto: int) -> Picture:
        """The posts as they were when the channel had come so far."""
        found: Picture = {}
        for row in self.rows:
            if row.seq > upto:
                break
            _apply(found, row.kind, row.ref, row.text, found.get(row.ref, ("", False))[1])
        return found

    def gone(self) -> set[int]:
        """Numbers of what is not told again: the posts that are deleted, and their edits."""
        deleted = {row.ref for row in self.rows if row.kind == "post_deleted"}
        return {row.seq for row in self.rows if row.kind in ("posted", "post_edited") and row.ref in deleted}

    def commit(self, at: float, chance: random.Random) -> int:
        """Something happens; its number."""
        seq = self.next
        there = self.picture(self.head)
        kinds = ["posted"] * 4 + ["post_edited", "post_edited", "post_deleted", "reaction"]
        kind = chance.choice(kinds) if there else "posted"
        ref = seq if kind == "posted" else chance.choice(list(there))
        if kind == "reaction":
            kind = "reaction_removed" if there[ref][1] else "reaction_added"
        text = f"{kind} {seq}" if kind in ("posted", "post_edited") else ""
        self.add(at, kind, ref, text)
        return seq


class World:
    """All of it."""

    def __init__(self, chance: random.Random, without: frozenset[str] = frozenset()) -> None:
        self.chance = chance
        self.without = without
        self.truth = {one: Truth() for one in CHANNELS}
        self.up = True
        self.linked = True
        """Whether this node reaches the database."""
        self.changed_at = [_now() - 100, _now() - 100]
        """When `up` and `linked` last changed."""
        self.cut_at = _now() - 100
        self.polled_ns = int(_now() * 1e9)
        self.peers = chance.random() < 0.8
        self.cut_off = chance.random() < 0.5
        """Whether its way to the database is cut now and then."""
        self.deaf = chance.random() < 0.4
        """Whether peers have a master and do not answer."""
        self.outages: list[list[float]] = []
        self.wrong: Wrong | None = None
        self._jobs: list[asyncio.Task[None]] = []
        self.repairs = Repairs(cast(Context, self))
        if "deadline" in without:
            self.repairs._send_away = lambda channel_id: None  # type: ignore[method-assign]  # noqa: ARG005
        self.clients: list[Client] = []
        self.told: dict[str, int] = {}
        """What the last poll saw; nothing of another master."""
        self.number = 0
        self.term = 1

    # The database --------------------------------------------------------------------------------------------------

    async def _query(self) -> None:
        await self._query_of_peer(0.3)
        gives_up = _now() + GIVE_UP_S
        while not self.linked:
            if _now() >= gives_up:
                raise Unavailable("no answer")
            await asyncio.sleep(0.05)

    async def _query_of_peer(self, slow_s: float = 0.05) -> None:
        await asyncio.sleep(0.001 if self.chance.random() < 0.95 else self.chance.uniform(0.0, slow_s))
        if not self.up:
            raise Unavailable("gone")

    async def read(self, _ctx: Context, channel_id: str, after: int) -> Found:
        """As `app.replay.read`."""
        await self._query()
        return await self._read(channel_id, after, self._query)

    async def _read(self, channel_id: str, after: int, query: Callable[[], Awaitable[None]]) -> Found:
        truth = self.truth[channel_id]
        end = truth.head
        await query()  # the rows are read after the head; another master may lack some of what the head said
        crossed = after and term_in(after) < term_in(end) and truth.row(after) is None and "row" not in self.without
        if end < after or crossed:
            return Found(end, end, lost=True)
        await query()
        numbers = sorted(truth.numbers(after, end))
        limit = self.chance.choice([2, 500])
        upto = numbers[limit - 1] if len(numbers) > limit else end
        gone, now = truth.gone(), truth.picture(truth.head)
        found = [_event(channel_id, truth, seq, now) for seq in numbers if seq <= upto and seq not in gone]
        await query()
        return Found(upto, end, tuple(found))

    async def find_seqs(self, _db: object, channel_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """As `db.sql.channels.find_seqs`."""
        await self._query()
        found = {one: (self.truth[one].head, 0) for one in channel_ids}
        await self._query()
        return found

    @property
    def db(self) -> "World":
        return self

    @property
    def board(self) -> SimpleNamespace:
        """With the term of the master, and where masters are, as it is known here."""
        return SimpleNamespace(
            term=lambda: Term(self.term), master_elsewhere=self._master_elsewhere, polled_ns=lambda: self.polled_ns
        )

    def _master_elsewhere(self) -> bool:
        if "nobody" in self.without and not self.up:
            return True
        return self.peers and not self.linked and self.up and _now() - max(self.changed_at) >= NOTICED_S

    # Peers -----------------------------------------------------------------------------------------------------------

    @property
    def bus(self) -> "World":
        return self

    def ask_elsewhere(self, lack: Any) -> None:
        """As `app.ports.Bus`."""
        if self.peers and not self.deaf and self.up and "peer" not in self.without:
            self._jobs.append(asyncio.get_running_loop().create_task(self._lend(lack)))

    async def _lend(self, lack: Any) -> None:
        await asyncio.sleep(0.002)
        try:
            found = await self._read(lack.channel_id, lack.after, self._query_of_peer)
        except Unavailable:
            return
        self.repairs.lenders.handle(Lent(lack.id, found.upto, found.end, found.events, lost=found.lost))

    async def peers_tell(self) -> None:
        """How far the channels are, by polls of peers, once they know that this node has no master."""
        told_at = 0.0
        while True:
            await asyncio.sleep(0.05)
            if not self._master_elsewhere():
                told_at = 0.0
            elif _now() - told_at >= 1.0:
                told_at = _now()
                if "told" not in self.without:
                    self.repairs.learn(Moved(tuple((one, truth.head) for one, truth in self.truth.items())))

    async def watch(self) -> None:
        """No socket is silent about what was committed long ago."""
        while True:
            await asyncio.sleep(0.25)
            for client in self.clients:
                if not client.ended:
                    client.check_silence()

    # Writers and the bus -------------------------------------------------------------------------------------------

    def publish(self, message: Any) -> None:
        """To the worker, unless it gets lost; twice, now and then."""
        for _ in range(1 if self.chance.random() < 0.95 else 2):
            if self.chance.random() < 0.9:
                delay_s = self.chance.choice([0.001, 0.001, 0.01, 0.2])
                asyncio.get_running_loop().call_later(delay_s, self._arrive, message)

    def _arrive(self, message: Any) -> None:
        if "heads" in self.without and isinstance(message, Event):
            self.repairs.hub.deliver(message)
            return
        self.repairs.hub.handle(message, alone=self.chance.random() < 0.5)
        self.repairs.look()

    async def write(self) -> None:
        while True:
            pauses = [0.001, 0.02, 0.3, 1.0] if self.linked else [0.02, 0.3, 4.0]
            await asyncio.sleep(self.chance.choice(pauses))
            if not self.up:
                continue
            channel_id = self.chance.choice(CHANNELS)
            truth = self.truth[channel_id]
            seq = truth.commit(_now(), self.chance)
            if self.chance.random() < 0.95:  # else it dies before it can tell anybody
                self.publish(_event(channel_id, truth, seq, truth.picture(seq)))

    async def poll(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if not self.linked:
                continue
            sent_ns = int(_now() * 1e9)
            heads = {one: truth.head for one, truth in self.truth.items()}
            try:
                await self._query()
            except Unavailable:
                continue
            if "poll" not in self.without:
                self.repairs.learn(
                    Moved(tuple((one, head) for one, head in heads.items() if head != self.told.get(one)))
                )
            self.told = heads
            self.polled_ns = sent_ns

    async def fail(self) -> None:
        """The database is gone for a while, and may come back without its last commits."""
        while True:
            await asyncio.sleep(self.chance.uniform(3.0, 15.0))
            if self.cut_off and self.chance.random() < 0.6:
                await self._unlink()
                continue
            self.up = False
            self.changed_at[0] = _now()
            self.outages.append([_now(), float("inf")])
            await asyncio.sleep(self.chance.choice([self.chance.uniform(0.1, 3.0), self.chance.uniform(3.0, 8.0)]))
            if self.chance.random() < 0.7:
                for truth in self.truth.values():
                    del truth.rows[max(0, len(truth.rows) - self.chance.randint(0, 3)) :]
                    if "term" not in self.without:
                        truth.before = self.term << TERM_BITS
                self.term += 1
            self.up = True
            self.changed_at[0] = _now()
            self.told.clear()
            await asyncio.shield(self._compare())
            self.outages[-1][1] = _now() + LATE_S

    async def _unlink(self) -> None:
        """The way to the database is cut, for this node alone."""
        self.linked = False
        self.changed_at[1] = self.cut_at = _now()
        if not self.peers:
            self.outages.append([_now(), float("inf")])
        await asyncio.sleep(self.chance.choice([self.chance.uniform(0.1, 3.0), self.chance.uniform(3.0, 12.0)]))
        self.linked = True
        self.changed_at[1] = _now()
        if not self.peers:
            self.outages[-1][1] = _now() + LATE_S

    async def _compare(self) -> None:
        """The first poll of another master leaves a hole, and the worker compares."""
        while True:
            try:
                return await self.repairs.compare()
            except Unavailable:
                await asyncio.sleep(0.2)

    # Clients -------------------------------------------------------------------------------------------------------

    async def come_and_go(self) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0.0, 2.0))
            alive = [client for client in self.clients if not client.ended]
            match self.chance.choice(["come", "come", "join", "leave", "go"]):
                case "come" if len(alive) < 6:
                    await self._come()
                case "join" if alive:
                    self._join(self.chance.choice(alive))
                case "leave" if alive:
                    client = self.chance.choice(alive)
                    self._leave(client, self.chance.choice(CHANNELS))
                case "go" if alive:
                    self.chance.choice(alive).go()

    async def _come(self) -> None:
        """As `ws.server.Client._authenticate` does."""
        hub = self.repairs.hub
        self.number += 1
        client = Client(self, f"u{self.number}")
        client.member_of = {one for one in CHANNELS if self.chance.random() < 0.7}
        client.administrator = self.chance.random() < 0.3
        listener = hub.begin_loading(client.user_id)
        read = None
        try:
            await self.repairs.patience.bounded(self._query())
            read = {one: (1, self.truth[one].head) for one in client.member_of}
            client.pictures = {one: self.truth[one].picture(head) for one, (_, head) in read.items()}
            await self.repairs.patience.bounded(self._query())
            client.entered_at = _now()
            hub.join(listener, client)
        except Unavailable:
            client.ended = True
        finally:
            hub.end_loading(listener, None if read is None else (read, ()), client if not client.ended else None)
            self.repairs.look()
        if not client.ended:
            assert read is not None
            client.starts = {one: head for one, (_, head) in read.items()}
            self.clients.append(client)

    def _join(self, client: "Client") -> None:
        absent = [one for one in CHANNELS if one not in client.member_of]
        if not absent or not self.up:
            return
        channel_id = self.chance.choice(absent)
        truth = self.truth[channel_id]
        truth.add(_now(), "user_added")
        client.member_of.add(channel_id)
        client.starts[channel_id] = truth.head - 1
        client.pictures[channel_id] = truth.picture(truth.head - 1)
        client.got[channel_id] = []
        client.joined_at[channel_id] = _now()
        # Membership is repaired elsewhere: here its message always comes; the event of it is one like all others.
        self._arrive(ChannelMembership(client.user_id, channel_id, joined=True, seq=truth.head - 1))
        self.publish(_event(channel_id, truth, truth.head, {}))

    def _leave(self, client: "Client", channel_id: str) -> None:
        if channel_id in client.member_of:
            client.member_of.discard(channel_id)
            client.starts.pop(channel_id, None)
            client.pictures.pop(channel_id, None)
            self._arrive(ChannelMembership(client.user_id, channel_id, joined=False))

    # The whole -----------------------------------------------------------------------------------------------------

    async def run(self) -> tuple[int, int]:
        """(delivered, of these repaired). Raises Wrong."""
        jobs: list[Coroutine[Any, Any, None]] = [
            self.write(),
            self.poll(),
            self.fail(),
            self.come_and_go(),
            self.peers_tell(),
            self.watch(),
        ]
        tasks = [asyncio.get_running_loop().create_task(job) for job in jobs]
        done, _ = await asyncio.wait(tasks, timeout=LENGTH_S, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            await task
        for task in (tasks[0], tasks[2], tasks[3]):
            task.cancel()
        self.up = self.linked = True
        for outage in self.outages:
            outage[1] = min(outage[1], _now() + LATE_S)
        await asyncio.sleep(SETTLE_S)
        if self.wrong is not None:
            raise self.wrong
        for client in self.clients:
            if not client.ended:
                client.check_all()
        delivered = sum(len(got) for client in self.clients for got in client.got.values())
        return delivered, self.repairs.heads.repaired


class _Full:
    """A socket that takes nothing now."""

    def send(self, _data: bytes) -> int:
        return 0


class Client:
    """What a socket gets. What is to be written directly comes by `finish_write`."""

    def __init__(self, world: World, user_id: str) -> None:
        self.world = world
        self.user_id = user_id
        self.connection_id = new_id()
        self.session_id = f"session of {user_id}"
        self.attached = True
        self.acknowledges = False
        self.administrator = False
        self.cursors: Cursors | None = None
        self.direct: socket | None = cast(socket, _Full())
        self.stream = Stream()
        self.written = 0
        self.member_of: set[str] = set()
        self.starts: dict[str, int] = {}
        self.pictures: dict[str, Picture] = {}
        self.joined_at: dict[str, float] = {}
        self.entered_at = 0.0
        self.got: dict[str, list[int]] = {one: [] for one in CHANNELS}
        self.ended = False

    def looks_at(self, channel_id: str) -> bool:
        return True

    def send(self, frame: SharedFrame) -> None:
        self._take(json.loads(frame.body + b"}"))

    def finish_write(self, rest: bytes) -> None:
        whole = json.loads(rest[4 if rest[1] == 126 else 2 :])
        assert whole["seq"] == self.written
        self.written += 1
        self._take(whole)

    def _take(self, whole: dict[str, Any]) -> None:
        channel_id, data = whole["broadcast"]["channel_id"], whole["data"]
        if self.ended or channel_id not in self.starts:
            return
        seq, got, truth = data["number"], self.got[channel_id], self.world.truth[channel_id]
        last = got[-1] if got else self.starts[channel_id]
        missed, row = truth.numbers(last, seq - 1) - truth.gone(), truth.row(seq)
        if seq <= last:
            self._wrong(f"got {channel_id}/{seq} after {last}")
        elif missed:
            self._wrong(f"got {channel_id}/{seq} and not {sorted(missed)}")
        elif row is not None and self._is_late(max(row.at, self.entered_at, self.joined_at.get(channel_id, 0.0))):
            self._wrong(f"got {channel_id}/{seq} too late")
        elif data.get("delete_by", False) != (self.administrator and whole["event"] == "post_deleted"):
            self._wrong(f"got the wrong copy of {channel_id}/{seq}")
        got.append(seq)
        _apply(self.pictures[channel_id], whole["event"], data["ref"], data["text"], data["reacted"])

    def _is_late(self, at: float) -> bool:
        cut_at = self.world.cut_at
        if 0 <= cut_at - at < LATE_S:  # lost before the way was cut, which is a second fault
            at = cut_at
        excused = any(began - LATE_S <= at <= ended for began, ended in self.world.outages)
        return _now() - at > LATE_S and not excused

    def _wrong(self, what: str) -> None:
        self.world.wrong = self.world.wrong or Wrong(f"{_now() - 1000:.3f}: {self.user_id} {what}")

    def has_room(self) -> bool:
        return self.world.chance.random() < 0.9

    def close(self, _code: Close) -> None:
        self.go()

    def send_away(self) -> None:
        world = self.world
        if not world.peers or (not world.up and _now() - world.changed_at[0] > LATE_S):
            self._wrong("was sent away, and nobody has a master")
        elif not world.deaf and world.up and _now() - world.changed_at[0] > LATE_S:
            self._wrong("was sent away, and peers could tell what it lacked")
        self.go()

    def go(self) -> None:
        if not self.ended:
            self.ended = True
            asyncio.get_running_loop().call_soon(self.world.repairs.hub.leave, self)

    def check_silence(self) -> None:
        """What was committed long ago is here."""
        for channel_id, start in self.starts.items():
            truth, got = self.world.truth[channel_id], self.got[channel_id]
            last, gone = got[-1] if got else start, None
            for row in reversed(truth.rows):
                if row.seq <= last:
                    break
                gone = truth.gone() if gone is None else gone
                if row.seq not in gone and self._is_late(
                    max(row.at, self.entered_at, self.joined_at.get(channel_id, 0.0))
                ):
                    self._wrong(f"has not got {channel_id}/{row.seq}")

    def check_all(self) -> None:
        """Nothing is missing at the end."""
        for channel_id, start in self.starts.items():
            truth, got = self.world.truth[channel_id], self.got[channel_id]
            wanted = truth.numbers(start, truth.head) - truth.gone()
            if wanted - set(got):
                raise Wrong(f"{self.user_id} never got {channel_id}/{sorted(wanted - set(got))}")
            if self.pictures[channel_id] != truth.picture(truth.head):
                raise Wrong(f"{self.user_id} sees in {channel_id} what is not there")


def _event(channel_id: str, truth: Truth, seq: int, picture: Picture) -> Event:
    """As published, or, with what posts say by now, as built anew."""
    row = truth.row(seq)
    assert row is not None
    text, reacted = picture.get(row.ref, ("", False))
    data = {"number": seq, "ref": row.ref, "text": text, "reacted": reacted}
    audience = Audience(channel_id=channel_id)
    event = events.encoded(row.kind, data, audience, seq)
    if row.kind != "post_deleted":
        return event
    return msgspec.structs.replace(
        event, sensitive=events.encoded(row.kind, data | {"delete_by": True}, audience).frame
    )


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "ws.repairs")


async def _live(chance: random.Random, without: frozenset[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    monkeypatch.setattr(board, "boottime_ns", lambda: int(_now() * 1e9))
    world = World(chance, without)
    monkeypatch.setattr(replay, "read", world.read)
    monkeypatch.setattr(channels, "find_seqs", world.find_seqs)
    failed: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["exception"]))
    delivered = await world.run()
    if failed:
        raise failed[0]
    return delivered


def test_nothing_is_lost_doubled_late_or_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:

    def live(chance: random.Random) -> tuple[int, int]:
        return virtual.run(_live(chance, frozenset(), monkeypatch))

    found = for_each_seed(scale(150, 10_000), live)
    delivered, repaired = sum(one[0] for one in found), sum(one[1] for one in found)
    assert delivered > 80 * scale(150, 10_000)
    assert repaired > delivered / 100, "hardly anything had to be repaired: the test shows nothing"


@pytest.mark.parametrize("guard", ["heads", "poll", "term", "row", "peer", "told", "deadline", "nobody"])
def test_without_a_guard_events_are_lost_or_doubled(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(200):
        try:
            virtual.run(_live(random.Random(seed), frozenset({guard}), monkeypatch))
        except Wrong:
            return
    pytest.fail("nothing was lost or doubled: the simulation would not notice either")
