"""Custom statuses as they are kept in the props of their users, and when they are over."""

import json

import pytest

from app import customstatus
from app.customstatus import CURRENT, NEVER, CustomStatus

NOW_MS = 1_790_000_000_000
LATER, EARLIER = "2026-09-22T00:00:00.5+02:00", "2026-09-20T00:00:00Z"


def test_a_status_without_a_time_stays() -> None:
    assert customstatus.normal(CustomStatus(text="here"), NOW_MS) == CustomStatus(
        emoji="speech_balloon", text="here", expires_at=NEVER
    )
    assert customstatus.normal(CustomStatus(emoji="tea", expires_at=NEVER), NOW_MS) is not None


def test_a_time_has_a_duration_and_texts_are_cut() -> None:
    found = customstatus.normal(CustomStatus(emoji="tea", text="ä" * 200, expires_at=LATER), NOW_MS)
    assert found == CustomStatus(emoji="tea", text="ä" * 100, duration="date_and_time", expires_at=LATER)


@pytest.mark.parametrize(
    "bad",
    [
        CustomStatus(),
        CustomStatus(emoji="no emoji"),
        CustomStatus(text="x", duration="for_ever"),
        CustomStatus(text="x", duration="today"),
        CustomStatus(text="x", expires_at=EARLIER),
        CustomStatus(text="x", expires_at="tomorrow"),
        CustomStatus(text="x", expires_at="2026-09-22"),
        CustomStatus(text="x", expires_at="2026-09-22T00:00:00"),
        CustomStatus(text="x", expires_at="0001-01-01T00:00:00+23:59x"),
    ],
)
def test_what_is_no_status_is_none(bad: CustomStatus) -> None:
    assert customstatus.normal(bad, NOW_MS) is None


def test_the_last_five_are_remembered_each_once() -> None:
    stored = ""
    for number in (1, 2, 3, 1, 4, 5, 6):
        stored = customstatus.with_recent(stored, CustomStatus(emoji="tea", text=f"{number}"))
    assert [one.text for one in customstatus.recent(stored)] == ["6", "5", "4", "1", "3"]
    assert customstatus.recent(customstatus.with_recent("no list", CustomStatus(text="x"))) == [CustomStatus(text="x")]


def test_a_status_is_a_prop_beside_others() -> None:
    props = customstatus.with_current({"theme": "dark"}, CustomStatus(emoji="tea", text="x"))
    assert (json.loads(props[CURRENT])["text"], props["theme"]) == ("x", "dark")
    cleared = customstatus.without_current(props)
    assert cleared == {"theme": "dark", CURRENT: ""}
    assert customstatus.without_current(cleared) == cleared
    assert customstatus.without_current({}) == {}


def test_a_recent_one_is_forgotten_where_it_is_there() -> None:
    stored = customstatus.with_recent("", CustomStatus(emoji="tea", text="x"))
    left = customstatus.without_recent(stored, CustomStatus(emoji="tea", text="x", expires_at="whenever"))
    assert left == "[]"
    assert customstatus.without_recent(stored, CustomStatus(emoji="tea", text="y")) is None
    assert customstatus.without_recent("no list", CustomStatus(text="y")) is None


def _props(expires_at: str) -> str:
    return json.dumps(customstatus.with_current({"a": "b"}, CustomStatus(emoji="tea", text="x", expires_at=expires_at)))


def test_what_has_ended_is_not_shown() -> None:
    over, not_yet, always = _props("2020-01-01T00:00:00Z"), _props("2999-01-01T00:00:00Z"), _props(NEVER)
    assert json.loads(customstatus.shown(over))[CURRENT] == ""
    assert json.loads(customstatus.shown(over))["a"] == "b"
    assert customstatus.shown(not_yet) == not_yet
    assert customstatus.shown(always) == always
    assert customstatus.ends_at_ms(over) == 1_577_836_800_000
    assert customstatus.ends_at_ms(always) == 0
    assert customstatus.has_ended(json.loads(over), NOW_MS)
    assert not customstatus.has_ended(json.loads(always), NOW_MS)


@pytest.mark.parametrize(
    "stored", ["{}", '{"customStatus":"\\"expires_at"}', '{"x":"\\"expires_at"}', '{"customStatus":5}']
)
def test_what_clients_store_there_otherwise_does_no_harm(stored: str) -> None:
    assert customstatus.shown(stored) == stored
    assert customstatus.ends_at_ms(stored) == 0
