"""Who is online: what the workers of all nodes report, and what of it this node stores and tells.

A worker is called by its name here, and `node/name` on another node.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

import msgspec

from app.events import messages as events
from app.events.messages import Message, Presence
from app.presence import OFFLINE, PresenceTracker
from db.model.errors import DatabaseError
from db.model.ids import UserId
from db.order import clock
from db.pool.pool import Database
from db.sql import statuses

log = logging.getLogger(__name__)

_EVERY_S = 0.1
_IDLE_EVERY_S = 5.0
_SETTLE_S = 10.0
_BATCH = 500
_RETRY_S = 1.0


class PresenceKeeper:
    """publish: to the workers here and the other nodes. is_ours: whether we store what a worker's reports lead to."""

    def __init__(
        self, db: Database, publish: Callable[[Message], None], is_ours: Callable[[str], bool], away_after_s: float
    ) -> None:
        self._db = db
        self._publish = publish
        self._is_ours = is_ours
        self._loop = asyncio.get_running_loop()
        self._tracker = PresenceTracker(away_after_s=away_after_s)

    def set_away_after(self, seconds: float) -> None:
        """Idle for so long means away, from now on."""
        self._tracker.away_after_s = seconds

    def take(self, worker: str, body: bytes) -> None:
        """A bundle of a worker's reports."""
        try:
            messages, _ = events.read(body)
        except msgspec.MsgspecError:
            log.warning("a worker sent a report that cannot be read", extra={"worker": worker})
            return
        now = self._loop.time()
        for message in messages:
            if isinstance(message, Presence):
                self._note(worker, message, now)

    def restate(self, message: Presence) -> None:
        """What this node's own jobs say; no worker reports it."""
        self._note("", message, self._loop.time())

    def _note(self, worker: str, message: Presence, now: float) -> None:
        users = [UserId(user_id) for user_id in message.user_ids]
        if message.kind == "restate":
            self._tracker.restate(users)
            return
        if message.kind == "held":
            self._tracker.reset(worker, users, now)
            return
        for user_id in users:
            if message.kind == "connected":
                self._tracker.connected(worker, user_id, now)
            elif message.kind == "disconnected":
                self._tracker.disconnected(worker, user_id, now)
            elif message.kind == "active":
                self._tracker.active(user_id, now)
            elif message.kind == "ended":
                self._tracker.end(user_id)

    def held_by(self, worker: str) -> Presence:
        """Everybody with a socket at a worker, as that worker would say it."""
        return Presence("held", tuple(self._tracker.held_by(worker)))

    def lose_worker(self, worker: str) -> None:
        """It is gone, or has begun anew."""
        self._tracker.reset(worker, (), self._loop.time())

    def lose_node(self, node_id: str, ago_s: float) -> None:
        """It went so long ago, with all its workers."""
        self._tracker.lose_node(node_id, self._loop.time() - ago_s)

    def restate_held_here(self, users: Collection[UserId]) -> None:
        """Store again what is known of those who have a socket on this node."""
        self._tracker.restate([one for one in users if any("/" not in by for by in self._tracker.workers_of(one))])

    async def keep_for_ever(self) -> None:
        """Store and tell what changes."""
        pending: dict[UserId, str] = {}
        looked_at = self._loop.time()
        while True:
            await asyncio.sleep(_EVERY_S)
            now = self._loop.time()
            if now - looked_at >= _IDLE_EVERY_S:
                looked_at = now
                self._tracker.find_idle(now)
            pending.update(self._tracker.changes(now, self._is_ours))
            while pending:
                batch = dict(list(pending.items())[:_BATCH])
                try:
                    now_ms = await clock.now_ms(self._db)
                    changed = await statuses.apply_automatic(
                        self._db, [(user_id, status, now_ms) for user_id, status in batch.items()]
                    )
                except DatabaseError as error:
                    log.warning("presence is not stored", extra={"reason": str(error)})
                    await asyncio.sleep(_RETRY_S)
                    break
                for user_id in batch:
                    pending.pop(user_id)
                for user_id, status in changed:
                    self._publish(events.status_change(user_id, status))

    async def end_forgotten(self) -> None:
        """Once all workers had time to say whom they hold: whoever else is still online in the database is not."""
        await asyncio.sleep(_SETTLE_S)
        while True:
            try:
                gone = await statuses.set_offline_except(self._db, self._tracker.people())
            except DatabaseError:
                await asyncio.sleep(_RETRY_S)
                continue
            self._tracker.restate(gone)  # whoever connected while that statement ran
            for user_id in gone:
                self._publish(events.status_change(user_id, OFFLINE))
            return
