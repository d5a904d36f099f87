"""A worker that stops, and those who are to keep its connections."""

import asyncio

import pytest

from app.events.messages import Kept, Leaving, Message, Parcels, Void, Willing
from tests.rig import virtual
from ws.farewell import ACK_S, OFFERS_S, Farewell
from ws.parcels import PART_BYTES, Snapshot

A, B, C = "bbbbbb00", "bbbbbb01", "cccccc00"


class Wire:
    """The bus, and others that keep, refuse ("no"), say nothing ("silent"), or are late ("late")."""

    def __init__(self, **heirs: str) -> None:
        self.heirs = heirs
        self.sent: list[tuple[str, Message]] = []
        self.farewell = Farewell(self, "aaaaaa00", virtual.now)

    def publish(self, message: Message) -> None:
        assert isinstance(message, Leaving)
        for one in self.heirs:
            virtual.running().call_later(0.01, self.farewell.handle, Willing(one))

    def ask_elsewhere(self, message: Message) -> None:
        raise AssertionError(message)

    def send_to(self, address: str, message: Message) -> bool:
        self.sent.append((address, message))
        if isinstance(message, Parcels) and self.heirs[address] != "silent":
            delay_s = 2 * ACK_S if self.heirs[address] == "late" else 0.01
            kept = Kept(message.id, self.heirs[address] != "no")
            virtual.running().call_later(delay_s, self.farewell.handle, kept)
        return self.heirs[address] != "too large"


def _snapshots(count: int, *, size: int = 10) -> list[Snapshot]:
    return [Snapshot(f"id{one}", "u", "s", 0, [], [], [(f"{one}" * size, 1)], 0.0) for one in range(count)]


def _run(**heirs: str) -> tuple[Wire, bool, dict[str, str]]:
    async def live() -> tuple[Wire, bool, dict[str, str]]:
        wire = Wire(**heirs)
        willing = await wire.farewell.ask("aaaaaa")
        return wire, willing, await wire.farewell.hand_over(_snapshots(3))

    return virtual.run(live())


def test_who_is_willing_keeps_them() -> None:
    wire, willing, kept = _run(**{B: "yes"})
    assert willing
    assert kept == {"id0": B, "id1": B, "id2": B}
    assert len(wire.sent) == 1


def test_with_nobody_there_nothing_is_waited_for_long() -> None:
    async def live() -> float:
        wire = Wire()
        assert not await wire.farewell.ask("")
        assert await wire.farewell.hand_over(_snapshots(3)) == {}
        return virtual.now() - 1000

    assert virtual.run(live()) == pytest.approx(3 * OFFERS_S)


@pytest.mark.parametrize("first", ["no", "silent", "late", "too large"])
def test_what_the_first_does_not_keep_the_next_one_does(first: str) -> None:
    wire, _, kept = _run(**{B: first, C: "yes"})
    assert set(kept.values()) == {C}
    assert (B, Void(("id0", "id1", "id2"))) in wire.sent, "it may have them all the same"


def test_who_said_no_is_asked_no_more() -> None:
    async def live() -> list[str]:
        wire = Wire(**{B: "no", C: "yes"})
        await wire.farewell.ask("")
        for _ in range(3):
            await wire.farewell.hand_over(_snapshots(3))
        return [address for address, message in wire.sent if isinstance(message, Parcels)]

    assert virtual.run(live()) == [B, C, C, C]


def test_what_nobody_keeps_is_given_up_in_time() -> None:
    async def live() -> float:
        wire = Wire(**{B: "silent", C: "silent"})
        await wire.farewell.ask("")
        began = virtual.now()
        assert await wire.farewell.hand_over(_snapshots(3)) == {}
        return virtual.now() - began

    assert virtual.run(live()) <= 3 * ACK_S + 0.01


def test_all_who_are_willing_get_a_part() -> None:
    async def live() -> set[str]:
        wire = Wire(**{A: "yes", B: "yes", C: "yes"})
        await wire.farewell.ask("")
        snapshots = [
            Snapshot(f"id{one}", "u", "s", 0, [], [], [(f"{one}/{head}", 1) for head in range(PART_BYTES // 36)], 0.0)
            for one in range(6)
        ]
        return set((await wire.farewell.hand_over(snapshots)).values())

    assert virtual.run(live()) == {A, B, C}


def test_who_stops_as_well_or_is_asked_by_itself_keeps_nothing() -> None:
    async def live() -> None:
        farewell = Wire().farewell
        assert farewell.is_asked(Leaving("bbbbbb00", "bbbbbb"))
        assert farewell.is_asked(Leaving("aaaaaa01", ""))
        assert not farewell.is_asked(Leaving("aaaaaa01", "aaaaaa"))
        assert not farewell.is_asked(Leaving("aaaaaa00", ""))
        farewell.begun = True
        assert not farewell.is_asked(Leaving("bbbbbb00", "bbbbbb"))
        await asyncio.sleep(0)

    virtual.run(live())
