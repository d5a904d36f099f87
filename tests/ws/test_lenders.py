"""What one worker lacks another one reads for it."""

import asyncio
from typing import cast

import pytest

from app.events.messages import Audience, Event, Lack, Lent, Message
from app.ports import Bus
from app.replay import Found
from db.model.errors import Unavailable
from tests.rig import virtual
from ws.lenders import MAX_ASKED, MAX_BYTES, Lenders, fitting


def _event(seq: int, size: int = 10) -> Event:
    return Event("e", Audience(channel_id="c"), seq, b"x" * size)


class Wire:
    """Two workers; what one asks the other one is asked."""

    def __init__(self, found: Found | None) -> None:
        self._found = found
        self.read = 0
        self.lender = Lenders(cast(Bus, self), "lender", self._read)
        self.asker = Lenders(cast(Bus, self), "asker", self._read)

    async def _read(self, channel_id: str, after: int) -> Found:
        self.read += 1
        assert (channel_id, after) == ("c", 7)
        if self._found is None:
            raise Unavailable("gone")
        return self._found

    def ask_elsewhere(self, message: Message) -> None:
        assert isinstance(message, Lack)
        self.lender.handle(message)

    def send_to(self, address: str, message: Message) -> bool:
        assert address == "asker"
        assert isinstance(message, Lent)
        self.asker.handle(message)
        return True


@pytest.mark.parametrize("found", [Found(9, 12, (_event(8), _event(9)), trimmed=True), Found(5, 5, lost=True)])
def test_what_the_lender_finds_the_asker_has(found: Found) -> None:
    async def live() -> Found | None:
        return await Wire(found).asker.ask("c", 7, 1.0)

    assert virtual.run(live()) == found


def test_who_cannot_read_either_says_nothing() -> None:
    async def live() -> Found | None:
        return await Wire(None).asker.ask("c", 7, 1.0)

    assert virtual.run(live()) is None


def test_an_answer_that_comes_too_late_is_ignored() -> None:
    async def live() -> None:
        Wire(None).asker.handle(Lent("nobody asked", 1, 1))

    virtual.run(live())


def test_as_many_events_as_a_message_holds_are_lent_and_none_is_left_out_in_between() -> None:
    events = tuple(_event(seq, MAX_BYTES // 4) for seq in range(1, 8))
    assert fitting(Found(20, 20, events)) == Found(4, 20, events[:4])
    assert fitting(Found(20, 20, (_event(1, MAX_BYTES + 1),))) is None
    assert fitting(Found(20, 20, events[:2])) == Found(20, 20, events[:2])


def test_so_many_questions_at_once_and_no_more_are_kept() -> None:
    async def live() -> int:
        wire = Wire(Found(7, 7))
        for number in range(2 * MAX_ASKED):
            wire.lender.handle(Lack(str(number), "asker", "c", 7))
        await asyncio.sleep(1)
        return wire.read

    assert virtual.run(live()) == MAX_ASKED
