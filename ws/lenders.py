"""What a channel lacks here is read by a worker of another node, which has a master when this node has none.

    this worker                                   a ws worker of a node that says it has a master
       Lack channel, number  ──relays──>             app/replay.py
                             <──relays──  Lent       as many of the events as fit into one message

Nobody there, or no answer in time: the same as a database that does not answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from app.events.messages import Lack, Lent
from app.ports import Bus
from app.questions import Questions
from app.replay import Found
from db.model.errors import DatabaseError
from db.model.ids import new_id
from db.model.tasks import Tasks

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Read for others at a time, in a worker."""
MAX_ASKED = 256
"""That wait for it; those beyond are not answered, and whoever asked asks again."""
MAX_BYTES = 200_000
"""Of the events of an answer."""


class Lenders:
    """address: of this worker. read: what a channel has beyond a number, by the database."""

    def __init__(self, bus: Bus, address: str, read: Callable[[str, int], Awaitable[Found]]) -> None:
        self._bus = bus
        self._address = address
        self._read = read
        self._asked: Questions[str, Found] = Questions()
        self._lending = asyncio.Semaphore(AT_ONCE)
        self._tasks = Tasks()

    async def ask(self, channel_id: str, after: int, limit_s: float) -> Found | None:
        """What a channel has beyond a number, by a node that has a master; None: nobody said so in time."""
        lack = Lack(new_id(), self._address, channel_id, after)
        try:
            return await self._asked.ask(lack.id, lambda: self._bus.ask_elsewhere(lack), limit_s)
        except TimeoutError:
            return None

    def handle(self, message: Lack | Lent) -> None:
        """A worker of another node asks, or answers."""
        if isinstance(message, Lent):
            found = Found(message.upto, message.end, message.events, message.trimmed, message.lost)
            self._asked.answered(message.id, found)
        elif len(self._tasks) < MAX_ASKED:
            self._tasks.start(self._lend(message))

    async def _lend(self, lack: Lack) -> None:
        async with self._lending:
            try:
                found = fitting(await self._read(lack.channel_id, lack.after))
            except DatabaseError as error:
                log.info("what another node lacks cannot be read here either", extra={"reason": str(error).strip()})
                return
        if found is not None:
            lent = Lent(lack.id, found.upto, found.end, found.events, found.trimmed, found.lost)
            self._bus.send_to(lack.reply_to, lent)


def fitting(found: Found) -> Found | None:
    """As much of it as one message holds; None: not even the first event."""
    size = 0
    for number, event in enumerate(found.events):
        size += len(event.frame) + len(event.sensitive)
        if size > MAX_BYTES:
            kept = found.events[:number]
            return replace(found, upto=kept[-1].seq, events=kept) if kept else None
    return found
