"""Connections that change their worker: asked for where the client came back, given away where they were before.

    the client's new worker                       the worker in the connection's id
       Claim id, number expected  ──>                gives up the socket, if it thinks it has one still
                                  <──  Given         frames from that number on, and how far each channel was
                                       moved_to      who has it meanwhile: ask there

A worker that stops gives its connections to others (`farewell.py`), of which nobody else has to know: when that worker
does not have one, or says nothing for 0.1 s, everybody is asked. But only within 5 minutes of the stop of any
worker of which this one may not know all; else an unknown id costs nobody anything.

Nothing within 300 ms: the client gets a new id and fetches anew. An answer that comes later, or is lost, finds nobody:
the connection is over, which the client does not miss.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

import msgspec

from app.events.messages import Claim, Given
from app.ports import Bus
from db.model.ids import new_id

log = logging.getLogger(__name__)

ADDRESS_LENGTH = 8
ANSWER_S = 0.3
SILENT_S = 0.1
ASKED_AGAIN = 3
"""So often one worker is asked at most: it may be handed over to one that had just said no."""
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
    """address: of this worker. give: gives a connection of this worker away; None: it is not here, or not for them.

    alone: there are no other ws workers.
    """

    def __init__(
        self,
        bus: Bus,
        address: str,
        give: Callable[[Claim], Given | None],
        now: Callable[[], float],
        *,
        alone: bool = False,
    ) -> None:
        self._bus = bus
        self.address = address
        self._give = give
        self._now = now
        self._alone = alone
        self._forwarding = Forwarding()
        self._asked: dict[str, asyncio.Queue[Given]] = {}
        """What is answered, by the id of the claim."""
        self._left_at = now()
        """When a worker stopped last, or may have stopped unheard."""

    def new_connection_id(self) -> str:
        """That says where the connection is."""
        return self.address + new_id()[len(self.address) :]

    def note_leaving(self) -> None:
        """A worker stops, or what was said of it may have been lost."""
        self._left_at = self._now()

    def moved(self, connection_id: str, address: str) -> None:
        """It is there now."""
        self._forwarding.add(connection_id, address, self._now())

    def may_be_elsewhere(self, connection_id: str) -> bool:
        """Whether another worker may have a connection that is not here, or this one keeps it."""
        return self._where(connection_id) != self.address or self._may_be_anywhere()

    def _where(self, connection_id: str) -> str:
        return self._forwarding.find(connection_id) or connection_id[:ADDRESS_LENGTH]

    def _may_be_anywhere(self) -> bool:
        return not self._alone and self._now() - self._left_at < KEPT_S

    async def ask(self, connection_id: str, user_id: str, session_id: str, seq: int) -> Given | None:
        """The connection, which is this worker's from now on; None: nobody gives it away."""
        claim = Claim(new_id(), self.address, connection_id, user_id, session_id, seq)
        kept = self._give(claim)
        if kept is not None:
            return kept
        answers: asyncio.Queue[Given] = asyncio.Queue()
        self._asked[claim.id] = answers
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._ask(claim, answers)
        except TimeoutError:
            log.info("nobody answered for a connection", extra={"connection": connection_id})
            return None
        finally:
            del self._asked[claim.id]

    async def _ask(self, claim: Claim, answers: "asyncio.Queue[Given]") -> Given | None:
        address = self._where(claim.connection_id)
        asked = Counter({self.address: ASKED_AGAIN, "": ASKED_AGAIN})
        may_ask_everybody, asked_everybody = self._may_be_anywhere(), False
        while True:
            if asked[address] < ASKED_AGAIN:
                asked[address] += 1
                self._bus.send_to(address, claim)
            elif may_ask_everybody:
                may_ask_everybody, asked_everybody = False, True
                self._bus.publish(msgspec.structs.replace(claim, everybody=True))
            elif not asked_everybody:
                return None
            try:
                async with asyncio.timeout(SILENT_S if may_ask_everybody else None):
                    given = await answers.get()
            except TimeoutError:
                address = ""
                continue
            if given.moved_to == self.address:  # it was handed to us meanwhile
                given = self._give(claim) or given
            if given.given:
                return given
            address = given.moved_to

    def handle(self, message: Claim | Given) -> None:
        """Somebody asks, or answers. A claim of our own that comes back has found nobody."""
        if isinstance(message, Given):
            self._answered(message)
        elif message.reply_to == self.address:
            self._answered(Given(message.id, False, moved_to=self.address if message.everybody else ""))
        else:
            self._claimed(message)

    def _claimed(self, claim: Claim) -> None:
        given = self._give(claim)
        moved_to = self._forwarding.find(claim.connection_id)
        if given is not None:
            self.moved(claim.connection_id, claim.reply_to)
            if self._bus.send_to(claim.reply_to, given):
                return
        elif claim.everybody and not moved_to:
            return
        self._bus.send_to(claim.reply_to, Given(claim.id, False, moved_to=moved_to))

    def _answered(self, given: Given) -> None:
        answers = self._asked.get(given.id)
        if answers is not None:
            answers.put_nowait(given)
