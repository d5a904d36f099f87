"""What comes in at a ZeroMQ socket: all of it, a bounded number a turn."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from cluster.bus.inbox import Inbox

ROOT = Path(__file__).parents[2]
Pair = tuple["zmq.Socket[bytes]", "zmq.Socket[bytes]"]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two ends of a way: ours, and the other one's."""
    context = zmq.Context()
    ours, other = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    for one in (ours, other):
        one.set(zmq.LINGER, 0)
        one.set(zmq.SNDHWM, 0)
        one.set(zmq.RCVHWM, 0)
    ours.bind(f"ipc://{tmp_path}/s")
    other.connect(f"ipc://{tmp_path}/s")
    yield ours, other
    ours.close()
    other.close()
    context.term()


async def _until(condition: object) -> None:
    async with asyncio.timeout(20):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.002)


async def test_all_that_comes_is_taken_in_order_however_much_is_sent_meanwhile(pair: Pair) -> None:
    """Each send of ours may eat the edge of what comes: without `look_soon` a message would wait for the next one."""
    ours, other = pair
    came: list[bytes] = []
    inbox = Inbox(ours, lambda frames: came.append(frames[0]))
    inbox.start()
    for number in range(300):
        other.send(b"%d" % number)
        ours.send(b"back")
        inbox.look_soon()
        if number % 7 == 0:
            await asyncio.sleep(0)
    await _until(lambda: len(came) == 300)
    assert came == [b"%d" % number for number in range(300)]
    other.send(b"one more")  # and the descriptor still wakes us by itself
    await _until(lambda: len(came) == 301)
    inbox.close()


async def test_no_more_than_a_number_a_turn(pair: Pair) -> None:
    ours, other = pair
    came: list[bytes] = []
    looks: list[int] = []
    inbox = Inbox(ours, came.append, lambda: looks.append(len(came)), per_turn=10)
    for number in range(95):
        other.send(b"%d" % number)
    await asyncio.sleep(0.1)
    inbox.start()
    await _until(lambda: len(came) == 95)
    steps = [after - before for before, after in zip([0, *looks], looks, strict=False)]
    assert max(steps) == 10
    inbox.close()


async def test_what_is_closed_while_it_is_read_is_left_alone(pair: Pair) -> None:
    ours, other = pair
    came: list[bytes] = []
    looks: list[int] = []

    def take(frames: list[bytes]) -> None:
        came.extend(frames)
        inbox.close()

    inbox = Inbox(ours, take, lambda: looks.append(1))
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    for _ in range(5):
        other.send(b"x")
    await asyncio.sleep(0.1)
    inbox.start()
    await _until(lambda: came)
    inbox.look_soon()
    await asyncio.sleep(0.05)
    assert (came, looks, ours.closed, faults) == ([b"x"], [], True, [])
    inbox.close()


async def test_one_that_was_never_started_is_closed_as_well(pair: Pair) -> None:
    inbox = Inbox(pair[0], lambda _: None)
    inbox.close()
    assert pair[0].closed


async def test_frames_may_say_who_sent_them(pair: Pair) -> None:
    came: list[list[zmq.Frame]] = []
    inbox = Inbox(pair[0], came.append, copy=False)
    inbox.start()
    pair[1].send_multipart([b"a", b"b"])
    await _until(lambda: came)
    assert [frame.bytes for frame in came[0]] == [b"a", b"b"]
    inbox.close()


def test_nobody_reads_a_socket_by_hand() -> None:
    found = [
        path.name for path in (ROOT / "cluster").rglob("*.py") if re.search(r"recv_multipart|\.FD\b", path.read_text())
    ]
    assert found == ["inbox.py"]
