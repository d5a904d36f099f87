"""Many sockets on one ws worker of a whole node: connects, memory, one post to all, a storm, slow clients, typing."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench.cpu import Meter, process_s
from bench.http import request
from bench.limits import allow_descriptors
from bench.population import Population, populate
from bench.swarm import Swarm, marked, until
from tests.rig.node import Node

SOCKETS = 10_000
CUT = 2_000
READERS = 500
SLOW = 50
POSTS = 20
FLOOD_PER_S = 40
FLOOD_BYTES = 12_000
TYPING = 200
TYPING_PER_S = 25


class Writer:
    """Posts on one connection, one after the other."""

    def __init__(self, people: Population) -> None:
        self._people = people
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()

    async def write(self, url: str, length: int) -> None:
        """A post in the channel of everybody."""
        host, _, port = url.removeprefix("http://").rpartition(":")
        if self._streams is None:
            self._streams = await asyncio.open_connection(host, int(port), limit=1 << 20)
        reader, writer = self._streams
        body = {"channel_id": self._people.common, "message": marked(length)}
        writer.write(request("POST", "/posts", self._people.owner.token, body))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 201"), head
        start = head.index(b"content-length:") + 15
        await reader.readexactly(int(head[start : head.index(b"\r\n", start)]))


def _pss_kib(pid: int) -> int:
    """Memory of a process: its own, and its share of what it shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _quantiles(delays: Sequence[float]) -> str:
    return f"{delays[len(delays) // 2] * 1000:.1f} ms, {delays[len(delays) * 99 // 100] * 1000:.1f} ms"


def _say(name: str, figure: str) -> None:
    print(f"| {name} | {figure} |", flush=True)


async def _connect(node: Node, swarm: Swarm) -> None:
    meter, pid = Meter(node), node.pid("ws0")
    before = _pss_kib(pid)
    began = time.monotonic()
    await swarm.open()
    took = time.monotonic() - began
    count = len(swarm.members)
    used = meter.used_s()
    await asyncio.sleep(3)
    _say("connects a second, with log-in by token and hello", f"{count / took:.0f}")
    cpu = ", ".join(f"{role} {used[role] / count * 1e6:.0f}" for role in used)
    _say("CPU of each, µs", cpu)
    _say("memory of each in the ws worker", f"{(_pss_kib(pid) - before) / count:.1f} KiB")


async def _events(node: Node, swarm: Swarm, writer: Writer) -> None:
    swarm.take_delays()
    pid = node.pid("ws0")
    began = process_s(pid)
    for number in range(1, POSTS + 1):
        await writer.write(node.url, 400)
        await until(lambda n=number: all(len(one.delays) == n for one in swarm.members), 30, "a post at all sockets")  # type: ignore[misc]
    used = process_s(pid) - began
    _say("one post to all: until one of them has it, p50, p99", _quantiles(swarm.take_delays()))
    _say("the same, CPU of the ws worker for each delivery", f"{used / POSTS / len(swarm.members) * 1e6:.1f} µs")


async def _storm(swarm: Swarm, cut: int) -> None:
    members = swarm.members[:cut]
    for one in members:
        one.returning = True
    hellos = sum(one.hellos for one in members)
    began = time.monotonic()
    for one in members:
        assert one.transport is not None
        one.live = False
        one.transport.abort()
    await until(lambda: all(one.live for one in members), 120, "all back")
    took = time.monotonic() - began
    await asyncio.sleep(0.5)
    anew = sum(one.hellos for one in members) - hellos
    refused = sum(one.refusals for one in members)
    _say(f"{cut} cut at once, all back", f"{took:.1f} s ({cut - anew} resumed, {refused} attempts refused)")
    for one in members:
        one.returning = False


async def _flood(node: Node, writer: Writer, seconds: float, closing: "asyncio.Task[float] | None" = None) -> None:
    """Posts at a steady rate, for so long and until the task is done."""
    began = time.monotonic()
    number = 0
    while (now := time.monotonic()) < began + seconds or (closing is not None and not closing.done()):
        number += 1
        await writer.write(node.url, FLOOD_BYTES)
        await asyncio.sleep(max(0.0, began + number / FLOOD_PER_S - now))


