"""A worker that stops gives its connections to others, before it closes their sockets.

    the worker that stops                      every ws worker that stays
       Leaving  ──────────to all──────────>      remembers from now on what has no number
                <─────────────────────────       Willing
       Parcels  ─────────to one of them───>      keeps them
                <─────────────────────────       Kept
       closes their sockets with 1012

Nothing within 0.15 s, or a no: they go to the next one, three times in all. What nobody keeps is closed as it is: the
client gets a new id elsewhere. Copies that this leaves behind do no harm (`keeper.py`).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from app.events.messages import Kept, Leaving, Parcels, Void, Willing
from app.ports import Bus
from db.model.ids import new_id
from ws.parcels import Part, Snapshot, pack

log = logging.getLogger(__name__)

OFFERS_S = 0.1
"""For so long those who are willing may say so; if nobody does, three times as long for the first."""
ACK_S = 0.15
TRIES = 3


class Farewell:
    """address: of this worker. now: seconds of any clock that goes on."""

    def __init__(self, bus: Bus, address: str, now: Callable[[], float]) -> None:
        self._bus = bus
        self._address = address
        self._now = now
        self._heirs: list[str] = []
        self._willing = asyncio.Event()
        self._asked: dict[str, asyncio.Future[bool]] = {}
        self.begun = False
        """Whether this worker stops, and keeps nothing for others any more."""

    async def ask(self, node: str) -> bool:
        """Ask who is willing; whether anybody is. node: how the addresses of workers begin that stop as well, or ''."""
        self._bus.publish(Leaving(self._address, node))
        await asyncio.sleep(OFFERS_S)
        try:
            async with asyncio.timeout(2 * OFFERS_S):
                await self._willing.wait()
        except TimeoutError:
            log.info("nobody is there to keep the connections of a worker that stops")
        return bool(self._heirs)

    def is_asked(self, leaving: Leaving) -> bool:
        """Whether it is for this worker to keep what that one gives away: it does not stop with it."""
        own = leaving.reply_to == self._address or (leaving.node and self._address.startswith(leaving.node))
        return not self.begun and not own

    def handle(self, message: Willing | Kept) -> None:
        """Somebody answers."""
        if isinstance(message, Willing):
            if message.address not in self._heirs:
                self._heirs.append(message.address)
            self._willing.set()
            return
        answer = self._asked.get(message.id)
        if answer is not None and not answer.done():
            answer.set_result(message.kept)

    async def hand_over(self, snapshots: Iterable[Snapshot], told: tuple[bytes, ...] = ()) -> dict[str, str]:
        """Who keeps each of these connections from now on, by connection id; those that nobody keeps are left out.

        told: see `Parcels`.
        """
        parts = list(pack(snapshots, self._now()))
        heirs = await asyncio.gather(*(self._place(part, told) for part in parts))
        return {
            one.connection_id: heir for part, heir in zip(parts, heirs, strict=True) if heir for one in part.snapshots
        }

    def void(self, heir: str, connection_ids: Iterable[str]) -> None:
        """That one need not keep these."""
        self._bus.send_to(heir, Void(tuple(connection_ids)))

    async def _place(self, part: Part, told: tuple[bytes, ...]) -> str:
        """Who keeps it; '' for nobody."""
        asked: set[str] = set()
        for _ in range(TRIES):
            if not self._heirs:
                break
            heir = self._heirs.pop(0)
            self._heirs.append(heir)
            frames, heads, packed = tuple(part.frames), tuple(part.heads), tuple(part.parcels)
            parcels = Parcels(new_id(), self._address, frames, heads, packed, told)
            asked.add(heir)
            kept = await self._give(heir, parcels)
            if kept:
                for other in asked - {heir}:
                    self.void(other, [one.connection_id for one in part.snapshots])
                return heir
            if kept is False and heir in self._heirs:
                self._heirs.remove(heir)
        log.info("nobody keeps connections of a worker that stops", extra={"connections": len(part.parcels)})
        return ""

    async def _give(self, heir: str, parcels: Parcels) -> bool | None:
        """What the heir says; None: nothing, or it is too much for the bus."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked[parcels.id] = answer
        try:
            if not self._bus.send_to(heir, parcels):
                return None
            async with asyncio.timeout(ACK_S):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._asked[parcels.id]
