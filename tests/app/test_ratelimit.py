"""Rate limits under a virtual clock: what GCRA admits, alone and by many workers that tell each other."""

import heapq
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ratelimit import RateLimiter
from tests.rig.scale import for_each_seed, scale

SECOND = 1_000_000_000
KEY = b"somebody"


def test_a_burst_is_admitted_and_then_the_even_rate() -> None:
    limiter = RateLimiter(10, 4, 100)
    assert [limiter.admit(KEY, 0).remaining for _ in range(5)] == [4, 3, 2, 1, 0]
    assert not limiter.admit(KEY, 0).admitted
    assert not limiter.admit(KEY, SECOND // 10 - 1).admitted
    assert limiter.admit(KEY, SECOND // 10).admitted
    assert not limiter.admit(KEY, SECOND // 10).admitted


def test_a_verdict_says_how_much_is_left_and_when_to_come_back() -> None:
    limiter = RateLimiter(10, 4, 100)
    assert limiter.admit(KEY, 0) == (True, 5, 4, SECOND // 10, 0)
    for _ in range(4):
        verdict = limiter.admit(KEY, 0)
    assert verdict == (True, 5, 0, SECOND // 2, 0)
    assert limiter.admit(KEY, SECOND // 100) == (False, 5, 0, SECOND // 2 - SECOND // 100, SECOND // 10 - SECOND // 100)


def test_what_was_refused_costs_nothing() -> None:
    limiter = RateLimiter(10, 1, 100)
    for _ in range(1000):
        limiter.admit(KEY, 0)
    assert limiter.admit(KEY, SECOND // 10).admitted


def test_each_key_has_a_limit_of_its_own() -> None:
    limiter = RateLimiter(1, 1, 100)
    assert [limiter.admit(KEY, 0).admitted for _ in range(3)] == [True, True, False]
    assert limiter.admit(b"another", 0).admitted


def test_the_key_that_was_used_longest_ago_is_forgotten() -> None:
    limiter = RateLimiter(1, 1, 2)
    for key in (b"a", b"b"):
        assert limiter.admit(key, 0).admitted
        assert limiter.admit(key, 0).admitted
    assert not limiter.admit(b"a", 0).admitted  # which is a use
    limiter.apply(b"c", 1, 0)
    assert len(limiter) == 2
    assert not limiter.admit(b"a", 0).admitted
    assert limiter.admit(b"b", 0).admitted


def test_what_others_admitted_counts() -> None:
    limiter = RateLimiter(10, 4, 100)
    limiter.apply(KEY, 3, 0)
    assert [limiter.admit(KEY, 0).admitted for _ in range(3)] == [True, True, False]


def test_what_others_admitted_beyond_the_burst_is_owed_but_no_more_than_another_burst() -> None:
    limiter = RateLimiter(10, 4, 100)
    limiter.apply(KEY, 7, 0)
    assert limiter.admit(KEY, 0) == (False, 5, 0, 7 * SECOND // 10, 3 * SECOND // 10)
    limiter.apply(KEY, 1_000_000, 0)
    assert limiter.admit(KEY, 0).retry_ns == 6 * SECOND // 10
    assert limiter.admit(KEY, 6 * SECOND // 10).admitted


def test_what_was_admitted_is_told_once() -> None:
    limiter = RateLimiter(10, 4, 100)
    for key in (KEY, KEY, b"another"):
        limiter.admit(key, 0)
    limiter.apply(b"a third", 2, 0)
    assert limiter.take() == {KEY: 2, b"another": 1}
    assert limiter.take() == {}


def test_a_sixteenth_of_the_burst_is_urgent_and_so_are_very_many_keys() -> None:
    limiter = RateLimiter(10, 47, 10_000)

    def is_urgent_after(key: bytes) -> bool:
        limiter.admit(key, 0)
        return limiter.urgent

    assert [is_urgent_after(KEY) for _ in range(3)] == [False, False, True]
    limiter.take()
    assert [is_urgent_after(b"%d" % number) for number in range(1000)] == [False] * 999 + [True]


@given(
    st.integers(1, 2000),
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, SECOND // 2), st.integers(1, 60)), min_size=1, max_size=60),
)
@settings(max_examples=scale(300, 20_000), deadline=None)
def test_no_window_admits_more_than_the_burst_and_the_even_rate(
    per_s: int, burst: int, arrivals: list[tuple[int, int]]
) -> None:
    """And never fewer than an even client at the rate may expect: who waits as long as told is admitted."""
    limiter = RateLimiter(per_s, burst, 10)
    now, admitted = 0, []
    for pause, count in arrivals:
        now += pause
        for _ in range(count):
            verdict = limiter.admit(KEY, now)
            if verdict.admitted:
                admitted.append(now)
            else:
                waiting = RateLimiter(per_s, burst, 10)
                waiting._arrivals = dict(limiter._arrivals)
                assert not waiting.admit(KEY, now + verdict.retry_ns - 1).admitted
                assert waiting.admit(KEY, now + verdict.retry_ns).admitted
    interval = SECOND // per_s
    for first, last in itertools.combinations_with_replacement(range(len(admitted)), 2):
        assert last - first + 1 <= burst + 1 + (admitted[last] - admitted[first]) / interval


def _spray(chance: random.Random, workers: int, rate: int, seconds: float, delay_s: float, loss: float = 0.0) -> int:
    """How many requests `workers` admit of one client that sprays; reports go as in api/throttle.py."""
    limiters = [RateLimiter(10, 100, 1000) for _ in range(workers)]
    tell_at: list[int | None] = [None] * workers
    under_way: list[tuple[int, int, int, dict[bytes, int]]] = []
    numbers = itertools.count()
    admitted, now = 0, 0

    def tell(worker: int) -> None:
        tell_at[worker] = None
        counts = limiters[worker].take()
        for other in range(workers):
            if other != worker and chance.random() >= loss:
                due = now + int(SECOND * delay_s * (0.5 + chance.random()))
                heapq.heappush(under_way, (due, next(numbers), other, counts))

    while now < seconds * SECOND:
        now += int(chance.expovariate(rate) * SECOND)
        while under_way and under_way[0][0] <= now:
            due, _, worker, counts = heapq.heappop(under_way)
            for key, number in counts.items():
                limiters[worker].apply(key, number, due)
        for worker, due_at in enumerate(tell_at):
            if due_at is not None and due_at <= now:
                tell(worker)
        worker = chance.randrange(workers)
        if limiters[worker].admit(KEY, now).admitted:
            admitted += 1
            if limiters[worker].urgent:
                tell(worker)
            elif tell_at[worker] is None:
                tell_at[worker] = now + SECOND // 10
    return admitted


@pytest.mark.parametrize("workers", [2, 6, 12])
@pytest.mark.parametrize("rate", [50, 500, 5000])
def test_many_workers_spend_one_budget(workers: int, rate: int) -> None:
    def simulate(chance: random.Random) -> None:
        budget = 101 + 10 * 10
        assert 0.9 * budget <= _spray(chance, workers, rate, 10.0, 0.005) <= 1.1 * budget

    for_each_seed(scale(3, 100), simulate)


def test_the_burst_is_overshot_by_little_more_than_what_nobody_could_know_of() -> None:
    """By what each worker keeps to itself (a sixteenth) and what comes while reports are on their way."""

    def simulate(chance: random.Random) -> None:
        assert _spray(chance, 6, 5000, 0.5, 0.005) <= 101 + 6 * (101 // 16) + 5000 * 0.0075 + 10

    for_each_seed(scale(10, 300), simulate)


def test_a_client_of_a_cluster_that_keeps_to_the_rate_is_never_refused() -> None:
    def simulate(chance: random.Random) -> None:
        limiters = [RateLimiter(10, 20, 1000) for _ in range(6)]
        now = 0
        for _ in range(200):
            now += SECOND // 10
            worker = chance.randrange(6)
            assert limiters[worker].admit(KEY, now).admitted
            for other in range(6):
                if other != worker:
                    limiters[other].apply(KEY, 1, now + chance.randrange(SECOND // 10))
            limiters[worker].take()

    for_each_seed(scale(10, 300), simulate)


def test_workers_that_never_hear_of_each_other_limit_each_on_its_own() -> None:
    """Which is what the reports are for."""
    assert _spray(random.Random(1), 3, 500, 10.0, 0.005, loss=1.0) == pytest.approx(3 * 201, abs=6)
