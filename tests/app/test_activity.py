"""Signs of life: one a second and user."""

from app import activity
from app.activity import Activity
from db.ids import UserId

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
