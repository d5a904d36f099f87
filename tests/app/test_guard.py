"""Delays after wrong passwords, under a virtual clock: they grow, they end, and nobody can aim them at others."""

import random

from app.guard import KNOWN_MS, Guard, Key, State, keys
from tests.rig.scale import for_each_seed, scale

ALLOWED = 10
HOME, AWAY = "203.0.113.7", "198.51.100.9"
ANN, BOB = "ann", "bob"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


class World:
    """The table and the clock. What is looked at is right or wrong at once, or later (`begin`, then `end`)."""

    def __init__(self, allowed: int = ALLOWED) -> None:
        self.guard = Guard(allowed)
        self.now_ms = 1_000_000_000_000
        self.table: dict[Key, State] = {}

    def _states(self, account: str, source: str) -> dict[Key, State]:
        return {key: self.table.get(key, State()) for key in keys(account, source)}

    def delay_ms(self, account: str, source: str) -> int:
        return self.guard.delay_ms(self._states(account, source), self.now_ms)

    def begin(self, account: str, source: str) -> dict[Key, State] | None:
        """Charge; None when there is a delay."""
        states = self._states(account, source)
        if self.guard.delay_ms(states, self.now_ms):
            return None
        charged = self.guard.charge(states, self.now_ms)
        self.table.update(charged)
        return charged

    def end(self, charged: dict[Key, State], *, good: bool) -> None:
        if good:
            states = {key: self.table[key] for key in charged}
            self.table.update(self.guard.forgive(states, charged, self.now_ms))

    def log_in(self, account: str, source: str, *, good: bool) -> bool:
        """Whether the password was looked at."""
        charged = self.begin(account, source)
        if charged is not None:
            self.end(charged, good=good)
        return charged is not None

    def wrong(self, account: str, source: str, times: int = 1) -> int:
        """How many of these guesses were looked at."""
        return sum(self.log_in(account, source, good=False) for _ in range(times))


def test_as_many_as_allowed_are_looked_at_then_the_delay_begins() -> None:
    world = World()
    assert world.wrong(ANN, AWAY, 50) == ALLOWED
    assert world.delay_ms(ANN, AWAY) == 30_000


def test_the_delay_doubles_up_to_a_quarter_of_an_hour_and_always_ends() -> None:
    world = World()
    world.wrong(ANN, AWAY, ALLOWED)
    seen = []
    for _ in range(9):
        seen.append(world.delay_ms(ANN, AWAY))
        world.now_ms += seen[-1]
        assert world.delay_ms(ANN, AWAY) == 0
        assert world.wrong(ANN, AWAY, 5) == 1
    assert seen[:5] == [30_000, 60_000, 120_000, 240_000, 480_000]
    assert set(seen[5:]) == {480_000, 900_000}  # while one waits, one is forgotten


def test_a_right_password_forgets_the_wrong_ones() -> None:
    world = World()
    for _ in range(5):
        assert world.wrong(ANN, HOME, ALLOWED - 1) == ALLOWED - 1
        assert world.log_in(ANN, HOME, good=True)


def test_the_owner_gets_in_from_another_address_while_the_account_is_guessed() -> None:
    world = World()
    world.wrong(ANN, AWAY, 50)
    assert world.delay_ms(ANN, AWAY)
    assert world.log_in(ANN, HOME, good=True)


def test_other_accounts_of_the_address_are_left_alone() -> None:
    world = World()
    world.wrong(ANN, AWAY, 50)
    assert world.log_in(BOB, AWAY, good=True)


def test_guessing_from_many_addresses_is_slowed_and_ends() -> None:
    world = World()
    looked_at = sum(world.wrong(ANN, f"10.0.{one // 250}.{one % 250}") for one in range(2000))
    assert looked_at == ALLOWED * 20
    assert 0 < world.delay_ms(ANN, HOME) <= MINUTE
    world.now_ms += MINUTE
    assert world.log_in(ANN, HOME, good=True)


