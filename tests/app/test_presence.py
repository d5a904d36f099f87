"""Who is online: connections coming and going in, changes of status out, under a virtual clock."""

import random

from hypothesis import given
from hypothesis import strategies as st

from app.presence import AWAY, OFFLINE, ONLINE, PresenceTracker
from db.model.ids import UserId
from tests.rig.scale import for_each_seed, scale

ANN, BOB = UserId("ann"), UserId("bob")


def _tracker() -> PresenceTracker:
    return PresenceTracker(away_after_s=300, grace_s=5)


def test_the_first_connection_makes_online_the_second_changes_nothing() -> None:
    tracker = _tracker()
    tracker.connected("ws0", ANN, 0)
    assert tracker.changes(0) == [(ANN, ONLINE)]
    tracker.connected("ws1", ANN, 1)
    assert tracker.changes(1) == []


def test_offline_only_when_the_last_connection_has_been_gone_for_the_grace_time() -> None:
    tracker = _tracker()
    tracker.connected("ws0", ANN, 0)
    tracker.connected("ws1", ANN, 0)
    tracker.changes(0)
    tracker.disconnected("ws0", ANN, 1)
    assert tracker.changes(100) == []
    tracker.disconnected("ws1", ANN, 100)
    assert tracker.changes(104.9) == []
    assert tracker.changes(105) == [(ANN, OFFLINE)]
    assert tracker.people() == []


def test_whose_account_is_deactivated_is_offline_at_once_wherever_they_were() -> None:
    tracker = _tracker()
    tracker.connected("ws0", ANN, 0)
    tracker.connected("ws1", ANN, 0)
    tracker.disconnected("ws1", ANN, 1)
    tracker.changes(1)
    tracker.end(ANN)
    assert tracker.changes(1) == [(ANN, OFFLINE)]
    tracker.active(ANN, 2)
    tracker.disconnected("ws0", ANN, 2)
    assert tracker.changes(100) == []
    tracker.end(ANN)
    assert tracker.changes(100) == []


def test_who_comes_back_after_that_is_online() -> None:
    tracker = _tracker()
    tracker.connected("ws0", ANN, 0)
    tracker.changes(0)
    tracker.end(ANN)
    tracker.connected("ws0", ANN, 1)
    assert tracker.changes(1) == [(ANN, ONLINE)]


def test_only_who_holds_a_connection_stores_that_it_ended() -> None:
    tracker = _tracker()
    tracker.connected("other/ws0", ANN, 0)
    tracker.changes(0)
    tracker.end(ANN)
    assert tracker.changes(1, lambda worker: "/" not in worker) == []


def test_a_reconnect_within_the_grace_time_does_not_flicker() -> None:
    tracker = _tracker()
    tracker.connected("ws0", ANN, 0)
    tracker.changes(0)
    tracker.disconnected("ws0", ANN, 1)
    tracker.connected("ws1", ANN, 4)
    assert tracker.changes(50) == []


def test_idle_is_away_and_activity_brings_back() -> None:
    tracker = _tracker()
    tracker.connected("ws0", ANN, 0)
    tracker.changes(0)
    tracker.find_idle(299)
    assert tracker.changes(299) == []
    tracker.find_idle(300)
    assert tracker.changes(300) == [(ANN, AWAY)]
    tracker.active(ANN, 310)
    assert tracker.changes(310) == [(ANN, ONLINE)]


def test_activity_of_somebody_without_a_connection_means_nothing() -> None:
    tracker = _tracker()
    tracker.active(ANN, 0)
    assert tracker.changes(0) == []


def test_a_worker_that_died_takes_its_users_with_it_unless_they_come_back() -> None:
    tracker = _tracker()
    for user in (ANN, BOB):
        tracker.connected("ws0", user, 0)
    tracker.connected("ws1", BOB, 0)
    tracker.changes(0)
    tracker.reset("ws0", (), 10)
    assert tracker.changes(15) == [(ANN, OFFLINE)]
    assert tracker.people() == [BOB]


