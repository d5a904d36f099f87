"""Passwords: argon2id in one thread, off the loop (argon2 releases the GIL).

Parameters are OWASP's: 19 MiB, two passes, one lane (security S5.1). The queue is bounded: beyond it a login is told to
come back, so that a flood of logins never takes the machine from messages. It is fair to sources (`app/turns.py`), so
that a flood never keeps other people out. Who comes from where their account logged in lately waits in a queue of their
own, which has every other turn: a flood from more sources than there are places would fill the only one.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import AppError
from app.turns import FairQueue

log = logging.getLogger(__name__)

Verify = Callable[[str | None, str], Awaitable[str | None]]

MAX_WAITING = 32
MAX_PER_SOURCE = 8
_AT_ONCE = 2
"""Turns: while one password is looked at, the next attempt is charged in the database."""
CHEAP_VARIABLE = "MMNODE_CHEAP_PASSWORDS"
"""Names the data directory of a node of the tests: there hashes cost, and are worth, nothing."""


class Hasher:
    """Hashes and verifies. `waiting` is how many have a place: in the queue, or already their turn.

    rehash: whether what was hashed with other parameters is hashed anew when its owner logs in.
    """

    def __init__(
        self,
        *,
        memory_kib: int = 19_456,
        passes: int = 2,
        max_waiting: int = MAX_WAITING,
        max_per_source: int = MAX_PER_SOURCE,
        rehash: bool = True,
    ) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")
        self._others, self._known = (
            FairQueue["asyncio.Future[None]"](max_waiting - _AT_ONCE, max_per_source) for _ in range(2)
        )
        self._turn_of = [self._others, self._known]
        self._turns = min(_AT_ONCE, max_waiting)
        self._rehash = rehash
        self._nobody: str | None = None
        self._busy = 0

    @classmethod
    def of(cls, environment: Mapping[str, str], data: Path) -> "Hasher":
        """With the real parameters, unless the environment says that the node of this data directory is a test's."""
        said = environment.get(CHEAP_VARIABLE)
        if not said:
            return cls()
        if said != str(data):
            log.warning("a variable for tests is ignored: it names another node", extra={"variable": CHEAP_VARIABLE})
            return cls()
        log.warning("passwords are hashed cheaply, for tests only", extra={"variable": CHEAP_VARIABLE})
        return cls(memory_kib=64, passes=1, rehash=False)

    @property
    def waiting(self) -> int:
        """See the class."""
        return self._busy + len(self._others) + len(self._known)

    @contextlib.asynccontextmanager
    async def turn(self, source: str, *, known: bool = False) -> AsyncIterator[Verify]:
        """A block in which a password may be looked at, by what it is given: as `verify`.

        source: who asks, '' for nobody known. known: from there the account logged in lately. Raises AppError 429 when
        too many wait: nothing was looked at.
        """
        if self._busy < self._turns:
            self._busy += 1
        else:
            await self._wait(self._known if known else self._others, source)
        try:
            yield self._look
        finally:
            self._pass_on()

    async def _wait(self, queue: FairQueue["asyncio.Future[None]"], source: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        placed = queue.put(source, place)
        if placed.displaced is not None:
            placed.displaced.set_exception(_too_many())
        if not placed.taken:
            raise _too_many()
        try:
            await place
        except asyncio.CancelledError:
            given = not queue.remove(source, place) and not place.cancelled() and place.exception() is None
            if given:
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """A turn is over, or came to somebody who has gone."""
        while (following := self._next()) is not None:
            if not following.done():
                following.set_result(None)
                return
        self._busy -= 1

    def _next(self) -> "asyncio.Future[None] | None":
        self._turn_of.reverse()
        return self._turn_of[0].take() or self._turn_of[1].take()

    async def hash(self, password: str, source: str = "") -> str:
        """The encoded hash of a new password. Raises AppError 429 when too many wait."""
        async with self.turn(source):
            return await self._run(password, None)

    async def verify(self, stored: str | None, password: str, source: str = "") -> str | None:
        """None when wrong, else what is to be stored from now on (usually `stored` itself).

        `stored` is None for an unknown user: that takes the same time and is always wrong. Raises AppError 429 when too
        many wait.
        """
        async with self.turn(source) as verify:
            return await verify(stored, password)

    async def _look(self, stored: str | None, password: str) -> str | None:
        if stored is None:
            if self._nobody is None:
                self._nobody = await self._run("nobody has this password", None)
            await self._run(password, self._nobody)
            return None
        return await self._run(password, stored) or None

    async def _run(self, password: str, stored: str | None) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._work, password, stored)

    def _work(self, password: str, stored: str | None) -> str:
        secret = password.encode("utf-8", "surrogatepass")
        if stored is None:
            return self._hasher.hash(secret)
        try:
            self._hasher.verify(stored, secret)
        except (VerificationError, InvalidHashError):
            return ""
        again = self._rehash and self._hasher.check_needs_rehash(stored)
        return self._hasher.hash(secret) if again else stored

    def close(self) -> None:
        """End the thread; calls under way are finished first."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _too_many() -> AppError:
    return AppError("api.user.login.busy.app_error", 429, retry_after_s=1)
