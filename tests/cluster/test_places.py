"""A child's place: what is asked of the process in it is answered by that process, or not at all."""

import asyncio
from typing import Any, cast

import pytest

from cluster.commands.of_worker import Answer, Ask, Cluster, Heads, Purge, Status
from cluster.node.children import Child
from cluster.node.places import Place, ask_all


class Pipe:
    """A channel that remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[Ask] = []
        self.closed = False

    def send(self, message: Ask) -> None:
        self.sent.append(message)

    def close(self) -> None:
        self.closed = True


def _place(name: str = "api0", pipe: Pipe | None = None) -> Place:
    place = Place(Child(name, watchdog_s=None), name.rstrip("0"), 0)
    place.channel = cast(Any, pipe)
    return place


async def test_answers_find_who_asked_whatever_their_order() -> None:
    pipe = Pipe()
    place = _place(pipe=pipe)
    asked = [asyncio.create_task(place.ask(Status())), asyncio.create_task(place.ask(Heads()))]
    await asyncio.sleep(0)
    first, second = pipe.sent
    place.answered(Answer(second.id, {"ok": True, "of": "heads"}))
    place.answered(Answer(first.id, {"ok": True, "of": "status"}))
    place.answered(Answer(99, {"ok": True}))
    assert [(await one)["of"] for one in asked] == ["status", "heads"]


async def test_who_is_down_is_not_asked_and_whose_worker_ends_does_not_wait() -> None:
    assert await _place().ask(Status()) == {"ok": False, "error": "down"}
    pipe = Pipe()
    place = _place(pipe=pipe)
    asked = asyncio.create_task(place.ask(Status()))
    await asyncio.sleep(0)
    place.empty()
    assert await asked == {"ok": False, "error": "it ended meanwhile"}
    assert pipe.closed
    place.answered(Answer(pipe.sent[0].id, {"ok": True}))
    assert await place.ask(Status()) == {"ok": False, "error": "down"}


async def test_who_does_not_answer_in_time_is_given_up_and_an_answer_to_nobody_is_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cluster.commands.of_worker.QUICK_S", 0.01)
    pipe = Pipe()
    place = _place(pipe=pipe)
    assert await place.ask(Purge()) == {"ok": False, "error": "timeout"}
    place.answered(Answer(pipe.sent[0].id, {"ok": True}))
    assert not place._questions


async def test_those_of_the_roles_are_asked_and_no_others() -> None:
    api, ws, relay = _place("api0", Pipe()), _place("ws0"), _place("relay", Pipe())
    asked = asyncio.create_task(ask_all([api, ws, relay], ("relay", "ws"), Cluster()))
    while not cast(Any, relay.channel).sent:
        await asyncio.sleep(0)
    (one,) = cast(Any, relay.channel).sent
    relay.answered(Answer(one.id, {"ok": True}))
    assert await asked == {"ws0": {"ok": False, "error": "down"}, "relay": {"ok": True}}
    assert cast(Any, api.channel).sent == []