def test_a_relay_that_starts_anew_learns_whom_workers_hold() -> None:
    tracker = _tracker()
    tracker.reset("ws0", (ANN, BOB), 0)
    assert sorted(tracker.changes(0)) == [(ANN, ONLINE), (BOB, ONLINE)]


def test_restating_repeats_the_status_of_those_who_are_there() -> None:
    tracker = _tracker()
    tracker.connected("ws0", ANN, 0)
    tracker.changes(0)
    tracker.restate([ANN, BOB])
    assert tracker.changes(0) == [(ANN, ONLINE)]


def test_after_any_history_the_told_status_is_the_true_one() -> None:
    """A model of sets and times, against the tracker, through random connects, deaths, activity and pauses."""
    for_each_seed(scale(1_000, 50_000), _one_history)


def _one_history(chance: random.Random) -> None:
    tracker = PresenceTracker(away_after_s=30, grace_s=5)
    held: dict[str, set[UserId]] = {"ws0": set(), "ws1": set(), "ws2": set()}
    told: dict[UserId, str] = {}
    active_at: dict[UserId, float] = {}
    now = 0.0
    users = [UserId(name) for name in "abcd"]
    for _ in range(60):
        worker, user = chance.choice(list(held)), chance.choice(users)
        match chance.randrange(5):
            case 0:
                held[worker].add(user)
                tracker.connected(worker, user, now)
                active_at[user] = now
            case 1:
                held[worker].discard(user)
                tracker.disconnected(worker, user, now)
            case 2:
                tracker.active(user, now)
                active_at[user] = now
            case 3:
                held[worker] = {one for one in users if chance.random() < 0.3}
                tracker.reset(worker, held[worker], now)
                active_at.update(dict.fromkeys(held[worker], now))
            case 4:
                now += chance.choice([0.1, 3.0, 6.0, 20.0])
        told.update(tracker.changes(now))
    now += 6  # beyond the grace time
    tracker.find_idle(now)
    told.update(tracker.changes(now))
    for user in users:
        if not any(user in members for members in held.values()):
            assert told.get(user, OFFLINE) == OFFLINE
        elif now - active_at[user] >= 30:
            assert told[user] == AWAY
        else:
            assert told[user] == ONLINE


@given(st.lists(st.tuples(st.sampled_from(["ws0", "ws1"]), st.booleans()), max_size=40))
def test_doubled_and_disordered_reports_do_no_harm(reports: list[tuple[str, bool]]) -> None:
    tracker = _tracker()
    for now, (worker, there) in enumerate(reports):
        for _ in range(2):
            (tracker.connected if there else tracker.disconnected)(worker, ANN, float(now))
        tracker.changes(float(now))
    last = dict(reports)
    tracker.changes(1000.0)
    assert bool(tracker.people()) == any(last.values())


def test_reports_of_two_nodes_that_cross_leave_nobody_without_a_status() -> None:
    """Each node hears its own worker first, and says what its workers hold or held."""

    def ours(worker: str) -> bool:
        return "/" not in worker

    one, other = (PresenceTracker(away_after_s=300.0) for _ in range(2))
    for tracker in (one, other):
        tracker.connected("ws0", ANN, 0.0)
        tracker.connected("n/ws0", ANN, 0.01)
    assert one.changes(0.1, ours) == other.changes(0.1, ours) == [(ANN, "online")]
    for tracker in (one, other):
        tracker.disconnected("ws0", ANN, 1.0)
        tracker.disconnected("n/ws0", ANN, 1.01)
    assert one.changes(7.0, ours) == other.changes(7.0, ours) == [(ANN, "offline")]


def test_only_those_who_hold_or_held_a_connection_say_so() -> None:
    tracker = PresenceTracker(away_after_s=300.0)
    tracker.connected("n/ws0", ANN, 0.0)
    assert tracker.changes(0.1, lambda worker: "/" not in worker) == []
    tracker.disconnected("n/ws0", ANN, 1.0)
    assert tracker.changes(7.0, lambda worker: "/" not in worker) == []
    assert tracker.people() == []
