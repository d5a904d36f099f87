"""The life of a child process, under a virtual clock."""

import random

from cluster.node.children import BACKOFF_FIRST_S, BACKOFF_MOST_S, EARLY_CRASHES_TO_RED, Child, State
from tests.rig.scale import for_each_seed, scale


def _child() -> Child:
    return Child("api0", watchdog_s=10.0)


def test_a_new_child_is_due_at_once() -> None:
    child = _child()
    assert child.due(0.0)
    child.spawned(0.0)
    assert not child.due(0.0)
    assert child.restarts == 0
    child.ready()
    assert child.state is State.UP


def test_a_crashed_child_comes_back_after_a_pause_that_doubles_up_to_5_s() -> None:
    child, now, pauses = _child(), 0.0, []
    for _ in range(9):
        child.spawned(now)
        child.exited(now)
        pauses.append(round(child.restart_at - now, 3))
        now = child.restart_at
        assert child.due(now)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_a_child_that_lived_for_a_while_comes_back_at_once_again() -> None:
    child = _child()
    for _ in range(6):
        child.spawned(0.0)
        child.exited(0.0)
    child.spawned(100.0)
    child.exited(110.0)
    assert child.restart_at == 110.0 + BACKOFF_FIRST_S


def test_five_crashes_within_2_s_of_the_start_turn_the_node_red_and_a_longer_life_turns_it_back() -> None:
    child = _child()
    for _ in range(4):
        child.spawned(0.0)
        child.exited(1.9)
        assert not child.red
    child.spawned(0.0)
    child.exited(1.9)
    assert child.red
    child.spawned(10.0)
    assert child.red
    child.exited(12.5)
    assert not child.red


def test_the_watchdog_bites_after_its_time_without_a_beat() -> None:
    child = _child()
    child.spawned(0.0)
    child.beat(1.0)
    assert not child.hangs(11.0)
    assert child.hangs(11.1)
    child.beat(11.2)
    assert not child.hangs(12.0)


def test_a_starting_child_has_more_time_for_its_first_beat() -> None:
    child = _child()
    child.spawned(0.0)
    assert not child.hangs(29.0)
    assert child.hangs(31.0)


def test_a_child_without_a_loop_of_ours_never_hangs() -> None:
    child = Child("postgres", watchdog_s=None)
    child.spawned(0.0)
    assert not child.hangs(1e9)


def test_when_the_observer_was_late_nobody_else_is_to_blame() -> None:
    child = _child()
    child.spawned(0.0)
    child.beat(1.0)
    child.excuse(20.0)
    assert not child.hangs(30.0)
    assert child.hangs(31.1)


def test_a_child_told_to_stop_stays_stopping_until_it_is_gone() -> None:
    child = _child()
    states: list[State] = []
    for step in (child.stopping, lambda: child.spawned(0.0), child.stopping, child.ready, lambda: child.exited(1.0)):
        step()
        states.append(child.state)
    assert states == [State.DOWN, State.STARTING, State.STOPPING, State.STOPPING, State.DOWN]


def _random_life(chance: random.Random) -> None:
    child, now, crashes = _child(), 0.0, 0
    for _ in range(60):
        now += chance.choice([0.0, 0.1, 1.0, 3.0, 11.0])
        if child.state is State.DOWN:
            assert child.restart_at <= now + BACKOFF_MOST_S
            if child.due(now):
                child.spawned(now)
            continue
        match chance.randrange(4):
            case 0:
                child.beat(now)
                crashes = crashes if now - child.spawned_at < 2.0 else 0
                assert not child.hangs(now)
            case 1:
                child.ready()
            case 2:
                lived = now - child.spawned_at
                crashes = crashes + 1 if lived < 2.0 else 0
                child.exited(now)
                assert BACKOFF_FIRST_S - 1e-6 <= child.restart_at - now <= BACKOFF_MOST_S + 1e-6
            case 3:
                child.stopping()
        assert child.red == (crashes >= EARLY_CRASHES_TO_RED)


def test_any_life_keeps_within_its_bounds() -> None:
    for_each_seed(scale(1_000, 100_000), _random_life)


def test_a_child_that_lives_is_not_red_any_more() -> None:
    child = _child()
    for _ in range(5):
        child.spawned(0.0)
        child.exited(1.9)
    child.spawned(10.0)
    child.beat(11.9)
    assert child.red
    child.beat(12.0)
    assert not child.red
