"""What leaves: whatever shows an entity, an answer or an event, shows a viewer the same, and no secrets to anybody."""

import inspect
import json
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import msgspec
import pytest

from app.config.settings import PrivacySettings
from app.events import messages as events
from app.events import wire
from app.events.kinds import KINDS, Kind, Scene
from app.events.messages import Event
from app.events.names import Name
from app.permissions import Viewer
from db.model.entities import (
    ChannelInfo,
    ChannelMember,
    Post,
    Preference,
    Reaction,
    Session,
    Status,
    Team,
    TeamMember,
    User,
)
from db.model.ids import ChannelId, PostId, SessionId, TeamId, UserId

# Words by which a secret is found wherever it turns up. To nobody: the first. To none but whose it is: the second, and
# to administrators, too: the third.
HIDDEN, OWN, PRIVATE = "hidden-from-all", "ones-own", "private"
HERS = UserId("hers")
PRIVACIES = [PrivacySettings(show_email_address=a, show_full_name=b) for a, b in product([True, False], repeat=2)]
CLOSED = PrivacySettings(show_email_address=False, show_full_name=False)

USER = User(
    HERS, 1, 2, 0, "ann", HIDDEN, f"{PRIVATE}@example.com", True, "nick", PRIVATE, PRIVATE, "dean",
    "system_user", "en", '{"customStatus":""}', json.dumps({"a": PRIVATE}), "{}", 77, 5, 3, True,
)  # fmt: skip
MEMBER = ChannelMember(
    ChannelId("c"), HERS, "", True, False, False, json.dumps({"a": OWN}), 111_222, 1, 2, 111_223, 111_224, 111_225,
    111_226, 111_227,
)  # fmt: skip
POST = Post(
    PostId("p"), ChannelId("c"), 7, 5, 6, 0, 0, False, HERS, "", "", "hello", "",
    json.dumps({"attachments": [{"actions": [{"name": "yes", "integration": {"url": HIDDEN}}]}]}), "", "[]", "[]", "x",
    0, 0, True,
)  # fmt: skip
DELETED = Post(
    PostId("p"), ChannelId("c"), 7, 5, 9, 0, 9, False, HERS, "", "", HIDDEN, "", json.dumps({"a": HIDDEN}),
    f"#{HIDDEN}", json.dumps([HIDDEN]), "[]", "x", 0, 0, True,
)  # fmt: skip
REACTION = Reaction(PostId("p"), HERS, "+1", 5)
SAMPLES: dict[Any, Any] = {
    User: USER,
    Post: POST,
    ChannelMember: MEMBER,
    TeamMember: TeamMember(TeamId("t"), HERS, 1, 0, "", True, False, False),
    ChannelInfo: ChannelInfo(ChannelId("c"), 1, 1, 0, TeamId("t"), "O", "C", "c", "", "", "", 0),
    Reaction: REACTION,
    Sequence[Reaction]: [REACTION],
    PrivacySettings: CLOSED,
    UserId: HERS,
    ChannelId: ChannelId("c"),
    TeamId: TeamId("t"),
    PostId: PostId("p"),
    Mapping[ChannelId, int]: {"c": 7},
    dict[str, int]: {"msg_count": 7},
    SessionId: SessionId("s"),
    Sequence[UserId]: [HERS],
    Sequence[str]: ["c"],
    Sequence[dict[str, Any]]: [{"id": "c"}],
    Sequence[Preference]: [Preference(HERS, "c", "n", PRIVATE)],
    Name: Name.UPDATE_TEAM,
    Team: Team(TeamId("t"), 1, 1, 0, "T", "t", "", HIDDEN, "O", "", "", HIDDEN, True, 0),
    list[str] | None: ["c"],
    str: "text",
    int: 7,
    bool: True,
}


Builder = Callable[..., Event | tuple[Event, ...] | None]


