"""uvicorn on its inherited socket: whom it lets go when there are too many or when they keep it waiting; drain.

Server ──makes──> intake.py ──> connection.py ──> cycle.py ──> asgi.py
shared by all: readers.py, senders.py, proxies.py, answers.py
"""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import uvicorn
from falcon.asgi import App, Response
from falcon.asgi import Request as HttpRequest

from api.http.answers import Answers
from api.http.balance import Balance
from api.http.connection import Connection, Worker
from api.http.drain import grace_s, refuse_new
from api.http.intake import READ_BYTES, Intake
from api.http.measures import Measures
from api.http.readers import Readers
from api.http.senders import Senders
from api.http.throttle import Throttle
from api.http.upgrade import Upgrader
from api.proxies import Trust
from app.context import Context

MOST_CONNECTIONS = 16_384
_OWN_DESCRIPTORS = 64
_SWEEP_S = 1.0
_LAST_ACCEPTS_S = 0.2


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the supervisor says when to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        make: Callable[..., Intake],
        grace: Callable[[], float],
        readers: Readers,
        senders: Senders,
    ) -> None:
        super().__init__(config)
        self.readers = readers
        self.senders = senders
        self._make = make
        self._grace = grace
        self._ending: asyncio.Task[None] | None = None
        self.listener: socket.socket | None = None

    async def adopt(self, sock: socket.socket, received: bytes) -> None:
        """Serve a fresh connection that another worker accepted, and of which it has read `received`."""
        if self.should_exit:
            sock.close()
            return
        sock.setblocking(False)
        protocol = self._make(config=self.config, server_state=self.server_state, app_state={}, adopted=received)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, sock)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    def drain(self) -> None:
        """From now on every response ends its connection."""
        close = (b"connection", b"close")
        self.config.encoded_headers.append(close)  # what uvicorn makes the default headers of, once a second
        self.server_state.default_headers = [*self.server_state.default_headers, close]

    def stop(self, *, at_once: bool = False) -> None:
        """Serve on for the grace of a drain; then accept no more, finish what is under way, return from `serve`."""
        seconds = 0.0 if at_once else self._grace()
        if seconds:
            self._ending = asyncio.get_running_loop().create_task(self._end_after(seconds))
        else:
            self.should_exit = True

    async def _end_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self.listener is not None:
            refuse_new(self.listener)
            await asyncio.sleep(_LAST_ACCEPTS_S)
        self.should_exit = True


def most_connections(descriptors: int) -> int:
    """How many connections a worker with so many descriptors may have before idle ones have to go."""
    return max(1, min(MOST_CONNECTIONS, descriptors - descriptors // 16 - _OWN_DESCRIPTORS))


def make_room(connections: Iterable[Connection], trusts: Callable[[str], bool]) -> None:
    """Close a thirty-second of the idle connections: strangers' before those of proxies of ours, the oldest first."""
    idle = sorted((trusts(one.peer), one.since, id(one), one) for one in connections if one.is_idle)
    for *_, connection in idle[: 1 + len(idle) // 32]:
        connection.transport.close()


def create_server(
    app: App[HttpRequest, Response],
    ctx: Context,
    upgrader: Upgrader,
    balance: Balance,
    trust: Trust,
    throttle: Throttle | None = None,
) -> Server:
    """A server for `serve`. throttle: None: without rate limits."""
    readers, senders = Readers(asyncio.get_running_loop().time, trust.trusts), Senders(trust.trusts)
    worker = Worker(
        upgrader=upgrader,
        balance=balance,
        throttle=throttle,
        answers=Answers(lambda: ctx.config),
        measures=Measures(ctx.metrics),
        readers=readers,
        senders=senders,
        trust=trust,
        buffer=memoryview(bytearray(READ_BYTES)),
        ctx=ctx,
    )
    most = most_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    def make(server_state: Any, **kwargs: Any) -> Intake:
        if len(server_state.connections) >= most:
            make_room(server_state.connections, trust.trusts)
        return Connection(worker, server_state=server_state, **kwargs).intake

    config = uvicorn.Config(
        app,
        http=cast(type[asyncio.Protocol], make),
        ws=asyncio.Protocol,  # never made: `Connection` hands upgrades over itself
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    config.load()
    return Server(config, make, lambda: grace_s(ctx.config), readers, senders)


async def serve(server: Server, listener: socket.socket, ctx: Context, trust: Trust) -> None:
    """Serve until `server.stop()` and its grace; then finish what is under way (at most 2 s)."""
    server.listener = listener
    sweeper = asyncio.create_task(_sweep(server, ctx, trust))
    try:
        await server.serve(sockets=[listener])
    finally:
        sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeper


async def _sweep(server: Server, ctx: Context, trust: Trust) -> None:
    """Cut off clients that keep us waiting (slow headers, slow bodies, slow readers)."""
    service = ctx.config.service_settings
    head_s, body_s = float(service.header_timeout), float(service.read_timeout)
    stranger_s, proxy_s = float(service.idle_timeout), float(service.proxy_idle_timeout)
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_S)
        now = loop.time()
        server.readers.sweep()
        for connection in list(server.server_state.connections):
            assert isinstance(connection, Connection)
            idle_s = proxy_s if trust.trusts(connection.peer) else stranger_s
            if connection.is_overdue(now, head_s, body_s, idle_s):
                connection.transport.abort()
