"""Questions and answers that come back by a key."""

import asyncio

import pytest

from app.questions import Abandoned, Questions


async def test_answers_come_to_whoever_asked_in_whatever_order() -> None:
    questions: Questions[int, str] = Questions()
    sent: list[int] = []
    asking = [asyncio.create_task(questions.ask(one, lambda one=one: sent.append(one), 10)) for one in range(3)]  # type: ignore[misc]
    await asyncio.sleep(0)
    assert (sent, len(questions)) == ([0, 1, 2], 3)
    for one in (2, 0, 1):
        questions.answered(one, f"answer {one}")
    assert await asyncio.gather(*asking) == ["answer 0", "answer 1", "answer 2"]
    assert len(questions) == 0


async def test_what_comes_late_twice_or_to_nobody_is_forgotten() -> None:
    questions: Questions[str, int] = Questions()
    with pytest.raises(TimeoutError):
        await questions.ask("a", lambda: None, 0.01)
    questions.answered("a", 1)
    questions.answered("b", 1)

    def answer() -> None:
        questions.answered("c", 1)
        questions.answered("c", 2)

    assert await questions.ask("c", answer, 10) == 1
    assert len(questions) == 0


async def test_who_asks_somebody_that_ends_is_told_so() -> None:
    questions: Questions[int, int] = Questions()
    asking = asyncio.create_task(questions.ask(1, lambda: None, 10))
    await asyncio.sleep(0)
    questions.abandon()
    with pytest.raises(Abandoned):
        await asking
    questions.abandon()
    assert len(questions) == 0


async def test_a_question_that_cannot_be_sent_or_is_cancelled_leaves_nothing() -> None:
    questions: Questions[int, int] = Questions()
    with pytest.raises(ZeroDivisionError):
        await questions.ask(1, lambda: 1 // 0, 10)
    asking = asyncio.create_task(questions.ask(1, lambda: None, 10))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(questions) == 0
