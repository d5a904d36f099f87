"""Each change of a node's state is one line, at its level, with what is to be done."""

import logging
from typing import Any

import pytest

from cluster.peers.colours import RED
from cluster.relay.news import DO, Line, News, word


def _member(node_id: str, *reasons: str, state: str = "", sections: tuple[str, ...] = ()) -> dict[str, Any]:
    colour = state or ("red" if RED & set(map(word, reasons)) else "yellow" if reasons else "green")
    return {
        "id": node_id,
        "hostname": f"host of {node_id}",
        "state": colour,
        "reasons": list(reasons),
        "config_mismatch": list(sections),
    }


class _Seen:
    """What is told when a state is there for so many looks, twice a second."""

    def __init__(self) -> None:
        self._news = News()
        self._now = 100.0

    def for_long(self, *members: dict[str, Any], times: int = 4) -> list[Line]:
        lines = []
        for _ in range(times):
            self._now += 0.5
            lines += self._news.look(members, self._now)
        return lines


def test_a_node_that_joins_and_leaves_in_good_order_warns_of_nothing() -> None:
    seen = _Seen()
    said = [
        *seen.for_long(_member("a")),
        *seen.for_long(_member("a"), _member("b", "db_master_lost", "joining", "waits_for (the database)")),
        *seen.for_long(_member("a"), _member("b")),
        *seen.for_long(_member("a"), _member("b", "draining")),
        *seen.for_long(_member("a"), _member("b", "left")),
        *seen.for_long(_member("a")),
    ]
    assert [line.level for line in said] == [logging.INFO] * 4
    assert [line.fields["now"] for line in said] == ["red", "green", "yellow", "yellow"]


def test_who_does_not_get_in_is_a_warning_after_a_while_and_what_passes_at_once_is_not_told() -> None:
    seen = _Seen()
    outside = _member("b", "joining", "waits_for (the nodes that live to hear it: a)")
    assert [line.level for line in seen.for_long(outside)] == [logging.INFO]
    (line,) = seen.for_long(outside, times=60)
    assert (line.level, line.fields["do"]) == (logging.WARNING, DO["waits_for"])
    assert seen.for_long(outside, times=60) == []
    seen.for_long(_member("b"))
    assert seen.for_long(_member("b", "down"), times=1) == []
    assert seen.for_long(_member("b")) == []


@pytest.mark.parametrize(
    ("reason", "level"),
    [
        ("down", logging.ERROR),
        ("config_mismatch", logging.ERROR),
        ("version_mismatch", logging.ERROR),
        ("db_master_lost", logging.ERROR),
        ("replica_lag", logging.WARNING),
        ("waits_for (the database)", logging.WARNING),
    ],
)
def test_a_change_is_one_line_with_the_node_the_reason_and_what_to_do(reason: str, level: int) -> None:
    seen = _Seen()
    seen.for_long(_member("a"))
    (line,) = seen.for_long(_member("a", reason, sections=("SqlSettings",)))
    assert line.level == level
    assert line.fields["node"] == "a"
    assert line.fields["host"] == "host of a"
    assert (line.fields["before"], line.fields["reasons"]) == ("green", reason)
    assert line.fields["sections"] == "SqlSettings"
    assert line.fields["do"] == DO[word(reason)]
    assert seen.for_long(_member("a", reason, sections=("SqlSettings",))) == []
    (well,) = seen.for_long(_member("a"))
    assert (well.level, well.fields["before"], well.fields["now"]) == (logging.INFO, line.fields["now"], "green")
    assert "do" not in well.fields


def test_every_red_reason_says_what_to_do() -> None:
    assert DO.keys() >= RED
