"""A worker process, from its start to its end: what the supervisor asks of it."""

import asyncio
import logging
import os
import signal
import socket

import uvloop

from app.config.settings import from_json
from app.redaction import Redactor
from cluster.commands import OF_DATABASE, OF_RELAY
from cluster.host import logs, spawn
from cluster.workers.channel import Body, Channel, Message
from cluster.workers.roles import ROLES
from cluster.workers.start import Start
from cluster.workers.worker import Fatal, Worker
from db.model.errors import DatabaseError, Refused
from db.pool import failover

log = logging.getLogger(__name__)

BEAT_S = 0.5


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
            case kind if kind in OF_RELAY or kind in OF_DATABASE:
                task = asyncio.get_running_loop().create_task(_act(channel, worker, message))
                tasks.add(task)
                task.add_done_callback(tasks.discard)


async def _act(channel: Channel, worker: Worker, message: Message) -> None:
    """What takes a while, beside everything else."""
    answer: Body = {"ok": True}
    try:
        if message.kind in OF_RELAY:
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
