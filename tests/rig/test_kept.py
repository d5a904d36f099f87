"""What is kept is restored after each use, and made anew when that cannot be."""

import pytest

from tests.rig.kept import Kept


class Thing:
    """Something that breaks."""

    made = 0

    def __init__(self) -> None:
        Thing.made += 1
        self.open = False
        self.restored = 0
        self.broken = False

    def restore(self) -> None:
        if self.broken:
            raise RuntimeError("beyond repair")
        self.restored += 1

    def __enter__(self) -> "Thing":
        self.open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False


@pytest.fixture(autouse=True)
def count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Thing, "made", 0)


def test_one_is_made_when_it_is_first_taken_and_then_restored_after_each_use() -> None:
    with Kept(Thing) as kept:
        assert Thing.made == 0
        first = kept.take()
        assert first.open
        kept.give_back()
        assert kept.take() is first
        kept.give_back()
        assert (Thing.made, first.restored) == (1, 2)
    assert not first.open


def test_what_cannot_be_restored_is_said_and_ended_and_the_next_is_new() -> None:
    with Kept(Thing) as kept:
        first = kept.take()
        first.broken = True
        with pytest.raises(RuntimeError, match="beyond repair"):
            kept.give_back()
        assert not first.open
        assert kept.take() is not first
        assert Thing.made == 2
