"""Each change of a node's state is one line, at its level, with what is to be done."""

import logging
from typing import Any

import pytest

from cluster.colours import RED
from cluster.news import DO, News, word


def _member(node_id: str, *reasons: str, state: str = "", sections: tuple[str, ...] = ()) -> dict[str, Any]:
    colour = state or ("red" if RED & set(map(word, reasons)) else "yellow" if reasons else "green")
    return {
        "id": node_id,
        "hostname": f"host of {node_id}",
        "state": colour,
        "reasons": list(reasons),
        "config_mismatch": list(sections),
    }


def test_a_node_that_joins_and_leaves_in_good_order_warns_of_nothing() -> None:
    news = News()
    said = [
        *news.look([_member("a")]),
        *news.look([_member("a"), _member("b", "joining")]),
        *news.look([_member("a"), _member("b")]),
        *news.look([_member("a"), _member("b", "draining")]),
        *news.look([_member("a"), _member("b", "left")]),
        *news.look([_member("a")]),
    ]
    assert [line.level for line in said] == [logging.INFO] * 4
    assert [line.fields["now"] for line in said] == ["yellow", "green", "yellow", "yellow"]


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
    news = News()
    news.look([_member("a")])
    (line,) = news.look([_member("a", reason, sections=("SqlSettings",))])
    assert line.level == level
    assert line.fields["node"] == "a"
    assert line.fields["host"] == "host of a"
    assert (line.fields["before"], line.fields["reasons"]) == ("green", reason)
    assert line.fields["sections"] == "SqlSettings"
    assert line.fields["do"] == DO[word(reason)]
    assert news.look([_member("a", reason, sections=("SqlSettings",))]) == []
    (well,) = news.look([_member("a")])
    assert (well.level, well.fields["before"], well.fields["now"]) == (logging.INFO, line.fields["now"], "green")
    assert "do" not in well.fields


def test_every_red_reason_says_what_to_do() -> None:
    assert DO.keys() >= RED
