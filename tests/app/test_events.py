"""Events: built once, encoded once, and the same after crossing the bus."""

import json

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from app.events import messages as events
from app.events.messages import Audience, ChannelMembership, Event, Presence, SessionClosed, TeamMembership
from app.events.names import BEST_EFFORT
from cluster.bus.envelope import MAX_BODY_BYTES
from db.model.entities import Channel, Post, Preference
from db.model.ids import ChannelId, TeamId, UserId


def _post(**fields: object) -> Post:
    values = {
        "id": "p" * 26, "channel_id": "c", "seq": 7, "create_at": 5, "update_at": 5, "edit_at": 0, "delete_at": 0,
        "is_pinned": False, "user_id": "ann", "root_id": "", "original_id": "", "message": 'say "hi" \u2603', "type": "",
        "props": '{"a":[1]}', "hashtags": "", "file_ids": "[]", "mentions": "[]", "pending_post_id": "x:1",
        "reply_count": 0, "last_reply_at": 0,
    }  # fmt: skip
    return Post(**{**values, **fields})  # type: ignore[arg-type]


def _channel(kind: str = "O") -> Channel:
    return Channel(ChannelId("c"), 0, 0, 0, TeamId("t"), kind, "Town", "town", "", "", "", 0)


def _frame(event: Event, seq: int = 3) -> dict[str, object]:
    whole: dict[str, object] = json.loads(event.frame + b',"seq":%d}' % seq)
    return whole


def test_posted_is_mattermosts_event() -> None:
    event = events.posted(_post(), _channel(), [UserId("bob")], set_online=True, sender_name="ann")
    frame = _frame(event)
    assert frame["event"] == "posted"
    assert frame["seq"] == 3
    assert frame["broadcast"] == {
        "omit_users": None, "user_id": "", "channel_id": "c", "team_id": "", "connection_id": "", "omit_connection_id": "",
    }  # fmt: skip
    data = frame["data"]
    assert isinstance(data, dict)
    post = json.loads(data.pop("post"))
    assert (post["message"], post["props"], post["pending_post_id"]) == ('say "hi" \u2603', {"a": [1]}, "x:1")
    assert data == {
        "channel_display_name": "Town", "channel_name": "town", "channel_type": "O", "mentions": '["bob"]',
        "sender_name": "@ann", "set_online": True, "team_id": "t",
    }  # fmt: skip
    assert event.seq == 7


def test_a_direct_channel_is_named_after_the_sender() -> None:
    frame = _frame(events.posted(_post(), _channel("D"), [], set_online=True, sender_name="ann"))
    data = frame["data"]
    assert isinstance(data, dict)
    assert data["channel_display_name"] == "@ann"
    assert "mentions" not in data


def test_preferences_are_told_in_events_that_cross_the_bus_and_hold_all_in_order() -> None:
    worst = "\x01" * 20_000
    kept = [Preference(UserId("ann"), "c", f"n{number}", worst if number % 3 else '"') for number in range(20)]
    told = events.preferences_changed(UserId("ann"), kept)
    assert all(len(one.frame) < MAX_BODY_BYTES - 1024 for one in told)
    found = []
    for event in told:
        data = _frame(event)["data"]
        assert isinstance(data, dict)
        found += json.loads(data["preferences"])
    assert [Preference(**one) for one in found] == kept
    assert events.preferences_deleted(UserId("ann"), []) == []


def test_categories_that_are_too_many_are_asked_for() -> None:
    def updated(number: int) -> object:
        return _frame(events.sidebar_category_updated(UserId("ann"), TeamId("t"), [{"id": "c" * 26}] * number))["data"]

    assert updated(2) == {"updatedCategories": json.dumps([{"id": "c" * 26}] * 2, separators=(",", ":"))}
    assert updated(10_000) == updated(0) == {}


def test_typing_leaves_out_who_types() -> None:
    event = events.typing(UserId("ann"), ChannelId("c"), "")
    assert event.audience == Audience(channel_id="c", omit_users=("ann",))
    broadcast = _frame(event)["broadcast"]
    assert isinstance(broadcast, dict)
    assert broadcast["omit_users"] == {"ann": True}
    assert event.name in BEST_EFFORT


def test_an_event_of_a_version_that_knew_of_one_copy_is_understood() -> None:
    event = Event("e", Audience(channel_id="c"), 7, b"{frame")
    old = msgspec.msgpack.encode(["event", "e", ["", "c", "", [], "", ""], 7, b"{frame"])
    assert events.unbundle(events.bundle([old])) == [event]


def test_of_an_event_of_a_later_version_what_is_unknown_is_left_out() -> None:
    new = msgspec.msgpack.encode(["event", "e", ["", "c", "", [], "", ""], 7, b"{frame", b"{sensitive", "unknown"])
    assert events.unbundle(events.bundle([new])) == [Event("e", Audience(channel_id="c"), 7, b"{frame", b"{sensitive")]


_texts = st.text(max_size=20)
_audiences = st.builds(Audience, _texts, _texts, _texts, st.lists(_texts, max_size=3).map(tuple), _texts, _texts)
_messages = st.one_of(
    st.builds(Event, _texts, _audiences, st.integers(0, 2**53), st.binary(max_size=100), st.binary(max_size=100)),
    st.builds(ChannelMembership, _texts, _texts, st.booleans()),
    st.builds(TeamMembership, _texts, _texts, st.booleans()),
    st.builds(SessionClosed, _texts),
    st.builds(Presence, _texts, st.lists(_texts, max_size=3).map(tuple)),
)


@given(st.lists(_messages))
def test_every_message_survives_the_bus(messages: list[events.Message]) -> None:
    assert events.unbundle(events.bundle([events.encode(message) for message in messages])) == messages


@given(st.binary(max_size=200))
@example(b"\x91\xa4\x00\x00\x00\x80")  # a tag that is no text
def test_anything_else_is_refused(data: bytes) -> None:
    try:
        messages = events.unbundle(data)
    except msgspec.MsgspecError:
        return
    assert events.unbundle(events.bundle([events.encode(message) for message in messages])) == messages
