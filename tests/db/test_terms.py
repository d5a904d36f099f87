"""Whose write counts: the term of a connection against the highest that the node knows."""

import asyncio

import pytest

from db.drivers import Facts
from db.model.board import LocalBoard, Term, boottime_ns
from db.model.errors import ConnectionLost, Unavailable
from db.pool import terms
from db.pool.terms import Terms


def test_a_mark_that_is_a_copy_counts_as_the_next_term() -> None:
    own = Facts("7", 1, True, 5, "3 7/1", "c")
    promoted = Facts("7", 2, True, 5, "3 7/1", "c")
    assert own.term == Term(3, 1)
    assert promoted.term == Term(4, 2)
    assert Facts("7", 2, True, 5, "4 7/2", "c").term == promoted.term, "as when the mark is written"
    assert Facts("7", 1, True, 5, "", "c").term == Term(1, 1)


def test_two_heirs_of_a_server_that_counts_no_timelines_are_told_apart() -> None:
    heirs = [Facts(server, 0, True, 5, "1 0-1/0", "c").term for server in ("0-2", "0-3")]
    assert heirs[0] != heirs[1]
    assert {one.number for one in heirs} == {2}


@pytest.mark.parametrize("text", ["", "x", "1", "1/x", "-1/2", f"{1 << 32}/1", f"1/{1 << 40}"])
def test_what_is_no_term_says_nothing(text: str) -> None:
    assert Term.read(text) == Term()


def test_a_term_is_read_as_it_is_written() -> None:
    assert Term.read(str(Term(3, 1 << 31))) == Term(3, 1 << 31)


async def test_nothing_is_acknowledged_under_a_term_that_is_over() -> None:
    board = LocalBoard()
    board.raise_term(Term(2, 2))
    judge = Terms(board)
    await judge.acknowledge(Term(2, 2))
    with pytest.raises(ConnectionLost):
        await judge.acknowledge(Term(1, 1))


async def test_among_nodes_an_acknowledgement_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "HOLD_S", 0.05)
    board = LocalBoard()
    judge = Terms(board)
    judge.among_nodes = True
    board.raise_term(Term(2, 2))
    board.set_agreement(Term(1, 1), boottime_ns())
    with pytest.raises(Unavailable):
        await judge.ready()
    monkeypatch.setattr(terms, "HOLD_S", 5.0)
    waiting = asyncio.create_task(judge.acknowledge(Term(2, 2)))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    board.set_agreement(Term(2, 2), boottime_ns())
    await waiting
    over = asyncio.create_task(judge.acknowledge(Term(2, 2)))
    board.set_agreement(Term(2, 2), boottime_ns() - terms.LISTENED_NS)
    board.raise_term(Term(3, 3))
    with pytest.raises(ConnectionLost):
        await over


async def test_who_has_not_heard_its_peers_for_2_s_acknowledges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "HOLD_S", 0.05)
    board = LocalBoard()
    judge = Terms(board)
    judge.among_nodes = True
    board.set_agreement(Term(), boottime_ns() - terms.LISTENED_NS)
    with pytest.raises(Unavailable):
        await judge.acknowledge(Term())
    board.set_agreement(Term(), boottime_ns())
    await judge.acknowledge(Term())


async def test_nothing_is_acknowledged_while_writes_are_held() -> None:
    board = LocalBoard()
    board.raise_term(Term(1, 1))
    judge = Terms(board)
    judge.held = True
    kept = asyncio.create_task(judge.acknowledge(Term(1, 1)))
    await asyncio.sleep(0.02)
    assert not kept.done()
    judge.held = False
    await kept
    judge.held = True
    over = asyncio.create_task(judge.acknowledge(Term(1, 1)))
    await asyncio.sleep(0)
    board.raise_term(Term(2, 2))
    judge.held = False
    with pytest.raises(ConnectionLost):
        await over
