"""A worker process: its start, what the supervisor asks of it, its end. What it does is its role (`roles.py`)."""

import asyncio
import logging
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import uvloop

from app.config import Config, from_json
from app.events import Message as BusMessage
from app.redaction import Redactor
from cluster import logs, spawn
from cluster.bus import BusEnd
from cluster.channel import Body, Channel, Message
from cluster.operator import SupervisorLink
from cluster.page import Page
from cluster.start import Start
from db import failover, migrate
from db.errors import DatabaseError, Refused, Unavailable
from db.pool import Database

log = logging.getLogger(__name__)

BEAT_S = 0.5
_RETRY_S = 0.1
_OF_DATABASE = frozenset({"verify", "recycle", "hold", "release", "failover", "close"})
_OF_RELAY = frozenset({"survey", "cluster", "everywhere", "remove", "upgrade", "audit", "unlock"})


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


async def _run(role: str, index: int, end: socket.socket, inherited: list[socket.socket]) -> None:
    channel = await Channel.open(end)
    messages = channel.messages()
    first = await anext(messages, None)
    if first is None:
        return
    start = Start.of(first.body)
    name = spawn.name_of(role, index)
    redactor = Redactor()
    _learn(redactor, first.body)
    logs.set_up(start.config.log_settings, name, redactor)
    from cluster.roles import ROLES

    worker = ROLES[role](name, start, inherited)
    worker.operator.connect(channel)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, worker.stop_asked.set)
    beating = asyncio.create_task(_beat(channel, worker))
    serving = asyncio.create_task(worker.serve(lambda: channel.send(Message("ready"))))
    listening = asyncio.create_task(_listen(channel, worker, redactor))
    try:
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            worker.stop_asked.set()  # the supervisor is gone
        await serving
        if listening.done():
            listening.result()
    finally:
        beating.cancel()
        listening.cancel()


async def _beat(channel: Channel, worker: Worker) -> None:
    while True:
        channel.send(Message("beat"))
        if worker.database is not None:
            worker.database.current()  # what is idle on a former master ends, too
        await asyncio.sleep(BEAT_S)


def _learn(redactor: Redactor, body: Body) -> None:
    """The secrets in what the supervisor says."""
    if "config" in body:
        config = from_json(str(body["config"]).encode())
        redactor.learn(config)
        for dsn in [body.get("data_source", ""), *body.get("replicas", []), body.get("to", "")]:
            redactor.learn_source(config.sql_settings.driver_name, str(dsn))


async def _listen(channel: Channel, worker: Worker, redactor: Redactor) -> None:
    tasks: set[asyncio.Task[None]] = set()
    async for message in channel.messages():
        _learn(redactor, message.body)
        match message.kind:
            case "stop":
                worker.at_once = bool(message.body.get("at_once"))
                worker.stop_asked.set()
            case "answer":
                worker.operator.answered(message)
            case "status":
                channel.send(Message("answer", message.id, {"ok": True, **worker.status()}))
            case "heads":
                channel.send(Message("answer", message.id, {"ok": True, "heads": worker.heads()}))
            case "database":
                channel.send(Message("answer", message.id, {"ok": True, **worker.database_status()}))
            case "reload":
                config = from_json(str(message.body["config"]).encode())
                logs.set_up(config.log_settings, worker.name, redactor)
                worker.reload(config)
                channel.send(Message("answer", message.id, {"ok": True}))
            case "purge":
                worker.purge()
                channel.send(Message("answer", message.id, {"ok": True}))
            case kind if kind in _OF_RELAY or kind in _OF_DATABASE:
                task = asyncio.get_running_loop().create_task(_act(channel, worker, message))
                tasks.add(task)
                task.add_done_callback(tasks.discard)


async def _act(channel: Channel, worker: Worker, message: Message) -> None:
    """What takes a while, beside everything else."""
    answer: Body = {"ok": True}
    try:
        if message.kind in _OF_RELAY:
            answer |= await worker.operate(message.kind, message.body)
        else:
            await worker.act(message.kind, message.body)
    except DatabaseError as error:
        answer = {"ok": False, "error": str(error).strip(), "unreachable": isinstance(error, failover.Unreachable)}
    channel.send(Message("answer", message.id, answer))


def main(role: str, index: int, descriptors: list[int]) -> int:
    """A worker process, from its start to its end. descriptors: its channel, then what it listens on."""
    spawn.die_with_parent(int(os.environ[spawn.PARENT_VARIABLE]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logs.dump_stacks_on(signal.SIGUSR1)
    end, *inherited = (socket.socket(fileno=descriptor) for descriptor in descriptors)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_run(role, index, end, inherited))
        except Fatal:
            return spawn.FATAL_STATUS
        except Refused as error:
            log.error("the database cannot be used", extra={"reason": str(error)})
            return spawn.FATAL_STATUS
        except Exception:
            log.exception("worker failed")
            return 1
    return 0
