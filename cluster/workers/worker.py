"""A worker process: its start, what the supervisor asks of it, its end. What it does is its role (`roles.py`)."""

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from app.config.settings import Config, from_json
from app.events.messages import Message as BusMessage
from cluster.bus.bus import BusEnd
from cluster.shm.page import Page
from cluster.workers.channel import Body
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

    def __init__(self, name: str, start: Start, inherited: list[socket.socket]) -> None:
        self.name = name
        self.start = start
        self.inherited = inherited
        self.settings = start.pool_settings(self.role)
        self.stop_asked = asyncio.Event()
        self.at_once = False
        """Without the grace of a drain."""
        self.operator = SupervisorLink()
        self.database: Database | None = None

    @property
    def role(self) -> str:
        """api, ws or relay."""
        return self.name.rstrip("0123456789")

    @abstractmethod
    async def serve(self, ready: Callable[[], None]) -> None:
        """Build, call `ready` when serving, return when stopped."""

    @abstractmethod
    def reload(self, config: Config) -> None:
        """Use another configuration."""

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

    async def act(self, kind: str, body: Body) -> None:
        """Something with the database. Raises DatabaseError: then nothing has changed."""
        if self.database is None:
            raise Unavailable("it has not started yet")
        match kind:
            case "hold":
                self.database.hold()
            case "release":
                self.database.release()
            case "verify":
                await self.database.verify(self._with(body).pool_settings(self.role))
            case "recycle":
                await self.recycle(self.database, self._with(body))
            case "failover":
                await failover.hand_over(
                    self.database,
                    str(body["to"]),
                    body["heads"],
                    force=bool(body["force"]),
                    promote=bool(body["promote"]),
                    closed=bool(body["closed"]),
                )
            case "close":
                await failover.close(self.database)

    async def operate(self, kind: str, body: Body) -> Body:
        """Something that operators ask of the relay."""
        raise NotImplementedError(kind)

    async def recycle(self, database: Database, start: Start) -> None:
        """Go over to other data sources. Raises Unavailable: then nothing has changed."""
        await database.recycle(start.pool_settings(self.role))
        self.start = start

    def _with(self, body: Body) -> Start:
        return replace(
            self.start,
            config=from_json(str(body["config"]).encode()),
            data_source=str(body["data_source"]),
            replicas=tuple(body["replicas"]),
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
