"""What nodes ask of each other, and what comes of it."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from cluster.peers.bodies import Answer
from cluster.peers.membership import Liveness
from cluster.peers.mesh import Mesh
from cluster.peers.outputs import Answered, Asked
from db.model.tasks import Tasks

ANSWER_S = 5.0


class Requests:
    """do: what a peer asks for. settle: sends what the protocol wants sent."""

    def __init__(
        self, mesh: Mesh, do: Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]], settle: Callable[[], None]
    ) -> None:
        self._mesh = mesh
        self._do = do
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._answers: dict[str, asyncio.Queue[tuple[str, Answer]]] = {}
        self._tasks = Tasks()

    async def ask_all(self, command: str, arguments: dict[str, Any], limit_s: float = ANSWER_S) -> dict[str, Any]:
        """What each peer answers: {node id: answer}, with `result` ok, accepted, error, timeout or down."""
        return await self.ask(list(self._mesh.peers), command, arguments, limit_s)

    async def ask(
        self, peers: Sequence[str], command: str, arguments: dict[str, Any], limit_s: float = ANSWER_S
    ) -> dict[str, Any]:
        """See `ask_all`."""
        request_id = f"{self._mesh.incarnation}/{next(self._numbers)}"
        answers: asyncio.Queue[tuple[str, Answer]] = asyncio.Queue()
        self._answers[request_id] = answers
        down = {peer for peer in peers if self._mesh.members.liveness(peer) in (Liveness.DOWN, Liveness.LEFT)}
        results: dict[str, Any] = {peer: {"ok": False, "result": "down"} for peer in down}
        waiting = set(peers) - down
        accepted: set[str] = set()
        try:
            for peer in waiting:
                self._mesh.request(peer, request_id, command, arguments)
            self._settle()
            async with asyncio.timeout(limit_s):
                while waiting:
                    peer, answer = await answers.get()
                    if not answer.done:
                        accepted.add(peer)
                    elif peer in waiting:
                        waiting.discard(peer)
                        results[peer] = {**answer.body, "result": "ok" if answer.body.get("ok") else "error"}
        except TimeoutError:
            for peer in waiting:
                begun = peer in accepted
                results[peer] = {"ok": begun, "result": "accepted" if begun else "timeout"}
        finally:
            del self._answers[request_id]
        return results

    def answered(self, output: Answered) -> None:
        """A peer has answered."""
        answers = self._answers.get(output.request_id)
        if answers is not None:
            answers.put_nowait((output.peer, output.answer))

    def asked(self, output: Asked) -> None:
        """A peer asks: say that it has begun, do it, say what came of it."""
        self._tasks.start(self._serve(output))

    async def _serve(self, asked: Asked) -> None:
        self._mesh.answer(asked.peer, asked.request_id, Answer(done=False))
        self._settle()
        body = await self._do(asked.request.command, asked.request.arguments)
        self._mesh.answer(asked.peer, asked.request_id, Answer(body=body))
        self._settle()
