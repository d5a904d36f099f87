"""Mentions are found in the text alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mentions import MAX_NAMES, NONE, parse


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("hello @ann", ("ann",)),
        ("@Ann and @BOB", ("ann", "bob")),
        ("(@ann)", ("ann",)),
        ("@ann, @ann", ("ann",)),
        ("@ann.", ("ann.", "ann")),
        ("@a.b-c_d", ("a.b-c_d",)),
        ("@ann_-", ("ann_-", "ann_", "ann")),
        ("mail ann@example.com", ()),
        ("`@ann` and ```\n@bob\n```", ()),
        ("```@ann", ()),
        ("see a/@ann", ()),
        ("@@ann", ()),
    ],
)
def test_names(message: str, names: tuple[str, ...]) -> None:
    assert parse(message).names == names


@pytest.mark.parametrize(
    ("message", "everybody", "here"),
    [("@all", True, False), ("@channel!", True, False), ("@here", False, True), ("@allison", False, False), ("`@all`", False, False)],
)  # fmt: skip
def test_everybody_and_here(message: str, everybody: bool, here: bool) -> None:
    found = parse(message)
    assert (found.everybody, found.here) == (everybody, here)


def test_most_messages_cost_nothing() -> None:
    assert parse("no mention at all") is NONE


def test_a_message_mentions_at_most_100_names() -> None:
    assert len(parse(" ".join(f"@user{n}" for n in range(5000))).names) == MAX_NAMES


@given(st.text(alphabet="@ab.-_`\n all", max_size=200))
def test_any_text_is_parsed_and_every_name_stands_in_it(message: str) -> None:
    for name in parse(message).names:
        assert f"@{name}" in message.lower()
