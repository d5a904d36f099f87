"""Very many sockets of one node: all cut at once, or some that do not read."""

import asyncio
import threading
import time
from collections.abc import Iterator
from itertools import chain

import pytest

from bench.limits import allow_descriptors
from bench.population import Population, populate
from bench.sockets import Writer
from bench.swarm import Swarm, until
from tests.plugins.resources import uses
from tests.rig.lateness import within
from tests.rig.node import Node
from tests.rig.scale import scale

SOCKETS = scale(200, 2000)
READERS, SLOW = scale(100, 500), scale(10, 50)
BACK_S, CLOSED_S = 15.0, 12.0
POST_BYTES = 12_000


@pytest.fixture(scope="module")
@uses("node")
def full() -> Iterator[tuple[Node, Population]]:
    """A node of two ws workers, with many users of 100 channels each."""
    allow_descriptors(2 * SOCKETS + 2000)
    with Node(
        database="embedded", workers=2, ws_workers=2, environment={"MM_TEAMSETTINGS_MAXUSERSPERTEAM": "100000"}
    ) as node:
        yield node, populate(node, max(SOCKETS, READERS))


class Readers:
    """Requests, one after the other, for as long as it lasts."""

    def __init__(self, people: Population) -> None:
        self.statuses: list[int] = []
        self._people = people
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Readers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.statuses.append(self._people.owner.call("GET", "/users/me", timeout=10).status_code)
            time.sleep(0.02)


async def test_all_are_back_soon_after_they_were_cut_at_once(full: tuple[Node, Population]) -> None:
    node, people = full
    swarm, writer = Swarm(node.url, people.tokens[:SOCKETS]), Writer(people)
    await swarm.open()
    hellos = [one.hellos for one in swarm.members]
    with Readers(people) as readers:
        for one in swarm.members:
            assert one.transport is not None
            one.returning, one.live = True, False
            one.transport.abort()
        began = time.monotonic()
        await writer.write(node.url, 100)
        await until(lambda: all(one.live for one in swarm.members), 2 * BACK_S, "all back")
        took = time.monotonic() - began
        await until(lambda: all(one.delays for one in swarm.members), 5, "the post that was written meanwhile")
    assert set(readers.statuses) == {200}
    assert [one.hellos for one in swarm.members] == hellos, "a connection did not go on"
    assert within(BACK_S, since=began, until=began + took)
    assert [len(one.delays) for one in swarm.members] == [1] * SOCKETS
    print(f"{SOCKETS} back after {took:.1f} s, {len(readers.statuses)} requests meanwhile")
    swarm.close()
    writer.close()


async def test_who_does_not_read_is_closed_soon_and_nobody_else_loses_anything(full: tuple[Node, Population]) -> None:
    node, people = full
    swarm, writer = Swarm(node.url, people.tokens[:READERS]), Writer(people)
    await swarm.open()
    slow, reading = swarm.members[:SLOW], swarm.members[SLOW:]
    for one in slow:
        assert one.transport is not None
        one.transport.pause_reading()
    began, posts, left = time.monotonic(), 0, len(swarm.members)
    while left > len(reading):
        await writer.write(node.url, POST_BYTES)
        posts += 1
        if posts % 10 == 0:
            left = await asyncio.to_thread(_held, node)
        assert within(2 * CLOSED_S, since=began), f"{left - len(reading)} of those that do not read are there still"
        await asyncio.sleep(0.02)
    took = time.monotonic() - began
    await until(lambda: all(len(one.delays) == posts for one in reading), 10, "every post at those who read")
    assert within(CLOSED_S, since=began, until=began + took)
    delays = sorted(chain.from_iterable(one.delays for one in reading))
    print(
        f"{SLOW} of {READERS} closed after {took:.1f} s; the others' p99 {delays[len(delays) * 99 // 100] * 1000:.0f} ms"
    )
    assert all(one.transport is not None for one in reading)
    swarm.close()
    writer.close()


def _held(node: Node) -> int:
    return sum(int(child.get("sockets", 0)) for child in node.children().values())
