"""From a worker to the supervisor: what an administrator asks of the node, whichever worker it lands in."""

import asyncio
import itertools

from cluster.workers.channel import Body, Channel, Message

_SUPERVISOR_S = 60.0


class SupervisorLink:
    """Fulfils `app.ports.Operator`: commands for the whole node go to its supervisor."""

    def __init__(self) -> None:
        self._channel: Channel | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Body]] = {}

    def connect(self, channel: Channel) -> None:
        """Commands go by this channel from now on."""
        self._channel = channel

    def answered(self, message: Message) -> None:
        """The supervisor's answer has come."""
        waiter = self._waiting.pop(message.id, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(message.body)

    async def command(self, name: str, **arguments: object) -> Body:
        """See `app.ports.Operator`."""
        assert self._channel is not None
        number = next(self._numbers)
        waiter = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._channel.send(Message("command", number, {**arguments, "command": name}))
        try:
            async with asyncio.timeout(_SUPERVISOR_S):
                answer: Body = await waiter
                return answer
        except TimeoutError:
            return {"ok": False, "error": "the supervisor does not answer"}
        finally:
            self._waiting.pop(number, None)
