"""What nodes of the version before and of this one say to each other over the bus: recorded, letter by letter.

`tests/stories/test_rolling.py` runs both side by side where the clone has the history; these need none.
"""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from app.events import messages as events
from app.events.messages import Audience, Event, Frame, Message, Parcel
from cluster.bus.bus import BusEnd
from cluster.bus.envelope import Class, Envelope, Kind, pack
from cluster.peers import bodies
from cluster.relay.presence import PresenceKeeper
from db.model.ids import UserId

_EVENT = ["event", "typing", ["u", "c", "t", ["o"], "k", "l"], 7, b"{", b"["]
_AUDIENCE = Audience("u", "c", "t", ("o",), "k", "l")
_FRAME = [b"{", True, "c", b"["]
BEFORE: list[tuple[list[Any], Message]] = [
    (_EVENT, Event("typing", _AUDIENCE, 7, b"{", b"[")),
    (["channel_membership", "u", "c", True, 7], events.ChannelMembership("u", "c", True, 7)),
    (["team_membership", "u", "t", False], events.TeamMembership("u", "t", False)),
    (["session_closed", "s"], events.SessionClosed("s")),
    (["every_session_closed"], events.EverySessionClosed()),
    (["changed", [["user", "u"]]], events.Changed((("user", "u"),))),
    (["moved", [["c", 7]]], events.Moved((("c", 7),))),
    (["presence", "active", ["u"]], events.Presence("active", ("u",))),
    (["admitted", [[b"12345678", 3]]], events.Admitted(((b"12345678", 3),))),
    (["claim", "i", "r", "k", "u", "s", 7, True], events.Claim("i", "r", "k", "u", "s", 7, True)),
    (
        ["given", "i", True, "m", [_FRAME], {"c": 7}],
        events.Given("i", True, "m", (Frame(b"{", True, "c", b"["),), {"c": 7}),
    ),
    (["leaving", "r", "n"], events.Leaving("r", "n")),
    (["willing", "a"], events.Willing("a")),
    (
        ["parcels", "i", "r", [_FRAME], [["c", 7]], [["k", "u", "s", 7, [-1], [0], [0], 1.5]], [b"d"]],
        events.Parcels(
            "i",
            "r",
            (Frame(b"{", True, "c", b"["),),
            (("c", 7),),
            (Parcel("k", "u", "s", 7, (-1,), (0,), (0,), 1.5),),
            (b"d",),
        ),
    ),
    (["kept", "i", True], events.Kept("i", True)),
    (["void", ["k"]], events.Void(("k",))),
    (["lack", "i", "r", "c", 7], events.Lack("i", "r", "c", 7)),
    (
        ["lent", "i", 7, 9, [_EVENT], True, True],
        events.Lent("i", 7, 9, (Event("typing", _AUDIENCE, 7, b"{", b"["),), True, True),
    ),
]
"""Messages of version 0.1. Kinds are only ever added, and fields at the end, with a default; none gets another meaning."""
KINDS = {
    "welcome", "beat", "message", "presence", "changed", "ack", "hello", "repair", "gone", "probe", "alive", "request",
    "answer", "leave", "api_message", "to_worker", "to_elsewhere",
}  # fmt: skip
BODIES: dict[type[msgspec.Struct], set[str]] = {
    bodies.Beat: {
        "state", "version", "protocol", "schema", "hostname", "address", "url", "config_hash", "sections", "urls", "reasons",
        "term", "has_master", "master", "master_ms", "clock_ms", "lossy_tail", "knows", "heard_ms",
    },
    bodies.Hole: {"first", "last"},
    bodies.Request: {"command", "arguments"},
    bodies.Answer: {"done", "body"},
}  # fmt: skip
LATER = msgspec.msgpack.encode(["of_a_later_version", {"what": ["it", "says"]}])


def test_every_message_is_recorded() -> None:
    assert {said[0] for said, _ in BEFORE} == events.TAGS, "a kind that is new: say here what its first version sends"


@pytest.mark.parametrize(("said", "message"), BEFORE, ids=[said[0] for said, _ in BEFORE])
def test_what_is_said_is_what_the_version_before_reads_and_said(said: list[Any], message: Message) -> None:
    assert msgspec.msgpack.decode(events.encode(message))[: len(said)] == said
    assert events.unbundle(events.bundle([msgspec.msgpack.encode(said)])) == [message]
    later = msgspec.msgpack.encode([*said, "added by a later version"])
    if type(message).__struct_fields__ and len(said) == 1 + len(type(message).__struct_fields__):
        assert events.unbundle(events.bundle([later])) == [message]


def test_no_kind_of_envelope_and_no_field_of_a_body_is_gone() -> None:
    assert {one.value for one in Kind} >= KINDS
    assert {one.value for one in Class} >= {"control", "reliable", "best_effort", "security"}
    for body, fields in BODIES.items():
        known = {one.name: one for one in msgspec.structs.fields(body)}
        assert fields <= known.keys(), body
        assert all(not known[name].required for name in known.keys() - fields), "the version before does not send it"


class _Heard:
    """The end of a worker to which the bus brings bundles."""

    def __init__(self, directory: Path) -> None:
        self.losses = self._seq = 0

        def lost() -> None:
            self.losses += 1

        self._end = BusEnd(
            f"ipc://{directory}/bus", node_id="n", worker="ws0", incarnation=1, on_messages=lambda _: None, on_loss=lost
        )
        self._say(Kind.WELCOME, Class.CONTROL, b"")

    def _say(self, kind: Kind, kind_class: Class, body: bytes) -> list[Message]:
        return list(self._end._receive([pack(Envelope("", "n", 1, self._seq, kind, kind_class)), body]))

    def hear(self, *messages: bytes, kind_class: Class = Class.RELIABLE) -> list[Message]:
        """What is understood of a bundle."""
        self._seq += 1
        return self._say(Kind.MESSAGE, kind_class, events.bundle(messages))

    def close(self) -> None:
        self._end.close()


@pytest.fixture
async def heard(tmp_path: Path) -> AsyncIterator[_Heard]:
    heard = _Heard(tmp_path)
    yield heard
    heard.close()


async def test_what_comes_with_a_message_of_a_later_version_is_heard(
    heard: _Heard, caplog: pytest.LogCaptureFixture
) -> None:
    closed, event = events.SessionClosed("s"), events.user_activation_status_change()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert heard.hear(events.encode(closed), LATER, events.encode(event)) == [closed, event]
    assert heard.losses == 0, "nothing that this version has depends on it"
    assert [getattr(one, "kind", "") for one in caplog.records] == ["of_a_later_version"]
    assert heard.hear(LATER, events.encode(closed), kind_class=Class.SECURITY) == [closed]
    assert heard.losses == 1, "what is about security is obeyed also when it is not understood"


@pytest.mark.parametrize("bad", [["session_closed", 5], ["session_closed"], [5], 7, {}], ids=str)
async def test_a_message_that_cannot_be_read_is_a_loss_and_what_comes_with_it_is_heard(
    heard: _Heard, bad: object
) -> None:
    closed = events.SessionClosed("s")
    assert heard.hear(msgspec.msgpack.encode(bad), events.encode(closed)) == [closed]
    assert heard.losses == 1


async def test_reports_of_presence_are_read_around_what_a_later_version_adds() -> None:
    keeper = PresenceKeeper(cast(Any, None), lambda _: None, lambda _: False, 300.0)
    keeper.take("n/ws0", events.bundle([LATER, events.encode(events.Presence("connected", ("u",)))]))
    assert keeper._tracker.workers_of(UserId("u")) == {"n/ws0"}
