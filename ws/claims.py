"""Connections that change their worker: asked for where the client came back, given away where it was before.

    the client's new worker                       the worker in the connection's id
       Claim id, number expected  ──>                gives up the socket, if it thinks it has one still
                                  <──  Given         frames from that number on, and how far each channel was
                                       moved_to      who has it meanwhile: ask there

Nothing within 300 ms, or nobody there: the client gets a new id and fetches anew. An answer that comes later, or gets
lost, finds nobody: the connection is over, which the client does not miss.
"""

import asyncio
import logging
from collections.abc import Callable

from app.events.messages import Claim, Given
from app.ports import Bus
from db.model.ids import new_id

log = logging.getLogger(__name__)

ADDRESS_LENGTH = 8
ANSWER_S = 0.3
KEPT_S = 300.0
MAX_KEPT = 20_000


class Forwarding:
    """Where connections went that were given away. Sans-I/O; times: seconds of any clock that goes on."""

    def __init__(self) -> None:
        self._to: dict[str, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._to)

    def add(self, connection_id: str, address: str, now: float) -> None:
        """It went there. Those that went 5 minutes ago, and the oldest beyond 20,000, are forgotten."""
        self._to.pop(connection_id, None)
        self._to[connection_id] = (address, now)
        while len(self._to) > MAX_KEPT or next(iter(self._to.values()))[1] < now - KEPT_S:
            del self._to[next(iter(self._to))]

    def find(self, connection_id: str) -> str:
        """Where it went; '' when that is not known."""
        return self._to.get(connection_id, ("", 0.0))[0]


class Claims:
    """address: of this worker. give: gives a connection of this worker away; None: it is not here, or not for them."""

    def __init__(self, bus: Bus, address: str, give: Callable[[Claim], Given | None], now: Callable[[], float]) -> None:
        self._bus = bus
        self._address = address
        self._give = give
        self._now = now
        self._forwarding = Forwarding()
        self._asked: dict[str, asyncio.Future[Given]] = {}

    def new_connection_id(self) -> str:
        """That says where the connection is."""
        return self._address + new_id()[len(self._address) :]

    def may_be_elsewhere(self, connection_id: str) -> bool:
        """Whether another worker may have a connection that is not here."""
        return self._where(connection_id) != self._address

    def _where(self, connection_id: str) -> str:
        return self._forwarding.find(connection_id) or connection_id[:ADDRESS_LENGTH]

    async def ask(self, connection_id: str, user_id: str, session_id: str, seq: int) -> Given | None:
        """The connection, which is this worker's from now on; None: nobody gives it away."""
        address, asked = self._where(connection_id), {self._address, ""}
        try:
            async with asyncio.timeout(ANSWER_S):
                while address not in asked:
                    asked.add(address)
                    claim = Claim(new_id(), self._address, connection_id, user_id, session_id, seq)
                    given = await self._ask_at(address, claim)
                    if given.given:
                        return given
                    address = given.moved_to
        except TimeoutError:
            log.info("nobody answered for a connection", extra={"connection": connection_id})
        return None

    async def _ask_at(self, address: str, claim: Claim) -> Given:
        answer: asyncio.Future[Given] = asyncio.get_running_loop().create_future()
        self._asked[claim.id] = answer
        try:
            self._bus.send_to(address, claim)
            return await answer
        finally:
            del self._asked[claim.id]

    def handle(self, message: Claim | Given) -> None:
        """Somebody asks, or answers. A claim of our own that comes back has found nobody."""
        if isinstance(message, Given):
            self._answered(message)
        elif message.reply_to == self._address:
            self._answered(Given(message.id, False))
        else:
            refused = Given(message.id, False, moved_to=self._forwarding.find(message.connection_id))
            given = self._give(message)
            if given is not None:
                self._forwarding.add(message.connection_id, message.reply_to, self._now())
            if given is None or not self._bus.send_to(message.reply_to, given):
                self._bus.send_to(message.reply_to, refused)

    def _answered(self, given: Given) -> None:
        answer = self._asked.get(given.id)
        if answer is not None and not answer.done():
            answer.set_result(given)
