"""One loop: spawn, watch, reap, reload, drain. Signals only enqueue.

The supervisor holds what must outlive any worker: the listening sockets, the ws workers' handover sockets, the node
page, the control socket. It serves nobody itself.
"""

import asyncio
import logging
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from api.http import drain
from app.config.settings import Config
from app.redaction import Redactor
from app.version import VERSION
from cluster.commands import of_node, of_worker
from cluster.commands.of_worker import Answer, Beat, Body, Ready, Request, Stop, ToSupervisor
from cluster.host import paths, spawn, systemd
from cluster.host.paths import Paths
from cluster.node import control, embedded, followed
from cluster.node.children import Child, State
from cluster.node.embedded import Embedded
from cluster.node.forkserver import Forked, ForkServer, Unanswered, reap_orphans
from cluster.node.measured import NodeMetrics
from cluster.node.operations import ADMINISTRATOR, Operations
from cluster.node.places import Place, ask_all
from cluster.node.servers import DatabaseServers
from cluster.peers.zap import KeyPair
from cluster.shm import floors, page, stamps
from cluster.sockets import handover
from cluster.sockets.listen import metrics_listeners, open_listeners, url_of
from cluster.workers.channel import Channel, to_worker
from cluster.workers.start import names_of
from db.model.tasks import Tasks

log = logging.getLogger(__name__)

_TICK_S = 0.05
_LATE_S = 0.5
_DUMP_S = 0.3
_END_S = 1.0
_POSTGRES_QUIT_S = 6.0  # after 5 s the postmaster kills what does not quit (AbortKillTimeout)
_POSTGRES_STOP_S = 2.0
_WATCHDOG_S = {"api": 10.0, "ws": 5.0, "relay": 5.0}
WORKER_STOP_S = 3.0


@dataclass
class Options:
    """What the command line says."""

    config_path: Path | None
    data_dir: Path
    workers: int
    ws_workers: int


