"""A child's place: whatever process fills it, its life, and what it is asked."""

import asyncio
import itertools
import socket
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial

from app.questions import Abandoned, Questions
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
    _questions: Questions[int, Body] = field(default_factory=Questions)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def ask(self, command: AnyCommand) -> Body:
        """The answer of the worker that is there, or why there is none."""
        if self.channel is None:
            return {"ok": False, "error": "down"}
        question = Ask(next(self._numbers), command)
        try:
            return await self._questions.ask(question.id, partial(self.channel.send, question), command.limit_s())
        except TimeoutError:
            return {"ok": False, "error": "timeout"}
        except Abandoned:
            return {"ok": False, "error": "it ended meanwhile"}

    def answered(self, answer: Answer) -> None:
        """The worker has answered."""
        self._questions.answered(answer.id, answer.body)

    def empty(self) -> None:
        """The process has ended: nobody is there to answer any more."""
        self.process = None
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        self._questions.abandon()


async def ask_all(places: Iterable[Place], roles: Collection[str], command: AnyCommand) -> dict[str, Body]:
    """What each worker of these roles answers, by its name."""
    asked = [place for place in places if place.role in roles]
    answers = await asyncio.gather(*(place.ask(command) for place in asked))
    return {place.life.name: answer for place, answer in zip(asked, answers, strict=True)}