def _of_kind(kind: type[Kind]) -> Builder:
    """What a change of this kind is told as, while its post is as it is by now."""
    hints = typing.get_type_hints(kind)
    said = {one.name: SAMPLES[hints[one.name]] for one in msgspec.structs.fields(kind)}

    def built(post: Post, reactions: Sequence[Reaction]) -> Event | None:
        scene = Scene(SAMPLES[ChannelInfo], {post.id: post}, {post.id: reactions})
        return kind(**(said | {"ref": post.id})).event(7, scene)

    return built


def _builders() -> dict[str, Builder]:
    """What builds events of entities."""
    found: dict[str, Builder] = {name: _of_kind(kind) for name, kind in KINDS.items()}
    for name, function in inspect.getmembers(events, inspect.isfunction):
        given = typing.get_type_hints(function).get("return")
        if (
            (given is Event or Event in typing.get_args(given))
            and name not in ("build", "encoded")
            and not name.startswith("_")
        ):
            found[name] = function
    return found


BUILDERS = _builders()


def _built(name: str, **other: Any) -> tuple[Event, ...]:
    """What a builder makes of samples. A parameter of a type without one needs a sample here."""
    hints = typing.get_type_hints(BUILDERS[name])
    del hints["return"]
    made = BUILDERS[name](**{key: other.get(key, SAMPLES[wanted]) for key, wanted in hints.items()})
    return (made,) if isinstance(made, Event) else tuple(one for one in made or () if isinstance(one, Event))


def _frames(event: Event) -> Iterator[tuple[bytes, bool, bool]]:
    """(frame, whether it is for her alone, whether it is for administrators)."""
    hers = event.audience.user_id == HERS
    yield event.frame, hers, False
    if event.sensitive:
        yield event.sensitive, hers, True


def test_the_builders_are_found() -> None:
    assert {"posted", "user_updated", "hello", "channel_member_updated"} <= set(BUILDERS)
    assert len(BUILDERS) >= 20


@pytest.mark.parametrize("name", BUILDERS)
def test_no_event_says_more_than_its_audience_may_see(name: str) -> None:
    """Also one that is added later: each is built of entities that are full of secrets."""
    for event in _built(name):
        for frame, hers, administrators in _frames(event):
            text = frame.decode()
            assert HIDDEN not in text
            assert OWN not in text or hers
            assert PRIVATE not in text or hers or administrators
            assert "111222" not in text or hers


@pytest.mark.parametrize("name", [name for name in BUILDERS if Post in typing.get_type_hints(BUILDERS[name]).values()])
def test_no_event_tells_what_a_deleted_post_said(name: str) -> None:
    for event in _built(name, post=DELETED):
        assert HIDDEN.encode() not in event.frame + event.sensitive
        assert b"emoji" not in event.frame + event.sensitive


def test_no_entity_shows_what_nobody_is_to_see() -> None:
    """Every function of wire.py that makes JSON of an entity, with its most curious viewer."""
    admin = Viewer(PrivacySettings(), HERS, administrator=True)
    team = Team(TeamId("t"), 1, 1, 0, "T", "t", "", "e", "O", "", "", "i", True, 0)
    shown = [
        wire.user(USER, admin),
        wire.team(team, show_email=True, show_invitation=True),
        wire.team_member(SAMPLES[TeamMember]),
        wire.channel_member(MEMBER, admin),
        wire.post(POST),
        wire.post(DELETED, reactions=[REACTION]),
        wire.reaction(REACTION),
        wire.status(Status(HERS, "online", False, 1, 0, "")),
        wire.session(Session(SessionId("s"), HIDDEN, HERS, 1, 2, 3, "", HIDDEN), "system_user"),
    ]
    assert HIDDEN not in wire.encode(shown).decode()


VIEWERS = {
    "self": lambda privacy: Viewer(privacy, HERS),
    "other": lambda privacy: Viewer(privacy, "his"),
    "anybody": lambda privacy: Viewer(privacy),
    "administrator": lambda privacy: Viewer(privacy, "admins", administrator=True),
}


