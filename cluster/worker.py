"""run_api, run_ws, run_relay: build what the role needs, serve, stop. Each role imports only its own stack."""

import asyncio
import faulthandler
import logging
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import uvloop

from app.config import Config, from_json
from app.context import Context
from app.events import Message as BusMessage
from app.passwords import Hasher
from app.ports import Upgrade
from cluster import logs, spawn
from cluster.bus import BusEnd
from cluster.channel import Body, Channel, Message
from cluster.operator import SupervisorLink
from cluster.page import Page, RelayWatch
from cluster.start import BATCH_CONNECTIONS, Start
from db import batch, loader, migrate, outbox, systems
from db.errors import DatabaseError, Unavailable
from db.failover import hand_over
from db.ids import new_id
from db.pool import Database
from db.prober import Prober

if TYPE_CHECKING:
    from api.server import Server
    from cluster.handover import Receiver
    from cluster.relay import Relay
    from ws.server import WebSocketServer

log = logging.getLogger(__name__)

BEAT_S = 0.5
_RETRY_S = 0.1


class Worker(ABC):
    """What all roles have in common."""

    def __init__(self, name: str, start: Start, inherited: list[socket.socket]) -> None:
        self.name = name
        self.start = start
        self.inherited = inherited
        self.settings = start.pool_settings(self.role)
        self.stop_asked = asyncio.Event()
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
        self.database = Database(self.settings, size, floors=self.start.floors(self.name), board=page)
        await self.database.open()
        while True:
            try:
                await self.database.take_floor()
                return self.database
            except Unavailable:
                await asyncio.sleep(_RETRY_S)

    def database_status(self) -> Body:
        """Figures for `mmnode db status`."""
        return {"pool": self.database.usage()} if self.database is not None else {}

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
                await hand_over(self.database, str(body["to"]), body["heads"], force=bool(body["force"]))

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

    def bus_end(self, on_message: Callable[[BusMessage], None], on_loss: Callable[[], None]) -> BusEnd:
        """This worker's end of the bus."""
        return BusEnd(
            self.start.paths.bus,
            node_id=self.start.paths.node_id,
            worker=self.name,
            incarnation=self.start.incarnation,
            on_message=on_message,
            on_loss=on_loss,
        )


