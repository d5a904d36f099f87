"""Every event of a channel once and in its order: heads, gaps, cursors."""

from app.events import messages as events
from app.events.messages import Audience, Event
from db.model.numbers import TERM_BITS
from ws.heads import GAP_S, Cursors, Heads


def _event(seq: int, channel_id: str = "c") -> Event:
    return events.encoded("posted", {"number": seq}, Audience(channel_id=channel_id), seq)


def _seqs(found: object) -> list[int]:
    return [event.seq for event in found]  # type: ignore[attr-defined]


def _serving(head: int = 0) -> Heads:
    heads = Heads()
    heads.serve("c", head, 0.0)
    return heads


def test_in_order_at_once_and_twice_never() -> None:
    heads = _serving()
    assert [_seqs(heads.take(_event(seq), 0.0)) for seq in (1, 2, 2, 1, 3)] == [[1], [2], [], [], [3]]
    assert heads.next_due() is None


def test_what_comes_early_waits_for_what_is_late() -> None:
    heads = _serving()
    assert _seqs(heads.take(_event(3), 0.0)) == []
    assert _seqs(heads.take(_event(2), 0.01)) == []
    assert _seqs(heads.take(_event(1), 0.02)) == [1, 2, 3]
    assert heads.due(1.0) == []


def test_what_is_lost_is_read_and_what_waits_follows() -> None:
    heads = _serving()
    heads.take(_event(1), 0.0)
    heads.take(_event(4), 1.0)
    assert heads.next_due() == 1.0 + GAP_S
    assert heads.due(1.0 + GAP_S - 0.001) == []
    assert heads.due(1.0 + GAP_S) == [("c", 1)]
    assert heads.due(9.0) == []  # it is being read
    assert _seqs(heads.fill("c", 3, [_event(2), _event(3)], 1.1, end=4)) == [2, 3, 4]
    assert (heads.head("c"), heads.repaired) == (4, 2)
    assert heads.next_due() is None


def test_what_the_database_does_not_have_any_more_is_gone() -> None:
    heads = _serving()
    heads.take(_event(5), 0.0)
    heads.due(1.0)
    assert _seqs(heads.fill("c", 5, [_event(2)], 1.0, end=5)) == [2, 5]


def test_a_poll_finds_a_lost_last_event() -> None:
    heads = _serving(3)
    heads.learn("c", 3, 0.0)
    assert heads.next_due() is None
    heads.learn("c", 4, 1.0)
    assert heads.due(2.0) == [("c", 3)]
    assert _seqs(heads.fill("c", 4, [_event(4)], 2.0, end=4)) == [4]
    assert _seqs(heads.take(_event(4), 3.0)) == []


def test_a_part_of_what_is_missing_leaves_a_gap() -> None:
    heads = _serving()
    heads.learn("c", 4, 0.0)
    heads.due(1.0)
    assert _seqs(heads.fill("c", 2, [_event(1), _event(2)], 1.0, end=4)) == [1, 2]
    assert heads.due(1.0 + GAP_S) == [("c", 2)]


def test_what_cannot_be_read_is_read_again() -> None:
    heads = _serving()
    heads.learn("c", 1, 0.0)
    heads.due(1.0)
    heads.failed("c", 1.0)
    assert heads.due(1.0 + GAP_S) == [("c", 0)]


def test_a_gap_that_closes_while_reading_fails_hides_no_later_one() -> None:
    heads = _serving()
    heads.take(_event(2), 0.0)
    heads.due(1.0)
    heads.take(_event(1), 1.1)
    heads.failed("c", 1.2)
    assert heads.next_due() is None
    heads.take(_event(4), 2.0)
    assert heads.due(3.0) == [("c", 2)]


def test_commits_that_a_failover_lost_are_not_waited_for() -> None:
    heads = _serving(3)
    heads.take(_event(5), 0.0)
    assert heads.due(1.0) == [("c", 3)]
    assert _seqs(heads.fill("c", 3, [], 1.0, end=3)) == []
    assert heads.next_due() is None
    assert _seqs(heads.take(_event(4), 2.0)) == [4]
    heads.rewind("c", 2)
    assert _seqs(heads.take(_event(3), 3.0)) == [3]