def test_from_where_the_owner_logged_in_lately_many_guessers_keep_nobody_out() -> None:
    world = World()
    assert world.log_in(ANN, HOME, good=True)
    for one in range(2000):
        world.wrong(ANN, f"10.0.{one // 250}.{one % 250}")
    assert world.delay_ms(ANN, HOME) == 0
    world.now_ms += KNOWN_MS - HOUR
    for one in range(2000):
        world.wrong(ANN, f"10.1.{one // 250}.{one % 250}")
    assert world.log_in(ANN, HOME, good=True)
    world.now_ms += KNOWN_MS  # not seen for so long: it is an address like any other
    for one in range(2000):
        world.wrong(ANN, f"10.2.{one // 250}.{one % 250}")
    assert world.delay_ms(ANN, HOME)


def test_one_address_that_tries_many_accounts_is_slowed_and_known_people_behind_it_are_not() -> None:
    world = World()
    assert world.log_in(ANN, HOME, good=True)
    assert sum(world.wrong(f"user{one}", HOME) for one in range(1000)) == ALLOWED * 20
    assert 0 < world.delay_ms(BOB, HOME) <= MINUTE
    assert world.log_in(ANN, HOME, good=True)
    world.now_ms += MINUTE
    assert world.log_in(BOB, HOME, good=True)


def test_the_guessers_own_good_log_ins_do_not_give_guesses_back() -> None:
    world = World()
    looked_at = 0
    for one in range(1000):
        looked_at += world.wrong(f"user{one}", AWAY)
        world.log_in("mallory", AWAY, good=True)
    assert looked_at == ALLOWED * 20


def test_a_right_password_while_the_address_is_at_its_limit_delays_nobody() -> None:
    world = World()
    for one in range(ALLOWED * 20):
        world.wrong(f"user{one}", AWAY)
    world.now_ms += MINUTE
    for one in range(20):
        assert world.log_in(f"good{one}", AWAY, good=True)


def test_without_an_address_the_account_counts() -> None:
    world = World()
    assert world.wrong(ANN, "", 1000) == ALLOWED * 20


def test_a_row_that_says_nothing_any_more_may_go() -> None:
    world = World()
    world.wrong(ANN, AWAY, 50)
    state = world.table[Key(ANN, AWAY)]
    world.now_ms = state.keep_until
    assert world.delay_ms(ANN, AWAY) == 0
    del world.table[Key(ANN, AWAY)]
    world.table[Key(ANN, "")] = State()
    assert world.wrong(ANN, AWAY, 50) == ALLOWED


def test_at_any_concurrency_guesses_are_bounded_and_the_owner_is_never_kept_out() -> None:
    """Attackers anywhere, with any patience and any number of requests under way; and people who mistype now and then."""

    def simulate(rng: random.Random) -> None:
        allowed = rng.choice((1, 2, 5, 10))
        world = World(allowed)
        owner_home = "home" if rng.random() < 0.5 else "shared"
        sources = ["shared", *(f"bot{one}" for one in range(rng.choice((1, 3, 40))))]
        assert world.log_in(ANN, owner_home, good=True)
        began = world.now_ms
        under_way: list[dict[Key, State]] = []
        guessed = dict.fromkeys(sources, 0)
        for _ in range(1500):
            world.now_ms += rng.choice((0, 0, 0, 10, 1000, 30_000, 600_000))
            source = rng.choice(sources)
            if source == owner_home:
                continue  # its own mistakes are judged as anybody's
            charged = world.begin(ANN if rng.random() < 0.8 else f"user{rng.randrange(50)}", source)
            if charged is not None:
                under_way.append(charged)
                guessed[source] += any(key == (ANN, source) for key in charged)
            if under_way and rng.random() < 0.5:
                world.end(under_way.pop(rng.randrange(len(under_way))), good=False)
            if rng.random() < 0.02:
                assert world.delay_ms(ANN, owner_home) == 0
                assert world.log_in(ANN, owner_home, good=True)
            if rng.random() < 0.02:
                assert world.delay_ms(ANN, source) <= 900_000
        hours = (world.now_ms - began) / HOUR
        for one in guessed.values():
            assert one <= allowed + 6 + 4 * hours + 1
        everywhere = sum(guessed.values())
        assert everywhere <= allowed * 20 + 7 + 60 * hours + 1

    for_each_seed(scale(60, 3000), simulate)
