"""From a worker to the supervisor: what an administrator asks of the node, whichever worker it lands in."""

import itertools
from functools import partial

from app.questions import Questions
from cluster.commands import of_node
from cluster.commands.of_node import AnyCommand, BadCommand
from cluster.commands.of_worker import Answer, Body, Request, ToWorker
from cluster.workers.channel import Channel

_SUPERVISOR_S = 60.0


class SupervisorLink:
    """Fulfils `app.ports.Operator`: commands for the whole node go to its supervisor."""

    def __init__(self) -> None:
        self._channel: Channel[ToWorker] | None = None
        self._numbers = itertools.count(1)
        self._questions: Questions[int, Body] = Questions()

    def connect(self, channel: Channel[ToWorker]) -> None:
        """Commands go by this channel from now on."""
        self._channel = channel

    def answered(self, answer: Answer) -> None:
        """The supervisor's answer has come."""
        self._questions.answered(answer.id, answer.body)

    async def command(self, name: str, **arguments: object) -> Body:
        """See `app.ports.Operator`."""
        try:
            return await self.ask(of_node.read(name, arguments, "worker"))
        except BadCommand as error:
            return {"ok": False, "error": str(error)}

    async def ask(self, command: AnyCommand) -> Body:
        """Let the node do it."""
        assert self._channel is not None
        question = Request(next(self._numbers), command)
        try:
            return await self._questions.ask(question.id, partial(self._channel.send, question), _SUPERVISOR_S)
        except TimeoutError:
            return {"ok": False, "error": "the supervisor does not answer"}