def test_what_came_while_somebody_was_finding_out_is_read() -> None:
    heads = Heads()
    heads.begin_loading()
    assert _seqs(heads.take(_event(8), 0.0)) == []
    heads.serve("c", 7, 0.1)
    heads.end_loading()
    assert heads.due(1.0) == [("c", 7)]
    heads.take(_event(8, "other"), 2.0)
    heads.serve("other", 7, 2.0)
    assert heads.due(3.0) == []


def test_nothing_is_left_of_a_channel_that_nobody_hears() -> None:
    heads = _serving()
    heads.learn("c", 2, 0.0)
    heads.forget("c")
    assert (len(heads), heads.due(1.0), heads.next_due()) == (0, [], None)
    assert _seqs(heads.fill("c", 2, [_event(1)], 1.0, end=2)) == []
    assert _seqs(heads.take(_event(1), 1.0)) == []


def test_who_knows_more_than_the_head_hears_what_comes_after_that() -> None:
    cursors = Cursors()
    assert cursors.begin("c", 5, 3) is False
    assert [cursors.admits("c", seq) for seq in (4, 5, 6)] == [False, False, True]
    assert len(cursors) == 0
    cursors.begin("c", 5, 3)
    assert cursors.admits("c", 8) is True  # 6 and 7 are gone for good
    assert cursors.begin("c", 8, 8) is False
    assert cursors.admits("d", 1) is True


def test_who_lacks_what_others_have_gets_it_alone_and_then_what_all_get() -> None:
    cursors = Cursors()
    assert cursors.begin("c", 2, 4) is True
    assert cursors.admits("c", 5) is False  # it is in the database, and will be read
    assert _seqs(cursors.catch_up("c", 2, 4, [_event(3), _event(4)], 5)) == [3, 4]
    assert cursors.behind("c") == 4
    assert _seqs(cursors.catch_up("c", 4, 7, [_event(5), _event(6), _event(7)], 5)) == [5]
    assert (cursors.behind("c"), cursors.admits("c", 6)) == (None, True)
    cursors.begin("c", 4, 8)
    cursors.begin("c", 2, 8)  # set back while what lies beyond 4 was read
    assert _seqs(cursors.catch_up("c", 4, 8, [_event(5), _event(6), _event(7), _event(8)], 8)) == []
    assert cursors.behind("c") == 2
    cursors.begin("c", 2, 4)
    cursors.end("c")
    assert _seqs(cursors.catch_up("c", 2, 4, [_event(3)], 4)) == []


def _of_term(number: int, seq: int) -> int:
    return (number - 1 << TERM_BITS) + seq


def test_an_event_of_an_earlier_master_is_looked_up_not_believed() -> None:
    heads = _serving(7)
    heads.begin_term(2)
    assert _seqs(heads.take(_event(8), 0.0)) == []
    assert heads.due(GAP_S) == [("c", 7)]
    assert _seqs(heads.fill("c", 7, [], 0.1, end=7)) == []
    assert heads.next_due() is None
    assert _seqs(heads.take(_event(9), 1.0)) == []
    assert heads.due(1.0 + GAP_S) == [("c", 7)]
    assert _seqs(heads.fill("c", 9, [_event(8), _event(9)], 1.1, end=9)) == [8, 9], "there they were all the same"


def test_what_waits_from_an_earlier_master_is_not_sent_unless_it_is_found() -> None:
    heads = _serving(7)
    heads.take(_event(9), 0.0)
    heads.take(_event(10), 0.0)
    first = _of_term(2, 1)
    heads.take(_event(first), 0.0)
    assert heads.due(GAP_S) == [("c", 7)]
    assert _seqs(heads.fill("c", 9, [_event(8), _event(9)], 0.1, end=first)) == [8, 9], "10 is lost, or read later"
    assert heads.due(0.1 + GAP_S) == [("c", 9)]
    assert _seqs(heads.fill("c", first, [_event(first)], 0.2, end=first)) == [first]
    assert _seqs(heads.take(_event(first + 1), 0.2)) == [first + 1]
