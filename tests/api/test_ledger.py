"""The ledger of tests that may change nothing: it names who did."""

import pytest

from tests.api.ledger import Ledger


class Rows:
    """What a test might change."""

    def __init__(self) -> None:
        self.count = 0

    def add(self) -> None:
        self.count += 1

    def add_and_fail(self) -> None:
        self.add()
        raise AssertionError


def _ledger(rows: Rows, *innocent: str) -> Ledger[int]:
    ledger = Ledger(lambda: rows.count)
    for name in innocent:
        ledger.enter(name, lambda: None)
    return ledger


def test_where_nothing_changed_no_case_is_run_again() -> None:
    ledger = Ledger(lambda: 0)
    ledger.enter("never", lambda: pytest.fail("it was run again"))
    ledger.settle()


@pytest.mark.parametrize("how", ["add", "add_and_fail"])
def test_who_changed_something_is_named_and_nobody_else(how: str) -> None:
    rows = Rows()
    ledger = _ledger(rows, "innocent")
    ledger.enter("guilty", getattr(rows, how))
    rows.add()
    with pytest.raises(pytest.fail.Exception, match=r"0 before, 1 after; by\nguilty$"):
        ledger.settle()


def test_a_change_that_does_not_happen_again_is_a_failure_all_the_same() -> None:
    rows = Rows()
    ledger = _ledger(rows, "a", "b")
    rows.add()
    with pytest.raises(pytest.fail.Exception, match="none of 2 cases does it again"):
        ledger.settle()
