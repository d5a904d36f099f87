"""A worker process, from its start to its end: what the supervisor asks of it."""

import asyncio
import logging
import os
import signal
import socket
from typing import assert_never

import uvloop

from app.config.live import Settings
from app.metrics import LOOP_LAG
from app.redaction import Redactor
from cluster.commands import of_worker
from cluster.commands.of_worker import Answer, Ask, AtOnce, Beat, Body, OfDatabase, OfRelay, Ready, Stop, ToWorker
from cluster.host import logs, spawn
from cluster.workers.channel import Channel, to_supervisor
from cluster.workers.roles import ROLES
from cluster.workers.start import Start
from cluster.workers.worker import Fatal, Worker
from db.model.errors import DatabaseError, Refused
from db.model.tasks import Tasks
from db.pool import failover

log = logging.getLogger(__name__)

BEAT_S = 0.5


async def _run(role: str, index: int, end: socket.socket, inherited: list[socket.socket]) -> None:
    channel = await to_supervisor(end)
    messages = channel.messages()
    first = await anext(messages, None)
    if first is None:
        return
    assert isinstance(first, of_worker.Start)
    start = Start.of(first)
    name = spawn.name_of(role, index)
    redactor = Redactor()
    _learn(redactor, first)
    live = Settings(start.config)
    live.on_reload(lambda config: logs.set_up(config.log_settings, name, redactor))
    worker = ROLES[role](name, start, inherited, live)
    worker.operator.connect(channel)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, worker.stop_asked.set)
    beating = asyncio.create_task(_beat(channel, worker))
    serving = asyncio.create_task(worker.serve(lambda: channel.send(Ready())))
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


async def _beat(channel: Channel[ToWorker], worker: Worker) -> None:
    loop = asyncio.get_running_loop()
    lag = worker.metrics.gauge(LOOP_LAG, worker.name)
    due = loop.time()
    while True:
        lag.set(max(0.0, loop.time() - due))
        channel.send(Beat())
        worker.measure()
        if worker.database is not None:
            worker.database.current()  # what is idle on a former master ends, too
        due = loop.time() + BEAT_S
        await asyncio.sleep(BEAT_S)


def _learn(redactor: Redactor, told: of_worker.Start | of_worker.AnyCommand) -> None:
    """The secrets in what the supervisor says."""
    match told:
        case of_worker.Start() | of_worker.Verify() | of_worker.Recycle():
            sources = told.sources
            redactor.learn(sources.config)
            for dsn in [sources.data_source, *sources.replicas]:
                redactor.learn_source(sources.config.sql_settings.driver_name, dsn)
        case of_worker.Reload():
            redactor.learn(told.config)
        case of_worker.Survey() | of_worker.Failover():
            redactor.learn_source(told.driver, told.to)


async def _listen(channel: Channel[ToWorker], worker: Worker, redactor: Redactor) -> None:
    tasks = Tasks()
    async for message in channel.messages():
        match message:
            case Stop():
                worker.at_once = message.at_once
                worker.node_stops = True
                worker.stop_asked.set()
            case Answer():
                worker.operator.answered(message)
            case Ask(id=number, command=command):
                _learn(redactor, command)
                if isinstance(command, OfDatabase | OfRelay):
                    tasks.start(_act(channel, worker, number, command))
                else:
                    channel.send(Answer(number, {"ok": True, **_at_once(worker, command)}))
            case of_worker.Start():
                log.error("a worker is started twice")
            case _:
                assert_never(message)


def _at_once(worker: Worker, command: AtOnce) -> Body:
    """What is answered in turn; an error ends the worker."""
    match command:
        case of_worker.Status():
            return worker.status()
        case of_worker.Heads():
            return {"heads": worker.heads()}
        case of_worker.Database():
            return worker.database_status()
        case of_worker.Reload():
            worker.live.replace(command.config)
            return {}
        case of_worker.Purge():
            worker.purge()
            return {}
        case _:
            assert_never(command)


async def _act(channel: Channel[ToWorker], worker: Worker, number: int, command: OfDatabase | OfRelay) -> None:
    """What takes a while, beside everything else. Whatever comes of it, there is an answer."""
    answer: Body = {"ok": True}
    try:
        if isinstance(command, OfRelay):
            answer |= await worker.operate(command)
        else:
            await worker.act(command)
    except DatabaseError as error:
        answer = {"ok": False, "error": str(error).strip(), "unreachable": isinstance(error, failover.Unreachable)}
    except Exception as error:
        log.exception("a command of the supervisor failed", extra={"command": command.name()})
        answer = {"ok": False, "error": f"it failed: {type(error).__name__}"}
    channel.send(Answer(number, answer))


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