class RelayWorker(Worker):
    """The relay, which also brings the schema up to date."""

    relay: "Relay | None" = None
    prober: Prober | None = None

    async def serve(self, ready: Callable[[], None]) -> None:
        """See `Worker`."""
        from cluster.relay import Relay

        await migrate.run(self.settings)
        page = Page(self.start.paths.page, writable=True)
        database = await self.open_database(page)
        await systems.claim(database, "cluster_id", new_id())
        self.prober = Prober(database, page)
        probing = asyncio.create_task(self.prober.run())
        following = asyncio.create_task(outbox.follow(database))
        self.relay = Relay(
            self.start.paths.bus,
            page,
            database,
            node_id=self.start.paths.node_id,
            incarnation=self.start.incarnation,
            away_after_s=self.start.config.team_settings.user_status_away_timeout,
        )
        serving = asyncio.create_task(self.relay.serve())
        stopping = asyncio.create_task(self.stop_asked.wait())
        ready()
        await asyncio.wait({serving, stopping, probing, following}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in (serving, probing, following):
            if task.done():
                await task
            task.cancel()
        await asyncio.wait({serving, probing, following})
        await database.close()

    async def recycle(self, database: Database, start: Start) -> None:
        """See `Worker`."""
        await super().recycle(database, start)
        if self.prober is not None:
            self.prober.restart()

    def database_status(self) -> Body:
        """See `Worker`."""
        return {**super().database_status(), **(self.prober.status() if self.prober is not None else {})}

    def reload(self, config: Config) -> None:
        """See `Worker`."""
        if self.relay is not None:
            self.relay.set_away_after(config.team_settings.user_status_away_timeout)

    def status(self) -> Body:
        """See `Worker`."""
        if self.relay is None:
            return {}
        return {"relayed": self.relay.relayed, "dropped": self.relay.dropped}


class ServingWorker(Worker):
    """What api and ws workers have in common: a context over database and bus."""

    ctx: Context | None = None

    async def build(
        self, on_message: Callable[[BusMessage], None], on_loss: Callable[[], None], batch_connections: int
    ) -> tuple[Context, BusEnd, RelayWatch]:
        """Wait for the schema, then build the context."""
        await migrate.wait(self.settings)
        page = Page(self.start.paths.page)
        database = await self.open_database(page, batch_connections + loader.CONNECTIONS)
        bus = self.bus_end(on_message, on_loss)
        watch = RelayWatch(page)
        self.ctx = Context(
            config=self.start.config,
            db=database,
            posts=batch.PostWriter(lambda: batch.connect(database), connections=BATCH_CONNECTIONS),
            bus=bus,
            hasher=Hasher(),
            health=watch,
            operator=self.operator,
        )
        return self.ctx, bus, watch

    async def tear_down(self, bus: BusEnd) -> None:
        """Close everything, in the order in which things depend on each other."""
        assert self.ctx is not None
        await self.ctx.posts.close()
        self.ctx.hasher.close()
        await asyncio.sleep(0.02)  # the bus's own thread sends what was published last
        bus.close()
        await self.ctx.db.close()

    def heads(self) -> Mapping[str, int]:
        """See `Worker`."""
        return {str(channel_id): seq for channel_id, seq in self.ctx.posts.acknowledged.items()} if self.ctx else {}

    def reload(self, config: Config) -> None:
        """See `Worker`."""
        if self.ctx is not None:
            self.ctx.reload(config)


class ApiWorker(ServingWorker):
    """HTTP."""

    server: "Server | None" = None

    async def serve(self, ready: Callable[[], None]) -> None:
        """See `Worker`."""
        from api.asgi import create_app
        from api.balance import Balance
        from api.server import create_server, serve
        from api.upgrade import Upgrader
        from cluster.handover import Receiver, UpgradeSender
        from cluster.loads import PageLoads, PeerSender

        ctx, bus, watch = await self.build(lambda _: None, lambda: None, BATCH_CONNECTIONS)
        paths, index = self.start.paths, int(self.name.removeprefix("api"))
        sockets = UpgradeSender([paths.handover(f"ws{one}") for one in range(self.start.ws_workers)])
        peers = PeerSender([paths.handover(f"api{one}") for one in range(self.start.workers)])
        loads = PageLoads(Page(paths.page, writable=True), index, self.start.workers)
        balance = Balance(index, loads, peers)
        self.server = create_server(create_app(ctx), ctx, Upgrader(ctx, sockets), balance)
        handed, listener = self.inherited
        receiver = Receiver(
            handed,
            self._adopt,
            lambda: balance.connections,
            lambda change: balance.opened() if change > 0 else balance.closed(),
        )
        serving = asyncio.create_task(serve(self.server, listener, ctx))
        ready()
        stopping = asyncio.create_task(self.stop_asked.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        watch.draining = True
        receiver.close()
        self.server.drain()
        self.server.stop()
        await serving
        sockets.close()
        peers.close()
        await self.tear_down(bus)

    async def _adopt(self, sock: socket.socket, payload: bytes) -> None:
        assert self.server is not None
        await self.server.adopt(sock, payload)

    def status(self) -> Body:
        """See `Worker`."""
        if self.server is None:
            return {}
        state = self.server.server_state
        return {"requests": state.total_requests, "connections": len(state.connections)}


class WsWorker(ServingWorker):
    """WebSockets."""

    websockets: "WebSocketServer | None" = None
    receiver: "Receiver | None" = None
    _reloading: "asyncio.Task[None] | None" = None

    async def serve(self, ready: Callable[[], None]) -> None:
        """See `Worker`."""
        from cluster.handover import Receiver
        from ws.server import WebSocketServer

        ctx, bus, _ = await self.build(self._on_message, self._on_loss, 0)
        self.websockets = WebSocketServer(ctx)
        self.receiver = Receiver(self.inherited[0], self._adopt, self._count)
        sweeping = asyncio.create_task(self.websockets.sweep_for_ever())
        ready()
        await self.stop_asked.wait()
        self.receiver.close()
        await self.websockets.drain()
        sweeping.cancel()
        await self.tear_down(bus)

    async def _adopt(self, sock: socket.socket, payload: bytes) -> None:
        assert self.websockets is not None
        await self.websockets.adopt(sock, msgspec.msgpack.decode(payload, type=Upgrade))

    def _count(self) -> int:
        return len(self.websockets.clients) if self.websockets is not None else 0

    def _on_message(self, message: BusMessage) -> None:
        if self.websockets is not None:
            self.websockets.handle(message)

    def _on_loss(self) -> None:
        """Messages were lost, or the relay is a new one: say whom we hold, read everything anew."""
        if self.websockets is None or self.ctx is None:
            return
        log.warning("messages of the bus were lost: reading memberships and sessions anew")
        self.ctx.bus.publish(self.websockets.held())
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self.websockets.reload())

    def status(self) -> Body:
        """See `Worker`."""
        return {"sockets": self._count()}


_ROLES: dict[str, type[Worker]] = {"api": ApiWorker, "ws": WsWorker, "relay": RelayWorker}


async def _run(role: str, index: int, end: socket.socket, inherited: list[socket.socket]) -> None:
    channel = await Channel.open(end)
    messages = channel.messages()
    first = await anext(messages, None)
    if first is None:
        return
    start = Start.of(first.body)
    name = role if role == "relay" else f"{role}{index}"
    logs.set_up(start.config.log_settings, name)
    worker = _ROLES[role](name, start, inherited)
    worker.operator.connect(channel)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, worker.stop_asked.set)
    beating = asyncio.create_task(_beat(channel))
    serving = asyncio.create_task(worker.serve(lambda: channel.send(Message("ready"))))
    listening = asyncio.create_task(_listen(channel, worker))
    try:
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            worker.stop_asked.set()  # the supervisor is gone
        await serving
    finally:
        beating.cancel()
        listening.cancel()


