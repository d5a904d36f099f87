"""Passwords: argon2id in one thread, off the loop (argon2 releases the GIL).

Parameters are OWASP's: 19 MiB, two passes, one lane (security S5.1). The queue is bounded: beyond it a login is told to
come back, so that a flood of logins never takes the machine from messages. It is fair to sources (`app/turns.py`), so
that a flood never keeps other people out. Who comes from where their account logged in lately waits in a queue of their
own, which has every other turn: a flood from more sources than there are places would fill the only one.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import AppError
from app.workpool import Threads, Turns

log = logging.getLogger(__name__)

Verify = Callable[[str | None, str], Awaitable[str | None]]

MAX_WAITING = 32
MAX_PER_SOURCE = 8
_AT_ONCE = 2
"""Turns: while one password is looked at, the next attempt is charged in the database."""
_OTHERS, _KNOWN = range(2)
_CLOSE_S = 1.0
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
        self._threads = Threads(1, "passwords")
        at_once = min(_AT_ONCE, max_waiting)
        self._turns = Turns(at_once, max_waiting - _AT_ONCE, max_per_source, lanes=2, refuse=_too_many)
        self._rehash = rehash
        self._nobody: str | None = None

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
        return self._turns.waiting

    @contextlib.asynccontextmanager
    async def turn(self, source: str, *, known: bool = False) -> AsyncIterator[Verify]:
        """A block in which a password may be looked at, by what it is given: as `verify`.

        source: who asks, '' for nobody known. known: from there the account logged in lately. Raises AppError 429 when
        too many wait: nothing was looked at.
        """
        async with self._turns.turn(source, _KNOWN if known else _OTHERS):
            yield self._look

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
        return await self._threads.run(lambda: self._work(password, stored))

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
        """End the thread; what it does now is finished first."""
        self._threads.close(_CLOSE_S)


def _too_many() -> AppError:
    return AppError("api.user.login.busy.app_error", 429, retry_after_s=1)
