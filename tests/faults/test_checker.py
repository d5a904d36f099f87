"""The checker finds each thing that is promised not to happen, and nothing where all is well."""

from typing import Any

import pytest

from tests.faults import checker
from tests.faults.checker import Forgiven
from tests.faults.table import Touched
from tests.faults.witnesses import Page, Post

CHANNEL = "c"
GOOD = Forgiven([])


def _posts(count: int = 4) -> list[Post]:
    """Acknowledged a second after each other, by node 0."""
    return [Post(f"k{n}", CHANNEL, 0, 10.0 + n, 10.1 + n, f"p{n}") for n in range(count)]


def _rows(count: int = 4) -> list[tuple[Any, ...]]:
    return [(f"p{n}", CHANNEL, f"k{n}", 1000 + n, "") for n in range(count)]


ORDERS = {CHANNEL: ["p0", "p1", "p2", "p3"]}


class Heard:
    """What a `Follower` remembers: on node 1 all the time, each post after 0.1 s."""

    def __init__(self, **change: Any) -> None:
        self.posts = {CHANNEL: ["p0", "p1", "p2", "p3"]}
        self.heard = {f"p{n}": 10.2 + n for n in range(4)}
        self.stays = [(1, 0.0, 99.0)]
        self.faults: list[str] = []
        self.__dict__.update(change)


def test_where_all_is_well_nothing_is_found() -> None:
    one: Any = Heard()
    page = Page(1, CHANNEL, 13.2, ["p3", "p2"])
    assert checker.exactly_once(_posts(), _rows()) == []
    assert checker.in_order([one], _posts(), ORDERS) == []
    assert checker.late([one], _posts(), GOOD)[0] == []
    assert checker.pages([page], _posts(), ORDERS)[0] == []
    assert checker.blocked(_posts(), 20.0, [CHANNEL], GOOD)[0] == []
    assert checker.logs(["12:00:00.000 WARN    relay      x", ""]) == []


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (_rows()[:3], "is lost"),
        ([*_rows()[:3], ("other", CHANNEL, "k3", 1003, "")], "is lost"),
        ([*_rows(), ("again", CHANNEL, "k3", 1004, "")], "stored twice"),
        ([*_rows()[:3], ("p3", CHANNEL, "k3", 900, "")], "not that of time"),
    ],
    ids=["gone", "another id", "twice", "time"],
)
def test_what_is_lost_or_doubled_is_found(rows: list[tuple[Any, ...]], what: str) -> None:
    assert what in "".join(checker.exactly_once(_posts(), rows))


@pytest.mark.parametrize(
    "known",
    [["p0", "p1", "p3"], ["p0", "p2", "p1", "p3"], ["p0", "p1", "p2"], ["p0", "p1", "p2", "p3", "strange"]],
    ids=["hole", "order", "end", "not stored"],
)
def test_what_a_client_missed_or_mixed_up_is_found(known: list[str]) -> None:
    one: Any = Heard(posts={CHANNEL: known})
    assert checker.in_order([one], _posts(), ORDERS)
    doubled: Any = Heard(faults=["p1 came twice"])
    assert "came twice" in "".join(checker.in_order([doubled], _posts(), ORDERS))


def test_a_silent_socket_is_found_unless_it_was_closed_in_time_or_its_node_is_frozen() -> None:
    late = {"heard": {"p0": 10.2, "p1": 30.0, "p2": 12.2, "p3": 13.2}}
    silent: Any = Heard(**late)
    assert "client 0 on node 1" in "".join(checker.late([silent], _posts(), GOOD)[0])
    closed: Any = Heard(**late, stays=[(1, 0.0, 12.0), (2, 29.9, 99.0)])
    assert checker.late([closed], _posts(), GOOD)[0] == []
    elsewhere: Any = Heard(**late, stays=[(1, 0.0, 12.0), (2, 15.0, 99.0)])
    assert "client 0 on node 2, 15.0 s" in "".join(checker.late([elsewhere], _posts(), GOOD)[0])
    assert checker.late([silent], _posts(), Forgiven([Touched(deaf=frozenset({1}))]))[0] == []


def test_old_pages_and_pages_with_holes_are_found() -> None:
    found, oldest = checker.pages([Page(1, CHANNEL, 16.0, ["p1", "p0"])], _posts(), ORDERS)
    assert oldest == pytest.approx(3.9)
    assert "3.9 s old" in found[0]
    assert checker.pages([Page(1, CHANNEL, 13.2, ["p1", "p0"])], _posts(), ORDERS)[0] == [], "1.1 s"
    assert "holes" in "".join(checker.pages([Page(1, CHANNEL, 13.2, ["p3", "p1"])], _posts(), ORDERS)[0])


def test_edits_that_are_lost_or_hidden_are_found() -> None:
    editor: Any = type("Edited", (), {"edited": {"p0": ["5"]}, "stale": []})
    assert checker.edits(editor, [("p0", CHANNEL, "k0", 1, "5")])[0] == []
    assert "lost" in "".join(checker.edits(editor, [("p0", CHANNEL, "k0", 1, "4")])[0])
    editor.stale = [(10.0, 11.9, "node 0"), (10.0, 17.1, "node 1")]
    assert checker.edits(editor, [("p0", CHANNEL, "k0", 1, "5")])[0] == ["an edit is hidden: 7.1 s: node 1"]


def test_sessions_that_live_on_are_found() -> None:
    revoker: Any = type("Revoked", (), {"served": [(10.0, 11.9, 0), (10.0, 17.1, 2)]})
    assert checker.sessions(revoker)[0] == ["an ended session is served: by node 2 after 7.1 s"]


def test_who_waits_for_a_fault_of_others_is_found() -> None:
    posts = [*_posts(), Post("k4", CHANNEL, 2, 10.0, 20.0, "p4"), Post("k5", CHANNEL, 1, 10.0)]
    found, longest = checker.blocked(posts, 20.0, [CHANNEL], GOOD)
    assert longest == 10.0
    assert [one for one in found if "node 2" in one]
    assert [one for one in found if "node 1" in one], "also who is never answered"
    assert checker.blocked(posts, 20.0, [CHANNEL], Forgiven([Touched(waits=frozenset({1, 2}))]))[0] == []
    assert checker.blocked(posts, 20.0, [CHANNEL], Forgiven([Touched(channel=0)]))[0] == []
    assert checker.blocked([Post("k6", CHANNEL, -1, 10.0, 20.0, "p6")], 20.0, [CHANNEL], GOOD)[0] == [], (
        "it may be anywhere"
    )
    two = [Touched(frozenset({1, 2})), Touched(frozenset({1, 2}))]
    assert checker.blocked(posts, 20.0, [CHANNEL], Forgiven(two))[0] == [], "two faults met them"


def test_errors_in_logs_are_found_unless_they_tell_of_the_fault() -> None:
    known = "12:00:00.000 ERROR   supervisor a worker hangs and is killed worker=relay"
    assert checker.logs([known]) == []
    assert "node 1" in "".join(checker.logs(["", "12:00:00.000 ERROR   api0       something else"]))
    assert "traceback" in "".join(checker.logs(["Traceback (most recent call last):\n  File"]))
