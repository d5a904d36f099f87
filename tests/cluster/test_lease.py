"""The lease: who may work, simulated with frozen processes, a database that is away, and clocks that jump."""

import random
from dataclasses import dataclass, field

import pytest

from cluster.relay.lease import Ask, Lease
from db.sql.leases import Fence
from tests.rig.scale import for_each_seed, scale

ONE, TWO = Fence("jobs", 1), Fence("jobs", 2)


def holding(at: float = 100.0) -> Lease:
    lease = Lease()
    assert lease.due(at) is Ask.ACQUIRE
    lease.acquired(at, ONE)
    return lease


def test_a_follower_asks_every_three_seconds_and_does_not_work() -> None:
    lease = Lease()
    assert lease.due(100.0) is Ask.ACQUIRE
    lease.acquired(100.0, None)
    assert lease.due(102.9) is None
    assert lease.due(103.0) is Ask.ACQUIRE
    assert not lease.may_work(100.0)


def test_a_holder_renews_every_three_seconds() -> None:
    lease = holding()
    assert lease.due(102.9) is None
    assert lease.wait_s(102.5) == pytest.approx(0.5)
    assert lease.due(103.0) is Ask.RENEW
    lease.renewed(103.0, still_ours=True)
    assert lease.due(105.9) is None
    assert lease.due(106.0) is Ask.RENEW


def test_work_stops_seven_seconds_after_the_last_good_question_was_sent() -> None:
    lease = holding()
    lease.failed(105.0)
    assert lease.may_work(106.9)
    assert not lease.may_work(107.0)
    lease.renewed(103.0, still_ours=True)  # the answer took long: it counts from its question
    assert lease.may_work(109.9)
    assert not lease.may_work(110.0)


def test_a_database_that_is_away_is_asked_again_soon() -> None:
    lease = holding()
    lease.failed(104.0)
    assert lease.due(104.4) is None
    assert lease.due(104.5) is Ask.RENEW


def test_the_end_of_the_work_is_not_waited_beyond() -> None:
    lease = holding()
    lease.failed(106.8)
    assert lease.wait_s(106.8) == pytest.approx(0.2)


def test_who_lost_the_lease_stops_at_once_and_asks_for_it_anew() -> None:
    lease = holding()
    lease.renewed(103.0, still_ours=False)
    assert not lease.may_work(103.0)
    assert lease.fence is None
    assert lease.due(103.0) is Ask.ACQUIRE
    lease.acquired(103.0, TWO)
    assert lease.may_work(103.1)


# Simulation ---------------------------------------------------------------------------------------------------------

STEP_S = 0.1
QUIET_FROM_S, SETTLED_S, END_S = 90.0, 108.0, 120.0


@dataclass
class Store:
    """The row, by a clock of its own. writes: the tokens under which work was committed."""

    offset_s: float = 0.0
    away_until: float = 0.0
    holder: str = ""
    token: int = 0
    expires_at: float = 0.0
    writes: list[int] = field(default_factory=list)

    def acquire(self, now: float, holder: str) -> Fence | None:
        if now + self.offset_s < self.expires_at and self.holder != holder:
            return None
        self.holder, self.token = holder, self.token + 1
        self.expires_at = now + self.offset_s + 10.0
        return Fence("jobs", self.token)

    def renew(self, now: float, fence: Fence) -> bool:
        if fence.token != self.token or now + self.offset_s >= self.expires_at:
            return False
        self.expires_at = now + self.offset_s + 10.0
        return True

    def commit(self, fence: Fence) -> None:
        if fence.token == self.token:
            self.writes.append(fence.token)


