"""What the three kinds of workers build, serve and stop. Each imports only its own stack, when it starts."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.config.client import Told
from app.context import Context
from app.events.messages import Message as BusMessage
from app.metrics import BARRIER_MISSES, WEBSOCKETS, WORK_WAITING
from app.passwords import Hasher
from app.ports import Upgrade
from cluster.bus.addresses import address_of, node_part
from cluster.bus.bus import BusEnd
from cluster.commands.of_worker import Body
from cluster.outside.blobs import LocalBlobs
from cluster.outside.outbound import HttpOutbound
from cluster.shm.metricslots import Exposition, open_slots
from cluster.shm.page import Page, RelayWatch
from cluster.workers import measured
from cluster.workers.relayworker import RelayWorker
from cluster.workers.start import BATCH_CONNECTIONS
from cluster.workers.worker import Worker
from db.model.errors import DatabaseError
from db.model.ids import new_id
from db.pool import loader, migrate, systems
from db.pool.pool import Database
from db.writer import batch, connect

if TYPE_CHECKING:
    from api.http.server import Server
    from api.http.throttle import Throttle
    from cluster.sockets.handover import Receiver
    from ws.server import WebSocketServer

log = logging.getLogger(__name__)

_RETRY_S = 0.1


class ServingWorker(Worker):
    """What api and ws workers have in common: a context over database and bus."""

    ctx: Context | None = None
    bus: BusEnd | None = None
    outbound: HttpOutbound | None = None
    blobs: LocalBlobs | None = None

    web_app: LocalBlobs | None = None
    page: Page | None = None

    async def build(
        self, on_messages: Callable[[Sequence[BusMessage]], None], on_loss: Callable[[], None], batch_connections: int
    ) -> tuple[Context, BusEnd, RelayWatch]:
        """Wait for the schema, then build the context."""
        await migrate.wait(self.settings)
        page = self.page = self.start.page(self.name)
        database = await self.open_database(page, batch_connections + loader.CONNECTIONS)
        bus = self.bus = self.bus_end(on_messages, on_loss)
        if self.start.config.cluster_settings.enable:
            self.tell_commits(bus, database)
        watch = RelayWatch(page)
        outbound = self.outbound = HttpOutbound(
            lambda: self.live.config.service_settings.allowed_untrusted_internal_connections
        )
        blobs = self.blobs = LocalBlobs(Path(self.start.config.file_settings.directory))
        self.ctx = Context(
            config=self.live.config,
            db=database,
            posts=batch.PostWriter(lambda: connect.connect(database), connections=BATCH_CONNECTIONS),
            bus=bus,
            hasher=Hasher.of(os.environ, self.start.paths.data),
            health=watch,
            operator=self.operator,
            node_id=self.start.paths.node_id,
            hostname=self.start.config.cluster_settings.override_hostname or socket.gethostname(),
            web_app=self._web_app(),
            metrics=self.metrics,
            outbound=outbound,
            blobs=blobs,
        )
        self.live.on_reload(self.ctx.reload)
        self._hear()
        return self.ctx, bus, watch

    def _web_app(self) -> LocalBlobs | None:
        """The files that API workers serve."""
        directory = self.start.config.service_settings.web_app_directory
        if directory and self.role == "api":
            self.web_app = LocalBlobs(Path(directory))
        return self.web_app

    def tell_commits(self, bus: BusEnd, database: Database) -> None:
        """Tell other nodes of what is committed, and wait for them."""
        self.live.watch("ClusterSettings.WriteBarrierMs", bus.teller.set_limit_ms)
        database.commits = bus
        database.terms.among_nodes = True

    async def tear_down(self, bus: BusEnd) -> None:
        """Close everything, in the order in which things depend on each other."""
        assert self.ctx is not None
        await self.ctx.audit.close()
        await self.ctx.posts.close()
        self.ctx.hasher.close()
        self.ctx.work.close()
        if self.outbound is not None and self.blobs is not None:
            self.outbound.close()
            self.blobs.close()
        if self.web_app is not None:
            self.web_app.close()
        await asyncio.sleep(0.02)  # the bus's own thread sends what was published last
        bus.close()
        await self.ctx.db.close()

    def _hear(self) -> None:
        """Tell clients what all nodes tell them."""
        told = self.page.told() if self.page is not None else ""
        heard = Told.read(told)
        if self.ctx is not None and (heard is not None or not told):
            self.ctx.hear(heard)

    def measure(self) -> None:
        """See `Worker`."""
        self._hear()
        if self.ctx is not None:
            measured.database(self.metrics, self.ctx.db, self.ctx.caches.registry.figures())
            self.metrics.gauge(WORK_WAITING).set(self.ctx.work.waiting)
        if self.bus is not None:
            self.metrics.counter(BARRIER_MISSES).follow(self.bus.teller.misses)

    def database_status(self) -> Body:
        """See `Worker`."""
        caches = {"caches": self.ctx.caches.registry.figures()} if self.ctx is not None else {}
        misses = {"write_barrier_misses": self.bus.teller.misses} if self.bus is not None else {}
        return super().database_status() | caches | misses

    def purge(self) -> None:
        """See `Worker`."""
        if self.ctx is not None:
            self.ctx.caches.registry.purge()

    def heads(self) -> Mapping[str, int]:
        """See `Worker`."""
        return {str(channel_id): seq for channel_id, seq in self.ctx.posts.acknowledged.items()} if self.ctx else {}


class ApiWorker(ServingWorker):
    """HTTP."""

    server: "Server | None" = None
    throttle: "Throttle | None" = None

    async def serve(self, ready: Callable[[], None]) -> None:
        """See `Worker`."""
        from api.http.asgi import create_app
        from api.http.balance import Balance
        from api.http.metricsport import MetricsPort
        from api.http.server import create_server, serve
        from api.http.throttle import Throttle
        from api.http.upgrade import Upgrader
        from api.proxies import Trust
        from cluster.sockets.handover import Receiver, UpgradeSender
        from cluster.sockets.loads import PageLoads, PeerSender

        ctx, bus, watch = await self.build(self._on_messages, lambda: None, BATCH_CONNECTIONS)
        paths, index = self.start.paths, int(self.name.removeprefix("api"))
        page = Page(paths.page, writable=True)
        trust = Trust(lambda: ctx.config, page.set_stranger)
        if ctx.config.rate_limit_settings.enable:
            self.throttle = Throttle(ctx, await self._installation(ctx.db), trust)
        sockets = UpgradeSender([paths.handover(f"ws{one}") for one in range(self.start.ws_workers)])
        peers = PeerSender([paths.handover(f"api{one}") for one in range(self.start.workers)])
        loads = PageLoads(page, index, self.start.workers)
        balance = Balance(index, loads, peers)
        self.server = create_server(create_app(ctx), ctx, Upgrader(ctx, sockets, trust), balance, trust, self.throttle)
        handed, listener, *for_metrics = self.inherited
        receiver = Receiver(
            handed,
            self._adopt,
            lambda: balance.connections,
            lambda change: balance.opened() if change > 0 else balance.closed(),
        )
        serving = asyncio.create_task(serve(self.server, listener, ctx, trust))
        remembering = asyncio.create_task(ctx.administrators.run())
        exposition = Exposition(open_slots(paths.metrics), self.start.names())
        async with contextlib.AsyncExitStack() as ports:
            for port in for_metrics:
                await ports.enter_async_context(MetricsPort(port, exposition.text))
            ready()
            stopping = asyncio.create_task(self.stop_asked.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        watch.draining = True
        receiver.close()
        self.server.drain()
        self.server.stop(at_once=self.at_once)
        await serving
        remembering.cancel()
        sockets.close()
        peers.close()
        await self.tear_down(bus)

    async def _installation(self, database: Database) -> bytes:
        """What tells this installation from every other, the same on all its nodes."""
        while True:
            try:
                await systems.claim(database, "cluster_id", new_id())
                return (await systems.find(database, "cluster_id") or "").encode()
            except DatabaseError:
                await asyncio.sleep(_RETRY_S)

    def _on_messages(self, messages: Sequence[BusMessage]) -> None:
        if self.throttle is not None:
            for message in messages:
                self.throttle.handle(message)

    async def _adopt(self, sock: socket.socket, payload: bytes) -> None:
        assert self.server is not None
        await self.server.adopt(sock, payload)

    def status(self) -> Body:
        """See `Worker`."""
        if self.server is None:
            return {}
        state = self.server.server_state
        return {
            "requests": state.total_requests,
            "connections": len(state.connections),
            "slow_readers": len(self.server.readers),
            "slow_readers_cut": self.server.readers.cut,
            "slow_senders_cut": self.server.senders.cut,
        }

    def measure(self) -> None:
        """See `Worker`."""
        super().measure()
        if self.server is not None:
            measured.api(self.metrics, self.server)


class WsWorker(ServingWorker):
    """WebSockets."""

    websockets: "WebSocketServer | None" = None
    receiver: "Receiver | None" = None

    async def serve(self, ready: Callable[[], None]) -> None:
        """See `Worker`."""
        from api.http import drain
        from cluster.sockets.handover import Receiver
        from ws.lookout import Lookout
        from ws.server import CLOSES_S, WebSocketServer

        ctx, bus, _ = await self.build(self._on_messages, self._on_loss, 0)
        among_nodes = ctx.config.cluster_settings.enable
        alone = not among_nodes and self.start.ws_workers == 1
        self.websockets = WebSocketServer(ctx, address_of(self.start.paths.node_id, self.name), alone=alone)
        self.receiver = Receiver(self.inherited[0], self._adopt, self._count, room=self.websockets.has_room)
        sweeping = asyncio.create_task(self.websockets.sweep_for_ever())
        looking = asyncio.create_task(Lookout(ctx.db, self.websockets.note).run())
        ready()
        await self.stop_asked.wait()
        self.websockets.farewell.begun = True
        grace_s = 0.0 if self.at_once else drain.grace_s(ctx.config)
        await asyncio.sleep(grace_s / 2)  # load balancers learn of it, and clients that come back go elsewhere
        self.receiver.close()
        nobody = alone or self.at_once or (self.node_stops and not among_nodes)
        others = node_part(self.start.paths.node_id) if self.node_stops else ""
        await self.websockets.drain(max(grace_s / 2, CLOSES_S), node=None if nobody else others)
        sweeping.cancel()
        looking.cancel()
        await self.tear_down(bus)

    async def _adopt(self, sock: socket.socket, payload: bytes) -> None:
        assert self.websockets is not None
        await self.websockets.adopt(sock, msgspec.msgpack.decode(payload, type=Upgrade))

    def _count(self) -> int:
        return len(self.websockets.clients) if self.websockets is not None else 0

    def _on_messages(self, messages: Sequence[BusMessage]) -> None:
        if self.websockets is not None:
            self.websockets.take(messages)

    def _on_loss(self) -> None:
        """Messages were lost, or the relay is a new one: say whom we hold, read everything anew."""
        if self.websockets is None or self.ctx is None:
            return
        if self._count():
            log.warning("messages of the bus were lost: reading memberships and sessions anew")
        self.websockets.claims.note_leaving()
        self.ctx.bus.publish(self.websockets.held())
        self.websockets.reload_soon()

    def status(self) -> Body:
        """See `Worker`."""
        return {"sockets": self._count()}

    def measure(self) -> None:
        """See `Worker`."""
        super().measure()
        self.metrics.gauge(WEBSOCKETS).set(self._count())


ROLES: dict[str, type[Worker]] = {"api": ApiWorker, "ws": WsWorker, "relay": RelayWorker}
