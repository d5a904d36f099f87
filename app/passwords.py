"""Passwords: argon2id in one thread, off the loop (argon2 releases the GIL).

Parameters are OWASP's: 19 MiB, two passes, one lane (security S5.1). The queue is bounded: beyond it a login is told to
come back, so that a flood of logins never takes the machine from messages.
"""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import AppError

log = logging.getLogger(__name__)

MAX_WAITING = 32
CHEAP_VARIABLE = "MMNODE_CHEAP_PASSWORDS"
"""Names the data directory of a node of the tests: there hashes cost, and are worth, nothing."""


class Hasher:
    """Hashes and verifies. `waiting` is how many calls are under way.

    rehash: whether what was hashed with other parameters is hashed anew when its owner logs in.
    """

    def __init__(
        self, *, memory_kib: int = 19_456, passes: int = 2, max_waiting: int = MAX_WAITING, rehash: bool = True
    ) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")
        self._max_waiting = max_waiting
        self._rehash = rehash
        self._nobody: str | None = None
        self.waiting = 0

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

    async def hash(self, password: str) -> str:
        """The encoded hash of a new password. Raises AppError 429 when too many wait."""
        return await self._run(password, None)

    async def verify(self, stored: str | None, password: str) -> str | None:
        """None when wrong, else what is to be stored from now on (usually `stored` itself).

        `stored` is None for an unknown user: that takes the same time and is always wrong.
        """
        if stored is None:
            if self._nobody is None:
                self._nobody = await self._run("nobody has this password", None)
            await self._run(password, self._nobody)
            return None
        return await self._run(password, stored) or None

    async def _run(self, password: str, stored: str | None) -> str:
        if self.waiting >= self._max_waiting:
            raise AppError("api.user.login.busy.app_error", 429, retry_after_s=1)
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._work, password, stored)
        finally:
            self.waiting -= 1

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
