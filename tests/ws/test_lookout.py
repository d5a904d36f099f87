"""A worker hears of what is committed though its relay polls no more, whenever that began."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from db.model.errors import Unavailable
from db.pool.pool import Database
from db.sql.outbox import Poll
from tests.rig import virtual
from ws import lookout
from ws.lookout import Lookout

BOUND_S = 2.0


class World:
    """A relay that polls each second until it is frozen, and an outbox. up: the database answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.polled_ns = self._now_ns()
        self.up = True
        self.committed: list[tuple[str, int]] = []
        self.told: list[tuple[str, int]] = []
        self._seen: int | None = None
        self._frozen = asyncio.Event()
        monkeypatch.setattr(lookout, "boottime_ns", self._now_ns)
        monkeypatch.setattr(lookout, "Outbox", lambda _: self)
        database = SimpleNamespace(board=SimpleNamespace(polled_ns=lambda: self.polled_ns))
        self.lookout = Lookout(cast(Database, database), self._tell)

    def _now_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)

    def _tell(self, poll: Poll | None) -> None:
        self.told += poll.heads if poll is not None else []

    async def poll(self) -> Poll | None:
        """As `Outbox.poll`."""
        if not self.up:
            raise Unavailable("gone")
        since, self._seen = self._seen, len(self.committed)
        return None if since is None else Poll(0, [], self.committed[since:])

    async def relay(self) -> None:
        """Poll until frozen."""
        while not self._frozen.is_set():
            self.polled_ns = self._now_ns()
            await asyncio.sleep(1.0)

    async def live(self, freeze_after_s: float) -> None:
        """Freeze the relay after so long; what is committed then is told in time, and is told on."""
        tasks = [asyncio.create_task(self.lookout.run()), asyncio.create_task(self.relay())]
        await asyncio.sleep(freeze_after_s)
        self._frozen.set()
        assert self.told == [], "the relay did so"
        for number in range(3):
            self.committed.append(("c", number))
            await asyncio.sleep(BOUND_S)
            assert ("c", number) in self.told
        for task in tasks:
            task.cancel()


@pytest.mark.parametrize("tenths", range(100, 230, 3))
def test_what_is_committed_behind_a_frozen_relay_is_told(tenths: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the worker's own cursor is moved on between the last poll of the relay and the end of patience."""

    async def live() -> None:
        await World(monkeypatch).live(tenths / 10)

    virtual.run(live())


def test_without_a_database_there_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        world = World(monkeypatch)
        task = asyncio.create_task(world.lookout.run())
        await asyncio.sleep(3.0)
        world.up = False
        world.committed.append(("c", 1))
        await asyncio.sleep(3.0)
        assert world.told == []
        world.up = True
        await asyncio.sleep(1.0)
        assert world.told == [("c", 1)]
        task.cancel()

    virtual.run(live())
