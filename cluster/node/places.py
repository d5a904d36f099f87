"""A child's place: whatever process fills it, its life, and what it is asked."""

import asyncio
import itertools
import socket
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from cluster.commands.of_worker import Answer, AnyCommand, Ask, Body, ToSupervisor
from cluster.node.children import Child
from cluster.node.forkserver import Forked
from cluster.workers.channel import Channel


@dataclass
class Place:
    """A child's place: the life of whatever process fills it, and how to start one."""

    life: Child
    role: str
    index: int
    inherited: list[socket.socket] = field(default_factory=list)
    process: "subprocess.Popen[bytes] | Forked | None" = None
    channel: Channel[ToSupervisor] | None = None
    reader: "asyncio.Task[None] | None" = None
    _answers: dict[int, "asyncio.Future[Body]"] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def ask(self, command: AnyCommand) -> Body:
        """The answer of the worker that is there, or why there is none."""
        if self.channel is None:
            return {"ok": False, "error": "down"}
        number = next(self._numbers)
        waiter: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        self._answers[number] = waiter
        self.channel.send(Ask(number, command))
        try:
            async with asyncio.timeout(command.limit_s()):
                return await waiter
        except TimeoutError:
            return {"ok": False, "error": "timeout"}
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            return {"ok": False, "error": "it ended meanwhile"}
        finally:
            del self._answers[number]

    def answered(self, answer: Answer) -> None:
        """The worker has answered."""
        waiter = self._answers.get(answer.id)
        if waiter is not None and not waiter.done():
            waiter.set_result(answer.body)

    def empty(self) -> None:
        """The process has ended: nobody is there to answer any more."""
        self.process = None
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        for waiter in self._answers.values():
            if not waiter.done():
                waiter.cancel()


async def ask_all(places: Iterable[Place], roles: Collection[str], command: AnyCommand) -> dict[str, Body]:
    """What each worker of these roles answers, by its name."""
    asked = [place for place in places if place.role in roles]
    answers = await asyncio.gather(*(place.ask(command) for place in asked))
    return {place.life.name: answer for place, answer in zip(asked, answers, strict=True)}
