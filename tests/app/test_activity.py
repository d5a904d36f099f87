"""Signs of life: one a second and user."""

from app import activity
from app.activity import TOUCH_EVERY_MS, TYPING_BURST, TYPING_EVERY_MS, Activity, Touched, Typing
from db.model.ids import SessionId, UserId

ANN, BOB = UserId("ann"), UserId("bob")


def test_the_first_is_told_and_then_one_a_second_for_each_user() -> None:
    seen = Activity()
    assert seen.is_news(ANN, 1_000)
    assert seen.is_news(BOB, 1_000)
    assert [seen.is_news(ANN, now_ms) for now_ms in (1_001, 1_999, 2_000, 2_001, 3_000)] == [
        False, False, True, False, True,
    ]  # fmt: skip


def test_a_clock_that_jumps_back_silences_nobody() -> None:
    seen = Activity()
    assert seen.is_news(ANN, 5_000)
    assert seen.is_news(ANN, 1_000)


def test_it_remembers_a_bounded_number_of_users() -> None:
    seen = Activity()
    for number in range(activity.MAX_REMEMBERED + 1):
        assert seen.is_news(UserId(str(number)), 1_000)
    assert seen.is_news(UserId("0"), 1_001)
    assert not seen.is_news(UserId("2"), 1_001)


def test_typing_is_told_a_few_times_at_once_and_then_at_an_even_rate_for_each_user() -> None:
    typing = Typing()
    assert sum(typing.may_tell(ANN, 1_000_000) for _ in range(100)) == TYPING_BURST
    assert typing.may_tell(BOB, 1_000_000)
    told = sum(typing.may_tell(ANN, 1_000_000 + at) for at in range(0, 10_000, 10))
    assert told == 10_000 // TYPING_EVERY_MS - 1


def test_typing_after_a_clock_jumped_back_is_told_again_soon() -> None:
    typing = Typing()
    for _ in range(100):
        typing.may_tell(ANN, 9_000_000)
    assert not typing.may_tell(ANN, 1_000_000)
    assert typing.may_tell(ANN, 1_000_000 + TYPING_EVERY_MS)


def test_typing_of_a_bounded_number_of_users_is_remembered() -> None:
    typing = Typing()
    for number in range(activity.MAX_REMEMBERED + 5):
        typing.may_tell(UserId(str(number)), 1_000)
    assert len(typing._paid_until_ms) == activity.MAX_REMEMBERED


def test_the_activity_of_a_session_is_noted_every_five_minutes_whatever_the_databases_clock_says() -> None:
    touched, one = Touched(), SessionId("one")
    assert not touched.is_due(one, 1_000_000, 1_000_000 + TOUCH_EVERY_MS)
    an_hour = 3_600_000
    times = [an_hour, an_hour + 1, an_hour + TOUCH_EVERY_MS, an_hour + TOUCH_EVERY_MS + 1]
    assert [touched.is_due(one, 1_000_000, 1_000_000 + at) for at in times] == [True, False, False, True]
    assert touched.is_due(one, 1_000_000, 500_000)  # the clock was set back


def test_it_remembers_a_bounded_number_of_sessions() -> None:
    touched = Touched()
    for number in range(activity.MAX_REMEMBERED + 1):
        assert touched.is_due(SessionId(str(number)), 0, 1_000_000)
    assert touched.is_due(SessionId("0"), 0, 1_000_001)
    assert not touched.is_due(SessionId("2"), 0, 1_000_001)
