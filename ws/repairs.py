"""Reads what did not come by the bus: the shell around `heads.py`.

gap ──50 ms──> the master ──silent, and not for others──> a peer ──nor does it say──> the clients go there (1012)
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import AsyncExitStack

from app import replay
from app.context import Context
from app.events.messages import Moved
from db.model.errors import DatabaseError
from db.model.ids import ChannelId
from db.model.tasks import Tasks
from db.sql import channels
from ws.close import Close
from ws.fanout import Copies
from ws.heads import Heads
from ws.hub import Client, Hub
from ws.lenders import Lenders
from ws.patience import Patience

log = logging.getLogger(__name__)

READS = 4
"""At once, in a worker."""
CATCH_UPS = 2
"""Of these for single clients, so that they never take all from the gaps of channels."""
_RETRY_S = 0.2
ANSWER_S = 0.4
"""Of a peer."""
_ROOM_S = 0.05
_CHANNELS = 1000


class Repairs:
    """`look` after anything that may have left a gap. address: of this worker."""

    def __init__(self, ctx: Context, address: str = "") -> None:
        self._ctx = ctx
        self._loop = asyncio.get_running_loop()
        self.heads = Heads()
        self.hub = Hub(self.heads, self._loop.time, self._catch_up)
        self._reads = asyncio.Semaphore(READS)
        self._catch_ups = asyncio.Semaphore(CATCH_UPS)
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = Tasks()
        self.patience = Patience(ctx.db.board)
        self.lenders = Lenders(ctx.bus, address, self._of_database)
        self._asked: dict[tuple[str, int], asyncio.Task[replay.Found | None]] = {}
        """What the master has not answered yet, by channel and number."""

    def learn(self, moved: Moved) -> None:
        """How far channels have come, by the database."""
        now = self._loop.time()
        for channel_id, seq in moved.heads:
            self.heads.learn(channel_id, seq, now)
        self.look()

    def look(self) -> None:
        """See to the gaps that there are when they are due."""
        due = self.heads.next_due()
        if due is not None and self._timer is None:
            self._timer = self._loop.call_at(due, self._read_due)

    def _read_due(self) -> None:
        self._timer = None
        for channel_id, head in self.heads.due(self._loop.time()):
            self._tasks.start(self._fill(channel_id, head))
        self.look()

    async def _fill(self, channel_id: str, head: int) -> None:
        found = await self._read(channel_id, head)
        if found is None:
            self.heads.failed(channel_id, self._loop.time())
            if self.patience.over:
                self._send_away(channel_id)
        elif found.lost:
            self._begin_anew(channel_id, found.end)
        else:
            if found.trimmed:
                self._begin_anew(channel_id, found.upto)
            self._end_who_heard_of_lost(channel_id, found.end)
            for event in self.heads.fill(channel_id, found.upto, found.events, self._loop.time(), end=found.end):
                self.hub.deliver(event)
        self.look()

    async def _read(self, channel_id: str, after: int, *, for_one: bool = False) -> replay.Found | None:
        """By the master, or by a peer while only peers have one. None: by neither, and some time has passed.

        for_one: it is for a single client.
        """
        if not self.patience.elsewhere:
            key = (channel_id, after)
            task = self._asked.get(key)
            if task is None:
                task = self._asked[key] = self._loop.create_task(self._of_master(channel_id, after, for_one=for_one))
                task.add_done_callback(lambda _: self._asked.pop(key))
            found = await self.patience.of_master(task)
            if found is not None:
                return found
        if self.patience.elsewhere:
            return await self.lenders.ask(channel_id, after, ANSWER_S)
        await asyncio.sleep(_RETRY_S)
        return None

    async def _of_master(self, channel_id: str, after: int, *, for_one: bool) -> replay.Found | None:
        """None: it does not answer."""
        async with AsyncExitStack() as places:
            for one in (self._catch_ups, self._reads) if for_one else (self._reads,):
                await places.enter_async_context(one)
            try:
                return await self._of_database(channel_id, after)
            except DatabaseError as error:
                log.warning("missed events cannot be read", extra={"reason": str(error).strip()})
                return None

    async def _of_database(self, channel_id: str, after: int) -> replay.Found:
        return await replay.read(self._ctx, ChannelId(channel_id), after)

    def _send_away(self, channel_id: str) -> None:
        """Who lacks what neither the master nor a peer tells here goes where there is a master."""
        lacking = [one for one in self.hub.clients_in(channel_id) if one.attached and self._lacks(one, channel_id)]
        if lacking:
            log.warning(
                "clients are sent to another node: their events cannot be read here",
                extra={"channel": channel_id, "clients": len(lacking)},
            )
        for client in lacking:
            client.send_away()

    def _lacks(self, client: Client, channel_id: str) -> bool:
        """Whether what is missing in a channel is missing for this client, too."""
        ahead = client.cursors.ahead(channel_id) if client.cursors is not None else None
        return ahead is None or ahead < self.heads.known(channel_id)

    def _begin_anew(self, channel_id: str, head: int) -> None:
        """What clients know of a channel cannot be mended by events: they are to connect and fetch anew."""
        log.warning("the clients of a channel begin anew", extra={"channel": channel_id, "head": head})
        for client in self.hub.clients_in(channel_id):
            client.close(Close.SERVICE_RESTART)
        self.heads.rewind(channel_id, head)

    def _end_who_heard_of_lost(self, channel_id: str, end: int) -> None:
        """They came with a position beyond the head, read from a master whose last commits are lost."""
        for client in self.hub.clients_in(channel_id):
            ahead = client.cursors.ahead(channel_id) if client.cursors is not None else None
            if ahead is not None and self.heads.is_lost(channel_id, ahead, end):
                client.close(Close.SERVICE_RESTART)

    def _catch_up(self, client: Client, channel_id: str) -> None:
        self._tasks.start(self._bring_up(client, channel_id))

    async def _bring_up(self, client: Client, channel_id: str) -> None:
        """Send a client alone what others of the channel had before it was there."""
        cursors = client.cursors
        assert cursors is not None
        while channel_id in self.heads and (cursor := cursors.behind(channel_id)) is not None:
            if self.hub.of_connection(client.connection_id) is not client:
                return
            if not client.has_room():
                await asyncio.sleep(_ROOM_S)
                continue
            found = await self._read(channel_id, cursor, for_one=True)
            if found is None and self.patience.over:
                client.send_away()
                return
            if found is None or channel_id not in self.heads:
                continue
            if found.trimmed or found.lost:
                client.close(Close.SERVICE_RESTART)
                return
            head = self.heads.head(channel_id)
            for event in cursors.catch_up(channel_id, cursor, found.upto, found.events, head):
                copies = Copies(event)
                client.send(copies.sensitive if client.administrator else copies.frame)

    async def compare(self) -> None:
        """Messages were lost, or another master reigns: ask how far every channel is. Raises DatabaseError."""
        self.heads.begin_term(self._ctx.db.board.term().number)
        for part in _parts(self.heads.channel_ids()):
            before = {one: self.heads.head(one) for one in part if one in self.heads}
            seqs = await channels.find_seqs(self._ctx.db, [ChannelId(one) for one in before])
            now = self._loop.time()
            for channel_id, head in before.items():
                seq = seqs.get(ChannelId(channel_id), (head, 0))[0]
                if channel_id in self.heads and seq < head:
                    self._begin_anew(channel_id, seq)
                else:
                    self.heads.learn(channel_id, seq, now)
        self.look()


def _parts(channel_ids: list[str]) -> Iterable[list[str]]:
    for at in range(0, len(channel_ids), _CHANNELS):
        yield channel_ids[at : at + _CHANNELS]