async def _beat(channel: Channel) -> None:
    while True:
        channel.send(Message("beat"))
        await asyncio.sleep(BEAT_S)


async def _listen(channel: Channel, worker: Worker) -> None:
    tasks: set[asyncio.Task[None]] = set()
    async for message in channel.messages():
        match message.kind:
            case "stop":
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
                logs.set_up(config.log_settings, worker.name)
                worker.reload(config)
                channel.send(Message("answer", message.id, {"ok": True}))
            case "verify" | "recycle" | "hold" | "release" | "failover":
                task = asyncio.get_running_loop().create_task(_act(channel, worker, message))
                tasks.add(task)
                task.add_done_callback(tasks.discard)


async def _act(channel: Channel, worker: Worker, message: Message) -> None:
    """What takes a while, beside everything else."""
    answer: Body = {"ok": True}
    try:
        await worker.act(message.kind, message.body)
    except DatabaseError as error:
        answer = {"ok": False, "error": str(error).strip()}
    channel.send(Message("answer", message.id, answer))


def main(role: str, index: int, descriptors: list[int]) -> int:
    """A worker process, from its start to its end. descriptors: its channel, then what it listens on."""
    spawn.die_with_parent(int(os.environ[spawn.PARENT_VARIABLE]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    end, *inherited = (socket.socket(fileno=descriptor) for descriptor in descriptors)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_run(role, index, end, inherited))
        except Exception:
            log.exception("worker failed")
            return 1
    return 0