async def _slow(node: Node, swarm: Swarm, writer: Writer, slow: int, seconds: float) -> None:
    members = swarm.members
    swarm.take_delays()
    await _flood(node, writer, seconds)
    await asyncio.sleep(0.5)
    _say(f"{len(members)} read {FLOOD_PER_S} posts/s of {FLOOD_BYTES} bytes: p50, p99", _quantiles(swarm.take_delays()))
    stopping, reading = members[:slow], members[slow:]
    for one in stopping:
        assert one.transport is not None
        one.transport.pause_reading()
    began = time.monotonic()
    pid = node.pid("ws0")
    before = _sockets(node)
    closing = asyncio.create_task(_wait_closed(node, before - slow))
    await _flood(node, writer, seconds, closing)
    await asyncio.sleep(0.5)
    delays = swarm.take_delays(reading)
    _say(f"{slow} of them stop reading: the others' p50, p99", _quantiles(delays))
    _say("the last of the slow ones closed after", f"{closing.result() - began:.1f} s")
    assert node.pid("ws0") == pid
    assert all(one.transport is not None for one in reading)


def _sockets(node: Node) -> int:
    return int(node.children()["ws0"]["sockets"])


async def _wait_closed(node: Node, count: int) -> float:
    deadline = time.monotonic() + 60
    while await asyncio.to_thread(_sockets, node) > count:
        assert time.monotonic() < deadline, "slow clients are not closed"
        await asyncio.sleep(0.1)
    return time.monotonic()


async def _typing(node: Node, people: Population, count: int) -> None:
    """Each types where nobody else is, so that nothing is delivered; below the limit of 30 a second."""
    swarm = Swarm(node.url, people.tokens[: len(people.alone)])
    await swarm.open()
    frames = [_typing_frame(channel_id) for channel_id in people.alone]
    meter = Meter(node)
    began = process_s(node.pid("ws0"))
    for number in range(1, count + 1):
        for one, frame in zip(swarm.members, frames, strict=True):
            assert one.transport is not None
            one.transport.write(frame)
        await asyncio.sleep(1 / TYPING_PER_S)
        await until(lambda n=number: swarm.replies == n * len(frames), 30, "replies")  # type: ignore[misc]
    used = (process_s(node.pid("ws0")) - began) / count / len(frames)
    relay = meter.used_s()["relay"] / count / len(frames)
    figure = f"{used * 1e6:.1f} µs, relay {relay * 1e6:.1f} µs"
    _say("a user_typing with permission, reply and bus: CPU of the ws worker", figure)
    swarm.close()


def _typing_frame(channel_id: str) -> bytes:
    request = {"seq": 1, "action": "user_typing", "data": {"channel_id": channel_id, "parent_id": ""}}
    text = json.dumps(request, separators=(",", ":")).encode()
    return b"\x81" + bytes([0x80 | len(text)]) + b"\0\0\0\0" + text


async def _run(node: Node, people: Population, cut: int, readers: int, slow: int, seconds: float, typing: int) -> None:
    writer = Writer(people)
    swarm = Swarm(node.url, people.tokens)
    await _connect(node, swarm)
    await _events(node, swarm, writer)
    await _storm(swarm, cut)
    swarm.close()
    await asyncio.sleep(1)
    few = Swarm(node.url, people.tokens[:readers])
    await few.open()
    await _slow(node, few, writer, slow, seconds)
    few.close()
    await asyncio.sleep(1)
    await _typing(node, people, typing)


def main(
    sockets: int = SOCKETS,
    cut: int = CUT,
    readers: int = READERS,
    slow: int = SLOW,
    seconds: float = 15.0,
    typing: int = TYPING,
) -> None:
    """Print a table."""
    allow_descriptors(sockets + 2000)
    environment = {"MM_TEAMSETTINGS_MAXUSERSPERTEAM": "100000"}
    with Node(database="embedded", workers=1, ws_workers=1, environment=environment) as node:
        people = populate(node, sockets)
        print(f"| {sockets} sockets on one ws worker, 100 channels a user | figure |\n|---|---|")
        uvloop.run(_run(node, people, cut, readers, slow, seconds, typing))
