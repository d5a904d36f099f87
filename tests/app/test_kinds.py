"""Recoverable changes, kind by kind: published, stored and told again alike; and the names of events."""

import ast
import importlib
import json
import logging
import pkgutil
import re
from pathlib import Path
from typing import Any, cast

import pytest

import app
from app import replay
from app.events import messages as events
from app.events.kinds import (
    KINDS,
    Kind,
    PostDeleted,
    PostEdited,
    ReactionAdded,
    ReactionRemoved,
    Scene,
    Stored,
    UserAdded,
    UserRemoved,
)
from app.events.messages import Audience, Event, Message
from app.events.names import BEST_EFFORT, Care, Name, Room
from db.model.entities import ChannelInfo
from db.model.ids import ChannelId, TeamId, UserId
from db.order.changes import Change
from db.pool.pool import Database
from tests.app import races
from tests.app.races import WRITES
from tests.plugins.drivers import drivers

ROOT = Path(__file__).parents[2]
PRODUCT = [path for top in ("cluster", "api", "ws", "app", "db") for path in sorted((ROOT / top).rglob("*.py"))]
RECOVERABLE = {one.value for one in Name if Care.RECOVERABLE in one.rooms.values()}


class Published:
    """A bus that keeps the recoverable events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, message: Message) -> None:
        """Keep it."""
        if isinstance(message, Event) and message.seq:
            self.events.append(message)


def _without_what_was_said(event: Event) -> tuple[object, ...]:
    """A deletion shows live what the post said, and later that it is gone: the rest is the same."""
    frames = [json.loads(frame + b"}") for frame in (event.frame, event.sensitive)]
    said = [json.loads(frame["data"].pop("post")) for frame in frames]
    assert said[0] == said[1]
    return event.name, event.audience, event.seq, frames, said[0]["id"]


@drivers("postgres", "mysql")
async def test_every_recoverable_event_is_told_again_as_it_was_published(database: Database) -> None:
    """All that verbs write (`races.WRITES` has every verb that does); a kind that none of it makes fails here."""
    driven: set[str] = set()
    async with races.contexts(database) as ctx:
        for write in WRITES.values():
            world, bus = await races.build(ctx), Published()
            ctx.bus = cast(Any, bus)
            await write.run(world)
            for event in bus.events:
                channel_id = ChannelId(event.audience.channel_id)
                found = await replay.read(ctx, channel_id, event.seq - 1)
                again = {one.seq: one for one in found.events}[event.seq]
                if event.name == Name.POST_DELETED:
                    assert _without_what_was_said(again) == _without_what_was_said(event)
                else:
                    assert again == event
                driven.add(event.name)
    assert driven == RECOVERABLE, "a kind is not driven: add a write to tests/app/races.py"


def test_every_kind_is_registered_and_is_one_of_the_recoverable_names() -> None:
    for module in pkgutil.walk_packages(app.__path__, "app."):
        importlib.import_module(module.name)

    def below(base: type[Change]) -> set[type[Change]]:
        direct = set(base.__subclasses__())
        return direct.union(*(below(one) for one in direct))

    kinds = {one for one in below(Change) if hasattr(one, "kind") and one.__module__.startswith("app.")}
    assert kinds == set(KINDS.values())
    assert set(KINDS) | {Name.POSTED} == RECOVERABLE
    assert max(map(len, KINDS)) <= 32, "the width of the column"


STORED = {
    ("post_edited", "p", "{}"): PostEdited("p"),
    ("post_deleted", "p", '{"deleted_by":"a","update_at":5}'): PostDeleted("p", UserId("a"), 5),
    ("reaction_added", "p", '{"user_id":"a","emoji_name":"+1","create_at":5}'): ReactionAdded(
        "p", UserId("a"), "+1", 5
    ),
    ("reaction_removed", "p", '{"user_id":"a","emoji_name":"+1","create_at":5}'): ReactionRemoved(
        "p", UserId("a"), "+1", 5
    ),
    ("user_added", "a", "{}"): UserAdded("a"),
    ("user_removed", "a", '{"remover_id":"b"}'): UserRemoved("a", "b"),
}
"""The rows of version 0.1, letter by letter: nodes of the version before read what this one writes."""


def test_what_is_stored_is_what_the_version_before_reads_and_wrote() -> None:
    assert {kind for kind, _, _ in STORED} == set(KINDS), "a kind that is new: say here what its first version stores"
    for row, change in STORED.items():
        assert (str(change.kind), change.ref, change.payload()) == row
        assert Stored().read(*row) == change


def test_what_the_next_version_adds_to_a_payload_is_passed_over() -> None:
    assert Stored().read("user_removed", "a", '{"remover_id":"b","why":{"not":1}}') == UserRemoved("a", "b")
    assert Stored().read("user_removed", "a", "{}") == UserRemoved("a")


@pytest.mark.parametrize(
    "row",
    [("of_a_later_version", "p", "{}"), ("post_deleted", "p", "{}"), ("post_deleted", "p", "no JSON")],
    ids=["kind", "payload", "json"],
)
def test_a_row_that_cannot_be_read_is_left_out_and_named_once(
    row: tuple[str, str, str], caplog: pytest.LogCaptureFixture
) -> None:
    stored = Stored()
    with caplog.at_level(logging.WARNING, "app.events.kinds"):
        assert [stored.read(*row) for _ in range(3)] == [None] * 3
    assert [getattr(one, "kind", "") for one in caplog.records] == [row[0]]


def test_a_change_that_is_not_in_its_scene_is_no_live_event() -> None:
    channel = ChannelInfo(ChannelId("c"), 1, 1, 0, TeamId("t"), "O", "C", "c", "", "", "", 0)
    changes: list[Kind] = [PostEdited("p"), PostDeleted("p", UserId("a"))]
    for change in changes:
        assert change.event(1, Scene(channel)) is None
        with pytest.raises(ValueError, match=change.kind):
            change.live(1, Scene(channel))


def test_changes_are_stored_in_one_place() -> None:
    writes = re.compile(r"INTO channel_events|\bCHANNEL_EVENTS\.insert")
    found = [str(path.relative_to(ROOT)) for path in PRODUCT if writes.search(path.read_text())]
    assert found == ["db/order/changes.py"]


# Names -----------------------------------------------------------------------------------------------------------------


def test_an_event_goes_where_its_name_says_and_with_a_number_only_if_it_is_recoverable() -> None:
    to = {
        Room.CHANNEL: Audience(channel_id="c"),
        Room.TEAM: Audience(team_id="t"),
        Room.USER: Audience(user_id="u"),
        Room.EVERYBODY: Audience(),
    }
    for name in Name:
        for room, audience in to.items():
            for seq in (0, 7):
                if room in name.rooms and (name.rooms[room] is Care.RECOVERABLE) == bool(seq):
                    assert events.build(name, {}, audience, seq).name == name.value
                else:
                    with pytest.raises(ValueError, match=name.value):
                        events.build(name, {}, audience, seq)
    assert Audience(connection_id="x", channel_id="c").room is Room.USER


def test_best_effort_are_only_those_that_clients_do_without() -> None:
    assert {"typing", "status_change", "channel_viewed", "multiple_channels_viewed"} == BEST_EFFORT
    assert not BEST_EFFORT & RECOVERABLE


def test_names_are_said_only_where_they_are_declared() -> None:
    """Events are built by `build`, of a name: nobody else makes a frame or writes an event's name as a text."""
    encoders = [str(path.relative_to(ROOT)) for path in PRODUCT if re.search(r"\bencoded\(", path.read_text())]
    assert encoders == ["app/events/messages.py"]
    names = {one.value for one in Name} - {"hello"}
    for path in PRODUCT:
        if path.name == "names.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare | ast.MatchValue):
                said = {one.value for one in ast.walk(node) if isinstance(one, ast.Constant)}
                assert not said & names, f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def test_every_name_is_built_somewhere() -> None:
    texts = "".join(path.read_text() for path in PRODUCT)
    for name in Name:
        assert f"Name.{name.name}" in texts, name
