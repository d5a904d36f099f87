"""Whether every host of a connection string with several answers: one that is dead is redundancy that is gone.

The relay's; one a node.
"""

import asyncio
import logging
from dataclasses import replace

from db.drivers import Facts
from db.model.errors import DatabaseError
from db.pool.generation import driver_of
from db.pool.pool import Database

log = logging.getLogger(__name__)

EVERY_S = 5.0
_PATIENCE_S = 4.0
_TRIES = 2


class Hosts:
    """`run` until cancelled. lost: those that did not answer twice, by name."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._failed: dict[str, int] = {}
        self._asking: dict[str, asyncio.Task[Facts]] = {}
        self.lost: list[str] = []

    async def run(self) -> None:
        """Ask each in its turn."""
        while True:
            settings = self._database.settings
            driver = driver_of(settings)
            hosts = dict(one for dsn in (settings.dsn, *settings.replicas) for one in driver.hosts(dsn))
            for name, dsn in hosts.items():
                answers = await self._answers(name, dsn)
                self._failed[name] = 0 if answers else self._failed.get(name, 0) + 1
            self._failed = {name: times for name, times in self._failed.items() if name in hosts}
            self.lost = sorted(name for name, times in self._failed.items() if times >= _TRIES)
            await asyncio.sleep(EVERY_S)

    async def _answers(self, name: str, dsn: str) -> bool:
        """One that is frozen is left to itself, and not asked again before it has answered."""
        settings = replace(self._database.settings, connect_timeout_s=2.0)
        asking = self._asking.get(name)
        if asking is None or asking.done():
            asking = asyncio.get_running_loop().create_task(driver_of(settings).ask(dsn, settings))
            self._asking[name] = asking
        await asyncio.wait({asking}, timeout=_PATIENCE_S)
        if not asking.done():
            return False
        try:
            asking.result()
        except DatabaseError as error:
            log.info(
                "a host of a connection string does not answer", extra={"host": name, "reason": str(error).strip()}
            )
            return False
        return True

    def status(self) -> dict[str, object]:
        """For `mmnode db status`."""
        return {"hosts_lost": self.lost} if self._failed else {}
