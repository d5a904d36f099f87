"""What is read from the database for a connection alone."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from app import replay
from app.context import Context
from app.events.messages import Audience, ChannelMembership, Event
from app.replay import Found
from db.model.board import LocalBoard
from tests.rig import virtual
from tests.ws.test_hub import FakeClient
from ws.repairs import Repairs


@pytest.mark.parametrize(("administrator", "expected"), [(True, b"{sensitive"), (False, b"{sanitised")])
def test_who_catches_up_alone_gets_their_own_copy(
    monkeypatch: pytest.MonkeyPatch, administrator: bool, expected: bytes
) -> None:
    event = Event("e", Audience(channel_id="c"), 2, b"{sanitised", b"{sensitive")

    async def read(_ctx: Context, channel_id: str, after: int) -> Found:
        assert (channel_id, after) == ("c", 1)
        return Found(2, 2, (event,))

    async def live() -> None:
        repairs = Repairs(cast(Context, SimpleNamespace(db=SimpleNamespace(board=LocalBoard()), bus=None)))
        ann, bob = FakeClient("ann", "a"), FakeClient("bob", "b")
        bob.administrator = administrator
        for client, channels in ((ann, {"c": (1, 2)}), (bob, {})):
            listener = repairs.hub.begin_loading(client.user_id)
            repairs.hub.join(listener, client)
            repairs.hub.end_loading(listener, (channels, ()), client)
        repairs.hub.handle(ChannelMembership("bob", "c", joined=True, seq=1))
        await asyncio.sleep(1)
        assert (ann.got, bob.got) == ([], [expected])

    monkeypatch.setattr(replay, "read", read)
    virtual.run(live())
