"""The events of posts and of reading channels, as clients count on them: to whom, which data, and what is JSON in a text."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from app.config.settings import PrivacySettings
from app.events import messages as events
from app.events.kinds import KINDS, Kind, Scene
from app.events.messages import Event
from db.model.entities import ChannelInfo, ChannelMember, Post
from db.model.ids import ChannelId, PostId, TeamId, UserId

ANN, BOB = UserId("a" * 26), UserId("b" * 26)
CHANNEL = ChannelInfo(ChannelId("c" * 26), 1, 1, 0, TeamId("t" * 26), "O", "Channel", "channel", "", "", "", 0)
POST = Post(
    PostId("p" * 26), CHANNEL.id, 7, 1, 1, 0, 0, False, ANN, "", "", "hello", "", "{}", "", "[]", "[]", "pending", 0, 0
)  # fmt: skip
SCENE = Scene(CHANNEL, {POST.id: POST}, {})
MEMBER = ChannelMember(CHANNEL.id, BOB, "", True, False, False, "{}", 1, 1, 1, 1, 1, 1)


def _posted(*mentions: UserId) -> Event:
    return events.posted(POST, CHANNEL, mentions, set_online=True, sender_name="ann")


def _changed(kind: str, **said: Any) -> Event:
    return _kind(kind)(**{"ref": POST.id, **said}).live(8, SCENE)


def _kind(kind: str) -> type[Kind]:
    return KINDS[kind]


REACTED = {"user_id": ANN, "emoji_name": "ox", "create_at": 5}
COUNTS = {"msg_count": 1, "msg_count_root": 1, "mention_count": 0, "mention_count_root": 0, "last_viewed_at": 5}
IN_CHANNEL = {"channel_id": CHANNEL.id}
TO_BOB = {"user_id": BOB}
J, TEXT, NUMBER, TRUTH, OBJECT = "JSON in a text", str, int, bool, dict
POSTED = {
    "channel_display_name": TEXT, "channel_name": TEXT, "channel_type": TEXT, "post": J, "sender_name": TEXT,
    "set_online": TRUTH, "team_id": TEXT,
}  # fmt: skip
TABLE: list[tuple[str, Callable[[], Event], Mapping[str, str], Mapping[str, object]]] = [
    ("posted", _posted, IN_CHANNEL, POSTED),
    ("posted", lambda: _posted(BOB), IN_CHANNEL, {**POSTED, "mentions": J}),
    ("post_edited", lambda: _changed("post_edited"), IN_CHANNEL, {"post": J}),
    ("post_deleted", lambda: _changed("post_deleted", deleted_by=BOB), IN_CHANNEL, {"post": J}),
    ("reaction_added", lambda: _changed("reaction_added", **REACTED), IN_CHANNEL, {"reaction": J}),
    ("reaction_removed", lambda: _changed("reaction_removed", **REACTED), IN_CHANNEL, {"reaction": J}),
    ("user_added", lambda: _changed("user_added", ref=BOB), IN_CHANNEL, {"user_id": TEXT, "team_id": TEXT}),
    ("user_removed", lambda: _changed("user_removed", ref=BOB), IN_CHANNEL, {"user_id": TEXT, "remover_id": TEXT}),
    (
        "user_removed",
        lambda: events.you_were_removed(BOB, CHANNEL, ANN),
        TO_BOB,
        {"channel_id": TEXT, "remover_id": TEXT},
    ),
    (
        "post_unread",
        lambda: events.post_unread(BOB, CHANNEL, POST.id, COUNTS),
        {**TO_BOB, **IN_CHANNEL, "team_id": CHANNEL.team_id},
        {"post_id": TEXT, **dict.fromkeys(COUNTS, NUMBER)},
    ),
    ("ephemeral_message", lambda: events.ephemeral_message(BOB, POST), {**TO_BOB, **IN_CHANNEL}, {"post": J}),
    (
        "typing",
        lambda: events.typing(BOB, CHANNEL.id, ""),
        {**IN_CHANNEL, "omit_users": BOB},
        {"parent_id": TEXT, "user_id": TEXT},
    ),
    (
        "channel_viewed",
        lambda: events.channel_viewed(BOB, CHANNEL.id, {CHANNEL.id: 5}, 5),
        TO_BOB,
        {"channel_id": TEXT},
    ),
    (
        "multiple_channels_viewed",
        lambda: events.channel_viewed(BOB, CHANNEL.id, {CHANNEL.id: 5}, 7),
        TO_BOB,
        {"channel_times": OBJECT},
    ),
    (
        "channel_member_updated",
        lambda: events.channel_member_updated(MEMBER, PrivacySettings()),
        TO_BOB,
        {"channelMember": J},
    ),
    ("channel_created", lambda: events.channel_created(BOB, CHANNEL), TO_BOB, {"channel_id": TEXT, "team_id": TEXT}),
    (
        "direct_added",
        lambda: events.direct_added(ANN, BOB, CHANNEL.id),
        IN_CHANNEL,
        {"creator_id": TEXT, "teammate_id": TEXT},
    ),
]


@pytest.mark.parametrize(("name", "build", "audience", "data"), TABLE, ids=[row[0] for row in TABLE])
def test_an_event_is_what_clients_know(
    name: str, build: Callable[[], Event], audience: Mapping[str, str], data: Mapping[str, object]
) -> None:
    event = build()
    whole = json.loads(event.frame + b"}")
    assert whole["event"] == event.name == name
    broadcast = {key: value for key, value in whole["broadcast"].items() if value}
    assert broadcast == {key: {BOB: True} if key == "omit_users" else value for key, value in audience.items()}
    assert set(whole["broadcast"]) == {
        "omit_users", "user_id", "channel_id", "team_id", "connection_id", "omit_connection_id",
    }  # fmt: skip
    assert set(whole["data"]) == set(data)
    for key, value in whole["data"].items():
        if data[key] == J:
            assert isinstance(json.loads(value), list if key == "mentions" else dict), key
        else:
            assert type(value) is data[key], key
    assert (event.seq > 0) == (whole.get("channel_seq", 0) > 0)


def test_administrators_learn_who_deleted_a_post() -> None:
    event = _changed("post_deleted", deleted_by=BOB)
    assert json.loads(event.sensitive + b"}")["data"]["delete_by"] == BOB
