"""Which server serves a read: lag, fitness, weights, and that no read is older than its floor, whatever happens."""

import random

import pytest

from db.drivers import Row
from db.model.board import LocalBoard, Seen, Term, boottime_ns, fingerprint
from db.model.shards import LocalFloors, shard
from db.pool import generation
from db.pool.pool import Database
from db.pool.routing import MAX_ERRORS, PROBE_STALE_NS, LagClock, Router
from tests.cluster.simdb import MASTER, REPLICAS, Servers, SimDriver, SimSettings
from tests.rig import virtual
from tests.rig.scale import for_each_seed, scale

NOW = 10_000_000_000


def _router(replicas: int = 2, *, read_from_master: bool = False) -> Router:
    return Router(replicas, lag_max_ms=5000, read_from_master=read_from_master)


def _seen(replayed: int = 100, lag_ms: int = 0, probed_ns: int = NOW) -> Seen:
    return Seen(replayed, lag_ms, probed_ns)


def test_reads_are_spread_evenly_over_equal_replicas() -> None:
    router = _router(3)
    choices = [router.choose(0, [_seen()] * 3, NOW) for _ in range(300)]
    assert [choices.count(index) for index in range(3)] == [100, 100, 100]


def test_a_replica_that_lags_gets_less_and_one_that_lags_too_much_nothing() -> None:
    router = _router(3)
    seen = [_seen(), _seen(lag_ms=300), _seen(lag_ms=5001)]
    choices = [router.choose(0, seen, NOW) for _ in range(1000)]
    assert [choices.count(index) for index in range(3)] == [800, 200, 0]


def test_the_master_takes_its_share_when_it_is_to() -> None:
    router = _router(3, read_from_master=True)
    choices = [router.choose(0, [_seen()] * 3, NOW) for _ in range(400)]
    assert choices.count(None) == 100


@pytest.mark.parametrize(
    "seen", [Seen(), _seen(probed_ns=NOW - PROBE_STALE_NS - 1), _seen(replayed=99), _seen(lag_ms=5001)]
)
def test_what_is_unknown_stale_behind_or_late_is_left_to_the_master(seen: Seen) -> None:
    assert _router(1).choose(100, [seen], NOW) is None


def test_a_replica_that_lost_a_connection_is_out_until_a_later_probe() -> None:
    router = _router(1)
    router.failed(0, NOW, broken=True)
    assert router.choose(0, [_seen()], NOW + 1) is None
    assert router.choose(0, [_seen(probed_ns=NOW + 2)], NOW + 3) == 0


def test_a_replica_is_out_after_three_failures_in_a_row() -> None:
    router = _router(1)
    for number in range(MAX_ERRORS - 1):
        router.failed(0, NOW + number, broken=False)
    assert router.choose(0, [_seen()], NOW) == 0
    router.succeeded(0)
    for number in range(MAX_ERRORS):
        assert router.choose(0, [_seen()], NOW) == 0
        router.failed(0, NOW + number, broken=False)
    assert router.choose(0, [_seen()], NOW + 9) is None


def test_lag_is_the_age_of_the_oldest_position_that_is_missing() -> None:
    clock = LagClock()
    for second in range(5):
        clock.master(100 * second, now=float(second))
    assert clock.lag_ms(400, now=4.5) == 0
    assert clock.lag_ms(250, now=4.5) == 1500
    clock.master(400, now=5.0)  # nothing new is written
    assert clock.lag_ms(400, now=60.0) == 0
    assert clock.lag_ms(399, now=60.0) == 56_000
    clock.clear()
    assert clock.lag_ms(0, now=61.0) == 0


def test_lag_is_remembered_no_longer_than_needed() -> None:
    clock = LagClock()
    for tick in range(10_000):
        clock.master(tick, now=tick / 4)
    assert len(clock._seen) <= 4 * 60 + 2


def test_floors_hold_what_was_raised_last_and_never_fall() -> None:
    floors = LocalFloors()
    one, other = shard("user", "one"), shard("user", "other")
    assert floors.floor([one, other]) == 0
    floors.raise_to([one], 7)
    floors.raise_to([one], 5)
    assert (floors.floor([one]), floors.floor([other]), floors.floor([other, one])) == (7, 0, 7)
    floors.raise_all(6)
    assert (floors.floor([one]), floors.floor([other]), floors.floor([])) == (7, 6, 6)
    floors.settle([one], 6)
    assert floors.floor([one]) == 6


