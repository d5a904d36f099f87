"""Commits from node to node: who committed tells and waits, who is told raises floors and writes stamps.

    worker: Teller.committed ──CHANGED──> its relay ──mesh.py──> the others' relays: Learner.take ──> floors, stamps
                           └─ waits <── through ── its relay <── ACK ──┘

Free of sockets, so that the same code runs in `tests/cluster/test_coherence.py`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection
from typing import Protocol

from cluster.bus.envelope import MAX_SHARDS, BadEnvelope, Class, Envelope, Kind, pack_shards, unpack_shards
from db.model.board import Board, Term
from db.model.shards import UNKNOWN, Shard, Stamps

log = logging.getLogger(__name__)


class Teller:
    """A worker's side: fulfils `db.pool.queryable.Commits`.

    send: (body, db_gen, position) to the relay; the number of the message.
    """

    def __init__(self, send: Callable[[bytes, str, str], int]) -> None:
        self._send = send
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.limit_s = 0.05
        self.misses = 0

    def set_limit_ms(self, milliseconds: int) -> None:
        """How long an answer to a write waits for the other nodes at most; 0: not at all."""
        self.limit_s = milliseconds / 1000

    @property
    def wants_position(self) -> bool:
        """See `db.pool.queryable.Commits`. Nodes that have replicas ask for it themselves."""
        return False

    async def committed(self, changed: Collection[Shard], position: int, term: Term) -> None:
        """See `db.pool.queryable.Commits`."""
        numbers = sorted(set(changed))
        known = 0 < position < UNKNOWN
        for at in range(0, len(numbers), MAX_SHARDS):
            seq = self._send(
                pack_shards(numbers[at : at + MAX_SHARDS]),
                str(term) if known else "",
                str(position) if known else "",
            )
        if not self.limit_s or not numbers:
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append((seq, waiter))
        timer = loop.call_later(self.limit_s, self._give_up, waiter)
        try:
            await waiter
        finally:
            timer.cancel()

    def through(self, seq: int) -> None:
        """The other nodes know of what was sent up to this number."""
        while self._waiting and self._waiting[0][0] <= seq:
            waiter = self._waiting.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)

    def _give_up(self, waiter: "asyncio.Future[None]") -> None:
        if not waiter.done():
            self.misses += 1
            waiter.set_result(None)


class Landing(Protocol):
    """The part of `db.pool.pool.Database` that a learner needs."""

    stamps: Stamps
    board: Board

    def landed(self, changed: Collection[Shard], position: int | None) -> int:
        """A commit changed this; position: None when nobody knows."""


class Learner:
    """A relay's side. on_forget: makes the outbox tell, before anything counts again (`Follower.distrust`)."""

    def __init__(self, database: Landing, on_forget: Callable[[], None]) -> None:
        self._database = database
        self._on_forget = on_forget

    def take(self, envelope: Envelope, body: bytes) -> None:
        """A message of a peer that is about what changed, or that must not be ignored."""
        if envelope.kind == Kind.CHANGED:
            self._apply(envelope, body)
        elif envelope.kind_class == Class.SECURITY:
            self.forget("a node of a later version says something that must not be ignored")

    def _apply(self, envelope: Envelope, body: bytes) -> None:
        """Floors, then stamps. Positions mean something under one master only."""
        try:
            shards = unpack_shards(body)
        except BadEnvelope:
            self.forget("a node told of a change that cannot be read")
            return
        known = envelope.db_gen == str(self._database.board.term()) and envelope.position.isdigit()
        self._database.landed(shards, int(envelope.position) if known else None)

    def forget(self, reason: str) -> None:
        """Anything may have changed: no copy counts any more."""
        log.warning("all copies are given up", extra={"reason": reason})
        self._database.stamps.write_all()
        self._on_forget()
