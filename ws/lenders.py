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
from app.replay import Found
from db.model.errors import DatabaseError
from db.model.ids import new_id

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
        self._asked: dict[str, asyncio.Future[Found]] = {}
        self._lending = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, channel_id: str, after: int, limit_s: float) -> Found | None:
        """What a channel has beyond a number, by a node that has a master; None: nobody said so in time."""
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        lack = Lack(new_id(), self._address, channel_id, after)
        self._asked[lack.id] = answer
        try:
            self._bus.ask_elsewhere(lack)
            async with asyncio.timeout(limit_s):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._asked[lack.id]

    def handle(self, message: Lack | Lent) -> None:
        """A worker of another node asks, or answers."""
        if isinstance(message, Lent):
            answer = self._asked.get(message.id)
            if answer is not None and not answer.done():
                answer.set_result(Found(message.upto, message.end, message.events, message.trimmed, message.lost))
        elif len(self._tasks) < MAX_ASKED:
            task = asyncio.get_running_loop().create_task(self._lend(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

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
