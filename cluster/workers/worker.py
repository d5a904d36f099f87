"""A worker process: its start, what the supervisor asks of it, its end. What it does is its role (`roles.py`)."""

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from app.config.live import Settings
from app.events.messages import Message as BusMessage
from cluster.bus.bus import BusEnd
from cluster.commands import of_worker
from cluster.commands.of_worker import Body, OfDatabase, OfRelay
from cluster.shm.page import Page
from cluster.workers import measured
from cluster.workers.operator import SupervisorLink
from cluster.workers.start import Start
from db.model.errors import Unavailable
from db.pool import failover, migrate
from db.pool.pool import Database

log = logging.getLogger(__name__)

_RETRY_S = 0.1


class Fatal(Exception):
    """The whole node must stop, and is not to be started again as it is."""


class Worker(ABC):
    """What all roles have in common."""

    def __init__(self, name: str, start: Start, inherited: list[socket.socket], live: Settings) -> None:
        self.name = name
        self.live = live
        """The configuration in use: what of it is copied is watched."""
        self.start = start
        self.inherited = inherited
        self.settings = start.pool_settings(self.role)
        self.stop_asked = asyncio.Event()
        self.at_once = False
        """Without the grace of a drain."""
        self.node_stops = False
        """Whether its node stops with it."""
        self.operator = SupervisorLink()
        self.metrics = start.metrics(name)
        self.database: Database | None = None

    @property
    def role(self) -> str:
        """api, ws or relay."""
        return self.name.rstrip("0123456789")

    @abstractmethod
    async def serve(self, ready: Callable[[], None]) -> None:
        """Build, call `ready` when serving, return when stopped."""

    @abstractmethod
    def status(self) -> Body:
        """Figures for the status command."""

    async def open_database(self, page: Page, reserved: int = 0) -> Database:
        """The pool of this worker. reserved: connections of its share that go past the pool (batches)."""
        size = self.settings.max_connections - reserved
        self.database = Database(
            self.settings,
            size,
            floors=self.start.floors(self.name),
            stamps=self.start.stamps(self.name),
            board=page,
        )
        await self.database.open()
        while True:
            try:
                await self.look_at_schema(self.database)
                await self.database.take_floor()
                return self.database
            except Unavailable:
                await asyncio.sleep(_RETRY_S)

    async def look_at_schema(self, database: Database) -> int:
        """The version of a schema that is later than this program, else 0. Raises Fatal when that cannot work."""
        try:
            return await migrate.later_version(database)
        except migrate.TooOld as error:
            log.error("the node stops: it is too old for its database", extra={"reason": str(error)})
            raise Fatal(str(error)) from error

    def measure(self) -> None:
        """Show what this worker knows as metrics."""
        if self.database is not None:
            measured.database(self.metrics, self.database, {})

    def database_status(self) -> Body:
        """Figures for `mmnode db status`."""
        return {"pool": self.database.usage()} if self.database is not None else {}

    def purge(self) -> None:
        """Forget every copy of what is in the database."""
        if self.database is not None:
            self.database.stamps.write_all()

    def heads(self) -> Mapping[str, int]:
        """The newest acknowledged number of the channels this worker wrote to last."""
        return {}

    async def act(self, command: OfDatabase) -> None:
        """Something with the database. Raises DatabaseError: then nothing has changed."""
        if self.database is None:
            raise Unavailable("it has not started yet")
        match command:
            case of_worker.Hold():
                self.database.hold()
            case of_worker.Release():
                self.database.release()
            case of_worker.Verify():
                await self.database.verify(self._with(command.sources).pool_settings(self.role))
            case of_worker.Recycle():
                await self.recycle(self.database, self._with(command.sources))
            case of_worker.Failover():
                await failover.hand_over(
                    self.database,
                    command.to,
                    command.heads,
                    force=command.force,
                    promote=command.promote,
                    closed=command.closed,
                )
            case of_worker.Close():
                await failover.close(self.database)
            case _:
                assert_never(command)

    async def operate(self, command: OfRelay) -> Body:
        """Something that operators ask of the relay; of it `ok` and the rest of the answer. Raises DatabaseError."""
        raise NotImplementedError(command.name())

    async def recycle(self, database: Database, start: Start) -> None:
        """Go over to other data sources. Raises Unavailable: then nothing has changed."""
        await database.recycle(start.pool_settings(self.role))
        self.start = start

    def _with(self, sources: of_worker.Sources) -> Start:
        return replace(
            self.start,
            config=sources.config,
            data_source=sources.data_source,
            replicas=tuple(sources.replicas),
        )

    def bus_end(self, on_messages: Callable[[Sequence[BusMessage]], None], on_loss: Callable[[], None]) -> BusEnd:
        """This worker's end of the bus."""
        return BusEnd(
            self.start.paths.bus,
            node_id=self.start.paths.node_id,
            worker=self.name,
            incarnation=self.start.incarnation,
            on_messages=on_messages,
            on_loss=on_loss,
        )