def _told(sent: tuple[Event, ...], viewer: Viewer) -> Event:
    """The event of these that reaches the viewer: exactly one."""
    (event,) = [
        event
        for event in sent
        if viewer.user_id not in event.audience.omit_users and event.audience.user_id in ("", viewer.user_id)
    ]
    return event


def _data(event: Event, viewer: Viewer) -> dict[str, Any]:
    frame = event.sensitive if viewer.administrator and event.sensitive else event.frame
    data: dict[str, Any] = json.loads(frame + b"}")["data"]
    return data


def _json(shown: wire.Json) -> Any:
    return json.loads(wire.encode(shown))


@pytest.mark.parametrize("kind", VIEWERS)
@pytest.mark.parametrize("privacy", PRIVACIES, ids=str)
def test_an_account_is_the_same_in_answers_and_events(privacy: PrivacySettings, kind: str) -> None:
    viewer = VIEWERS[kind](privacy)
    seen = _data(_told(events.user_updated(USER, privacy), viewer), viewer)["user"]
    assert seen == _json(wire.user(USER, viewer))
    whole = kind in ("self", "administrator")
    assert (seen["email"] != "") == (whole or privacy.show_email_address)
    assert (seen["first_name"] != "", seen["last_name"] != "") == (whole or privacy.show_full_name,) * 2
    for field in ("notify_props", "email_verified", "failed_attempts", "last_password_update", "allow_marketing"):
        assert (field in seen) == whole


@pytest.mark.parametrize("kind", VIEWERS)
def test_how_far_somebody_has_read_is_theirs(kind: str) -> None:
    seen = _json(wire.channel_member(MEMBER, VIEWERS[kind](PrivacySettings())))
    numbers = ("last_viewed_at", "msg_count", "mention_count", "mention_count_root", "msg_count_root", "last_update_at")
    if kind == "self":
        assert seen["notify_props"] == {"a": OWN}
        assert seen["last_viewed_at"] == 111_223
        told = _data(events.channel_member_updated(MEMBER, PrivacySettings()), Viewer(PrivacySettings(), HERS))
        assert json.loads(told["channelMember"]) == seen
        return
    assert seen["notify_props"] == {}
    assert {name: seen[name] for name in numbers} == dict.fromkeys(numbers, -1)
    assert (seen["user_id"], seen["roles"]) == (HERS, "channel_user")


def test_a_deleted_post_is_empty_but_for_administrators_who_ask() -> None:
    seen = _json(wire.post(DELETED, reactions=[REACTION]))
    assert {seen["message"], seen["hashtags"]} == {""}
    assert (seen["props"], seen["metadata"], seen["delete_at"]) == ({}, {}, 9)
    assert not {"file_ids", "has_reactions"} & set(seen)
    whole = _json(wire.post(DELETED, reactions=[REACTION], with_deleted=True))
    assert (whole["message"], whole["props"], whole["file_ids"]) == (HIDDEN, {"a": HIDDEN}, [HIDDEN])
    assert set(whole) - set(seen) == {"file_ids", "has_reactions"}


@pytest.mark.parametrize("post", [POST, DELETED], ids=["there", "deleted"])
def test_a_post_is_the_same_in_answers_and_events(post: Post) -> None:
    seen = _json(wire.post(post, reactions=[REACTION]))
    built = [
        event for name in ("posted", "created", "post_edited", "post_deleted") for event in _built(name, post=post)
    ]
    assert len(built) == (3 if post.delete_at else 4), "an edit of what is deleted is not told"
    for event in built:
        for frame in (event.frame, event.sensitive or event.frame):
            assert json.loads(json.loads(frame + b"}")["data"]["post"]) == seen


def test_who_writes_a_post_is_answered_what_is_told() -> None:
    """It is made JSON once: `events.created`."""
    event, encoded = events.created(POST, SAMPLES[ChannelInfo], (), set_online=True, sender_name="ann")
    assert json.loads(event.frame + b"}")["data"]["post"] == encoded.decode()
    assert json.loads(encoded) == _json(wire.post(POST))