def test_terms_are_ordered_by_number_and_then_by_timeline() -> None:
    assert Term(1, 9) < Term(2, 1) < Term(2, 3)


def test_lists_of_replicas_are_told_apart() -> None:
    lists = [[], ["a"], ["b"], ["a", "b"], ["b", "a"], ["ab"]]
    assert len({fingerprint(one) for one in lists}) == len(lists)
    assert fingerprint([]) == 0


class World:
    """A master with a log, replicas that follow it as they like, and writers and readers in several processes."""

    def __init__(self, chance: random.Random, processes: int = 3, replicas: int = 3) -> None:
        self.chance = chance
        self.now = NOW
        self.position = 0
        self.truth: dict[str, int] = {}
        """Position of the last acknowledged write of each object."""
        self.log: list[tuple[int, str]] = []
        self.replayed = [0] * replicas
        self.floors = LocalFloors()
        self.board = LocalBoard()
        self.routers = [_router(replicas) for _ in range(processes)]
        self.connected: list[set[int]] = [set() for _ in range(processes)]
        self.served = 0
        self.probe()

    def write(self, key: str) -> None:
        self.position += self.chance.randint(1, 50)
        self.log.append((self.position, key))
        self.floors.raise_to([shard("x", key)], self.position)  # before it is acknowledged
        self.truth[key] = self.position

    def replay(self, index: int) -> None:
        if self.replayed[index] < self.position:
            self.replayed[index] = self.chance.randint(self.replayed[index], self.position)

    def crash_replica(self, index: int) -> None:
        """It starts anew, further back; every process that had a connection to it has to make a new one."""
        self.replayed[index] = self.chance.randint(0, self.replayed[index])
        for connected in self.connected:
            connected.discard(index)

    def probe(self) -> None:
        for index, replayed in enumerate(self.replayed):
            if self.chance.random() < 0.9:
                self.board.set_replica(index, Seen(replayed, self.chance.choice([0, 0, 300, 9000]), self.now))

    def read(self, key: str) -> None:
        process = self.chance.randrange(len(self.routers))
        router = self.routers[process]
        seen = [self.board.replica(index) for index in range(len(self.replayed))]
        choice = router.choose(self.floors.floor([shard("x", key)]), seen, self.now)
        if choice is None:
            return  # the master knows
        if choice not in self.connected[process]:
            if self.replayed[choice] < seen[choice].replayed:  # what a generation checks of each new connection
                router.failed(choice, self.now, broken=True)
                return
            self.connected[process].add(choice)
        self.served += 1
        there = max(
            (position for position, one in self.log if one == key and position <= self.replayed[choice]), default=0
        )
        assert there >= self.truth.get(key, 0), "a stale answer"


def test_no_read_is_older_than_what_was_acknowledged_before_it() -> None:
    for_each_seed(scale(50, 5000), _live)


def _live(chance: random.Random) -> None:
    world = World(chance)
    keys = ["a", "b", "c", "d"]
    for _ in range(400):
        world.now += world.chance.randint(0, 100_000_000)
        match world.chance.choice(["write", "read", "read", "read", "replay", "probe", "crash"]):
            case "write":
                world.write(world.chance.choice(keys))
            case "read":
                world.read(world.chance.choice(keys))
            case "replay":
                world.replay(world.chance.randrange(3))
            case "probe":
                world.probe()
            case "crash" if world.chance.random() < 0.1:
                world.crash_replica(world.chance.randrange(3))
    assert world.served, "no replica ever served: the test shows nothing"


def test_a_replica_that_began_anew_further_back_while_its_connection_was_waited_for_answers_no_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def read() -> Row | None:
        servers, board, a = Servers(random.Random(0), ["a"]), LocalBoard(), shard("x", "a")
        servers.commit("a")
        servers.replayed = [servers.position, 0]
        board.set_servers(fingerprint(REPLICAS))
        board.set_replica(0, Seen(servers.position, 0, boottime_ns()))
        board.set_polled(boottime_ns())

        async def begin_anew() -> None:
            servers.replayed[0] = 0
            board.set_replica(0, Seen(0, 0, boottime_ns()))

        driver = SimDriver(servers, begin_anew, tell_term=True)
        database = Database(SimSettings(MASTER, replicas=REPLICAS, driver_of=driver), board=board)
        database.floors.raise_to([a], servers.position)
        return await database.fetch_one("", ("a",), on=[a])

    monkeypatch.setattr(generation, "driver_of", lambda settings: settings.driver_of)
    assert virtual.run(read()) == ("a", 1)
