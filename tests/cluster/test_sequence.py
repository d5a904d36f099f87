"""Numbered streams: deliver, duplicate, gap."""

import random

from cluster.bus.sequence import Reader, Stamp, Verdict
from tests.rig.scale import for_each_seed, scale


def _started(incarnation: int = 1, last: int = 0) -> Reader:
    reader = Reader()
    reader.start(incarnation, last)
    return reader


def test_numbers_start_at_one_and_have_no_holes() -> None:
    stamp = Stamp()
    assert [stamp.next() for _ in range(3)] == [1, 2, 3]
    assert stamp.last == 3


def test_the_next_is_delivered_a_repeated_one_dropped_a_jump_is_a_gap() -> None:
    reader = _started()
    assert reader.see(1, 1) is Verdict.DELIVER
    assert reader.see(1, 2) is Verdict.DELIVER
    assert reader.see(1, 2) is Verdict.DUPLICATE
    assert reader.see(1, 4) is Verdict.GAP
    assert reader.see(1, 3) is Verdict.DUPLICATE
    assert reader.see(1, 5) is Verdict.DELIVER


def test_a_stream_may_be_joined_in_the_middle() -> None:
    assert _started(1, 41).see(1, 42) is Verdict.DELIVER


def test_before_the_start_everything_is_a_gap() -> None:
    reader = Reader()
    assert reader.see(1, 7) is Verdict.GAP
    assert reader.see(1, 8) is Verdict.DELIVER


def test_a_new_incarnation_is_a_gap_and_the_old_one_is_dead() -> None:
    reader = _started(1, 5)
    assert reader.see(2, 1) is Verdict.GAP
    assert reader.see(1, 6) is Verdict.DUPLICATE
    assert reader.see(2, 2) is Verdict.DELIVER


def test_the_tail_finds_a_lost_last_message() -> None:
    reader = _started()
    reader.see(1, 1)
    assert reader.see_tail(1, 1) is Verdict.DUPLICATE
    assert reader.see_tail(1, 2) is Verdict.GAP
    assert reader.see_tail(1, 2) is Verdict.DUPLICATE
    assert reader.see_tail(0, 9) is Verdict.DUPLICATE
    assert reader.see_tail(2, 0) is Verdict.GAP


def _lossy_link(chance: random.Random) -> None:
    """Drops, doubles and a sender that starts anew: nothing is delivered twice or out of order, every loss is noticed."""
    reader = Reader()
    incarnation, stamp = 1, Stamp()
    reader.start(incarnation, 0)
    delivered: list[tuple[int, int]] = []
    lost = noticed = False
    for _ in range(80):
        kind = chance.random()
        if kind < 0.05:
            incarnation, stamp = incarnation + 1, Stamp()
            lost = True  # whatever the old one still had in hand
        elif kind < 0.2:
            verdict = reader.see_tail(incarnation, stamp.last)
            noticed = noticed or verdict is Verdict.GAP
            if lost:
                assert noticed
            lost = noticed = False
        else:
            seq = stamp.next()
            if chance.random() < 0.1:
                lost = True
                continue
            for _ in range(chance.choice([1, 1, 1, 2])):
                verdict = reader.see(incarnation, seq)
                noticed = noticed or verdict is Verdict.GAP
                if verdict is not Verdict.DUPLICATE:
                    delivered.append((incarnation, seq))
    assert delivered == sorted(set(delivered))


def test_every_loss_is_noticed_at_the_next_tail() -> None:
    for_each_seed(scale(1_500, 200_000), _lossy_link)