@dataclass
class Node:
    """A process: its lease, the question under way, and what it works under (which it looks at once a step)."""

    name: str
    boot_s: float
    lease: Lease = field(default_factory=Lease)
    frozen_until: float = 0.0
    question: tuple[Ask, float, float, float] | None = None  # ask, asked_at (own), arrives, answered (true time)
    answer: object = None
    arrived: bool = False
    works_under: Fence | None = None

    def turn(self, now: float, rng: random.Random) -> None:
        own = now + self.boot_s
        if self.question is not None and now >= self.question[3]:
            ask, asked_at, _, _ = self.question
            if not self.arrived or self.answer is Store:
                self.lease.failed(own)
            elif ask is Ask.ACQUIRE:
                assert self.answer is None or isinstance(self.answer, Fence)
                self.lease.acquired(asked_at, self.answer)
            else:
                self.lease.renewed(asked_at, still_ours=bool(self.answer))
            self.question = None
        if self.question is None and (ask_now := self.lease.due(own)) is not None:
            arrives = now + rng.choice([0.0, 0.1, rng.uniform(0, 1.5)])
            self.question = (ask_now, own, arrives, arrives + rng.choice([0.0, 0.1, rng.uniform(0, 1.5)]))
            self.arrived = False
        self.works_under = self.lease.fence if self.lease.may_work(own) else None

    def reach(self, now: float, store: Store, rng: random.Random) -> None:
        """The network goes on while the process is frozen."""
        if self.question is None or self.arrived or now < self.question[2]:
            return
        self.arrived = True
        if now < store.away_until:
            self.answer = Store  # no answer
        elif self.question[0] is Ask.ACQUIRE:
            self.answer = store.acquire(now, self.name)
        elif self.lease.fence is not None:
            self.answer = store.renew(now, self.lease.fence)
        if now < QUIET_FROM_S and rng.random() < 0.1:
            self.answer = Store  # done, but the answer is lost


def simulate(rng: random.Random, *, clock_jumps: bool) -> None:
    store = Store(offset_s=rng.uniform(1e4, 1e6))
    nodes = [Node(name, rng.uniform(0, 1e6)) for name in "abc"]
    now, worked_s = 0.0, 0.0
    while now < END_S:
        now = round(now + STEP_S, 3)
        if now < QUIET_FROM_S:
            if rng.random() < 0.01:
                rng.choice(nodes).frozen_until = now + rng.choice([1.0, 5.0, 8.0, 15.0, 30.0])
            if rng.random() < 0.004:
                store.away_until = now + rng.choice([1.0, 6.0, 12.0])
            if clock_jumps and rng.random() < 0.01:
                store.offset_s += rng.choice([-30.0, -5.0, 2.0, 9.0, 60.0])
        else:
            store.away_until = 0.0
            for node in nodes:
                node.frozen_until = min(node.frozen_until, QUIET_FROM_S)
        rng.shuffle(nodes)
        for node in nodes:
            node.reach(now, store, rng)
            woke = node.frozen_until and now >= node.frozen_until
            if woke:
                node.frozen_until = 0.0
                if node.works_under is not None and rng.random() < 0.5:
                    store.commit(node.works_under)  # what it was about to do, before it looks at any clock
            if not node.frozen_until:
                node.turn(now, rng)
                if node.works_under is not None and now >= store.away_until:
                    store.commit(node.works_under)
        awake = [node for node in nodes if not node.frozen_until and node.works_under is not None]
        if not clock_jumps:
            assert len(awake) <= 1, f"{now}: two work at once"
        worked_s += STEP_S * bool(awake) if now >= SETTLED_S else 0.0
    assert store.writes == sorted(store.writes), "work was committed under a token after a later one"
    if not clock_jumps:
        assert worked_s > END_S - SETTLED_S - 1.0, "nobody works although nothing is wrong"
    assert store.writes


def test_never_two_work_at_once_whoever_is_frozen_and_however_late_answers_come() -> None:
    for_each_seed(scale(150, 3000), lambda rng: simulate(rng, clock_jumps=False))


def test_nothing_is_committed_under_an_old_token_even_when_the_databases_clock_jumps() -> None:
    for_each_seed(scale(150, 3000), lambda rng: simulate(rng, clock_jumps=True))
