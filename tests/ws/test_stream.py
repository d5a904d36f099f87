"""What a connection is sent, under which numbers, and what it gets when it comes back."""

import random
import re
import tracemalloc

import msgspec

from tests.rig.scale import for_each_seed, scale
from ws.detached import KEPT_S, MAX_KEPT, Detached
from ws.fanout import SharedFrame, View
from ws.stream import DEAD_QUEUE, MAX_QUEUED_BYTES, MAX_QUEUED_EVENTS, Stream

ALL = View((), administrator=True)


def _frame(number: int, *, best_effort: bool = False, size: int = 0) -> SharedFrame:
    return SharedFrame(b'{"n":%d%s' % (number, b" " * size), best_effort=best_effort)


def _written(data: bytes) -> list[tuple[int, int]]:
    """(event, number) of each frame."""
    found = [msgspec.json.decode(one) for one in re.findall(rb"\{[^}]*\}", data)]
    return [(one["n"], one["seq"]) for one in found]


def test_events_are_numbered_as_they_are_written() -> None:
    stream = Stream()
    for number in (7, 8):
        assert stream.add(_frame(number))
    assert _written(stream.take()) == [(7, 0), (8, 1)]
    assert stream.take() == b""


def test_half_full_sheds_best_effort_and_full_says_so() -> None:
    stream = Stream()
    for number in range(MAX_QUEUED_EVENTS // 2):
        assert stream.add(_frame(number))
    assert stream.add(_frame(-1, best_effort=True))
    assert len(stream) == MAX_QUEUED_EVENTS // 2
    for number in range(MAX_QUEUED_EVENTS // 2):
        assert stream.add(_frame(number))
    assert not stream.add(_frame(0))
    large = Stream()
    assert large.add(_frame(0, size=MAX_QUEUED_BYTES))
    assert not large.add(_frame(1))


def test_who_comes_back_gets_what_was_not_read_under_the_old_numbers() -> None:
    stream = Stream()
    for number in range(5):
        stream.add(_frame(number))
    stream.take()
    stream.add_bytes(b"a reply")
    stream.add(_frame(5))
    stream.detach()
    stream.add(_frame(6))
    assert stream.resume(3, ALL)
    assert _written(stream.take()) == [(3, 3), (4, 4), (5, 5), (6, 6)]
    assert stream.resume(7, ALL)
    assert stream.take() == b""
    assert stream.resume(0, ALL)
    assert _written(stream.take())[0] == (0, 0)


def test_only_the_last_128_are_kept_and_nobody_knows_the_future() -> None:
    stream = Stream()
    for number in range(DEAD_QUEUE + 10):
        stream.add(_frame(number))
    stream.take()
    assert not stream.resume(9, ALL)
    assert not stream.resume(DEAD_QUEUE + 11, ALL)
    assert stream.resume(10, ALL)
    assert [number for number, _ in _written(stream.take())] == list(range(10, DEAD_QUEUE + 10))


def test_what_is_to_be_written_again_is_not_taken_for_what_was_there_before() -> None:
    stream = Stream()
    for number in range(200):
        stream.add(_frame(number))
    stream.take()
    assert stream.resume(150, ALL)
    assert not stream.resume(71, ALL)
    assert stream.resume(72, ALL)
    assert _written(stream.take()) == [(number, number) for number in range(72, 200)]


def test_what_was_written_is_not_kept_for_ever() -> None:
    stream = Stream()
    tracemalloc.start()
    try:
        for number in range(20 * DEAD_QUEUE):
            stream.add(_frame(number, size=10_000))
            stream.take()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert DEAD_QUEUE <= used / 10_000 <= 1.5 * DEAD_QUEUE


def _life(chance: random.Random) -> None:
    """Whatever breaks when, the client gets each event once, in order, or is told that it cannot be resumed."""
    stream, got, sent = Stream(), 0, 0
    for _ in range(60):
        for _ in range(chance.choice([0, 1, 1, 3, 40])):
            if not stream.add(_frame(sent)):
                return
            sent += 1
        if chance.random() < 0.2:
            stream.add_bytes(b"reply")
            stream.detach()
        parts = _written(stream.take())
        assert [number for number, _ in parts] == [seq for _, seq in parts]
        read = parts if chance.random() < 0.7 else parts[: chance.randint(0, len(parts))]
        if read:
            assert read[0][1] == got
            got = read[-1][1] + 1
        if len(read) < len(parts):  # the socket broke
            stream.detach()
            kept = stream.seq - got <= DEAD_QUEUE
            assert stream.resume(got, ALL) == kept
            if not kept:
                return
    assert got + len(stream) <= sent


def test_whatever_breaks_each_event_is_read_once_and_in_order() -> None:
    for_each_seed(scale(2_000, 100_000), _life)


def test_connections_without_a_socket_are_kept_for_5_minutes() -> None:
    detached: Detached[str] = Detached()
    detached.add("a", 0.0)
    detached.add("b", 10.0)
    detached.add("c", 20.0)
    detached.discard("b")
    assert detached.overdue(KEPT_S - 0.1) == []
    assert detached.overdue(KEPT_S) == ["a"]
    assert list(detached) == ["c"]
    for number in range(MAX_KEPT + 5):
        detached.add(str(number), 30.0)
    assert detached.overdue(40.0) == ["c", "0", "1", "2", "3", "4"]
    assert len(detached) == MAX_KEPT


def test_a_connection_of_elsewhere_goes_on_with_its_own_events_first() -> None:
    stream = Stream()
    stream.add(_frame(1))
    stream.take()
    for number in (8, 9):
        stream.add(_frame(number))
    stream.add_bytes(b"pong")
    stream.take_over(41, [_frame(7), _frame(8)], ALL, lambda frame: frame.body != _frame(8).body)
    data = stream.take()
    assert _written(data) == [(7, 41), (8, 42), (9, 43)]
    assert data.endswith(b"}pong")
    assert stream.resume(42, ALL)
    assert _written(stream.take()) == [(8, 42), (9, 43)]
    assert not stream.resume(40, ALL)


def test_what_goes_first_goes_before_what_waits() -> None:
    stream = Stream()
    stream.add(_frame(2))
    stream.put_first(_frame(1))
    assert _written(stream.take()) == [(1, 0), (2, 1)]


def _in(number: int, room: str, plain: SharedFrame | None = None) -> SharedFrame:
    return SharedFrame(b'{"n":%d' % number, best_effort=False, room=room, plain=plain)


def test_what_was_written_comes_again_only_to_who_may_know_it_still_and_without_a_hole() -> None:
    stream = Stream()
    for number, room in enumerate(["left", "", "stays", "left"]):
        stream.add(_in(number, room))
    stream.take()
    stream.add(_in(4, "left"))
    stream.add(_in(5, "stays"))
    assert stream.resume(0, View(["stays"], administrator=False))
    assert _written(stream.take()) == [(1, 0), (2, 1), (5, 2)]


def test_what_is_queued_is_sifted_and_replies_stay() -> None:
    stream = Stream()
    stream.add(_in(1, "left"))
    stream.add_bytes(b'{"n":7,"seq":0}')
    stream.add(_in(2, "stays", plain=_in(3, "stays")))
    stream.sift(View(["stays"], administrator=False))
    assert _written(stream.take()) == [(7, 0), (3, 0)]
    stream.add(_in(2, "stays", plain=_in(3, "stays")))
    stream.sift(View(["stays"], administrator=True))
    assert _written(stream.take()) == [(2, 1)]


def test_what_comes_from_elsewhere_is_judged_as_well() -> None:
    stream = Stream()
    frames = [_in(1, "left"), _in(2, "stays", plain=_in(3, "stays")), _in(4, "")]
    stream.take_over(9, frames, View(["stays"], administrator=False), lambda _: True)
    assert _written(stream.take()) == [(3, 9), (4, 10)]


def test_of_a_users_connections_the_oldest_give_way() -> None:
    detached: Detached[str] = Detached()
    for at, name in enumerate(["b", "x", "a", "c"]):
        detached.add(name, float(at))
    assert detached.oldest(["a", "b", "c", "socket"], 2) == ["b", "a"]
    assert list(detached) == ["x", "c"]
    assert detached.oldest(["c"], 0) == []
