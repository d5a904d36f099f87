"""Log-in protection that attackers cannot aim (decision 0025), sans-I/O: wrong passwords in, delays out.

An attempt is charged to a row when its password is about to be looked at, and given back when the password was right.
A row is one number, the time at which all its failures are forgotten: each failure moves it on by `most_ms`, so that
one is forgotten every `most_ms`. From the allowed number on the next attempt must wait, twice as long each time:

    looked at ──charge──> failures ≥ allowed? ──> until_at = now + min(first_ms · 2ⁿ, most_ms)
    right     ──forgive─> the pair forgets all and is known for 30 days; wide rows get their charge back

Three rows count: (account, source); (account, ''), against guessing from many addresses; ('', source), against one
address that tries many accounts. From where an account has logged in lately only the pair's own row counts, so nobody
else can keep its owner out: neither from another address, nor from one that many people share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

KNOWN_MS = 30 * 86_400_000
"""For how long a source counts as the account's own after a good log-in."""
_WIDE = 20


class Key(NamedTuple):
    """A row. account: a user's id or what stands for an unknown one. '': all of them."""

    account: str
    source: str


class State(NamedTuple):
    """What is known of a key. Times are ms of one clock, 0 for never.

    forgotten_at: when no failure counts any more. until_at: no attempt before. good_at: the last good log-in.
    """

    forgotten_at: int = 0
    until_at: int = 0
    good_at: int = 0

    @property
    def keep_until(self) -> int:
        """When the row says nothing any more."""
        return max(self.forgotten_at, self.until_at, self.good_at + KNOWN_MS if self.good_at else 0)


@dataclass(frozen=True)
class Limit:
    """allowed: failures before the delay begins. first_ms, most_ms: the delay, and in which time one is forgotten."""

    allowed: int
    first_ms: int
    most_ms: int

    def failures(self, state: State, now_ms: int) -> int:
        """How many failures count now."""
        return max(0, -((now_ms - state.forgotten_at) // self.most_ms))

    def charge(self, state: State, now_ms: int) -> State:
        """One more."""
        after = state._replace(forgotten_at=max(state.forgotten_at, now_ms) + self.most_ms)
        beyond = self.failures(after, now_ms) - self.allowed
        if beyond < 0:
            return after
        return after._replace(until_at=now_ms + min(self.first_ms << min(beyond, 40), self.most_ms))

    def give_back(self, state: State, charged: State, now_ms: int) -> State:
        """Without the charge that led to `charged`; delays of others stay."""
        after = state._replace(forgotten_at=max(0, state.forgotten_at - self.most_ms))
        if state.until_at == charged.until_at or self.failures(after, now_ms) < self.allowed:
            after = after._replace(until_at=0)
        return after


class Guard:
    """allowed: ServiceSettings.MaximumLoginAttempts."""

    def __init__(self, allowed: int) -> None:
        self._pair = Limit(allowed, first_ms=30_000, most_ms=900_000)
        self._wide = Limit(allowed * _WIDE, first_ms=1_000, most_ms=60_000)

    def _limit(self, key: Key) -> Limit:
        return self._pair if key.account and key.source else self._wide

    def counting(self, states: Mapping[Key, State], now_ms: int) -> list[Key]:
        """Which of the rows count for an attempt."""
        return self.known(states, now_ms) or list(states)

    def known(self, states: Mapping[Key, State], now_ms: int) -> list[Key]:
        """The row of the account and the source, if the account has logged in from there lately."""
        return [key for key, state in states.items() if state.good_at and now_ms < state.good_at + KNOWN_MS]

    def delay_ms(self, states: Mapping[Key, State], now_ms: int) -> int:
        """How long this attempt must wait; 0: its password may be looked at."""
        return max(0, *(states[key].until_at - now_ms for key in self.counting(states, now_ms)))

    def charge(self, states: Mapping[Key, State], now_ms: int) -> dict[Key, State]:
        """The rows that change, and to what. Only when there is no delay."""
        return {key: self._limit(key).charge(states[key], now_ms) for key in self.counting(states, now_ms)}

    def forgive(self, states: Mapping[Key, State], charged: Mapping[Key, State], now_ms: int) -> dict[Key, State]:
        """The rows that change when the password was right. states: of now, of at least the keys in `charged`."""
        after = {}
        for key, then in charged.items():
            if key.account and key.source:
                after[key] = State(good_at=now_ms)
            else:
                after[key] = self._limit(key).give_back(states[key], then, now_ms)
        return after

    def begins_delay(self, charged: Mapping[Key, State], now_ms: int) -> bool:
        """Whether this charge is the one with which a delay begins that was not there before."""
        return any(
            self._limit(key).failures(state, now_ms) == self._limit(key).allowed for key, state in charged.items()
        )


def keys(account: str, source: str) -> Sequence[Key]:
    """The rows of an attempt, in the order in which they are locked."""
    return (Key("", source), Key(account, ""), Key(account, source)) if source else (Key(account, ""),)
