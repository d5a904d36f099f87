"""Looks after the servers of a node: who is the master, how far the replicas are. The relay's; one a node.

Every 250 ms each server is asked for its facts, each by a loop of its own, so that one that hangs delays no other. What
is found goes to the board, which every process of the node reads. A replica counts only while it shows the mark of the
present term, which the prober writes into the database when it meets a new master: one that follows a former master
never gets it.
"""

import asyncio
import contextlib
import logging
from dataclasses import replace

from db.drivers import Facts, Server
from db.model.board import Board, Seen, boottime_ns, fingerprint
from db.model.errors import DatabaseError
from db.pool import systems
from db.pool.generation import driver_of
from db.pool.pool import Database
from db.pool.queryable import Transaction, at_most
from db.pool.routing import LagClock

log = logging.getLogger(__name__)

EVERY_S = 0.25
_LOST_S = 1.0
_TIMEOUT_S = 1.0
MARKER = "db_generation"


class Prober:
    """`run` until cancelled; after `database` was recycled, `restart` it."""

    def __init__(self, database: Database, board: Board) -> None:
        self._database = database
        self._board = board
        self._clock = LagClock()
        self._mark = ""
        self._state: dict[int, str] = {}
        self.master: Facts | None = None
        """What the master last said; None while it does not answer."""
        self._instances: dict[int, str] = {}
        """Of the replicas that are up: which servers they are."""
        self.heard_ns = 0
        """When it last answered."""
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Probe until cancelled."""
        self.restart()
        try:
            await asyncio.Event().wait()
        finally:
            self._stop()

    def restart(self) -> None:
        """Begin anew with the servers that the database has now."""
        self._stop()
        self._instances.clear()
        settings = self._database.settings
        self._clock.clear()
        self._board.set_servers(fingerprint(settings.replicas))
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._watch_master())]
        for index, dsn in enumerate(settings.replicas):
            server = driver_of(settings).server(dsn, replace(settings, connect_timeout_s=_TIMEOUT_S), 1)
            self._tasks.append(loop.create_task(self._watch_replica(index, server)))

    def status(self) -> dict[str, object]:
        """What is known of the servers, for `mmnode db status`."""
        now_ns = boottime_ns()
        term = self._board.term()
        replicas = []
        for index in range(len(self._database.settings.replicas)):
            seen = self._board.replica(index)
            age_s = round((now_ns - seen.probed_ns) / 1e9, 1) if seen.probed_ns else None
            replicas.append(
                {
                    "state": self._state.get(index, "unknown"),
                    "lag_ms": seen.lag_ms,
                    "replayed": seen.replayed,
                    "seen_s": age_s,
                }
            )
        return {
            "term": f"{term.number}/{term.timeline}",
            "master_state": "up" if self.master is not None else "down",
            "position": self.master.position if self.master is not None else None,
            "replica_states": replicas,
        }

    def indistinct(self) -> list[str]:
        """Replicas that are no redundancy: entries that reach the master, or the server of an earlier entry."""
        seen = {self.master.instance: "the master"} if self.master is not None else {}
        found = []
        for index, instance in sorted(self._instances.items()):
            name = f"DataSourceReplicas[{index}]"
            if instance and instance in seen:
                found.append(f"{name} is {seen[instance]}")
            seen.setdefault(instance, name)
        return found

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _watch_master(self) -> None:
        while True:
            began = asyncio.get_running_loop().time()
            self._tell_lost_in(_LOST_S)
            try:
                async with self._database.master() as (generation, connection):
                    with at_most(_TIMEOUT_S, connection):
                        facts = await generation.driver.facts(connection)
                        if self._database.settings.require_synchronous and facts.synchronous is False:
                            await generation.driver.nudge(connection)
                    facts = await self._meet(facts, Transaction(connection, self._database.dialect, _TIMEOUT_S))
                self._clock.master(facts.position, asyncio.get_running_loop().time())
                self.master = facts
                self.heard_ns = boottime_ns()
                self._board.set_synchronous(bool(facts.synchronous))
                self._board.set_master_lost(False)
            except DatabaseError as error:
                if self.master is not None:
                    log.warning("the master database does not answer", extra={"reason": str(error).strip()})
                self.master = None
                self._board.set_master_lost(True)
            finally:
                self._lost.cancel()
            await asyncio.sleep(EVERY_S - min(EVERY_S, asyncio.get_running_loop().time() - began))

    def _tell_lost_in(self, seconds: float) -> None:
        """Say that the master is lost unless it answers by then; a connection to it is waited for longer."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds

        def tell() -> None:
            if loop.time() - due > seconds:  # it is this process that did nothing
                self._tell_lost_in(seconds)
            else:
                self._board.set_master_lost(True)

        self._lost = loop.call_at(due, tell)

    async def _meet(self, facts: Facts, connection: Transaction) -> Facts:
        """A master that is not the one whose mark is in the database begins a new term. The facts with its mark in it.

        The mark goes by the connection that the facts came by: another one may lead to another server. Whoever is
        faster, the node knows of the term before anything is written.
        """
        self._database.check(facts)
        if facts.marker.partition(" ")[2] != facts.who:
            mark = f"{facts.term.number} {facts.who}"
            if not await systems.replace(connection, MARKER, facts.marker, mark):
                return facts  # another node was faster: the next probe sees its mark
            level = logging.WARNING if facts.marker else logging.INFO
            log.log(level, "this database is the master from now on", extra={"term": mark})
            facts = replace(facts, marker=mark)
        if facts.marker != self._mark:
            self._mark = facts.marker
            self._clock.clear()
            self._database.floors.raise_all(facts.position)
        if facts.term != self._board.met():
            self._board.set_term(facts.term)
        return facts

    async def _watch_replica(self, index: int, server: Server) -> None:
        await server.open()
        try:
            while True:
                began = boottime_ns()
                try:
                    async with server.connection() as connection:
                        with at_most(_TIMEOUT_S, connection):
                            facts = await driver_of(self._database.settings).facts(connection)
                    reason = self._unfit(facts)
                except DatabaseError as error:
                    reason = str(error).strip() or "it does not answer"
                self._instances[index] = facts.instance if reason is None else ""
                if reason is None:
                    lag_ms = self._clock.lag_ms(facts.position, asyncio.get_running_loop().time())
                    self._board.set_replica(index, Seen(facts.position, lag_ms, began))
                self._tell(index, reason)
                await asyncio.sleep(EVERY_S - min(EVERY_S, (boottime_ns() - began) / 1e9))
        finally:
            with contextlib.suppress(DatabaseError):
                await server.close()

    def _unfit(self, facts: Facts) -> str | None:
        """Why the server is no replica of the present master; None: it is."""
        if not self._mark or facts.marker != self._mark:
            return "it does not follow the present master"
        if facts.writable and f"{facts.server}/{facts.timeline}" != self._mark.partition(" ")[2]:
            return "it was promoted"
        return None

    def _tell(self, index: int, reason: str | None) -> None:
        state = reason or "up"
        if self._state.get(index) == state:
            return
        self._state[index] = state
        if reason is None:
            log.info("replica is fit", extra={"replica": index})
        else:
            log.warning("replica is out", extra={"replica": index, "reason": reason})
