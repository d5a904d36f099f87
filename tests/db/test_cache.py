"""Caches: what counts as a hit, who shares a fill, what a closed fence lets through."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from db.model.board import FENCE_NS, LocalBoard
from db.model.errors import Busy, ConnectionLost, Unavailable
from db.model.shards import LocalStamps, Shard, Tokens, shard
from db.pool import cache as caches
from db.pool.cache import MAX_FILLS, Cache, Registry
from tests.rig import virtual
from tests.rig.scale import for_each_seed, scale


class World:
    """A database of one table; a clock; a fence that is open."""

    def __init__(self) -> None:
        self.now = FENCE_NS * 10
        self.board = LocalBoard()
        self.poll()
        self.stamps = LocalStamps()
        self.tick = 0
        self.registry = Registry(self.stamps, self.board, self._now_ns)
        self.rows = {"a": "1", "b": "1"}
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.under_way = self.most = 0
        self.cache: Cache[str, str] = self.registry.declare("rows", self._read, on=lambda key: (_of(key),), capacity=3)

    def _now_ns(self) -> int:
        self.now += self.tick
        return self.now

    def poll(self) -> None:
        self.board.set_polled(self.now)

    async def _read(self, key: str) -> str | None:
        self.asked.append(key)
        self.now += 1
        row = self.rows.get(key)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            return row
        finally:
            self.under_way -= 1

    def write(self, key: str, value: str) -> None:
        self.rows[key] = value
        self.stamps.write([_of(key)])

    def figures(self, name: str = "rows") -> tuple[int, int, int]:
        found = self.registry.figures()[name]
        return found["hits"], found["misses"], found["stale"]


def _of(key: str) -> Shard:
    return shard("x", key)


async def _asked(world: World, number: int) -> None:
    while len(world.asked) < number:
        await asyncio.sleep(0)


async def test_a_copy_is_read_once() -> None:
    world = World()
    assert [await world.cache.get("a") for _ in range(3)] == ["1", "1", "1"]
    assert world.asked == ["a"]
    assert world.figures() == (2, 1, 0)


async def test_a_change_ends_a_copy_and_no_other() -> None:
    world = World()
    await world.cache.get("a")
    await world.cache.get("b")
    world.write("a", "2")
    assert (await world.cache.get("a"), await world.cache.get("b")) == ("2", "1")
    assert world.asked == ["a", "b", "a"]
    assert world.figures() == (1, 3, 1)


async def test_a_change_of_everything_ends_all_copies() -> None:
    world = World()
    await world.cache.get("a")
    world.stamps.write_all()
    await world.cache.get("a")
    assert world.asked == ["a", "a"]


async def test_what_changed_while_it_was_read_is_not_kept() -> None:
    world = World()
    world.gate.clear()
    reading = asyncio.create_task(world.cache.get("a"))
    await _asked(world, 1)
    world.write("a", "2")
    world.gate.set()
    assert await reading == "1"  # it was asked for before
    assert await world.cache.get("a") == "2"


async def test_what_is_not_there_is_asked_for_each_time() -> None:
    world = World()
    assert [await world.cache.get("z") for _ in range(2)] == [None, None]
    assert world.asked == ["z", "z"]
    world.rows["z"] = "1"  # by somebody nobody knows of yet
    assert await world.cache.get("z") == "1"


async def test_a_copy_that_is_gone_is_forgotten() -> None:
    world = World()
    await world.cache.get("a")
    del world.rows["a"]
    world.stamps.write([_of("a")])
    assert await world.cache.get("a") is None
    assert world.registry.figures()["rows"]["copies"] == 0


async def test_who_asks_while_a_fill_is_under_way_shares_it() -> None:
    world = World()
    world.gate.clear()
    reading = [asyncio.create_task(world.cache.get("a")) for _ in range(5)]
    await _asked(world, 1)
    reading += [asyncio.create_task(world.cache.get("a")) for _ in range(5)]
    await asyncio.sleep(0)
    world.gate.set()
    assert await asyncio.gather(*reading) == ["1"] * 10
    assert world.asked == ["a"]


async def test_who_asks_after_a_change_gets_no_answer_from_before_it() -> None:
    world = World()
    world.tick = 1
    world.gate.clear()
    early = asyncio.create_task(world.cache.get("a"))
    await _asked(world, 1)
    world.write("a", "2")
    late = [asyncio.create_task(world.cache.get("a")) for _ in range(5)]
    await asyncio.sleep(0)
    world.gate.set()
    assert await early == "1"
    assert await asyncio.gather(*late) == ["2"] * 5
    assert world.asked == ["a", "a"]


async def test_an_error_goes_to_all_who_wait() -> None:
    world = World()
    world.gate.clear()
    reading = [asyncio.create_task(world.cache.get("a")) for _ in range(3)]
    await _asked(world, 1)
    world.error = ConnectionLost("gone")
    world.gate.set()
    assert [type(one) for one in await asyncio.gather(*reading, return_exceptions=True)] == [ConnectionLost] * 3
    world.error = None
    assert await world.cache.get("a") == "1"


async def test_when_the_first_to_ask_goes_away_the_next_one_asks() -> None:
    world = World()
    world.gate.clear()
    first, second = (asyncio.create_task(world.cache.get("a")) for _ in range(2))
    await _asked(world, 1)
    first.cancel()
    await _asked(world, 2)
    world.gate.set()
    assert await second == "1"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_who_waits_for_a_fill_that_goes_away_is_not_told_that_nothing_is_there() -> None:
    world = World()
    world.tick = 1
    world.now += FENCE_NS
    world.gate.clear()
    crowd = [asyncio.create_task(world.cache.get(str(number))) for number in range(MAX_FILLS)]
    await _asked(world, MAX_FILLS)
    first, second = (asyncio.create_task(world.cache.get("a")) for _ in range(2))  # both before it is sent
    await asyncio.sleep(0)
    crowd[0].cancel()
    await _asked(world, MAX_FILLS + 1)
    first.cancel()
    await _asked(world, MAX_FILLS + 2)
    world.gate.set()
    assert await second == "1"
    await asyncio.gather(*crowd, first, return_exceptions=True)


# What a copy depends on is known from its row


def _learning(world: World) -> Cache[str, str]:
    """A cache of rows by name: the shard is that of the value."""
    return world.registry.declare("by_name", world._read, on=lambda _: (), of=lambda row: (_of(row),), capacity=3)


async def test_the_first_read_of_an_unknown_row_is_not_kept() -> None:
    world = World()
    cache = _learning(world)
    assert [await cache.get("a") for _ in range(4)] == ["1"] * 4
    assert world.asked == ["a", "a"]
    assert world.figures("by_name") == (2, 2, 0)


async def test_a_copy_that_comes_to_depend_on_something_else_is_not_kept_at_once() -> None:
    world = World()
    cache = _learning(world)
    for _ in range(3):
        await cache.get("a")
    world.rows["a"] = "2"
    world.stamps.write([_of("1")])
    assert [await cache.get("a") for _ in range(3)] == ["2"] * 3
    assert world.asked == ["a"] * 4
    world.stamps.write([_of("1")])  # what it depended on once
    await cache.get("a")
    assert world.asked == ["a"] * 4
    world.stamps.write([_of("2")])
    await cache.get("a")
    assert world.asked == ["a"] * 5


# The fence


async def test_a_copy_counts_only_while_the_last_poll_is_young() -> None:
    world = World()
    await world.cache.get("a")
    world.now = world.board.polled_ns() + FENCE_NS - 1
    await world.cache.get("a")
    assert world.asked == ["a"]
    world.now += 1
    await world.cache.get("a")
    assert world.asked == ["a", "a"]
    world.poll()
    await world.cache.get("a")
    assert world.asked == ["a", "a"]


async def test_before_the_first_poll_no_copy_counts() -> None:
    world = World()
    world.now = 5
    world.board.set_polled(0)
    await world.cache.get("a")
    await world.cache.get("a")
    assert world.asked == ["a", "a"]


def test_a_closed_fence_lets_few_fills_through_and_the_others_wait_and_then_give_up() -> None:
    async def main() -> None:
        world = World()
        world.now += FENCE_NS
        world.gate.clear()
        reading = [asyncio.create_task(world.cache.get(str(number))) for number in range(MAX_FILLS + 3)]
        await _asked(world, MAX_FILLS)
        done, _ = await asyncio.wait(reading, timeout=caches.FILL_WAIT_S * 0.9)
        assert not done
        done, _ = await asyncio.wait(reading, timeout=caches.FILL_WAIT_S * 0.2)
        assert [type(one.exception()) for one in done] == [Unavailable] * 3
        world.gate.set()
        await asyncio.wait(reading)
        assert len(world.asked) == world.most == MAX_FILLS

    virtual.run(main())


def test_a_closed_fence_with_a_quick_database_serves_everybody() -> None:
    async def main() -> None:
        world = World()
        world.now += FENCE_NS
        await asyncio.gather(*(world.cache.get(str(number)) for number in range(200)))
        assert len(world.asked) == 200
        assert world.most <= MAX_FILLS

    virtual.run(main())


async def test_behind_a_closed_fence_only_so_many_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "MAX_WAITING", 1)
    world = World()
    world.now += FENCE_NS
    world.gate.clear()
    reading = [asyncio.create_task(world.cache.get(str(number))) for number in range(MAX_FILLS + 1)]
    await _asked(world, MAX_FILLS)
    with pytest.raises(Busy):
        await world.cache.get("one too many")
    world.gate.set()
    await asyncio.gather(*reading)


class Preempted(Registry):
    """Between any two steps of a check others act."""

    others: "Others"

    def holds(self, shards: Sequence[Shard], tokens: Tokens) -> bool:
        found = super().holds(shards, tokens)
        if found:
            self.others.hit()
        return found


class Others(LocalBoard, LocalStamps):
    """Somebody who writes without a word, and the follower, whose polls may take long; they act whenever asked anything.

    A check that asks in another order than the real one is tested with the same class.
    """

    def __init__(self, chance: random.Random) -> None:
        LocalBoard.__init__(self)
        LocalStamps.__init__(self)
        self.chance = chance
        self.now = FENCE_NS * 10
        self.changed_at: int | None = None
        """When the copy ceased to be true."""
        self.sent: int | None = None
        self.hits = 0

    def act(self) -> None:
        while self.chance.random() < 0.4:
            self.now += self.chance.choices([1, FENCE_NS // 10, 2 * FENCE_NS], (5, 3, 2))[0]
            if self.changed_at is None and self.chance.random() < 0.05:
                self.changed_at = self.now
            if self.sent is None:
                self.sent = self.now
            else:  # the poll comes back
                if self.changed_at is not None and self.changed_at <= self.sent:
                    LocalStamps.write(self, [_of("a")])
                LocalBoard.set_polled(self, self.sent)
                self.sent = None

    def hit(self) -> None:
        self.hits += 1
        assert self.changed_at is None or self.now - self.changed_at <= FENCE_NS, "a stale hit"

    def polled_ns(self) -> int:
        self.act()
        return super().polled_ns()

    def hold(self, shards: Sequence[Shard], tokens: Tokens) -> bool:
        self.act()
        return super().hold(shards, tokens)

    def now_ns(self) -> int:
        self.act()
        return self.now


def _check(chance: random.Random, *, stamps_first: bool = False, clock_first: bool = False) -> int:
    others = Others(chance)
    registry = Preempted(others, others, others.now_ns)
    registry.others = others
    shards = (_of("a"),)
    tokens = LocalStamps.take(others, shards)
    for _ in range(50):
        if stamps_first:
            if others.hold(shards, tokens):
                polled_ns = others.polled_ns()
                if others.now_ns() - polled_ns < FENCE_NS:
                    others.hit()
        elif clock_first:
            now_ns = others.now_ns()
            polled_ns = others.polled_ns()
            if now_ns - polled_ns < FENCE_NS and others.hold(shards, tokens):
                others.hit()
        else:
            registry.holds(shards, tokens)
    return others.hits


def test_a_hit_is_never_too_old_wherever_the_check_is_interrupted() -> None:
    hits = sum(for_each_seed(scale(300, 20_000), _check))
    assert hits > scale(300, 20_000)


@pytest.mark.parametrize("order", ["stamps_first", "clock_first"])
def test_in_another_order_the_check_would_let_stale_copies_pass(order: str) -> None:
    with pytest.raises(AssertionError, match="a stale hit"):
        for_each_seed(2000, lambda chance: _check_in(chance, order))


def _check_in(chance: random.Random, order: str) -> None:
    _check(chance, stamps_first=order == "stamps_first", clock_first=order == "clock_first")


# Bounds, purge, many at once


async def test_what_was_used_longest_ago_goes() -> None:
    world = World()
    world.rows = dict.fromkeys("abcd", "1")
    for key in "abcad":
        await world.cache.get(key)
    for key in "acd":
        await world.cache.get(key)
    assert world.asked == ["a", "b", "c", "d"]
    await world.cache.get("b")
    assert world.asked[-1] == "b"


async def test_bytes_are_bounded() -> None:
    world = World()
    cache = world.registry.declare(
        "sized", world._read, on=lambda key: (_of(key),), capacity=100, size=len, max_bytes=10
    )
    world.rows = {"a": "x" * 6, "b": "x" * 4, "c": "x" * 3, "d": "x" * 11}
    for key in "abc":
        await cache.get(key)
    assert world.registry.figures()["sized"] | {"copies": 2, "bytes": 7} == world.registry.figures()["sized"]
    await cache.get("d")  # larger than all of it
    world.write("b", "x" * 5)
    await cache.get("b")
    assert world.registry.figures()["sized"]["bytes"] == 8
    world.registry.purge()
    assert world.registry.figures()["sized"]["bytes"] == 0


async def test_a_purge_empties_every_cache_and_ends_the_copies_of_other_workers() -> None:
    world = World()
    other = Registry(world.stamps, world.board, lambda: world.now)
    elsewhere = other.declare("rows", world._read, on=lambda key: (_of(key),), capacity=3)
    await world.cache.get("a")
    await elsewhere.get("a")
    world.registry.purge()
    assert world.registry.figures()["rows"]["copies"] == 0
    await elsewhere.get("a")
    assert world.asked == ["a"] * 3


async def test_two_caches_have_two_names() -> None:
    world = World()
    with pytest.raises(ValueError, match="two caches rows"):
        world.registry.declare("rows", world._read, on=lambda _: (), capacity=1)


async def test_many_are_filled_at_once_as_far_as_they_are_missing() -> None:
    world = World()
    asked: list[list[str]] = []

    async def fill(missing: list[str]) -> dict[str, str]:
        asked.append(missing)
        found = {key: world.rows[key] for key in missing if key in world.rows}
        await world.gate.wait()
        return found

    assert await world.cache.get_many(["a", "z"], fill) == {"a": "1"}
    assert await world.cache.get_many(["b", "a"], fill) == {"a": "1", "b": "1"}
    assert await world.cache.get("b") == "1"
    assert asked == [["a", "z"], ["b"]]
    world.stamps.write_all()
    world.gate.clear()
    reading = asyncio.create_task(world.cache.get_many(["a", "b"], fill))
    await asyncio.sleep(0)
    world.write("b", "2")
    world.gate.set()
    assert await reading == {"a": "1", "b": "1"}
    assert await world.cache.get_many(["a", "b"], fill) == {"a": "1", "b": "2"}
    assert asked[2:] == [["a", "b"], ["b"]]
