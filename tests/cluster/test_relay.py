"""What the relay tells the workers of its node."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from app.events import messages as events
from app.events.messages import Message
from cluster.bus.bus import BusEnd
from cluster.bus.envelope import Class, Envelope, Kind
from cluster.peers.interlink import Interlink
from cluster.relay.relay import Relay
from cluster.shm import page
from cluster.shm.page import Page
from db.model.board import Term
from db.model.ids import UserId
from db.pool.pool import Database


class Peers:
    """The part of `Interlink` that tells the other nodes."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[Envelope] = asyncio.Queue()
        self.published: list[tuple[Kind, Class, bytes]] = []

    def publish(self, kind: Kind, kind_class: Class, body: bytes) -> None:
        """See `Interlink`."""
        self.published.append((kind, kind_class, body))

    def changed(self, envelope: Envelope, body: bytes) -> None:
        """See `Interlink`."""
        del body
        self.told.put_nowait(envelope)


def _ignore(*_: object) -> None:
    pass


async def test_what_the_nodes_know_of_a_workers_earlier_life_lets_no_write_of_its_successor_through(
    tmp_path: Path,
) -> None:
    page.create(tmp_path / "page")
    address = f"ipc://{tmp_path}/bus"
    database = cast(Database, SimpleNamespace())
    relay = Relay(
        address, Page(tmp_path / "page", writable=True), database, node_id="n", incarnation=1, away_after_s=300
    )
    peers = Peers()
    relay.interlink = cast(Interlink, peers)
    serving = asyncio.create_task(relay.serve())
    bus = BusEnd(address, node_id="n", worker="api0", incarnation=2, on_messages=_ignore, on_loss=_ignore)
    bus.teller.limit_s = 10.0
    writing = asyncio.create_task(bus.committed([1], 0, Term()))
    ticket = (await asyncio.wait_for(peers.told.get(), 5)).seq
    relay.through("api0/1", ticket + 1000)
    await asyncio.sleep(0.1)
    assert not writing.done()
    relay.through("api0/2", ticket)
    await asyncio.wait_for(writing, 5)
    assert bus.teller.misses == 0
    bus.close()
    serving.cancel()
    await asyncio.wait([serving])


async def test_what_peers_still_say_while_a_node_stops_harms_nobody(tmp_path: Path) -> None:
    """Its own socket is closed before those to the other nodes, and they go on talking under load."""
    page.create(tmp_path / "page")
    address = f"ipc://{tmp_path}/bus"
    database = cast(Database, SimpleNamespace())
    relay = Relay(
        address, Page(tmp_path / "page", writable=True), database, node_id="n", incarnation=1, away_after_s=300
    )
    failed: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    serving = asyncio.create_task(relay.serve())
    bus = BusEnd(address, node_id="n", worker="ws0", incarnation=2, on_messages=_ignore, on_loss=_ignore)
    while not relay._links:
        await asyncio.sleep(0.01)
    serving.cancel()
    await asyncio.wait([serving])
    relay.deliver(Envelope("", "other", 1, 1, Kind.MESSAGE, Class.RELIABLE), b"")
    await asyncio.sleep(0.05)
    bus.close()
    assert failed == []


async def test_what_a_job_of_the_relay_publishes_reaches_the_workers_here_and_the_other_nodes(tmp_path: Path) -> None:
    page.create(tmp_path / "page")
    address = f"ipc://{tmp_path}/bus"
    database = cast(Database, SimpleNamespace())
    relay = Relay(
        address, Page(tmp_path / "page", writable=True), database, node_id="n", incarnation=1, away_after_s=300
    )
    heard: asyncio.Queue[Message] = asyncio.Queue()

    def hear(messages: Sequence[Message]) -> None:
        for message in messages:
            heard.put_nowait(message)

    peers, event = Peers(), events.new_user(UserId("ann"))
    relay.interlink = cast(Interlink, peers)
    bus = BusEnd(address, node_id="n", worker="ws0", incarnation=1, on_messages=hear, on_loss=_ignore)
    serving = asyncio.create_task(relay.serve())
    relay.publish(event)  # the worker is not there yet: it gets what came while it was finding this relay
    assert await asyncio.wait_for(heard.get(), 5) == event
    relay.publish(event)
    assert await asyncio.wait_for(heard.get(), 5) == event
    body = events.bundle([events.encode(event)])
    assert peers.published == [(Kind.MESSAGE, Class.RELIABLE, body)] * 2
    bus.close()
    serving.cancel()
    await asyncio.wait([serving])
