"""Whom a socket is offered to, under a virtual clock: who is busy is waited for, who is frozen is passed over."""

import asyncio
import random
import time

import pytest

from cluster.sockets.offers import MAX_LATE_S, OFFER_S, TAKE_TIMEOUT_S, Patience, offer
from tests.rig import virtual
from tests.rig.scale import for_each_seed, scale

NEVER = 1e9


class _Taker:
    """Answers after a while: takes it, or is full, or is not there at all."""

    unread_s = NEVER
    """After how long its answer lies in a socket that nobody has read."""

    def __init__(self, after_s: float = 0.0, *, full: bool = False, there: bool = True, dies: bool = False) -> None:
        self.after_s, self.full, self.there, self.dies = after_s, full, there, dies
        self.answer_s = 0.0
        self.asked_at: list[float] = []
        self.words: list[str] = []

    def ask(self, _fd: int, _payload: bytes) -> "_Offered":
        if not self.there:
            raise ConnectionRefusedError
        self.asked_at.append(asyncio.get_running_loop().time())
        return _Offered(self)


class _Offered:
    def __init__(self, taker: _Taker) -> None:
        self._taker = taker
        self.answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.there_at = time.monotonic() + taker.unread_s
        if taker.after_s < NEVER:
            asyncio.get_running_loop().call_later(taker.after_s, self._say)

    def _say(self) -> None:
        if not self.answer.done():
            self.answer.set_result(not self._taker.full)

    def go(self) -> bool:
        self._taker.words.append("go")
        return not self._taker.dies

    def void(self) -> None:
        self._taker.words.append("void")

    def look(self) -> None:
        if time.monotonic() >= self.there_at:
            self._say()


async def _timed(*takers: _Taker) -> tuple[bool, float]:
    began = asyncio.get_running_loop().time()
    taken = await offer(0, b"", takers)
    return taken, asyncio.get_running_loop().time() - began


def _check(taken: bool, took_s: float, *takers: _Taker) -> None:
    found = virtual.run(_timed(*takers))
    assert found[0] is taken
    assert found[1] == pytest.approx(took_s)


def test_who_answers_late_is_waited_for() -> None:
    busy = _Taker(1.2)
    _check(True, 1.2, busy)
    assert busy.words == ["go"]


def test_who_does_not_answer_is_passed_over_soon_and_told_that_it_is_gone() -> None:
    frozen, other = _Taker(NEVER), _Taker(0.01)
    _check(True, TAKE_TIMEOUT_S + 0.01, frozen, other)
    assert (frozen.words, other.words) == (["void"], ["go"])


def test_all_are_busy_and_the_first_to_answer_gets_it() -> None:
    takers = [_Taker(0.9), _Taker(0.5), _Taker(1.0)]
    _check(True, 0.7, *takers)
    assert [taker.words for taker in takers] == [["void"], ["go"], ["void"]]


def test_it_is_refused_at_once_where_all_are_full() -> None:
    takers = [_Taker(0.01, full=True), _Taker(there=False), _Taker(0.02, full=True)]
    _check(False, 0.03, *takers)


def test_one_full_and_one_frozen_is_waited_for_and_then_refused() -> None:
    _check(False, OFFER_S, _Taker(NEVER), _Taker(0.0, full=True))


def test_who_is_known_to_be_late_gets_more_time() -> None:
    late = _Taker(OFFER_S + 0.5)
    _check(False, OFFER_S, late)
    late.answer_s = 1.0
    _check(True, OFFER_S + 0.5, late)
    late.after_s, late.answer_s = NEVER, 100.0
    _check(False, OFFER_S + MAX_LATE_S, late)


def test_who_dies_between_its_answer_and_the_go_does_not_have_it() -> None:
    dead, other = _Taker(0.1, dies=True), _Taker(0.1)
    assert virtual.run(_timed(dead, other))[0]
    assert (dead.words, other.words) == (["go"], ["go"])
    assert not virtual.run(_timed(_Taker(0.1, dies=True)))[0]


def test_our_own_lateness_is_not_held_against_anybody() -> None:
    patience = Patience(100.0)
    assert patience.left_s(100.0) == OFFER_S
    patience.waited(0.2, 2.2)
    assert patience.left_s(102.2) == pytest.approx(OFFER_S - 0.2)
    patience.waited(0.2, 100.0)
    assert patience.left_s(100.0) == OFFER_S + MAX_LATE_S


async def test_an_answer_that_came_while_our_loop_was_busy_counts() -> None:
    taker = _Taker(NEVER)
    taker.unread_s = 0.1
    asyncio.get_running_loop().call_later(0.02, time.sleep, OFFER_S + 0.2)
    assert await offer(0, b"", [taker])


def test_a_loop_that_is_late_waits_as_much_longer() -> None:
    """Its wait for the first takes 1 s instead of 0.2; the answer comes after 2.2 s."""

    async def run() -> bool:
        taker, other = _Taker(2.2), _Taker(NEVER)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual.VirtualLoop)
        loop.call_later(0.19, lambda: setattr(loop, "_now", loop.time() + 0.81))
        return await offer(0, b"", [taker, other])

    assert virtual.run(run())


def _any(chance: random.Random) -> None:
    takers = [
        _Taker(
            chance.choice([0.0, 0.1, 1.0, NEVER]),
            full=chance.random() < 0.3,
            there=chance.random() < 0.8,
            dies=chance.random() < 0.2,
        )
        for _ in range(chance.randrange(5))
    ]
    for taker in takers:
        taker.answer_s = chance.choice([0.0, 0.5])
    taken, took_s = virtual.run(_timed(*takers))
    good = [taker for taker in takers if taker.words == ["go"] and not taker.dies]
    assert len(good) == taken, "one has it, or none"
    assert took_s <= OFFER_S + MAX_LATE_S
    for taker in takers:
        assert len(taker.words) <= len(taker.asked_at), "a word for each offer at most"
        if taker.asked_at and taker.after_s == NEVER:
            assert taker.words == ["void"]
    for taker in takers if not taken else ():
        in_time = taker.asked_at and taker.asked_at[0] + taker.after_s < 1000.0 + OFFER_S
        assert taker.full or taker.dies or not in_time, "refused although somebody would have had it"


def test_whatever_they_do_it_has_one_server_or_none() -> None:
    for_each_seed(scale(500, 20_000), _any)
