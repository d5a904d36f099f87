"""The list of deliberate breaks is true: each stands where it says, once, and the tests that must notice it are there."""

import pytest

from tests import mutations
from tests.mutations import MUTATIONS, Mistake, Mutation


def test_the_list_is_true_and_covers_the_product() -> None:
    mutations.check()
    assert len(MUTATIONS) >= 30
    assert {one.path.partition("/")[0] for one in MUTATIONS} >= {"api", "app", "cluster", "db", "ws"}


def test_a_break_that_stands_nowhere_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Mutation("gone", "db/sql/posts.py", "no such line", "", ("tests/db/test_posts.py",))
    monkeypatch.setattr(mutations, "MUTATIONS", (gone,))
    with pytest.raises(Mistake, match="stands 0 times"):
        mutations.check()