class Supervisor:
    """`run` starts a node and returns its exit status when it has stopped."""

    def __init__(self, options: Options, config: Config, redactor: Redactor) -> None:
        self._options = options
        self._config = config
        self._redactor = redactor
        self._places: list[Place] = []
        self._forks = ForkServer(config.sql_settings.driver_name)
        self._embedded: Embedded | None = None
        self._operations: Operations
        self._started_at = time.monotonic()
        self._announced = False
        self._stopping = False
        self._status = 0
        self._commands: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self._tasks = Tasks()
        self._paths: Paths
        self._page: page.Page
        self._metrics: NodeMetrics
        self._url = ""
        self._keys: list[str] = []
        """Of CURVE, for the relay: new with every start of the node, the same for a relay that is started anew."""

    # Life of the node ----------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start everything, keep it alive until told to stop, stop everything."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            handle = self.handle_hup if number == signal.SIGHUP else self.handle_term
            loop.add_signal_handler(number, self._commands.put_nowait, handle)
        _raise_descriptor_limit()
        self._forks.ready()  # it imports while we do the rest
        listeners = open_listeners(self._config.service_settings.listen_address, self._options.workers)
        self._url = url_of(listeners[0])
        scraped = metrics_listeners(self._config.metrics_settings, self._options.workers)
        lock = paths.lock(self._options.data_dir)
        self._paths = paths.prepare(self._options.data_dir)
        log.info("node is starting", extra={"version": VERSION, "node": self._paths.node_id, "url": self._url})
        processes = 1 + self._options.workers + self._options.ws_workers
        page.create(self._paths.page, processes)
        floors.create(self._paths.floors, processes)
        stamps.create(self._paths.stamps)
        self._page = page.Page(self._paths.page, writable=True)
        self._metrics = NodeMetrics(self._paths.metrics, names_of(self._options.workers, self._options.ws_workers))
        self._make_places(listeners, scraped)
        if self._config.cluster_settings.enable:
            keys = KeyPair.fresh()
            self._keys = [keys.public, keys.secret]
        server = await control.serve(self._paths.control, self._on_command)
        try:
            await self._watch()
            await self._stop_all()
        finally:
            self._forks.close()
            server.close()
            paths.clean_up(self._paths)
            os.close(lock)
        log.info("node has stopped")
        return self._status

    def _make_places(self, listeners: list[socket.socket], scraped: list[socket.socket]) -> None:
        if not self._config.sql_settings.data_source:
            self._embedded = embedded.prepare(self._paths)
            for note in self._embedded.notes:
                log.warning("embedded PostgreSQL", extra={"note": note})
            self._places.append(Place(Child("postgres", watchdog_s=None), "postgres", 0))
        embedded_dsn = self._embedded.dsn if self._embedded is not None else None
        servers = DatabaseServers(
            self._config.sql_settings, embedded_dsn, self._ask_workers, self._paths.data / followed.NAME
        )
        self._operations = Operations(
            self._options.config_path,
            self._config,
            servers,
            self._ask_workers,
            self._children,
            self._paths,
            self._url,
            self._redactor,
        )
        self._add("relay", 0, [])
        for index in range(self._options.ws_workers):
            self._add("ws", index, [handover.listen(self._paths.handover(f"ws{index}"))])
        for index, listener in enumerate(listeners):
            handed = handover.listen(self._paths.handover(f"api{index}"))
            self._add("api", index, [handed, listener, *scraped[index : index + 1]])
        if scraped:
            self._operations.metrics_url = f"{url_of(scraped[0])}/metrics"

    def _add(self, role: str, index: int, inherited: list[socket.socket]) -> None:
        self._places.append(
            Place(Child(spawn.name_of(role, index), watchdog_s=_WATCHDOG_S[role]), role, index, inherited)
        )

    async def _watch(self) -> None:
        """Turn every 50 ms: start what is due, see what is ready or hangs, do what signals asked for."""
        last = time.monotonic()
        while not self._stopping:
            now = time.monotonic()
            late_s = now - last - _TICK_S
            last = now
            reap_orphans(self._pids())
            for place in self._places:
                if late_s > _LATE_S:
                    place.life.excuse(late_s)
                self._reap(place, now)
                if place.life.due(now):
                    await self._spawn(place)
                if place.role == "postgres":
                    self._see_postgres(place)
                elif place.life.hangs(now):
                    await self._kill_hanging(place)
            self._page.set_crashing(any(place.life.red for place in self._places))
            self._metrics.measure(now, [place.life for place in self._places], self._operations.pending)
            self._announce()
            while not self._commands.empty():
                self._commands.get_nowait()()
            await asyncio.sleep(_TICK_S)

    def _announce(self) -> None:
        if self._announced or any(place.life.state is not State.UP for place in self._places):
            return
        self._announced = self._operations.announced = True
        seconds = round(time.monotonic() - self._started_at, 1)
        log.info("node is ready", extra={"url": self._url, "seconds": seconds})
        systemd.notify("READY=1")

    # Children ------------------------------------------------------------------------------------------------------

    async def _spawn(self, place: Place) -> None:
        now = time.monotonic()
        if place.role == "postgres":
            assert self._embedded is not None
            command = self._embedded.command(self._config.sql_settings.max_open_conns + 20)
            place.process = spawn.start_postgres(
                command, self._embedded.environment, self._embedded.account, self._embedded.log
            )
            place.life.spawned(now)
            return
        if not self._forks.ready():
            return
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                place.process = await self._forks.fork(place.role, place.index, theirs, place.inherited)
        except Unanswered as error:
            ours.close()
            log.error("no worker was forked", extra={"worker": place.life.name, "reason": str(error)})
            return
        place.life.spawned(now)
        place.channel = await to_worker(ours)
        place.reader = asyncio.create_task(self._listen(place, place.channel))
        place.channel.send(
            of_worker.Start(
                sources=self._operations.servers.sources(self._operations.config),
                node_id=self._paths.node_id,
                runtime=str(self._paths.runtime),
                data_dir=str(self._paths.data),
                incarnation=place.life.restarts + 1,
                workers=self._options.workers,
                ws_workers=self._options.ws_workers,
                keys=self._keys if place.role == "relay" else [],
            )
        )

    async def _listen(self, place: Place, channel: Channel[ToSupervisor]) -> None:
        async for message in channel.messages():
            match message:
                case Beat():
                    place.life.beat(time.monotonic())
                case Ready():
                    place.life.ready()
                case Request():
                    self._tasks.start(self._answer(place.role, channel, message))
                case Answer():
                    place.answered(message)
                case _:
                    assert_never(message)

    def _pids(self) -> set[int]:
        """Of all that are watched."""
        own = {place.process.pid for place in self._places if place.process is not None}
        return own if self._forks.pid is None else own | {self._forks.pid}

    def _reap(self, place: Place, now: float) -> None:
        if place.process is None or place.process.poll() is None:
            return
        status = place.process.returncode
        place.empty()
        if place.role == "api":
            self._page.set_load(place.index, None)
        self._metrics.ended(place.life.name)
        expected = place.life.state is State.STOPPING
        place.life.exited(now)
        if not expected and status == spawn.FATAL_STATUS and place.role != "postgres":
            log.error(
                "this node cannot go on and stops", extra={"worker": place.life.name, "node": self._paths.node_id}
            )
            self._status = status
            self._stopping = True
        elif not expected:
            extra = {"worker": place.life.name, "status": status, "red": place.life.red}
            if place.role == "postgres" and self._embedded is not None:
                extra["log"] = str(self._embedded.log)
            log.error("a child of this node has ended and is started again", extra=extra)

    def _see_postgres(self, place: Place) -> None:
        assert self._embedded is not None
        if place.life.state is State.STARTING and place.process is not None and self._embedded.ready(place.process.pid):
            place.life.ready()

    async def _kill_hanging(self, place: Place) -> None:
        if place.process is None:
            return
        log.error("a worker hangs and is killed", extra={"worker": place.life.name, "pid": place.process.pid})
        place.process.send_signal(signal.SIGUSR1)  # it dumps its stacks, if it can
        await asyncio.sleep(_DUMP_S)
        await _end(place.process)

    async def _answer(self, role: str, channel: Channel[ToSupervisor], request: Request) -> None:
        """A worker passes on what an administrator asked of the node; the relay, what another node did."""
        by: of_node.By = "peer" if role == "relay" else "worker"
        command = request.command
        if by in command.by:
            answer = await self._operations.run(command, "another node" if by == "peer" else ADMINISTRATOR)
        else:
            answer = {"ok": False, "error": f"unknown command {command.name()!r}"}
        channel.send(Answer(request.id, answer))

    async def _ask_workers(self, roles: Collection[str], command: of_worker.AnyCommand) -> dict[str, Body]:
        return await ask_all(self._places, roles, command)

    # What we are told ----------------------------------------------------------------------------------------------

    def handle_term(self) -> None:
        """SIGTERM, SIGINT: stop."""
        self._stopping = True

    def handle_hup(self) -> None:
        """SIGHUP: load the configuration file again."""
        self._tasks.start(self._operations.run(of_node.Reload(), "SIGHUP"))

    async def _on_command(self, command: of_node.AnyCommand) -> control.Answer:
        answer: control.Answer = self._redactor.value(await self._operations.run(command, "command line"))
        if isinstance(command, of_node.Drain):
            self._commands.put_nowait(self.handle_term)
        return answer

    def _children(self) -> list[control.Answer]:
        """For the status: each child's life."""
        now = time.monotonic()
        return [
            {
                "name": place.life.name,
                "state": place.life.state.name.lower(),
                "pid": place.process.pid if place.process is not None else None,
                "restarts": place.life.restarts,
                "uptime_s": round(now - place.life.spawned_at, 1),
                "red": place.life.red,
            }
            for place in self._places
        ]

    # The end -------------------------------------------------------------------------------------------------------

    async def _stop_all(self) -> None:
        """Workers first, then the relay, then PostgreSQL, so that nothing loses what it works with."""
        systemd.notify("STOPPING=1")
        log.info("node is stopping")
        for place in self._places:
            for held in place.inherited:
                held.close()  # nobody takes a worker's place any more: its sockets are to end with it
        await self._stop_workers([place for place in self._places if place.role in ("api", "ws")])
        await self._stop_workers([place for place in self._places if place.role == "relay"])
        for place in self._places:
            if place.role == "postgres" and place.process is not None:
                place.life.stopping()
                place.process.send_signal(signal.SIGINT)  # "fast": sessions end, a checkpoint is made
                await self._wait([place], _POSTGRES_STOP_S, signal.SIGQUIT)

    async def _stop_workers(self, places: list[Place]) -> None:
        """After a grace; a node that cannot go on has none: nobody would hear of what it still did."""
        at_once = self._status != 0
        for place in places:
            place.life.stopping()
            if place.channel is not None:
                place.channel.send(Stop(at_once=at_once))
        graced = not at_once and any(place.role == "api" for place in places)
        grace_s = drain.grace_s(self._operations.config) if graced else 0
        await self._wait(places, grace_s + WORKER_STOP_S, signal.SIGKILL)

    async def _wait(self, places: list[Place], limit_s: float, then: signal.Signals) -> None:
        deadline = time.monotonic() + limit_s
        while True:
            for place in places:
                self._reap(place, time.monotonic())
            running = [place for place in places if place.process is not None]
            if not running:
                return
            if time.monotonic() >= deadline:
                for place in running:
                    log.error("a child does not stop and is ended", extra={"worker": place.life.name})
                    assert place.process is not None
                    if not await _end(place.process, then):
                        place.process = None  # the kernel ends it when the device answers; it is nobody's any more
            await asyncio.sleep(0.01)


async def _end(process: "subprocess.Popen[bytes] | Forked", number: signal.Signals = signal.SIGKILL) -> bool:
    """Signal a process and wait for its end; False when it does not come: it waits for a device that hangs."""
    process.send_signal(number)
    deadline = time.monotonic() + (_POSTGRES_QUIT_S if number == signal.SIGQUIT else _END_S)
    while process.poll() is None:
        if time.monotonic() >= deadline:
            log.error("a process does not end although it was killed", extra={"pid": process.pid})
            return False
        await asyncio.sleep(0.01)
    return True


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
